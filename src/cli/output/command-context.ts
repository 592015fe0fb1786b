import type { Readable } from 'node:stream';
import {
  type Abortable,
  type ErrorCode,
  type ErrorDetails,
  isLandfallError,
  systemCode,
} from '../../errors.js';
import type { Configuration } from '../config/configuration.js';
import type { Settings } from '../config/settings.js';
import { fitEnd, paint, printable } from '../format/text.js';
import type { ExitCode } from './exit-codes.js';
import type { Log } from './log.js';
import type { TerminalStream } from './terminal.js';

/** The parts of the process that commands see; tests give their own. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: TerminalStream & NodeJS.WritableStream;
  readonly stderr: TerminalStream & NodeJS.WritableStream;
  /** The effective user. */
  readonly uid: number;
  /** Path of the system's configuration file. Default: `/etc/landfall/config.toml`. */
  readonly systemConfig?: string;
}

/** All that a command is given beside its own arguments. */
export interface CommandContext extends Abortable, Surroundings {
  readonly settings: Settings;
  /**
   * What of the settings comes from files and the environment; absent where it is not a command line that
   * runs it.
   */
  readonly configuration?: Configuration;
  readonly log: Log;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** A command answers with its exit code, or throws. */
export type CommandResult = Promise<ExitCode>;

/** Writes the answer of a command, for people or for programs, to standard output. */
export function answer(context: CommandContext, json: unknown, text: () => string): void {
  context.stdout.write(context.settings.output === 'json' ? `${JSON.stringify(json, null, 2)}\n` : text());
}

/** Reports a failure on standard error. */
export function reportError(
  { log, settings }: Pick<CommandContext, 'log' | 'settings'>,
  error: unknown,
  subject?: string,
): void {
  log.write(
    settings.output === 'json' ? renderErrorJson(error) : renderError(error, { subject, color: log.color }),
  );
  if (log.shows('debug') && error instanceof Error) log.write(`${error.stack ?? ''}\n`);
}

export interface RenderErrorOptions {
  /** Which of several arguments it was; told when the message does not name it. */
  readonly subject?: string | undefined;
  /** Default: none. */
  readonly color?: boolean | undefined;
}

/**
 * An error for people, in three lines at most: what failed, why when that adds something, what to do. Every
 * line ends with a line feed.
 */
export function renderError(error: unknown, options: RenderErrorOptions = {}): string {
  const { message, hint } = errorInfo(error);
  const { subject } = options;
  const named = subject === undefined ? message : withSubject(subject, message);
  const why = causeThatAdds(error, message);
  const mark = (style: Parameters<typeof paint>[0], text: string): string =>
    options.color === true ? paint(style, text) : text;
  return [
    `${mark(['bold', 'red'], 'landfall:')} ${lineOf(named, LONGEST_MESSAGE)}`,
    ...(why === undefined ? [] : [`  ${lineOf(why, LONGEST_WHY)}`]),
    `  ${mark('cyan', 'hint:')} ${lineOf(hint, LONGEST_MESSAGE)}`,
  ]
    .map((line) => `${line}\n`)
    .join('');
}

/** A message behind what it is about, of which nothing is said twice. */
function withSubject(subject: string, message: string): string {
  const [, host = '', rest = subject] = /^(?:docker:\/\/)?([^/.]+[.:][^/]+)\/(.*)$/s.exec(subject) ?? [];
  const [, repository = subject, tag = ''] = /^(.*)[:@]([^/]+)$/s.exec(subject) ?? [];
  if (message.includes(subject) || (tag !== '' && message.includes(`${repository} has no ${tag}`)))
    return message;
  return `${host !== '' && message.includes(host) ? rest : subject}: ${message}`;
}

/** Text that others had a hand in, as one line of bounded length. */
function lineOf(text: string, longest: number): string {
  return fitEnd(printable(text.trim()), longest);
}

/** An error for programs: one JSON object on one line. */
export function renderErrorJson(error: unknown): string {
  return `${JSON.stringify(errorInfo(error))}\n`;
}

/** A message may hold what a registry said, or the names of many things. */
const LONGEST_MESSAGE = 2000;
const LONGEST_WHY = 300;

/** The message of the nearest cause that says something which the error's own message does not. */
function causeThatAdds(error: unknown, reported: string): string | undefined {
  let cause = error instanceof Error ? error.cause : undefined;
  for (let depth = 0; cause !== undefined && depth < 8; depth += 1) {
    const text = withoutRepetition(messageOf(cause).trim(), reported);
    if (text !== '' && !reported.includes(text)) return text;
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return undefined;
}

/** The news of a cause: without the subject that the message begins with; empty if both name a host. */
function withoutRepetition(cause: string, reported: string): string {
  const [, subject = ''] = /^(\S+): /.exec(cause) ?? [];
  const [, address = ''] = /^connect E[A-Z]+ (\S+)$/.exec(cause) ?? [];
  if (address !== '' && reported.includes(address)) return '';
  return subject !== '' && reported.startsWith(subject) ? cause.slice(subject.length + 2) : cause;
}

/** A failure, for people and programs. These are the keys of the JSON object on standard error. */
export interface ErrorInfo {
  /** `INTERNAL` marks what landfall did not foresee: a defect of its own. */
  readonly code: ErrorCode | 'INTERNAL';
  readonly message: string;
  readonly hint: string;
  readonly details?: ErrorDetails;
  readonly retryable: boolean;
}

/** The facts of anything that was thrown, in the order in which JSON shows them. */
export function errorInfo(error: unknown): ErrorInfo {
  if (isLandfallError(error)) {
    return {
      code: error.code,
      message: error.message,
      hint: error.hint,
      ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
      retryable: error.retryable,
    };
  }
  const code = systemCode(error);
  return {
    code: 'INTERNAL',
    message: `internal error: ${messageOf(error)}`,
    hint: 'This is a defect in landfall: run it again with --log-level debug and report what it prints.',
    ...(code === undefined ? {} : { details: { systemCode: code } }),
    retryable: false,
  };
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
