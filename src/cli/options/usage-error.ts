import type { Command, CommanderError } from 'commander';
import { type LandfallError } from '../../errors.js';
import { type LineWords, optionsOf, readLine } from './options.js';
import { peerCommand, peerOption, peerUse } from './peer-words.js';
import { suggest } from '../config/suggest.js';
import { invalidConfig } from '../config/settings.js';

/**
 * A line that asks for the help of a command that there is not; the parser would answer with all of the help.
 */
export function unknownTopic(program: Command, argv: readonly string[]): LandfallError | undefined {
  const { command, operands } = readLine(program, argv);
  const [help, topic] = operands;
  if (command !== undefined || help !== 'help' || topic === undefined || topic === 'help') return undefined;
  if (namesOf(program).includes(topic)) return undefined;
  return wrongUsage(`unknown command '${topic}'`, unknownCommand(program, operands.slice(1)), undefined);
}

/**
 * Wrong usage as one of landfall's own errors: its message in one line, what may be meant, and where to read
 * what is right.
 */
export function usageError(error: CommanderError, program: Command, argv: readonly string[]): LandfallError {
  const [message = ''] = error.message.replace(/^error: /, '').split('\n');
  const line = readLine(program, argv);
  return wrongUsage(withoutSecret(message), meant(error, message, program, line), line.command?.name());
}

/**
 * Logs keep messages, and the value of an option that is mistyped, or another program's, may be a password.
 */
function withoutSecret(message: string): string {
  return message
    .replace(/'(--[^=']*(?:auth|cred|pass|secret|token)[^=']*=).+'$/is, "'$1…'")
    .replace(/'(-[pu]).+'$/s, "'$1…'");
}

function wrongUsage(message: string, said: string | undefined, command: string | undefined): LandfallError {
  const help = `\`landfall ${command === undefined ? '' : `${command} `}--help\`.`;
  const further = said?.endsWith('?') === true ? 'Else see' : 'See also';
  return invalidConfig(message, { hint: said === undefined ? `See ${help}` : `${said} ${further} ${help}` });
}

/** The probable meaning of the line, in one sentence; undefined where that cannot be guessed. */
function meant(
  error: CommanderError,
  message: string,
  program: Command,
  line: LineWords,
): string | undefined {
  switch (error.code) {
    case 'commander.unknownCommand':
      return unknownCommand(program, line.operands);
    case 'commander.unknownOption':
      return unknownOption(/'(--?[^=']+).*'$/s.exec(message)?.[1] ?? '', program, line);
    case 'commander.invalidArgument':
      return unknownChoice(message);
    case 'commander.excessArguments':
    case 'commander.missingArgument':
      return line.command === undefined ? undefined : peerUse(line.command.name(), line.operands);
    default:
      return undefined;
  }
}

function unknownCommand(program: Command, words: readonly string[]): string | undefined {
  return peerCommand(words) ?? didYouMean(suggest(words[0] ?? '', namesOf(program)));
}

function unknownOption(flag: string, program: Command, { command }: LineWords): string | undefined {
  // Before the command's name only the options of all commands are known.
  const own = command === undefined ? program.commands.flatMap(({ options }) => options) : command.options;
  if (own.some(({ long, short }) => flag === long || flag === short))
    return "Write it after the command's name.";
  const known = optionsOf(program, command).filter(({ hidden }) => !hidden);
  const near = flag.startsWith('--') ? suggest(flag.slice(2), known.flatMap(nameOf)) : [];
  return peerOption(flag) ?? didYouMean(near.map((name) => `--${name}`));
}

function unknownChoice(message: string): string | undefined {
  const [, value = '', choices = ''] =
    /argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s.exec(message) ?? [];
  return didYouMean(
    suggest(
      value,
      choices.split(', ').filter((choice) => choice !== ''),
    ),
  );
}

function nameOf({ long }: { readonly long?: string | undefined }): string[] {
  return long === undefined ? [] : [long.slice(2)];
}

function namesOf(program: Command): string[] {
  return [...program.commands.map((command) => command.name()), 'help'];
}

function didYouMean(words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined;
  const last = words.slice(-1).join('');
  return `Did you mean ${words.length === 1 ? last : `${words.slice(0, -1).join(', ')} or ${last}`}?`;
}
