import type { Readable } from 'node:stream';
import type { Abortable } from '../../errors.js';
import type { Configuration } from '../config/configuration.js';
import type { ExitCode } from './exit-codes.js';
import type { Log } from './log.js';
import { renderError, renderErrorJson } from './render-error.js';
import type { Settings } from '../config/settings.js';
import type { TerminalStream } from './terminal.js';

/** What of the process the commands see; tests give their own. */
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
  /** What of the settings comes from files and the environment; absent where it is not a command line that runs it. */
  readonly configuration?: Configuration;
  readonly log: Log;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** A command answers with its exit code, or throws. */
export type CommandResult = Promise<ExitCode>;

/** What the command answers, for people or for programs, on standard output. */
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
