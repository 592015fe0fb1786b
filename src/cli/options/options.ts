import { isIP } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { LandfallError } from '../../errors.js';
import type { IdRange } from '../../unpack/index.js';

export function platformOption(what: string): Option {
  return new Option('--platform <platform>', `${what}, for example linux/arm64 (default: this machine's)`);
}

/** What a command's help shows before its options. */
export function addExamples(command: Command, lines: readonly string[]): void {
  setExamples(command, [{ lines }]);
}

/** A positive whole number of at most four digits. */
export function parsePositive(text: string): number {
  const number = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (number < 1) throw new InvalidArgumentError('It is not a positive whole number.');
  return number;
}

/** A positive whole number of at most nine digits. */
export function parseLimit(text: string): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (number < 1) throw new InvalidArgumentError('It is not a positive whole number.');
  return number;
}

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** Bytes per second as curl takes them: `500K`, `10M`. */
export function parseRate(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)([KMG]?)$/i.exec(text) ?? [];
  const rate = Number(digits) * (UNITS[unit.toUpperCase()] ?? 0);
  if (rate < 1) throw new InvalidArgumentError('It is not a number of bytes, such as 500K or 10M.');
  return Math.floor(rate);
}

/** Lines to type, and what they are for. */
export interface Examples {
  /** What somebody wants who types them; absent where the command itself says it. */
  readonly purpose?: string;
  /** Each as it is typed in a shell. */
  readonly lines: readonly string[];
}

const EXAMPLES = new WeakMap<Command, readonly Examples[]>();

/** Says what to show as a command's examples: in its help, above the options, and in its manual page. */
export function setExamples(command: Command, examples: readonly Examples[]): void {
  EXAMPLES.set(command, examples);
}

export function examplesOf(command: Command): readonly Examples[] {
  return EXAMPLES.get(command) ?? [];
}

export interface ListenAt {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `127.0.0.1:5000`, `[::1]:5000`, `:5000` (all addresses) and `localhost:0` (a free port).
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseListen(text: string): ListenAt {
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const valid = bracketed === undefined ? plain !== undefined : isIP(bracketed) === 6;
  if (!valid || port > 65_535) {
    throw new LandfallError('INVALID_CONFIG', `${JSON.stringify(text)} is not an address to listen on`, {
      hint: `Write HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000; port 0 takes a free one.`,
    });
  }
  const host = bracketed ?? plain ?? '';
  return { host: host === '' ? '0.0.0.0' : host, port };
}

export interface IdMapFlags {
  readonly uidMap?: readonly IdRange[];
  readonly gidMap?: readonly IdRange[];
}

/** The options of a command that gives what it unpacks to other owners than the image names. */
export function addIdMapOptions(command: Command): Command {
  return command
    .option(
      '--uid-map <container:host:size>',
      'give what belongs to these user IDs in the image to others; may be given several times',
      collectIdRange,
    )
    .option(
      '--gid-map <container:host:size>',
      'the same for group IDs; may be given several times',
      collectIdRange,
    );
}

/** `CONTAINER:HOST:SIZE` of one range, added to those that came before. */
export function collectIdRange(text: string, before: readonly IdRange[] = []): readonly IdRange[] {
  const [, container, host, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (container === undefined || host === undefined || size === undefined) {
    throw new InvalidArgumentError('Write CONTAINER:HOST:SIZE, for example 0:100000:65536.');
  }
  return [...before, { container: Number(container), host: Number(host), size: Number(size) }];
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];
