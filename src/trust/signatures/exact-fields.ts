import { isLandfallError } from '../../errors.js';
import { type JsonObject, type JsonValue, LIMITS, parseJson, quoted } from '../../spec/index.js';
import { Refusal } from './refusal.js';

/**
 * Parses JSON of a signature. Throws Refusal also for a key that stands twice, and nesting beyond the limit.
 *
 * @param what what it is, for messages: `its payload`
 */
export function parseSignatureJson(bytes: Uint8Array, what: string): unknown {
  try {
    return parseJson(bytes, what.replace(/^its /, ''), LIMITS.signatureBytes);
  } catch (error) {
    throw isLandfallError(error) ? new Refusal(error.message, 'signer', error) : error;
  }
}

/** An object of these keys, all of them and no others. */
export function exactFields<K extends string>(
  value: unknown,
  keys: readonly K[],
  what: string,
): Readonly<Record<K, JsonValue>> {
  const object = objectOf(value, what);
  for (const key of Object.keys(object)) {
    if (!keys.some((known) => known === key)) {
      throw new Refusal(`${what} has the unknown field ${quoted(key)}`);
    }
  }
  for (const key of keys) {
    if (!Object.hasOwn(object, key)) throw new Refusal(`${what} has no ${quoted(key)}`);
  }
  return object as Readonly<Record<K, JsonValue>>;
}

export function objectOf(value: unknown, what: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new Refusal(`${what} is no JSON object`);
}

export function stringOf(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw new Refusal(`${what} is no string`);
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** base64 with its padding, and with nothing between but line breaks (RFC 4648, 4). */
export function base64Of(value: unknown, what: string): Buffer {
  const text = stringOf(value, what).replace(/[\r\n]/g, '');
  if (text === '' || !BASE64.test(text)) throw new Refusal(`${what} is not base64`);
  return Buffer.from(text, 'base64');
}
