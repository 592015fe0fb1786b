import type { Readable } from 'node:stream';
import { KeyedLimiter, Limiter } from '../../concurrency/index.js';
import type { Abortable } from '../../errors.js';
import { type Descriptor, type Digest, digestOf, parseManifest } from '../../spec/index.js';
import { manifestLimit, type ManifestOrIndex, refuseLarger } from '../../engine/images/read-manifest.js';
import { fetchedRight, type SourceRepository } from './destination.js';
import { readVerifiedContent } from './verified-content.js';

type ManifestSource = Pick<SourceRepository, 'fetch' | 'distrust'>;

/** Manifests that are read at once. */
const CONCURRENCY = 16;
/** What is kept of them, in bytes: the tags of a repository often stand for the same few. */
const KEPT_BYTES = 32 * 1024 * 1024;

/** Reads manifests, indexes and configs from wherever they are, verified, and remembers the last ones. */
export class ManifestReader {
  readonly #limiter = new Limiter(CONCURRENCY);
  readonly #slots = new KeyedLimiter<Digest>(1);
  /** In the order of their last use. */
  readonly #kept = new Map<Digest, Buffer>();
  #keptBytes = 0;
  /** Manifests that no source has stay for as long as they may be asked for. */
  readonly #made = new WeakMap<Descriptor, Buffer>();

  /** Errors: LIMIT_EXCEEDED, SIZE_MISMATCH, DIGEST_MISMATCH, those of the source, ABORTED. */
  async bytes(source: ManifestSource, descriptor: Descriptor, { signal }: Abortable = {}): Promise<Buffer> {
    const { digest } = descriptor;
    const here = (): Buffer | undefined => this.#made.get(descriptor) ?? this.#used(digest);
    const read = async (): Promise<Buffer> => {
      // Another caller may have read it meanwhile; where that failed, this call reads it.
      const known = here();
      if (known !== undefined) return known;
      refuseLarger(descriptor, manifestLimit(descriptor));
      const open = (offset = 0): Promise<Readable> => source.fetch(descriptor, { offset, signal });
      const fetched = (): Promise<Buffer> => readVerifiedContent(descriptor, open, { signal });
      const bytes = await this.#limiter.run(() => fetchedRight(source, descriptor, fetched), { signal });
      this.#keep(digest, bytes);
      return bytes;
    };
    return here() ?? (await this.#slots.run(digest, read, { signal }));
  }

  /** Errors: also INVALID_MANIFEST and the like. */
  async manifest(
    source: ManifestSource,
    descriptor: Descriptor,
    options: Abortable = {},
  ): Promise<ManifestOrIndex> {
    return parseManifest(await this.bytes(source, descriptor, options), descriptor.mediaType);
  }

  /** A manifest that no source has. It is found by the very descriptor that this gives. */
  add(bytes: Buffer, mediaType: string): Descriptor {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    this.#made.set(descriptor, bytes);
    return descriptor;
  }

  #used(digest: Digest): Buffer | undefined {
    const bytes = this.#kept.get(digest);
    if (bytes !== undefined) this.#keep(digest, bytes);
    return bytes;
  }

  #keep(digest: Digest, bytes: Buffer): void {
    if (this.#kept.delete(digest)) this.#keptBytes -= bytes.length;
    this.#kept.set(digest, bytes);
    this.#keptBytes += bytes.length;
    for (const [oldest, { length }] of this.#kept) {
      if (this.#keptBytes <= KEPT_BYTES) return;
      this.#kept.delete(oldest);
      this.#keptBytes -= length;
    }
  }
}
