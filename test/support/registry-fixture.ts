import { LandfallError } from '../../src/errors.js';
import { RegistryClient, type RegistryClientOptions, type RequestEvent } from '../../src/registry/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';

/** A client that pauses for milliseconds where a real one pauses for seconds, and keeps its events. */
export function fastClient(options: RegistryClientOptions = {}): RegistryClient & { events: RequestEvent[] } {
  const events: RequestEvent[] = [];
  const client = new RegistryClient({
    retry: { attempts: 3, baseMs: 1 },
    timeouts: { connectMs: 20_000, headersMs: 20_000, bodyMs: 20_000 },
    onRequest: (event) => events.push(event),
    ...options,
  });
  return Object.assign(client, { events });
}

/** The LandfallError that a promise rejects with; anything else fails the test. */
export async function failure(promise: Promise<unknown>): Promise<LandfallError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
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
