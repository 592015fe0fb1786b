import { isPlainObject } from '@sindresorhus/is';
import { SpecError } from '../errors.js';
import { type Digest, parseDigest } from './digest.js';
import type { JsonObject } from './json.js';
import { LIMITS } from './limits.js';
import { quoted } from './quoted.js';

/*
 * Readers of single fields of a parsed JSON object. `where` is the object's place within the document, as people write
 * it (`layers[3]`, or empty for the document itself), for messages. A null counts as absent, since Go's encoder
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
  if (isAbsent(value)) return undefined;
  if (typeof value !== 'string') throw invalidField(placeOf(where, key), 'must be a string');
  return value;
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
  return optionalList(object, key, where, LIMITS.listItems, (value, place) => {
    if (typeof value !== 'string') throw invalidField(place, 'must be a string');
    return value;
  });
}

/** Annotations or labels: an object whose values are strings. */
export function optionalStringMap(
  object: JsonObject,
  key: string,
  where: string,
): Record<string, string> | undefined {
  return optionalMap(object, key, where, (value, place) => {
    if (typeof value !== 'string') throw invalidField(place, 'must be a string');
    return value;
  });
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
 * Refuses an object in which two keys differ only in case and are one of `keys`: Go's decoder takes either for the
 * field, so the same bytes would mean one thing here and another there.
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

/** The typed fields over the raw object, so that unknown fields are preserved; an undefined field is left out. */
export function withFields<T extends object>(raw: JsonObject, fields: Parsed<T>): T {
  const merged = { ...raw, ...fields };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined)) as T;
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}
