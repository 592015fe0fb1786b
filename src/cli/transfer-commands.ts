import { Argument, type Command } from 'commander';
import type { CopyCommandFlags } from './commands/copy.js';
import type { PushFlags } from './commands/push.js';
import { addCopyOptions } from './add-copy-options.js';
import { addExamples } from './options.js';
import type { RunCommand } from './run-command.js';

const DEFAULT_PLATFORM = "this machine's, or the only one that there is, by itself";

/** The commands that move images between registries, the store, layouts and archives. */
export function addTransferCommands(program: Command, run: RunCommand): void {
  for (const add of [addCopy, addPush, addDelete]) add(program, run);
}

function addCopy(program: Command, run: RunCommand): void {
  const command = program
    .command('copy')
    .summary('copy an image from one place to another')
    .description(
      'Copies an image between registries, the store, OCI layouts and archives. Its digest stays, and what is there already is not moved. Nothing is moved before it has the signatures that a policy asks for.',
    )
    .addArgument(
      new Argument(
        '<source>',
        'docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], or REF for an image of the store',
      ),
    )
    .addArgument(new Argument('<destination>', 'the same'));
  addCopyOptions(command, { one: DEFAULT_PLATFORM })
    .option('--dry-run', 'only say what would be copied')
    .option('--recheck', 'look at all parts of what the destination has already')
    .option('--src-creds <user[:password]>', 'credentials for the source only')
    .option('--dest-creds <user[:password]>', 'credentials for the destination only')
    .option('-q, --quiet', 'print the digest only')
    .action((source: string, destination: string, flags: CopyCommandFlags) =>
      run(async (context) =>
        (await import('./commands/copy.js')).copyCommand(source, destination, flags, context),
      ),
    );
  addExamples(command, [
    'landfall copy --all --referrers docker://quay.io/team/app:1 docker://registry.lan:5000/team/app:1',
    'landfall copy docker://debian:trixie oci:images:debian',
    'landfall copy docker-archive:app.tar app:1',
  ]);
}

function addPush(program: Command, run: RunCommand): void {
  const command = program
    .command('push')
    .summary('copy an image of the store to a registry')
    .description('Copies an image of the store to the registry of its name, or to another one.')
    .addArgument(new Argument('<reference>', 'an image of the store'))
    .addArgument(
      new Argument('[destination]', 'where it goes, with docker:// before it or without (default: its name)'),
    );
  addCopyOptions(command, { one: DEFAULT_PLATFORM })
    .option('--dry-run', 'only say what would be copied')
    .option('-q, --quiet', 'print the digest only')
    .action((name: string, destination: string | undefined, flags: PushFlags) =>
      run(async (context) =>
        (await import('./commands/push.js')).pushCommand(name, destination, flags, context),
      ),
    );
  addExamples(command, [
    'landfall push registry.lan:5000/team/app:1',
    'landfall push debian:trixie registry.lan:5000/base/debian:trixie',
  ]);
}

function addDelete(program: Command, run: RunCommand): void {
  const command = program
    .command('delete')
    .summary('delete images at a registry or in a layout')
    .description(
      'Deletes tags, or manifests by their digests with all their tags. Where a registry deletes no tags, the manifest goes if no other tag names it.',
    )
    .addArgument(new Argument('<name...>', 'docker://REF or oci:DIR:TAG'))
    .action((names: string[]) =>
      run(async (context) => (await import('./commands/delete.js')).deleteCommand(names, context)),
    );
  addExamples(command, ['landfall delete docker://registry.lan:5000/team/app:1']);
}
