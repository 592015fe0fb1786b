import type { Argument, Command, Help, Option } from 'commander';
import { type Examples, examplesOf } from './options.js';
import { wrapShell, wrapWords } from '../format/text.js';

/** Lines that are longer than this are hard to read, however wide the terminal is. */
const WIDEST = 100;
/** A term that is longer has a line of its own, so that it does not push the others' descriptions aside. */
const LONGEST_TERM = 26;
const NARROWEST_DESCRIPTION = 26;

/** A term of a list, and its meaning. */
interface Item {
  readonly term: string;
  readonly description: string;
}

/**
 * A help text: how it is called, what it does, then examples before all that can be chosen. The program's own
 * has all commands and the options that they share; those of the commands only name these.
 */
export function formatHelp(command: Command, help: Help): string {
  const width = Math.min(help.helpWidth ?? 80, WIDEST);
  const title = (text: string): string => help.styleTitle(`${text}:`);
  const section = (text: string, items: readonly Item[]): string =>
    items.length === 0 ? '' : `${title(text)}\n${listOf(items, width)}`;
  const sections = [
    `${title('Usage')} ${help.commandUsage(command)}`,
    wrapWords(help.commandDescription(command), width).join('\n'),
    exampleSection(examplesOf(command), width, title('Examples')),
    section('Arguments', help.visibleArguments(command).map(argumentItem)),
    ...(command.parent === null
      ? programSections(command, help, section)
      : commandSections(command, help, section, width)),
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

type Section = (title: string, items: readonly Item[]) => string;

function programSections(program: Command, help: Help, section: Section): string[] {
  const commands = groupCommands(help.visibleCommands(program));
  const options = groupGlobalOptions(help.visibleOptions(program));
  return [
    ...commands.map(({ title, members }) => section(title, members.map(commandItem))),
    ...options.map(({ title, members }) =>
      section(`Options (${lowerFirst(title)})`, members.map(optionItem)),
    ),
  ];
}

function commandSections(command: Command, help: Help, section: Section, width: number): string[] {
  const groups = groupGlobalOptions(help.visibleGlobalOptions(command));
  return [
    section('Options', help.visibleOptions(command).map(optionItem)),
    `${help.styleTitle('Global options')} (see \`${command.parent?.name() ?? ''} --help\`):\n${namesOf(groups, width)}`,
  ];
}

/** Only the names of the options that all commands have, a paragraph for each group. */
function namesOf(groups: readonly HelpGroup<Option>[], width: number): string {
  return listOf(
    groups.map(({ title, members }) => ({
      term: title,
      description: members.map(({ long, flags }) => long ?? flags).join(', '),
    })),
    width,
  );
}

function exampleSection(examples: readonly Examples[], width: number, title: string): string {
  if (examples.length === 0) return '';
  const lines = examples.flatMap(({ purpose, lines: typed }) => {
    const indent = purpose === undefined ? '  ' : '    ';
    const wrapped = typed.flatMap((line) =>
      wrapShell(line, width - indent.length - 2).map((part, at) => `${indent}${at > 0 ? '  ' : ''}${part}`),
    );
    return [...wrapWords(purpose ?? '', width - 2).map((part) => `  ${part}`), ...wrapped];
  });
  return `${title}\n${lines.join('\n')}`;
}

export function argumentItem(argument: Argument): Item {
  return { term: argument.name(), description: withChoices(argument.description, argument.argChoices) };
}

export function optionItem(option: Option): Item {
  return { term: option.flags, description: withChoices(option.description, option.argChoices) };
}

export function commandItem(command: Command): Item {
  return { term: command.name(), description: command.summary() || command.description() };
}

function withChoices(description: string, choices: readonly string[] | undefined): string {
  return choices === undefined ? description : `${description}; one of ${choices.join(', ')}`;
}

/** Terms with their descriptions beside them, or below where a term is long or there is little room. */
function listOf(items: readonly Item[], width: number): string {
  const longest = Math.max(0, ...items.map(({ term }) => term.length).filter((size) => size <= LONGEST_TERM));
  const beside = longest + 4;
  const words = items.flatMap(({ description }) => description.split(' '));
  const needed = Math.max(NARROWEST_DESCRIPTION, ...words.map((word) => word.length));
  const column = width - beside < needed ? 6 : beside;
  return items
    .map(({ term, description }) => {
      const lines = wrapWords(description, width - column).map((line) => ' '.repeat(column) + line);
      const [first = '', ...others] = lines;
      return term.length + 4 > column
        ? [`  ${term}`, ...lines].join('\n')
        : [`  ${term.padEnd(column - 2)}${first.slice(column)}`.trimEnd(), ...others].join('\n');
    })
    .join('\n');
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** Items of a help text below a heading of their own. */
interface HelpGroup<T> {
  readonly title: string;
  readonly members: readonly T[];
}

type Group = readonly [title: string, names: readonly string[]];

const COMMANDS: readonly Group[] = [
  ['Pull and look at images', ['pull', 'images', 'inspect', 'tree', 'diff', 'ls', 'cat', 'blob']],
  ['Name, keep and remove them', ['tag', 'label', 'rmi', 'pin', 'unpin']],
  ['Use their files', ['unpack', 'export', 'bundle', 'mount', 'umount', 'mounts']],
  ['Copy and mirror', ['copy', 'push', 'sync', 'save', 'load', 'verify', 'delete', 'serve']],
  ['Ask a registry', ['resolve', 'tags', 'catalog', 'referrers', 'login', 'logout']],
  ['Serve a node', ['daemon', 'pulls']],
  ['Look after the store and this machine', ['df', 'gc', 'fsck', 'doctor', 'config', 'completion', 'help']],
];

const OPTIONS: readonly Group[] = [
  ['Store', ['--root', '--additional-root', '--snapshots']],
  [
    'Registry',
    [
      '--hosts-dir',
      '--plain-http',
      '--insecure',
      '--foreign-urls',
      '--ca',
      '--authfile',
      '--creds',
      '--max-retry-after',
    ],
  ],
  ['Trust and limits', ['--policy', '--unpack-limit']],
  ['Speed', ['--concurrency', '--limit-rate', '--inflate']],
  ['Output', ['--progress', '--output', '--log-level', '--log-format']],
  ['Settings and help', ['--config', '--version', '--help']],
];

/** The commands by purpose, each group in the order in which one meets them. */
export function groupCommands(commands: readonly Command[]): readonly HelpGroup<Command>[] {
  return groupBy(COMMANDS, commands, (command) => command.name());
}

/** The options that all commands have, by what they are about. */
export function groupGlobalOptions(options: readonly Option[]): readonly HelpGroup<Option>[] {
  return groupBy(OPTIONS, options, (option) => option.long ?? option.flags);
}

/** Items that no group names come last: none is left out. */
function groupBy<T>(
  groups: readonly Group[],
  all: readonly T[],
  nameOf: (one: T) => string,
): readonly HelpGroup<T>[] {
  const named = new Set(groups.flatMap(([, names]) => names));
  const others = all.map(nameOf).filter((name) => !named.has(name));
  return [...groups, ['More', others] as const]
    .map(([title, names]) => ({
      title,
      members: names.flatMap((name) => all.filter((one) => nameOf(one) === name)),
    }))
    .filter(({ members }) => members.length > 0);
}
