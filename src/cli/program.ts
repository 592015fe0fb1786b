import { Argument, Command, Option } from 'commander';
import type { ImagesFlags } from './commands/images.js';
import type { InspectFlags } from './commands/inspect.js';
import type { MountFlags } from './commands/mount.js';
import type { MountsFlags } from './commands/mounts.js';
import type { PullFlags } from './commands/pull.js';
import { addArchiveCommands } from './archive-commands.js';
import { addExamples, collect, parseLimit, parsePositive, parseRate, platformOption } from './options.js';
import { addNameCommands } from './name-commands.js';
import { addNodeCommands } from './node-commands.js';
import { addRegistryCommands } from './registry-commands.js';
import type { RunCommand } from './run-command.js';
import {
  INFLATE_CHOICES,
  LOG_FORMATS,
  LOG_LEVELS,
  OUTPUT_FORMATS,
  PROGRESS_MODES,
  SNAPSHOTTERS,
  SYNC_MODES,
} from './settings.js';
import { addServeCommands } from './serve-commands.js';
import { addStoreCommands } from './store-commands.js';
import { addSyncCommands } from './sync-commands.js';
import { addTransferCommands } from './transfer-commands.js';
import { addUnpackCommands } from './unpack-commands.js';
import { collectLimit, UNPACK_LIMIT_NAMES } from './unpack-limit.js';
import { versionLine } from './version.js';

/** The whole command line: what `--help` says and what docs/cli.md is held against. */
export function createProgram(run: RunCommand): Command {
  const program = new Command('landfall')
    .description('Brings container images ashore: pulls them from a registry, verifies and unpacks them.')
    .version(versionLine(), '-V, --version', 'print the version')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  addGlobalOptions(program);
  for (const add of [addPull, addImages, addInspect]) add(program, run);
  addNameCommands(program, run);
  addUnpackCommands(program, run);
  for (const add of [addMounts, addMount, addUmount]) add(program, run);
  addServeCommands(program, run);
  addTransferCommands(program, run);
  addRegistryCommands(program, run);
  addArchiveCommands(program, run);
  addSyncCommands(program, run);
  addNodeCommands(program, run);
  addStoreCommands(program, run);
  addExamples(program, [
    'landfall pull debian:trixie',
    'landfall images',
    'landfall mount debian:trixie /mnt',
    'landfall pull --help',
  ]);
  return program;
}

function addGlobalOptions(program: Command): void {
  program
    .option(
      '--root <dir>',
      'the store (default: $LANDFALL_ROOT, then /var/lib/landfall or $XDG_DATA_HOME/landfall)',
    )
    .option(
      '--additional-root <dir>',
      'a store that is only read, whose images and layers are used where they lie; may be given several times (default: $LANDFALL_ADDITIONAL_ROOTS, with colons between them)',
      collect,
    )
    .addOption(
      new Option(
        '--snapshots <form>',
        'how layers are kept unpacked (default: $LANDFALL_SNAPSHOTS, then overlay where the kernel has it)',
      ).choices(SNAPSHOTTERS),
    )
    .option(
      '--hosts-dir <dir>',
      "mirrors as containerd's certs.d configures them; may be given several times (default: /etc/landfall/certs.d, then /etc/containerd/certs.d)",
      collect,
    )
    .option('--plain-http', 'speak HTTP without TLS to the registry')
    .option('--insecure', "do not verify the registry's certificate")
    .option('--ca <file>', 'trust the certificate authorities in this PEM file too')
    .option(
      '--authfile <file>',
      "credentials as docker keeps them (default: $REGISTRY_AUTH_FILE, then docker's own)",
    )
    .option(
      '--creds <user[:password]>',
      'credentials; without a password it is asked for, or read from standard input',
    )
    .option(
      '--policy <file>',
      "which signatures images need, as containers-policy.json(5) says it (default: $LANDFALL_POLICY, then the user's, then /etc/containers/policy.json)",
    )
    .option(
      '--concurrency <n>',
      'layers that are downloaded and unpacked at once (default: by the cores)',
      parsePositive,
    )
    .option('--limit-rate <bytes>', 'download no more bytes per second, for example 10M', parseRate)
    .option(
      '--max-retry-after <seconds>',
      'how long a registry may ask to be left alone before that is an error (default: 120)',
      parseLimit,
    )
    .option(
      '--unpack-limit <name=value>',
      `refuse layers that have more than so much, or less strictly than by default: ${UNPACK_LIMIT_NAMES.join(', ')}; may be given several times`,
      collectLimit,
    )
    .addOption(
      new Option(
        '--inflate <by>',
        'what inflates gzip layers (default: $LANDFALL_INFLATE, then auto: isa-l where it is installed)',
      ).choices(INFLATE_CHOICES),
    )
    .addOption(new Option('--progress <how>', 'how to show progress (default: auto)').choices(PROGRESS_MODES))
    .addOption(
      new Option('--output <form>', 'the form of what is answered (default: text)').choices(OUTPUT_FORMATS),
    )
    .addOption(new Option('--log-level <level>', 'how much to tell (default: info)').choices(LOG_LEVELS))
    .addOption(
      new Option('--log-format <form>', 'the form of what is told on the way (default: text)').choices(
        LOG_FORMATS,
      ),
    );
}

