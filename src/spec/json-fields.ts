import { exactSize, formatSize } from './size.js';
import { isUtf8 } from 'node:buffer';
import { isPlainObject } from '@sindresorhus/is';
import { SpecError } from '../errors.js';
import { type Digest, parseDigest } from './digest.js';
import { LIMITS } from './limits.js';
import { quoted } from './quoted.js';

/*
 * Readers of single fields of a parsed JSON object. `where` is the object's place within the manifest, as people write
 * it (`layers[3]`, or empty for the manifest itself), for messages. A null counts as absent, since Go's encoder
 * writes null for an empty list or map. All throw SpecError INVALID_MANIFEST, and LIMIT_EXCEEDED for what is too long.
 */

/** `layers[3].size`, or `size` at the top. */
export function placeOf(where: string, key: string): string {
  return where === '' ? key : `${where}.${key}`;
}

/** The error for a field that is not what its specification says. */
export function invalidField(place: string, fault: string): SpecError {
  return new SpecError('INVALID_MANIFEST', `${place} ${fault}`, { details: { field: place } });
}

export function readObject(value: unknown, where: string): JsonObject {
  if (!isPlainObject(value)) throw invalidField(where === '' ? 'the document' : where, 'must be an object');
  return value as JsonObject;
}

export function optionalObject(object: JsonObject, key: string, where: string): JsonObject | undefined {
  const value = object[key];
  return isAbsent(value) ? undefined : readObject(value, placeOf(where, key));
}

export function optionalString(object: JsonObject, key: string, where: string): string | undefined {
  const value = object[key];
  return isAbsent(value) ? undefined : readString(value, placeOf(where, key));
}

export function requiredString(object: JsonObject, key: string, where: string): string {
  const value = optionalString(object, key, where);
  if (value === undefined || value === '') throw invalidField(placeOf(where, key), 'is missing');
  return value;
}

export function optionalBoolean(object: JsonObject, key: string, where: string): boolean | undefined {
  const value = object[key];
  if (isAbsent(value)) return undefined;
  if (typeof value !== 'boolean') throw invalidField(placeOf(where, key), 'must be true or false');
  return value;
}

