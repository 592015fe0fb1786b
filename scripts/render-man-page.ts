import type { Command, Help, Option } from 'commander';
import { examplesOf } from '../src/cli/options/options.js';
import {
  argumentItem,
  commandItem,
  groupCommands,
  groupGlobalOptions,
  optionItem,
} from '../src/cli/options/help.js';
import { variablesOf } from '../src/cli/config/configuration.js';
import { ENVIRONMENT, EXIT_MEANINGS, FILES } from './manual-facts.js';
import { bold, italic, item, quoted, roffLines, roffText, section, subsection, typed } from './roff.js';

/**
 * The manual page of the program, or of one of its commands: what `--help` says, and what it has no room for.
 */
export function renderManPage(command: Command, version: string): string {
  const help = command.createHelp();
  const page = pageOf(command);
  const summary =
    command.parent === null ? 'bring container images ashore' : commandItem(command).description;
  return [
    // Left aligned, without hyphens that would look like those of an option.
    `.TH ${quoted(page.toUpperCase())} 1 "" ${quoted(`landfall ${version}`)} "landfall manual"`,
    '.nh',
    '.ds AD l',
    '.ad l',
    ...section('NAME', roffText(`${page} - ${summary}`)),
    ...section('SYNOPSIS', [synopsisOf(command, help)]),
    ...section('DESCRIPTION', roffText(help.commandDescription(command))),
    ...section('EXAMPLES', exampleLines(command)),
    ...section(
      'ARGUMENTS',
      help.visibleArguments(command).flatMap((argument) => {
        const { term, description } = argumentItem(argument);
        return item(italic(term), description);
      }),
    ),
    ...(command.parent === null ? programSections(command, help) : commandSections(command, help)),
    '',
  ].join('\n');
}

/** `landfall`, `landfall-pull`. */
export function pageOf(command: Command): string {
  return command.parent === null ? command.name() : `${command.parent.name()}-${command.name()}`;
}

function synopsisOf(command: Command, help: Help): string {
  return help
    .commandUsage(command)
    .split(' ')
    .map((word) => (/^[[<]/.test(word) ? italic(word.replace(/^<(.*)>$/, '$1')) : bold(word)))
    .join(' ');
}

function exampleLines(command: Command): string[] {
  return examplesOf(command).flatMap(({ purpose, lines }, at) => [
    ...(at === 0 ? [] : ['.PP']),
    ...(purpose === undefined ? [] : roffText(purpose)),
    ...typed(lines),
  ]);
}

function optionLines(options: readonly Option[]): string[] {
  return options.flatMap((option) => {
    const { term, description } = optionItem(option);
    return item(
      term
        .split(/(?<=,) | (?=[<[])/)
        .map((part) => (/^[<[]/.test(part) ? italic(part) : bold(part)))
        .join(' '),
      description,
    );
  });
}

function programSections(program: Command, help: Help): string[] {
  const commands = groupCommands(help.visibleCommands(program));
  const options = groupGlobalOptions(help.visibleOptions(program));
  return [
    ...section(
      'COMMANDS',
      commands.flatMap(({ title, members }) =>
        subsection(
          title,
          members.flatMap((command) => item(referenceTo(command), commandItem(command).description)),
        ),
      ),
    ),
    ...section('GLOBAL OPTIONS', [
      'They may stand before or after the name of a command.',
      ...options.flatMap(({ title, members }) => subsection(title, optionLines(members))),
    ]),
    ...section('EXIT STATUS', [
      ...roffText('With several arguments all are tried, and the status is that of the first that failed.'),
      ...Object.entries(EXIT_MEANINGS).flatMap(([code, meaning]) => item(bold(code), meaning)),
    ]),
    ...section('ENVIRONMENT', [
      ...roffText(
        'What a command line says counts more than these, and these more than configuration files.',
      ),
      ...program.options.flatMap(variableLines),
      ...ENVIRONMENT.flatMap(([name, meaning]) => item(bold(name), meaning)),
    ]),
    ...section(
      'FILES',
      FILES.flatMap(([path, meaning]) => item(italic(path), meaning)),
    ),
    ...section('SEE ALSO', [
      help.visibleCommands(program).filter(hasPage).map(referenceTo).join(',\n'),
      '.PP',
      ...roffText('The guides lie in the folder `docs` of the package.'),
    ]),
  ];
}

function variableLines(option: Option): string[] {
  const [variable] = variablesOf(option);
  return variable === undefined ? [] : item(bold(variable), `stands for \`${option.long ?? option.flags}\``);
}

function commandSections(command: Command, help: Help): string[] {
  const global = help.visibleGlobalOptions(command).map(({ long, flags }) => bold(long ?? flags));
  return [
    ...section('OPTIONS', optionLines(help.visibleOptions(command))),
    ...section(
      'GLOBAL OPTIONS',
      roffLines(`These are told in ${bold('landfall')}(1): ${global.join(', ')}.`),
    ),
    ...section('EXIT STATUS', [
      ...roffLines(
        `0 when all was done; ${bold('landfall')}(1) tells what others mean, and of environment and files.`,
      ),
    ]),
    ...section('SEE ALSO', [`${bold('landfall')}(1)`]),
  ];
}

/** `landfall-pull(1)`; `help` has no page. */
function referenceTo(command: Command): string {
  return hasPage(command) ? `${bold(pageOf(command))}(1)` : bold(command.name());
}

/** The parser makes the command `help` only for its own list. */
function hasPage(command: Command): boolean {
  return command.name() !== 'help';
}
