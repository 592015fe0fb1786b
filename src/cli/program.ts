import { Command, type Option, type ParseOptionsResult } from 'commander';
import {
  addArchiveCommands,
  addPullCommands,
  addRegistryCommands,
  addSyncCommands,
  addTransferCommands,
} from './transfer-commands.js';
import {
  addCompletionCommands,
  addConfigCommands,
  addNodeCommands,
  addStoreCommands,
} from './node-commands.js';
import { type Examples, setExamples } from './options/options.js';
import { formatHelp } from './options/help.js';
import { paint } from './format/table.js';
import { addGlobalOptions } from './options/global-options.js';
import { addImageCommands, addMountCommands, addNameCommands, addUnpackCommands } from './image-commands.js';
import { commandOf, readLine } from './options/line-words.js';
import { keyOf, kindOf } from './config/option-kind.js';
import type { RunCommand } from './options/run-command.js';
import { addServeCommands } from './serve-commands.js';
import { versionLine } from './output/version.js';

/** By the jobs that people come with. */
const EXAMPLES: readonly Examples[] = [
  {
    purpose: 'Pull images, and see what is here:',
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
  const program = new ShadowingCommand('landfall')
    .description('Brings container images ashore: pulls them from a registry, verifies and unpacks them.')
    .version(versionLine(), '-V, --version', 'print the version')
    .usage('[options] [command]')
    .configureHelp({ formatHelp, showGlobalOptions: true, styleTitle: (title) => paint('bold', title) })
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  addGlobalOptions(program);
  addPullCommands(program, run);
  addImageCommands(program, run);
  addNameCommands(program, run);
  addUnpackCommands(program, run);
  addMountCommands(program, run);
  addServeCommands(program, run);
  addTransferCommands(program, run);
  addRegistryCommands(program, run);
  addArchiveCommands(program, run);
  addSyncCommands(program, run);
  addNodeCommands(program, run);
  addStoreCommands(program, run);
  addConfigCommands(program, run);
  addCompletionCommands(program, run);
  setExamples(program, EXAMPLES);
  return program;
}

/** A word that says of a switch which way it stands. */
interface Position {
  readonly option: Option;
  readonly isOn: boolean;
}

/**
 * A command whose switches may be typed with a value, `--plain-http=false`, so that one run can do without what a configuration
 * file or the environment has switched on. The parser by itself knows them only as they are written in the help.
 */
class SwitchCommand extends Command {
  override createCommand(name?: string): Command {
    return new SwitchCommand(name);
  }

  override parseOptions(argv: string[]): ParseOptionsResult {
    const end = argv.indexOf('--');
    const typed: Position[] = [];
    const words = argv.filter((word, at) => {
      const position = end < 0 || at < end ? positionOf(this.options, word) : undefined;
      // The last word on a switch counts, in whichever form.
      if (position !== undefined && !isNamed(position.option, argv.slice(at, end < 0 ? undefined : end))) {
        typed.push(position);
      }
      return position === undefined;
    });
    const parsed = super.parseOptions(words);
    for (const { option, isOn } of typed) this.setOptionValueWithSource(option.attributeName(), isOn, 'cli');
    return parsed;
  }
}

function positionOf(options: readonly Option[], word: string): Position | undefined {
  const [, key, value] = /^--([^=]+)=(true|false)$/.exec(word) ?? [];
  const option = options.find((one) => keyOf(one) === key && kindOf(one) === 'switch');
  return option === undefined ? undefined : { option, isOn: value === 'true' };
}

function isNamed({ long, short }: Option, words: readonly string[]): boolean {
  return words.some((word) => word === long || word === short);
}

/** Begins a word that is no option of anybody, so that it is left to the command. No shell can pass it on. */
const LEFT = '-\0';

/**
 * A program whose commands may have an option of the same name as one of its own. Behind such a command's name the word is the
 * command's: `landfall --config FILE inspect --config REF`. The parser alone would take both for the program's.
 */
class ShadowingCommand extends SwitchCommand {
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
