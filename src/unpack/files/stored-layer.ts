import type { Readable } from 'node:stream';
import { type Abortable, throwIfAborted } from '../../errors.js';
import {
  algorithmOf,
  createDigester,
  type Descriptor,
  type Digest,
  Digester,
  type UnpackLimits,
} from '../../spec/index.js';
import { decompress, warnOfCompression } from '../compression/decompress.js';
import { type InflateChoice } from '../compression/inflate-choice.js';
import {
  isContentError,
  layerError,
  refuseOtherDiffId,
  refuseOtherDigest,
  Warnings,
} from '../terms/layer-fault.js';
import { type TarHandler, TarReader } from '../tar/tar-reader.js';
import { type LayerBudget, LayerBytes } from '../jobs/shared-memory.js';

/** A layer that lies somewhere whole, and can be read as often as is needed. */
export interface StoredLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** The compressed blob from its start. Nobody needs to have verified it. */
  open(): Promise<Readable>;
}

export interface ReadLayerOptions extends Abortable {
  readonly limits: UnpackLimits;
  /** The layer's share of its image's bytes. */
  readonly budget: LayerBudget;
  /** What inflates gzip. Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
  readonly warnings?: Warnings;
}

/**
 * Reads a layer in one pass: digest, inflate, digest, untar. Yields how many bytes of the blob were read,
 * whenever the handler has been told something. What the handler was told is right only when the last of it
 * was yielded without an error: the blob's digest and the diffId are verified at the end. A blob that turns
 * out wrong is what is reported, even where the damage broke the archive first.
 *
 * Errors: those of opening; DIGEST_MISMATCH, DIFF_ID_MISMATCH; BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED
 * and those of the handler, naming the layer; FILESYSTEM; ABORTED.
 */
export async function* readLayer(
  layer: StoredLayer,
  handler: TarHandler,
  o: ReadLayerOptions,
): AsyncGenerator<number, void, undefined> {
  const blob = new CheckedBlob(layer.descriptor, await layer.open());
  try {
    const diffId = yield* untar(layer, blob, handler, o);
    blob.verify();
    refuseOtherDiffId(layer, diffId);
  } finally {
    blob.close();
  }
}

/** Returns the digest of what it read. */
async function* untar(
  layer: StoredLayer,
  blob: CheckedBlob,
  handler: TarHandler,
  o: ReadLayerOptions,
): AsyncGenerator<number, Digest, undefined> {
  try {
    return yield* untarUnchecked(layer, blob, handler, o);
  } catch (error) {
    if (isContentError(error)) await blob.verifyRest(o);
    throw layerError(error, layer.descriptor.digest);
  }
}

async function* untarUnchecked(
  layer: StoredLayer,
  blob: CheckedBlob,
  handler: TarHandler,
  o: ReadLayerOptions,
): AsyncGenerator<number, Digest, undefined> {
  const { limits } = o;
  const { size: compressedSize } = layer.descriptor;
  const reader = new TarReader(handler, limits);
  const bytes = new LayerBytes(limits.imageBytes, o.budget);
  const digester = new Digester(algorithmOf(layer.diffId) === 'sha512' ? 'sha512' : 'sha256');
  const { compression, chunks } = await decompress(blob.chunks, {
    limits,
    compressedSize,
    inflate: o.inflate,
  });
  warnOfCompression(compression, layer.descriptor, o.warnings ?? new Warnings());
  for await (const chunk of chunks) {
    throwIfAborted(o.signal);
    bytes.add(chunk.length);
    digester.update(chunk);
    reader.push(chunk);
    yield blob.bytes;
  }
  reader.end();
  return digester.digest();
}

/** A blob whose digest is computed while it is read. */
class CheckedBlob {
  readonly chunks: AsyncGenerator<Buffer, void, undefined>;
  /** Read so far. */
  bytes = 0;
  readonly #descriptor: Descriptor;
  readonly #source: Readable;
  readonly #digester: Digester;

  constructor(descriptor: Descriptor, source: Readable) {
    this.#descriptor = descriptor;
    this.#source = source;
    this.#digester = createDigester(descriptor.digest);
    this.chunks = this.#read();
  }

  /** All of it was read. @throws {ContentError} DIGEST_MISMATCH */
  verify(): void {
    refuseOtherDigest(this.#descriptor.digest, this.#digester.digest());
  }

  /** Reads what is left before it verifies. */
  async verifyRest(o: Abortable): Promise<void> {
    while ((await this.chunks.next()).done !== true) throwIfAborted(o.signal);
    this.verify();
  }

  close(): void {
    this.#source.destroy();
  }

  async *#read(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of this.#source as AsyncIterable<Buffer>) {
      this.bytes += chunk.length;
      this.#digester.update(chunk);
      yield chunk;
    }
  }
}
