import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { CopyCommandFlags, PushFlags } from './commands/copy.js';
import type { LoadFlags } from './commands/load.js';
import type { LoginFlags, LogoutFlags } from './commands/login.js';
import type { PullFlags } from './commands/pull.js';
import type { ReferrersFlags } from './commands/referrers.js';
import type { ResolveFlags, TagsFlags } from './commands/tags.js';
import type { SaveFlags } from './commands/save.js';
import type { SyncFlags } from './commands/sync.js';
import type { VerifyFlags } from './commands/verify.js';
import { addExamples, collect, parseLimit, platformOption } from './options/options.js';
import type { RunCommand } from './options/run-command.js';
import { SYNC_MODES } from './config/settings.js';

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
        (await import('./commands/copy.js')).pushCommand(name, destination, flags, context),
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

/** Adds the options of commands that copy images; `one` says which platforms are copied where none is named. */
function addCopyOptions(command: Command, { one }: { readonly one: string }): Command {
  return command
    .option('--all', 'all platforms of each image')
    .option(
      '--platform <platforms>',
      `only these, with commas between them, for example linux/amd64,linux/arm64; may be given several times (default: ${one})`,
      collectPlatforms,
    )
    .option('--rewrite-index', 'make a new index of the platforms that are named, which has another digest')
    .option('--referrers', 'also what refers to each image: signatures, SBOMs, attestations')
    .option(
      '--artifact-type <type>',
      'of the referrers only what is of this type, with all that refers to it; may be given several times',
      collect,
    )
    .option('--no-cosign-tags', "of the referrers not those that only cosign's tags tell of");
}

/** Platforms with commas between them; for options that may be given several times. */
function collectPlatforms(text: string, before: readonly string[] = []): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('A platform is missing between two commas.');
  return [...before, ...names];
}

const FORMATS = ['oci', 'docker', 'both'] as const;
/** Less is no file that anybody would carry. */
const LEAST_PART_BYTES = 64 * 1024;

/** The commands that write and read archives of images, and prove them whole. */
export function addArchiveCommands(program: Command, run: RunCommand): void {
  for (const add of [addSave, addLoad, addVerify]) add(program, run);
}

function addSave(program: Command, run: RunCommand): void {
  const command = program
    .command('save')
    .summary('write images into one archive')
    .description(
      'Writes images into one archive, each blob once: the same bytes for the same images. Docker, Podman and tools that read OCI layouts load it.',
    )
    .addArgument(
      new Argument(
        '<reference...>',
        'images of the store; docker://REF for one that is read from its registry without a copy here',
      ),
    )
    .requiredOption('-o, --file <file>', 'where to; - is standard output');
  addCopyOptions(command, { one: 'those that are there' })
    .addOption(new Option('--format <format>', 'for whom (default: both)').choices(FORMATS))
    .option(
      '--split <size>',
      'write FILE.000, FILE.001 and so on, none larger than this, for example 4G, and FILE.parts.json',
      parsePartSize,
    )
    .option('-q, --quiet', 'print only the digests')
    .action((references: string[], flags: SaveFlags) =>
      run(async (context) => (await import('./commands/save.js')).saveCommand(references, flags, context)),
    );
  addExamples(command, [
    'landfall save debian:trixie alpine -o images.tar',
    'landfall save --referrers --split 4G docker://quay.io/team/app:1 -o /media/app.tar',
    'landfall save alpine -o - | zstd > alpine.tar.zst',
    'landfall save --format docker --platform linux/arm64 alpine -o alpine.tar',
  ]);
}

function addLoad(program: Command, run: RunCommand): void {
  const command = program
    .command('load')
    .summary('read images from an archive into the store')
    .description(
      'Reads the images of an archive into the store, verifies and unpacks them. It may be an OCI archive or one of Docker, compressed with gzip or zstd, or split. Images that a signature policy refuses are left out.',
    )
    .option('-i, --input <file>', 'the archive; standard input when left out')
    .option('-t, --name <reference>', 'what an image is called that has no name in the archive')
    .option(
      '--platform <platforms>',
      'only these, with commas between them; may be given several times (default: those that the archive has)',
      collectPlatforms,
    )
    .option('--no-unpack', 'do not unpack the layers')
    .option('-q, --quiet', 'print only the digests')
    .action((flags: LoadFlags) =>
      run(async (context) => (await import('./commands/load.js')).loadCommand(flags, context)),
    );
  addExamples(command, [
    'landfall load -i images.tar',
    'ssh far cat images.tar.zst | landfall load',
    'landfall load -i app.tar --name registry.lan/team/app:1',
  ]);
}