/** A size in bytes. Beyond 2^53 - 1 it could not be told from its neighbours. */
export function requiredSize(object: JsonObject, key: string, where: string): number {
  const value = object[key];
  const place = placeOf(where, key);
  if (isAbsent(value)) throw invalidField(place, 'is missing');
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw invalidField(place, `must be a whole number of bytes from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  return value;
}

export function readDigest(value: unknown, place: string): Digest {
  if (typeof value !== 'string')
    throw invalidField(place, isAbsent(value) ? 'is missing' : 'must be a string');
  try {
    return parseDigest(value);
  } catch (cause) {
    if (!(cause instanceof SpecError)) throw cause;
    throw new SpecError(cause.code, `${place}: ${cause.message}`, { cause, details: { field: place } });
  }
}

/** The items of a list, each read by `item`; undefined where the field is absent. */
export function optionalList<T>(
  object: JsonObject,
  key: string,
  where: string,
  max: number,
  item: (value: unknown, place: string) => T,
): T[] | undefined {
  const value = object[key];
  const place = placeOf(where, key);
  if (isAbsent(value)) return undefined;
  if (!Array.isArray(value)) throw invalidField(place, 'must be a list');
  if (value.length > max) throw tooMany(place, value.length, max);
  return value.map((entry, index) => item(entry, `${place}[${index}]`));
}

export function optionalStrings(object: JsonObject, key: string, where: string): string[] | undefined {
  return optionalList(object, key, where, LIMITS.listItems, readString);
}

function readString(value: unknown, place: string): string {
  if (typeof value !== 'string') throw invalidField(place, 'must be a string');
  return value;
}

/** Annotations or labels: an object whose values are strings. */
export function optionalStringMap(
  object: JsonObject,
  key: string,
  where: string,
): Record<string, string> | undefined {
  return optionalMap(object, key, where, readString);
}

/** A set as Go writes one: an object whose values are empty objects. */
export function optionalSet(
  object: JsonObject,
  key: string,
  where: string,
): Record<string, JsonObject> | undefined {
  return optionalMap(object, key, where, (value, place) => (value === null ? {} : readObject(value, place)));
}

function optionalMap<T>(
  object: JsonObject,
  key: string,
  where: string,
  item: (value: unknown, place: string) => T,
): Record<string, T> | undefined {
  const map = optionalObject(object, key, where);
  if (map === undefined) return undefined;
  const place = placeOf(where, key);
  const entries = Object.entries(map);
  if (entries.length > LIMITS.annotations) throw tooMany(place, entries.length, LIMITS.annotations);
  return Object.fromEntries(entries.map(([name, value]) => [name, item(value, `${place}[${quoted(name)}]`)]));
}

function tooMany(place: string, count: number, max: number): SpecError {
  return new SpecError('LIMIT_EXCEEDED', `${place} has ${count} entries, more than ${max}`, {
    details: { field: place, actual: count, limit: max },
  });
}

/**
 * Refuses an object in which two keys differ only in case and are one of `keys`: Go's decoder takes either
 * for the field, so the same bytes would mean one thing here and another there.
 */
export function refuseAmbiguousCase(object: JsonObject, keys: readonly string[], where: string): void {
  const exact = new Map(keys.map((key) => [key.toLowerCase(), key]));
  for (const key of Object.keys(object)) {
    const field = exact.get(key.toLowerCase());
    if (field !== undefined && field !== key && Object.hasOwn(object, field)) {
      throw invalidField(placeOf(where, field), 'stands twice, in different case');
    }
  }
}

type Parsed<T> = { [K in keyof T]-?: object extends Pick<T, K> ? T[K] | undefined : T[K] };

/**
 * The typed fields over the raw object, so that unknown fields are preserved; an undefined field is left out.
 */
export function withFields<T extends object>(raw: JsonObject, fields: Parsed<T>): T {
  const merged = { ...raw, ...fields };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined)) as T;
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** What JSON can hold, once parsed. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
/** A JSON object, parsed. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/**
 * Parses untrusted JSON: the one door for manifests, indexes and configs.
 *
 * Refused are bytes beyond `maxBytes`, bytes that are not UTF-8, nesting beyond {@link LIMITS}.jsonDepth, and
 * a key that stands twice in one object, since readers differ in which of the two they take and so would see
 * two different images. A key `__proto__` is dropped: code that copies objects key by key would otherwise
 * give its victim a new prototype.
 *
 * @param what what the bytes are, for messages: `manifest`, `image config`
 * @throws {SpecError} INVALID_MANIFEST, LIMIT_EXCEEDED
 */
export function parseJson(bytes: Uint8Array, what: string, maxBytes: number): unknown {
  if (bytes.byteLength > maxBytes) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `the ${what} has ${exactSize(bytes.byteLength)}, more than ${formatSize(maxBytes)}`,
      {
        details: { actual: bytes.byteLength, limit: maxBytes },
      },
    );
  }
  const text = decode(bytes, what);
  const { depth, members } = jsonShape(text);
  if (depth > LIMITS.jsonDepth) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `the ${what} is nested ${depth} deep, more than ${LIMITS.jsonDepth}`,
      {
        details: { actual: depth, limit: LIMITS.jsonDepth },
      },
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SpecError('INVALID_MANIFEST', `the ${what} is not JSON`, { cause });
  }
  if (countMembers(value) !== members) {
    throw new SpecError('INVALID_MANIFEST', `the ${what} has the same key twice in one object`);
  }
  return value;
}

function decode(bytes: Uint8Array, what: string): string {
  // Both are there at once, where the first TextDecoder of a process takes 3 ms.
  if (!isUtf8(bytes)) throw new SpecError('INVALID_MANIFEST', `the ${what} is not UTF-8`);
  // A byte order mark is kept, so that it fails as JSON: no peer accepts one.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

const QUOTE = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Depth and number of object members, and where the text becomes too deep, by a look at the punctuation
 * outside strings; exact where the text is JSON.
 */
export function jsonShape(text: string): {
  readonly depth: number;
  readonly members: number;
  /** Where nesting goes beyond {@link LIMITS}.jsonDepth. */
  readonly tooDeepAt: number | undefined;
} {
  let depth = 0;
  let deepest = 0;
  let members = 0;
  let tooDeepAt: number | undefined;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (inString) {
      if (char === BACKSLASH) at += 1;
      else if (char === QUOTE) inString = false;
    } else if (char === QUOTE) {
      inString = true;
    } else if (char === COLON) {
      members += 1;
    } else if (char === OPEN_BRACKET || char === OPEN_BRACE) {
      depth += 1;
      if (depth > deepest) deepest = depth;
      if (depth > LIMITS.jsonDepth) tooDeepAt ??= at;
    } else if (char === CLOSE_BRACKET || char === CLOSE_BRACE) {
      depth -= 1;
    }
  }
  return { depth: deepest, members, tooDeepAt };
}

/** The members of all objects within a parsed value; drops `__proto__` after counting it. */
function countMembers(value: unknown): number {
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      count += 1 + countMembers(item);
      if (key === '__proto__') Reflect.deleteProperty(value, key);
    }
  }
  return count;
}
