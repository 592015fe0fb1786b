import { Readable } from 'node:stream';

import { ContentError, LandfallError, throwIfAborted } from '../errors.js';
import { createDigester, type Descriptor, type Digest } from '../spec/index.js';
import { abortable } from './abortable.js';
import { ArrivingBytes } from './arriving-bytes.js';
import { blobNotFound, checkSize, spanOf } from './blob-stream.js';
import type { BlobInfo, ByteRange, ContentStore, IngestOptions, IngestWriter } from './content-store.js';
import { GrowingBuffer } from './growing-buffer.js';
import { stalePartial } from './stale-partial.js';

interface StoredBlob {
  readonly info: BlobInfo;
  readonly bytes: Uint8Array;
}

/**
 * A content store in memory, for tests and for content that is not worth a disk. It behaves as the one on disk, but
 * that nothing outlives it, and that its blobs have no path: {@link path} and the writers' `path` throw UNSUPPORTED.
 */
export class MemoryContentStore implements ContentStore {
  readonly #blobs = new Map<Digest, StoredBlob>();
  readonly #partials = new Map<Digest, Uint8Array>();
  readonly #inFlight = new Map<Digest, Promise<void>>();

  info(digest: Digest): Promise<BlobInfo | undefined> {
    return Promise.resolve(this.#blobs.get(digest)?.info);
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    const blob = this.#blobs.get(descriptor.digest);
    if (blob === undefined) throw blobNotFound(descriptor.digest);
    checkSize(descriptor, blob.info.size);
    const { start, end } = spanOf(range, blob.info.size);
    return Promise.resolve(
      Readable.from([Buffer.from(blob.bytes.subarray(start, end))], { objectMode: false }),
    );
  }

  async path(digest: Digest): Promise<string> {
    return this.#blobs.has(digest) ? noPath() : Promise.reject(blobNotFound(digest));
  }

  async ingest(descriptor: Descriptor, options: IngestOptions = {}): Promise<IngestWriter | undefined> {
    const { digest } = descriptor;
    createDigester(digest);
    for (;;) {
      throwIfAborted(options.signal);
      const blob = this.#blobs.get(digest);
      if (blob !== undefined) {
        checkSize(descriptor, blob.info.size);
        return undefined;
      }
      const elsewhere = this.#inFlight.get(digest);
      if (elsewhere === undefined) return this.#begin(descriptor);
      await abortable(elsewhere, options.signal);
    }
  }

  async *list(): AsyncGenerator<BlobInfo, void, undefined> {
    const blobs = [...this.#blobs.values()].sort((a, b) => (a.info.digest < b.info.digest ? -1 : 1));
    for (const { info } of blobs) yield await Promise.resolve(info);
  }

  async delete(digest: Digest): Promise<void> {
    if (this.#inFlight.has(digest)) {
      throw new ContentError('IN_USE', `the blob ${digest} is being written`, {
        details: { digest },
        retryable: true,
        hint: 'Wait for what writes it.',
      });
    }
    this.#blobs.delete(digest);
    return Promise.resolve();
  }

  async #begin(descriptor: Descriptor): Promise<IngestWriter> {
    const { digest, size } = descriptor;
    let settle: () => void = () => undefined;
    this.#inFlight.set(digest, new Promise((resolve) => (settle = resolve)));
    const partial = this.#partials.get(digest);
    this.#partials.delete(digest);
    const writer = new MemoryIngest(descriptor, {
      keep: (bytes) => void this.#partials.set(digest, bytes),
      commit: (blob) => void this.#blobs.set(digest, blob),
      end: () => {
        this.#inFlight.delete(digest);
        settle();
      },
    });
    if (partial !== undefined && partial.byteLength <= size) await writer.resume(partial);
    return writer;
  }
}

/** What a writer tells its store. */
interface MemoryIngestEnd {
  readonly keep: (bytes: Uint8Array) => void;
  readonly commit: (blob: StoredBlob) => void;
  readonly end: () => void;
}

class MemoryIngest implements IngestWriter {
  readonly descriptor: Descriptor;
  readonly #store: MemoryIngestEnd;
  readonly #buffer = new GrowingBuffer();
  readonly #bytes: ArrivingBytes;
  #resumed = false;
  #ended = false;

  constructor(descriptor: Descriptor, store: MemoryIngestEnd) {
    this.descriptor = descriptor;
    this.#store = store;
    this.#bytes = new ArrivingBytes(descriptor, this.#buffer);
  }

  get frontier(): number {
    return this.#bytes.frontier;
  }

  get path(): string {
    return noPath();
  }

  get committedPath(): string {
    return noPath();
  }

  get shared(): SharedArrayBuffer {
    return this.#bytes.shared;
  }

  async resume(partial: Uint8Array): Promise<void> {
    this.#resumed = true;
    await this.#buffer.write(0, partial);
    await this.#bytes.resume(partial.byteLength);
  }

  async write(at: number, chunk: Uint8Array): Promise<void> {
    this.#requireOpen();
    await this.#bytes.write(at, chunk);
  }

  async commit(): Promise<BlobInfo> {
    this.#requireOpen();
    const { digest, size } = this.descriptor;
    try {
      await this.#bytes.verify();
    } catch (error) {
      if (!(error instanceof ContentError) || error.code !== 'DIGEST_MISMATCH') throw error;
      await this.discard();
      throw this.#resumed ? stalePartial(error) : error;
    }
    const info = { digest, size, createdAt: new Date() };
    this.#store.commit({ info, bytes: this.#buffer.slice(0, size) });
    this.#end();
    return info;
  }

  async discard(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#bytes.settle();
    this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#bytes.settle();
    if (this.frontier > 0) this.#store.keep(this.#buffer.slice(0, this.frontier));
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#bytes.fail();
    this.#store.end();
  }

  #requireOpen(): void {
    if (this.#ended) throw new Error(`the ingest of ${this.descriptor.digest} has ended`);
  }
}

function noPath(): never {
  throw new LandfallError('UNSUPPORTED', 'content that is kept in memory has no path', {
    hint: 'Read it as a stream, or use a store on disk.',
  });
}
