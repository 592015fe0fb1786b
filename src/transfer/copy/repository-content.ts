import { Readable } from 'node:stream';
import type { BlobInfo, BlobProvider, ByteRange } from '../../content/index.js';
import { type Abortable, isLandfallError, LandfallError } from '../../errors.js';
import { type LoadedImage, loadImage } from '../../engine/images/image.js';
import {
  type Descriptor,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
  parsePlatform,
  type Platform,
} from '../../spec/index.js';
import { ManifestReader } from '../transports/manifest-reader.js';
import type { SourceRepository } from '../transports/destination.js';

/**
 * What a repository of a registry has, read as a store's content is. Manifests are fetched once, and
 * verified; all else as often as it is opened, from its start, and by whoever reads it. Which blobs there are
 * nobody knows before they are fetched.
 */
export class RepositoryContent implements BlobProvider {
  readonly #repository: SourceRepository;
  readonly #signal: AbortSignal | undefined;
  readonly #manifests = new ManifestReader();

  constructor(repository: SourceRepository, { signal }: Abortable = {}) {
    this.#repository = repository;
    this.#signal = signal;
  }

  info(): Promise<BlobInfo | undefined> {
    return Promise.resolve(undefined);
  }

  async open(descriptor: Descriptor, range: ByteRange = { offset: 0 }): Promise<Readable> {
    const signal = this.#signal;
    if (!isManifestOrIndex(descriptor)) return await this.#repository.fetch(descriptor, { ...range, signal });
    const bytes = await this.#manifests.bytes(this.#repository, descriptor, { signal });
    const { offset, length = bytes.length - offset } = range;
    return Readable.from([bytes.subarray(offset, offset + length)], { objectMode: false });
  }

  path(): Promise<string> {
    return Promise.reject(
      new LandfallError('UNSUPPORTED', `the blobs of ${this.#repository.location} are not files here`),
    );
  }
}

/** A config may be larger than what is remembered of manifests. */
function isManifestOrIndex({ mediaType, size }: Descriptor): boolean {
  const isSmall = isIndexType(mediaType) || isManifestType(mediaType) || isConfigType(mediaType);
  return isSmall && size <= LIMITS.manifestBytes;
}

/**
 * Reads an image for a platform, wherever it lies; without one for this machine's, else the only one that
 * there is. Errors: as {@link loadImage}.
 */
export async function loadImageAnywhere(
  content: BlobProvider,
  target: Descriptor,
  platform?: Platform,
): Promise<LoadedImage> {
  try {
    return await loadImage(content, target, platform);
  } catch (error) {
    const only = platform === undefined ? onlyPlatform(error) : undefined;
    if (only === undefined) throw error;
    return await loadImage(content, target, parsePlatform(only));
  }
}

function onlyPlatform(error: unknown): string | undefined {
  if (!isLandfallError(error) || error.code !== 'NO_MATCHING_PLATFORM') return undefined;
  const { available } = error.details;
  return Array.isArray(available) && available.length === 1 ? String(available[0]) : undefined;
}
