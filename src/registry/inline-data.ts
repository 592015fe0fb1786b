import { ContentError } from '../errors.js';
import { createDigester, type Descriptor, type Digest, LIMITS, type Reference } from '../spec/index.js';
import type { PartBody } from './blob-body.js';

/**
 * The content that a descriptor carries itself, verified (image-spec: descriptor.md, `data`); undefined where it carries
 * none.
 *
 * @throws {ContentError} DIGEST_MISMATCH, SIZE_MISMATCH
 */
export function inlineData({ data, digest, size }: Descriptor): Buffer | undefined {
  if (data === undefined) return undefined;
  const bytes = Buffer.from(data, 'base64');
  const hint = 'The image was put together wrongly, or tampered with; do not use it.';
  if (bytes.length !== size) {
    throw new ContentError(
      'SIZE_MISMATCH',
      `${digest} should have ${size} bytes, and its descriptor carries ${bytes.length}`,
      { hint, details: { digest, expected: size, actual: bytes.length } },
    );
  }
  const actual = createDigester(digest).update(bytes).digest();
  if (actual === digest) return bytes;
  throw new ContentError('DIGEST_MISMATCH', `${digest} is not what its descriptor carries`, {
    hint,
    details: { digest, expected: digest, actual },
  });
}

/** The size of all manifests that are kept for the next fetch, in bytes. */
const SEEN_BYTES = 2 * LIMITS.manifestBytes;

/** The last manifests that came with their names, verified, so that they need not be asked for once more by their digests. */
export class SeenManifests {
  readonly #seen = new Map<string, Buffer>();
  #bytes = 0;

  add(of: Pick<Reference, 'registry' | 'repository'>, digest: Digest, bytes: Buffer): void {
    const key = keyOf(of, digest);
    this.#delete(key);
    this.#seen.set(key, bytes);
    this.#bytes += bytes.length;
    for (const oldest of this.#seen.keys()) {
      if (this.#bytes <= SEEN_BYTES) return;
      this.#delete(oldest);
    }
  }

  get(of: Pick<Reference, 'registry' | 'repository'>, { digest, size }: Descriptor): Buffer | undefined {
    const bytes = this.#seen.get(keyOf(of, digest));
    return bytes?.length === size ? bytes : undefined;
  }

  #delete(key: string): void {
    this.#bytes -= this.#seen.get(key)?.length ?? 0;
    this.#seen.delete(key);
  }
}

function keyOf({ registry, repository }: Pick<Reference, 'registry' | 'repository'>, digest: Digest): string {
  return `${registry}/${repository}@${digest}`;
}

/** Bytes that are here already, as a body. */
export function bodyOf(bytes: Uint8Array): PartBody {
  let left: readonly Uint8Array[] | undefined = bytes.byteLength === 0 ? undefined : [bytes];
  const take = (): readonly Uint8Array[] | undefined => {
    const batch = left;
    left = undefined;
    return batch;
  };
  return { next: () => Promise.resolve(take()), destroy: () => void take() };
}
