import type { Command, ParseOptionsResult } from 'commander';
import {
  collectLimit,
  INFLATE_CHOICES,
  LOG_FORMATS,
  LOG_LEVELS,
  OUTPUT_FORMATS,
  PROGRESS_MODES,
  SNAPSHOTTERS,
  UNPACK_LIMIT_NAMES,
} from './config/settings.js';
import { paint } from './format/text.js';
import { addImageCommands } from './image-commands.js';
import { addNodeCommands } from './node-commands.js';
import { formatHelp } from './options/help.js';
import {
  collect,
  commandOf,
  type Examples,
  LandfallCommand,
  parseLimit,
  parsePositive,
  parseRate,
  readLine,
  type RunCommand,
} from './options/options.js';
import { versionLine } from './output/version.js';
import { addTransferCommands } from './transfer-commands.js';

/** By the jobs that people come with. */
const EXAMPLES: readonly Examples[] = [
  {
    purpose: 'Pull images, and list them:',
    lines: ['landfall pull debian:trixie quay.io/prometheus/busybox', 'landfall images'],
  },
  {
    purpose: 'Look at one, and at its files:',
    lines: ['landfall inspect debian:trixie', 'landfall mount debian:trixie /mnt'],
  },
  {
    purpose: 'Mirror images with their signatures, or carry them across an air gap:',
    lines: [
      'landfall copy --all --referrers docker://alpine docker://registry.lan:5000/alpine',
      'landfall save debian:trixie alpine -o images.tar',
      'landfall serve --listen 0.0.0.0:5000 --pull-through --upstream docker.io',
    ],
  },
  {
    purpose: 'Serve the images of a Kubernetes node:',
    lines: ['landfall daemon --cri unix:///run/landfall/landfall.sock'],
  },
  { purpose: 'Read on about a command:', lines: ['landfall pull --help'] },
];

/** The whole command line: what `--help` says and what docs/cli.md is held against. */
export function createProgram(run: RunCommand): Command {
  const program = new ShadowingCommand('landfall', run)
    .description('Brings container images ashore: pulls them from a registry, verifies and unpacks them.')
    .version(versionLine(), '-V, --version', 'print the version')
    .usage('[options] [command]')
    .configureHelp({ formatHelp, showGlobalOptions: true, styleTitle: (title) => paint('bold', title) })
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  program.exampleGroups = EXAMPLES;
  addGlobalOptions(program);
  addImageCommands(program);
  addTransferCommands(program);
  addNodeCommands(program);
  return program;
}

/** Begins a word that is left to the command, since it is no option. No shell can pass it on. */
const LEFT = '-\0';

/**
 * A program whose commands may have an option of the same name as one of its own. Behind such a command's
 * name the word is the command's: `landfall --config FILE inspect --config REF`. The parser alone would take
 * both for the program's.
 */
class ShadowingCommand extends LandfallCommand {
  override parseOptions(argv: string[]): ParseOptionsResult {
    const own = shadowed(this, argv);
    if (own.size === 0) return super.parseOptions(argv);
    const start = nameAt(this, argv);
    const end = argv.indexOf('--');
    const words = argv.map((word, at) => {
      const isOption = at > start && (end < 0 || at < end);
      return isOption && own.has(word.split('=')[0] ?? '') ? `${LEFT}${word}` : word;
    });
    const { operands, unknown } = super.parseOptions(words);
    return { operands, unknown: unknown.map(restored) };
  }
}

/** The flags that both the program and the command have that the words name. */
function shadowed(program: Command, argv: readonly string[]): ReadonlySet<string> {
  const { command } = readLine(program, argv);
  const flags = (one: Command | undefined): string[] =>
    (one?.options ?? []).flatMap(({ long, short }) => [long, short].filter((flag) => flag !== undefined));
  const own = new Set(flags(command));
  return new Set(flags(program).filter((flag) => own.has(flag)));
}

/** Where the command's name stands: the first word by which there is a command. */
function nameAt(program: Command, argv: readonly string[]): number {
  return argv.findIndex((_, at) => {
    const { command, awaiting } = readLine(program, argv.slice(0, at + 1));
    return command !== undefined && awaiting === undefined && commandOf(program, argv[at] ?? '') === command;
  });
}

function restored(word: string): string {
  return word.startsWith(LEFT) ? word.slice(LEFT.length) : word;
}

/** The options that stand before or after the name of any command. */
function addGlobalOptions(program: LandfallCommand): void {
  program
    .option(
      '--config <file>',
      'read this configuration file and no other; /dev/null for none (default: $LANDFALL_CONFIG, then those of the user and of the system)',
    )
    .option(
      '--root <dir>',
      'the store (default: $LANDFALL_ROOT, then /var/lib/landfall or $XDG_DATA_HOME/landfall)',
    )
    .option(
      '--additional-root <dir>',
      'a store that is only read, whose images and layers are used where they lie; may be given several times (default: $LANDFALL_ADDITIONAL_ROOTS, with colons between them)',
      collect,
    )
    .choice(
      '--snapshots <form>',
      'how layers are kept unpacked (default: $LANDFALL_SNAPSHOTS, then overlay where the kernel has it)',
      SNAPSHOTTERS,
    )
    .option(
      '--hosts-dir <dir>',
      "mirrors as containerd's certs.d configures them; may be given several times (default: /etc/landfall/certs.d, then /etc/containerd/certs.d)",
      collect,
    )
    .option('--plain-http', 'speak HTTP without TLS to the registry')
    .option('--insecure', "do not verify the registry's certificate")
    .option('--foreign-urls', 'fetch layers that no registry has from the addresses that the image names')
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
    .choice(
      '--inflate <by>',
      'what inflates gzip layers (default: $LANDFALL_INFLATE, then auto: isa-l where it is installed)',
      INFLATE_CHOICES,
    )
    .choice('--progress <how>', 'how to show progress (default: auto)', PROGRESS_MODES)
    .choice('--output <form>', 'the form of the answer (default: text)', OUTPUT_FORMATS)
    .choice('--log-level <level>', 'how much to tell (default: info)', LOG_LEVELS)
    .choice('--log-format <form>', 'the form of logs (default: text)', LOG_FORMATS);
}
