import { Readable } from 'node:stream';
import { untilAborted } from '../../concurrency/index.js';
import { type Abortable, ContentError, LandfallError, throwIfAborted } from '../../errors.js';
import { createDigester, type Descriptor, type Digest } from '../../spec/index.js';
import { ArrivingBytes, bytesIn, type ByteSink, whileWaiting } from './arriving-bytes.js';
import { blobNotFound, checkSize, spanOf } from './blob-stream.js';
import type {
  Labels,
  BlobInfo,
  ByteRange,
  ByteSpan,
  ContentStore,
  IngestOptions,
  IngestProgress,
  IngestWriter,
} from './content-store.js';
import { stalePartial } from './ingest-directory.js';

interface StoredBlob {
  readonly info: BlobInfo;
  readonly bytes: Uint8Array;
}

/** What a writer left that did not commit. */
interface Partial {
  readonly bytes: Uint8Array;
  readonly spans: readonly ByteSpan[];
}

interface InFlight {
  readonly ended: Promise<void>;
  readonly writer: MemoryIngest;
}

/**
 * A content store in memory, for tests and for content that is not worth a disk. It behaves as the one on
 * disk, but that nothing outlives it, and that its blobs have no path: {@link path} and the writers' `path`
 * throw UNSUPPORTED.
 */
export class MemoryContentStore implements ContentStore {
  readonly #blobs = new Map<Digest, StoredBlob>();
  readonly #partials = new Map<Digest, Partial>();
  readonly #inFlight = new Map<Digest, InFlight>();

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
      if (elsewhere === undefined) return this.#begin(descriptor, options.source);
      const look = (): Promise<IngestProgress> => Promise.resolve(elsewhere.writer.progress);
      const wait = ({ signal }: Abortable): Promise<unknown> => untilAborted(elsewhere.ended, signal);
      await whileWaiting({ ...options, wait, look });
    }
  }

  async *list(): AsyncGenerator<BlobInfo, void, undefined> {
    const blobs = [...this.#blobs.values()].sort((a, b) => (a.info.digest < b.info.digest ? -1 : 1));
    for (const { info } of blobs) yield await Promise.resolve(info);
  }

  async update(digest: Digest, { labels }: { readonly labels: Labels }): Promise<BlobInfo> {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) throw blobNotFound(digest);
    const info = { ...blob.info, labels: { ...labels } };
    this.#blobs.set(digest, { ...blob, info });
    return Promise.resolve(info);
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

  async #begin(descriptor: Descriptor, source: string | undefined): Promise<IngestWriter> {
    const { digest, size } = descriptor;
    let settle: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (settle = resolve));
    const partial = this.#partials.get(digest);
    this.#partials.delete(digest);
    const writer = new MemoryIngest(descriptor, source, {
      keep: (left) => void this.#partials.set(digest, left),
      commit: (blob) => void this.#blobs.set(digest, blob),
      end: () => {
        this.#inFlight.delete(digest);
        settle();
      },
    });
    this.#inFlight.set(digest, { ended, writer });
    if (partial !== undefined && partial.bytes.byteLength <= size) await writer.resume(partial);
    return writer;
  }
}

/** What a writer tells its store. */
interface MemoryIngestEnd {
  readonly keep: (partial: Partial) => void;
  readonly commit: (blob: StoredBlob) => void;
  readonly end: () => void;
}

class MemoryIngest implements IngestWriter {
  readonly descriptor: Descriptor;
  readonly #source: string | undefined;
  readonly #store: MemoryIngestEnd;
  readonly #buffer = new GrowingBuffer();
  readonly #bytes: ArrivingBytes;
  #resumed = false;
  #ended = false;

  constructor(descriptor: Descriptor, source: string | undefined, store: MemoryIngestEnd) {
    this.descriptor = descriptor;
    this.#source = source;
    this.#store = store;
    this.#bytes = new ArrivingBytes(descriptor, this.#buffer);
  }

  get offset(): number {
    return this.#bytes.offset;
  }

  get progress(): IngestProgress {
    return { bytes: this.#bytes.written.bytes, size: this.descriptor.size };
  }

  missing(): readonly ByteSpan[] {
    return this.#bytes.missing();
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

  async resume({ bytes, spans }: Partial): Promise<void> {
    this.#resumed = true;
    await this.#buffer.write(0, [bytes]);
    await this.#bytes.resume(spans);
  }

  async write(at: number, ...chunks: readonly Uint8Array[]): Promise<void> {
    this.#requireOpen();
    await this.#bytes.write(at, chunks);
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
    const source = this.#source === undefined ? {} : { source: this.#source };
    const info = { digest, size, createdAt: new Date(), labels: {}, ...source };
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
    const { spans } = this.#bytes.written;
    const end = spans.at(-1)?.end ?? 0;
    if (end > 0) this.#store.keep({ bytes: this.#buffer.slice(0, end), spans });
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

const FIRST_BYTES = 64 * 1024;

/**
 * Bytes in memory that may be written at any offset. It grows by doubling with what arrives, not with what is
 * announced.
 */
export class GrowingBuffer implements ByteSink {
  #bytes = new Uint8Array(0);

  write(at: number, chunks: readonly Uint8Array[]): Promise<void> {
    const end = at + bytesIn(chunks);
    if (end > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.byteLength * 2, FIRST_BYTES));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    let to = at;
    for (const chunk of chunks) {
      this.#bytes.set(chunk, to);
      to += chunk.byteLength;
    }
    return Promise.resolve();
  }

  read(at: number, length: number): Promise<Uint8Array> {
    return Promise.resolve(this.slice(at, at + length));
  }

  /** A copy of a part. */
  slice(start: number, end: number): Uint8Array {
    return this.#bytes.slice(start, end);
  }
}
