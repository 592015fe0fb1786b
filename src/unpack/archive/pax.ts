import type { BytePath } from '../../system/index.js';
import { badArchive } from '../archive-error.js';
import type { TarTime } from './tar-entry.js';

/** The records of one pax extended header (POSIX.1-2001 pax: pax Extended Header). Keys and values are bytes. */
export interface PaxRecords {
  /** The last value of each key. */
  readonly values: ReadonlyMap<BytePath, Buffer>;
  /** Values of GNU.sparse.offset and GNU.sparse.numbytes in their order, since sparse format 0.0 repeats these keys. */
  readonly sparsePairs: readonly Buffer[];
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;

/**
 * Splits `LENGTH KEY=VALUE\n` records. The values are views of `bytes`.
 *
 * @throws {UnpackError} BAD_ARCHIVE for anything malformed, since what follows it could not be trusted
 */
export function parsePax(bytes: Buffer): PaxRecords {
  const values = new Map<BytePath, Buffer>();
  const sparsePairs: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const { key, value, end } = readRecord(bytes, at);
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') sparsePairs.push(value);
    else values.set(key, value);
    at = end;
  }
  return { values, sparsePairs };
}

function readRecord(bytes: Buffer, at: number): { key: BytePath; value: Buffer; end: number } {
  let length = 0;
  let i = at;
  for (; i < bytes.length && bytes[i] !== SPACE; i++) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9 || length > bytes.length) throw malformed();
    length = length * 10 + digit;
  }
  const end = at + length;
  if (i === at || i + 1 >= end || end > bytes.length || bytes[end - 1] !== NEWLINE) throw malformed();
  const equals = bytes.indexOf(EQUALS, i + 1);
  if (equals < 0 || equals >= end || equals === i + 1) throw malformed();
  return { key: bytes.toString('latin1', i + 1, equals), value: bytes.subarray(equals + 1, end - 1), end };
}

function malformed(): Error {
  return badArchive('a pax header is malformed');
}

/** A non-negative decimal number, for sizes and owners. */
export function paxNumber(value: Buffer, key: string): number {
  const digits = value.toString('latin1');
  const parsed = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : NaN;
  if (!Number.isSafeInteger(parsed)) throw badArchive(`the pax record ${key} is not a number`);
  return parsed;
}

/**
 * Seconds with an optional fraction, possibly negative: `-1.5` is half a second after the second -2. What is finer than a
 * nanosecond goes to the earlier one (POSIX.1-2001 pax: pax Extended Header File Times), so away from zero before 1970.
 */
export function paxTime(value: Buffer, key: string): TarTime {
  const match = /^(-?)([0-9]{1,16})(?:\.([0-9]*))?$/.exec(value.toString('latin1'));
  const [, sign, whole = '', fraction = ''] = match ?? [];
  const time = sign === '-' ? timeBefore(Number(whole), fraction) : timeAfter(Number(whole), fraction);
  if (match === null || !Number.isSafeInteger(time.seconds)) {
    throw badArchive(`the pax record ${key} is not a time`);
  }
  return time;
}

function timeAfter(seconds: number, fraction: string): TarTime {
  return { seconds, nanoseconds: Number(fraction.slice(0, 9).padEnd(9, '0')) };
}

function timeBefore(seconds: number, fraction: string): TarTime {
  const away = timeAfter(0, fraction).nanoseconds + (/[1-9]/.test(fraction.slice(9)) ? 1 : 0);
  // `0 -` avoids minus zero, which no comparison of times expects.
  if (away === 0) return { seconds: 0 - seconds, nanoseconds: 0 };
  return { seconds: 0 - seconds - 1, nanoseconds: 1e9 - away };
}

/** A name; a NUL cannot be part of one. */
export function paxName(value: Buffer, key: string): BytePath {
  const name = value.toString('latin1');
  if (name.includes('\0')) throw badArchive(`the pax record ${key} holds a NUL`);
  return name;
}
