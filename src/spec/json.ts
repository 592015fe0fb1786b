import { isUtf8 } from 'node:buffer';
import { SpecError } from '../errors.js';
import { LIMITS } from './limits.js';

/** What JSON can hold, once parsed. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
/** A JSON object, parsed. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/**
 * Parses untrusted JSON: the one door for manifests, indexes and configs.
 *
 * Refused are bytes beyond `maxBytes`, bytes that are not UTF-8, nesting beyond {@link LIMITS}.jsonDepth, and a key that
 * stands twice in one object, since readers differ in which of the two they take and so would see two different images.
 * A key `__proto__` is dropped: code that copies objects key by key would otherwise give its victim a new prototype.
 *
 * @param what what the bytes are, for messages: `manifest`, `image config`
 * @throws {SpecError} INVALID_MANIFEST, LIMIT_EXCEEDED
 */
export function parseJson(bytes: Uint8Array, what: string, maxBytes: number): unknown {
  if (bytes.byteLength > maxBytes) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `the ${what} has ${bytes.byteLength} bytes, more than ${maxBytes}`,
      {
        details: { actual: bytes.byteLength, limit: maxBytes },
      },
    );
  }
  const text = decode(bytes, what);
  const { depth, members } = shapeOf(text);
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

/** Depth and number of object members, by a look at the punctuation outside strings; exact where the text is JSON. */
function shapeOf(text: string): { depth: number; members: number } {
  let depth = 0;
  let deepest = 0;
  let members = 0;
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
    } else if (char === CLOSE_BRACKET || char === CLOSE_BRACE) {
      depth -= 1;
    }
  }
  return { depth: deepest, members };
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
