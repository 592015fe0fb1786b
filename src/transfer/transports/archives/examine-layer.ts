import { type Abortable, throwIfAborted } from '../../../errors.js';
import { createDigester, type Digest, unpackLimits } from '../../../spec/index.js';
import { type Compression, decompress } from '../../../unpack/index.js';

/** What the bytes of a layer say. */
export interface ExaminedLayer {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly compression: Compression;
  /** Undefined where they cannot be decompressed. */
  readonly diffId: Digest | undefined;
  /** Why not. */
  readonly fault?: unknown;
}

/**
 * Reads a layer to its end, for its digest and its diffId in one pass. What its content is does not matter
 * here. Errors: what the source throws; ABORTED.
 */
export async function examineLayer(
  source: AsyncIterable<Buffer>,
  o: Abortable & { readonly size: number },
): Promise<ExaminedLayer> {
  const tap = new TappedSource(source, o);
  const diffs = createDigester('sha256');
  let compression: Compression = 'none';
  try {
    const found = await decompress(tap.chunks(), { limits: unpackLimits(), compressedSize: o.size });
    ({ compression } = found);
    for await (const chunk of found.chunks) {
      if (compression !== 'none') diffs.update(chunk);
    }
  } catch (fault) {
    if (tap.failed !== undefined) throw tap.failed.error;
    await tap.drain();
    return { ...tap.result(), compression, diffId: undefined, fault };
  }
  await tap.drain();
  const read = tap.result();
  return { ...read, compression, diffId: compression === 'none' ? read.digest : diffs.digest() };
}

/** Digests what it passes on, and reads on when no other reader does. */
class TappedSource {
  failed: { readonly error: unknown } | undefined;
  #size = 0;
  readonly #source: AsyncIterator<Buffer>;
  readonly #digester = createDigester('sha256');
  readonly #signal: AbortSignal | undefined;

  constructor(source: AsyncIterable<Buffer>, { signal }: Abortable) {
    this.#source = source[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) yield chunk;
  }

  async drain(): Promise<void> {
    while ((await this.#next()) !== undefined);
  }

  result(): { digest: Digest; size: number } {
    return { digest: this.#digester.digest(), size: this.#size };
  }

  async #next(): Promise<Buffer | undefined> {
    try {
      throwIfAborted(this.#signal);
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#digester.update(next.value);
      this.#size += next.value.length;
      return next.value;
    } catch (error) {
      this.failed = { error };
      throw error;
    }
  }
}
