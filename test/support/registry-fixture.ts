import { inspect } from 'node:util';

import { LandfallError } from '../../src/errors.js';
import { RegistryClient, type RegistryClientOptions, type RequestEvent } from '../../src/registry/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { record } from './secrets.js';

/**
 * A client that pauses for milliseconds where a real one pauses for seconds, and keeps its events. What it
 * tells is searched for secrets.
 */
export function fastClient(options: RegistryClientOptions = {}): RegistryClient & { events: RequestEvent[] } {
  const events: RequestEvent[] = [];
  const client = new RegistryClient(
    recordingListeners({
      retry: { attempts: 3, baseMs: 1 },
      timeouts: { connectMs: 20_000, headersMs: 20_000, bodyMs: 20_000 },
      onRequest: (event) => events.push(event),
      onWarning: () => undefined,
      ...options,
    }),
  );
  return Object.assign(client, { events });
}

/** The options, with each `on…` among them told to the search for secrets too. */
function recordingListeners<T extends object>(options: T): T {
  const entries = Object.entries(options).map(([name, value]: [string, unknown]) => {
    if (!/^on[A-Z]/.test(name) || typeof value !== 'function') return [name, value];
    const listener = (...reported: unknown[]): unknown => {
      record(`${name} of a client`, everythingOf(reported));
      return (value as (...reported: unknown[]) => unknown)(...reported);
    };
    return [name, listener];
  });
  return Object.fromEntries(entries) as T;
}

/** All that a person or a program may see of a value: of an error also message, stack, causes and JSON. */
function everythingOf(value: unknown): string {
  const shown = inspect(value, { depth: 12, maxStringLength: null, maxArrayLength: null });
  return `${shown}\n${asJson(value)}`;
}

function asJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    // An error of somebody else may hold itself.
    return '';
  }
}

/**
 * The LandfallError that a promise rejects with; anything else fails the test. Either is searched for
 * secrets.
 */
export async function failure(promise: Promise<unknown>): Promise<LandfallError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    record('error', everythingOf(error));
    if (error instanceof LandfallError) return error as LandfallError;
    throw error;
  }
  throw new Error(`expected a failure, got ${JSON.stringify(value)}`);
}

/** A layer's descriptor for these bytes. */
export function blobOf(bytes: Uint8Array): Descriptor {
  return { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
}

/** Bytes that differ from place to place, so that a shifted copy is not equal. */
export function patterned(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 31 + (at >> 8)) & 0xff));
}