function addPull(program: Command, run: RunCommand): void {
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
    .option('-q, --quiet', 'print only the digests')
    .action((references: string[], flags: PullFlags) =>
      run(async (context) => (await import('./commands/pull.js')).pullCommand(references, flags, context)),
    );
  addExamples(command, [
    'landfall pull debian:trixie',
    'landfall pull --platform linux/arm64 alpine quay.io/prometheus/busybox',
    'landfall pull --plain-http registry.lan:5000/app:1',
    'landfall pull --discard-layers registry.k8s.io/kube-proxy:v1.34.0',
    'landfall pull --output json --progress none alpine',
  ]);
}

function addImages(program: Command, run: RunCommand): void {
  const command = program
    .command('images')
    .summary('list the images of the store')
    .description('Lists the images of the store.')
    .option('-q, --quiet', 'print only the digests')
    .option(
      '--filter <what=value>',
      'only images that fit: reference=GLOB, label=KEY[=VALUE], pinned=true; may be given several times',
      collect,
    )
    .action((flags: ImagesFlags) =>
      run(async (context) => (await import('./commands/images.js')).imagesCommand(flags, context)),
    );
  addExamples(command, [
    'landfall images',
    "landfall images --filter 'reference=debian:*'",
    'landfall images --filter pinned=true',
    'landfall images -q',
  ]);
}

function addInspect(program: Command, run: RunCommand): void {
  const command = program
    .command('inspect')
    .summary('show what an image is made of')
    .description('Shows what an image is made of: platforms, config, layers.')
    .addArgument(new Argument('<source>', 'an image of the store, or oci:DIR[:TAG]'))
    .addOption(platformOption('the platform to show'))
    .option('--raw', "the exact bytes of the image's index or manifest; with --platform, of that manifest")
    .option('--config', 'the exact bytes of the config')
    .action((source: string, flags: InspectFlags) =>
      run(async (context) => (await import('./commands/inspect.js')).inspectCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall inspect debian:trixie',
    'landfall inspect --raw debian:trixie | sha256sum',
    'landfall inspect --config --platform linux/arm64 oci:mirror:app',
  ]);
}

function addMounts(program: Command, run: RunCommand): void {
  const command = program
    .command('mounts')
    .summary('print the overlay mounts of an image')
    .description("Prints the mounts that make up an image's root file system, as JSON, for others to mount.")
    .addArgument(new Argument('<reference>', 'an image of the store'))
    .addOption(platformOption('the platform to show'))
    .action((name: string, flags: MountsFlags) =>
      run(async (context) => (await import('./commands/mounts.js')).mountsCommand(name, flags, context)),
    );
  addExamples(command, ['landfall mounts debian:trixie']);
}

function addMount(program: Command, run: RunCommand): void {
  const command = program
    .command('mount')
    .summary('mount an image')
    .description("Mounts an image's root file system, read-only unless --rw is given.")
    .addArgument(new Argument('<reference>', 'an image of the store'))
    .addArgument(new Argument('<dir>', 'an existing directory'))
    .addOption(platformOption('the platform to mount'))
    .option('--rw', 'put a writable layer on top, which umount throws away')
    .action((name: string, directory: string, flags: MountFlags) =>
      run(async (context) =>
        (await import('./commands/mount.js')).mountCommand(name, directory, flags, context),
      ),
    );
  addExamples(command, ['landfall mount debian:trixie /mnt', 'landfall mount --rw debian:trixie /mnt']);
}

function addUmount(program: Command, run: RunCommand): void {
  const command = program
    .command('umount')
    .summary('unmount an image')
    .description('Unmounts what `landfall mount` mounted.')
    .addArgument(new Argument('<dir>', 'the directory'))
    .action((directory: string) =>
      run(async (context) => (await import('./commands/umount.js')).umountCommand(directory, context)),
    );
  addExamples(command, ['landfall umount /mnt']);
}
