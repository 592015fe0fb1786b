import { type Command, InvalidArgumentError, Option } from 'commander';
import { setExamples } from './examples.js';

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
