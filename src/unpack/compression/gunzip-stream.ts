import { createGunzip, type Gunzip, type ZlibOptions } from 'node:zlib';
import type { DuplexOptions } from 'node:stream';
import { systemCode } from '../../errors.js';
import { gzipCutShort, gzipDamaged } from './gzip-error.js';
import { requireZeros } from './trailing-zeros.js';

/** Measured on layers: larger gains nothing, smaller costs turns of the event loop. */
const CHUNK_BYTES = 512 * 1024;

/**
 * Inflates gzip, several members too, by Node's stream, for machines on which no library can be called: each chunk is new
 * memory, and comes from the thread pool. While a chunk is being used the next is inflated. At most two chunks lie ready.
 *
 * zlib's binding stops without a word at zeros after a member, whatever follows them; so what it did not take is looked
 * at here, and must be zeros to the end.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage, truncation and trailing garbage; and what the source throws
 */
export async function* gunzipByStream(
  source: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const inflate = createInflate();
  const feed = new Feed(source, inflate);
  void feed.run();
  try {
    for await (const chunk of inflate as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    throw inflateError(error);
  } finally {
    inflate.destroy();
  }
  await requireZeros(feed.rest(), source);
}

function createInflate(): Gunzip {
  const options: ZlibOptions & DuplexOptions = {
    chunkSize: CHUNK_BYTES,
    // Chunk by chunk: a byte stream would join what lies ready, by copying.
    readableObjectMode: true,
    readableHighWaterMark: 2,
  };
  return createGunzip(options);
}

/** Writes the source's chunks into zlib, and knows how much of the last it took. */
class Feed {
  readonly #source: AsyncIterator<Buffer>;
  readonly #inflate: Gunzip;
  #chunk: Buffer = Buffer.alloc(0);
  /** Bytes that came before the chunk. */
  #before = 0;

  constructor(source: AsyncIterator<Buffer>, inflate: Gunzip) {
    this.#source = source;
    this.#inflate = inflate;
  }

  /** Never rejects: an error of the source becomes the stream's. */
  async run(): Promise<void> {
    try {
      for (;;) {
        const next = await this.#source.next();
        if (this.#inflate.destroyed) return;
        if (next.done === true) break;
        this.#before += this.#chunk.length;
        this.#chunk = next.value;
        await this.#write(next.value);
        // It had enough: its output is at an end, and the rest of this chunk is still to be looked at.
        if (this.rest().length > 0) return;
      }
      this.#inflate.end();
    } catch (error) {
      this.#inflate.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Resolves when zlib is done with the chunk. */
  #write(chunk: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#inflate.write(chunk, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /** What zlib left of the last chunk when it had enough. */
  rest(): Buffer {
    return this.#chunk.subarray(this.#inflate.bytesWritten - this.#before);
  }
}

function inflateError(error: unknown): unknown {
  const code = systemCode(error);
  if (code === 'Z_BUF_ERROR') return gzipCutShort();
  if (code?.startsWith('Z_') !== true || !(error instanceof Error)) return error;
  return gzipDamaged(error.message);
}