function addVerify(program: Command, run: RunCommand): void {
  const command = program
    .command('verify')
    .summary('prove that images are whole')
    .description(
      'Reads all that images consist of, and tells of all that is missing, damaged or malformed; under a signature policy also of what each image lacks of signatures. Nothing is changed.',
    )
    .addArgument(
      new Argument(
        '[source]',
        'FILE or - for an archive, oci:DIR, docker://REF, docker://HOST/ or docker://HOST/PATH/ for all that is below, or REF for an image of the store; all of the store when left out',
      ),
    )
    .option('--diff-ids', 'also decompress layers and hold them against the configs')
    .option('--referrers', 'also what refers to an image at its registry')
    .action((source: string | undefined, flags: VerifyFlags) =>
      run(async (context) => (await import('./commands/verify.js')).verifyCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall verify images.tar',
    'landfall verify oci:mirror --output json',
    'landfall verify --referrers docker://registry.lan:5000/team/app:1',
    'landfall verify docker://mirror.lan:5000/hub/',
    'landfall verify --policy policy.json images.tar',
  ]);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** Bytes of a part: `4G`, `650M`. */
function parsePartSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,12})([KMGT]?)$/i.exec(text) ?? [];
  const size = Number(digits) * (UNITS[unit.toUpperCase()] ?? 0);
  if (digits === '' || size < LEAST_PART_BYTES || !Number.isSafeInteger(size)) {
    throw new InvalidArgumentError('It is not a size of at least 64K, such as 650M or 4G.');
  }
  return size;
}

/** The command that keeps whole sets of images the same elsewhere. */
export function addSyncCommands(program: Command, run: RunCommand): void {
  const command = program
    .command('sync')
    .summary('copy a declared set of images')
    .description(
      'Makes registries, layouts, archives or the store have the images that a file asks for. What is there already is not moved again, and what a signature policy refuses is not moved at all.',
    )
    .requiredOption(
      '-f, --file <file>',
      "what is wanted, in landfall's form or that of skopeo sync; - reads it from standard input",
    )
    .option(
      '--to <destination>',
      'copy there in place of where the file says: docker://HOST[/PATH], oci:DIR, oci-archive:FILE, store; may be given several times',
      collect,
    )
    .option(
      '--scoped',
      "with --to, keep the source registry's name in the path, as skopeo sync --scoped does",
    )
    .option('--all', "of a file of skopeo's form, all platforms of each image")
    .option('--dry-run', 'only say what would be copied and deleted')
    .option('--recheck', 'look at all parts of what the destination has already')
    .option('--prune', 'delete tags at the destination that the file asks for no more')
    .option('-y, --yes', 'delete without asking')
    .option('--report <file>', 'write what was done there, as JSON')
    .option(
      '--since <file>',
      'leave out what the report of an earlier run says was delivered; for layouts and archives',
    )
    .option('--shard <i/n>', 'copy only one part of n, counted from 0; balanced by bytes')
    .action((flags: SyncFlags) =>
      run(async (context) => (await import('./commands/sync.js')).syncCommand(flags, context)),
    );
  addExamples(command, [
    'landfall sync -f mirror.yaml --dry-run',
    'landfall sync -f mirror.yaml --prune --yes --report report.json',
    'landfall sync -f mirror.yaml --to oci-archive:delta.tar --since report.json --report next.json',
    'landfall sync -f skopeo.yaml --to docker://registry.lan:5000/mirror --scoped --all',
  ]);
}

export function addPullCommands(program: Command, run: RunCommand): void {
  const command = program
    .command('pull')
    .summary('download, verify and unpack images')
    .description(
      'Downloads images from their registries, verifies them and unpacks their layers, all at once.',
    )
    .addArgument(
      new Argument('<reference...>', 'images, for example debian:trixie or quay.io/team/app@sha256:…'),
    )
    .addOption(platformOption('the platform to unpack'))
    .option('--all-platforms', 'download every platform of an image; unpack one')
    .option('--no-unpack', 'download only')
    .option('--verify-first', 'verify all of a layer before any of it is unpacked')
    .option('--discard-layers', 'drop the blob of each layer once it is unpacked')
    .addOption(
      new Option('--sync <what>', 'what survives a power cut once the pull is done (default: full)').choices(
        SYNC_MODES,
      ),
    )
    .option('--trace <file>', 'write a trace that chrome://tracing and ui.perfetto.dev open')
    .option('--timeline <file.svg>', 'draw where the time went')
    .option('-q, --quiet', 'print only the digests')
    .action((references: string[], flags: PullFlags) =>
      run(async (context) => (await import('./commands/pull.js')).pullCommand(references, flags, context)),
    );
  addExamples(command, [
    'landfall pull debian:trixie',
    'landfall pull --platform linux/arm64 alpine quay.io/prometheus/busybox',
    'landfall pull --plain-http registry.lan:5000/app:1',
    'landfall pull --discard-layers registry.k8s.io/kube-proxy:v1.34.0',
    'landfall pull --timeline pull.svg debian:trixie',
    'landfall pull --output json --progress none alpine',
  ]);
}

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
      run(async (context) => (await import('./commands/tags.js')).resolveCommand(name, flags, context)),
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
      run(async (context) => (await import('./commands/login.js')).logoutCommand(host, flags, context)),
    );
  addExamples(command, ['landfall logout quay.io', 'landfall logout --all docker.io']);
}
