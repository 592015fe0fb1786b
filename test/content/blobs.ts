import { chmod } from 'node:fs/promises';
import type { Readable } from 'node:stream';

import { blobPath, type ContentStore, type IngestWriter } from '../../src/content/index.js';
import { algorithmOf, type Descriptor, type Digest, digestOf } from '../../src/spec/index.js';

export function describing(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): Descriptor {
  return {
    mediaType: 'application/octet-stream',
    digest: digestOf(bytes, algorithm),
    size: bytes.byteLength,
  };
}

export async function contentOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The digest of what the store gives: quicker to compare than megabytes, and says as much. */
export async function digestIn(store: ContentStore, descriptor: Descriptor): Promise<Digest> {
  return digestOf(
    await contentOf(await store.open(descriptor)),
    algorithmOf(descriptor.digest) === 'sha512' ? 'sha512' : 'sha256',
  );
}

/**
 * The file of a committed blob, made writable for a test to damage it: only root could write to it as it is.
 */
export async function writableBlob(root: string, digest: Digest): Promise<string> {
  const path = blobPath(root, digest);
  await chmod(path, 0o600);
  return path;
}

/** The writer of a blob that is not in the store yet. */
export async function begin(store: ContentStore, descriptor: Descriptor): Promise<IngestWriter> {
  const writer = await store.ingest(descriptor);
  if (writer === undefined) throw new Error('the blob is here already');
  return writer;
}

export async function put(
  store: ContentStore,
  bytes: Uint8Array,
  algorithm: 'sha256' | 'sha512' = 'sha256',
): Promise<Descriptor> {
  const descriptor = describing(bytes, algorithm);
  await using writer = await begin(store, descriptor);
  await writer.write(0, bytes);
  await writer.commit();
  return descriptor;
}

/**
 * Brings a blob in from where it stands; gives the offset at which it took over, or undefined if it was
 * there.
 */
export async function finish(
  store: ContentStore,
  descriptor: Descriptor,
  bytes: Uint8Array,
): Promise<number | undefined> {
  await using writer = await store.ingest(descriptor);
  if (writer === undefined) return undefined;
  const from = writer.offset;
  await writer.write(from, bytes.subarray(from));
  await writer.commit();
  return from;
}
