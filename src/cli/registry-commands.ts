import { Argument, type Command, Option } from 'commander';
import type { LoginFlags } from './commands/login.js';
import type { LogoutFlags } from './commands/logout.js';
import type { ReferrersFlags } from './commands/referrers.js';
import type { ResolveFlags } from './commands/resolve.js';
import type { TagsFlags } from './commands/tags.js';
import { addExamples, parseLimit } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that only ask a registry, or are about how it is asked. */
export function addRegistryCommands(program: Command, run: RunCommand): void {
  for (const add of [addResolve, addTags, addReferrers, addLogin, addLogout]) add(program, run);
}

function addResolve(program: Command, run: RunCommand): void {
  const command = program
    .command('resolve')
    .summary('print the digest that a name leads to')
    .description('Asks a registry for the digest that a name leads to. Nothing is downloaded.')
    .addArgument(new Argument('<reference>', 'an image at a registry, with docker:// before it or without'))
    .addOption(new Option('--platform <platform>', 'go on to the manifest for it, for example linux/arm64'))
    .action((name: string, flags: ResolveFlags) =>
      run(async (context) => (await import('./commands/resolve.js')).resolveCommand(name, flags, context)),
    );
  addExamples(command, [
    'landfall resolve debian:trixie',
    'landfall resolve --platform linux/arm64 docker://quay.io/prometheus/busybox',
  ]);
}

function addTags(program: Command, run: RunCommand): void {
  const command = program
    .command('tags')
    .summary('list the tags of a repository')
    .description('Lists the tags of a repository at its registry, in its order.')
    .addArgument(new Argument('<repository>', 'a repository, with docker:// before it or without'))
    .option('--limit <n>', 'list so many at most', parseLimit)
    .action((name: string, flags: TagsFlags) =>
      run(async (context) => (await import('./commands/tags.js')).tagsCommand(name, flags, context)),
    );
  addExamples(command, ['landfall tags debian', 'landfall tags --limit 20 docker://quay.io/team/app']);
}

function addReferrers(program: Command, run: RunCommand): void {
  const command = program
    .command('referrers')
    .summary('show what refers to an image: signatures, SBOMs, attestations')
    .description('Shows what refers to an image at its registry, and what refers to that, as a tree.')
    .addArgument(new Argument('<reference>', 'an image at a registry, with docker:// before it or without'))
    .option('--artifact-type <type>', 'only what is of this type, with all that refers to it')
    .action((name: string, flags: ReferrersFlags) =>
      run(async (context) =>
        (await import('./commands/referrers.js')).referrersCommand(name, flags, context),
      ),
    );
  addExamples(command, [
    'landfall referrers quay.io/team/app:1',
    'landfall referrers --artifact-type application/spdx+json docker://quay.io/team/app:1',
  ]);
}

function addLogin(program: Command, run: RunCommand): void {
  const command = program
    .command('login')
    .summary('log in to a registry')
    .description('Checks a user and a password against a registry and keeps them for later commands.')
    .addArgument(new Argument('<host>', 'a registry, or a path of one: quay.io, docker.io, quay.io/team'))
    .option('-u, --username <user>', 'the user; asked for at a terminal when left out')
    .option('--password-stdin', 'read the password from standard input')
    .action((host: string, flags: LoginFlags) =>
      run(async (context) => (await import('./commands/login.js')).loginCommand(host, flags, context)),
    );
  addExamples(command, [
    'landfall login quay.io',
    'landfall login -u robot --password-stdin registry.lan:5000 < password-file',
  ]);
}

function addLogout(program: Command, run: RunCommand): void {
  const command = program
    .command('logout')
    .summary('log out of a registry')
    .description('Forgets the credentials that login has kept.')
    .addArgument(new Argument('<host>', 'a registry, or a path of one'))
    .option('--all', 'forget them in every file that is looked in, and those for paths below')
    .action((host: string, flags: LogoutFlags) =>
      run(async (context) => (await import('./commands/logout.js')).logoutCommand(host, flags, context)),
    );
  addExamples(command, ['landfall logout quay.io', 'landfall logout --all docker.io']);
}
