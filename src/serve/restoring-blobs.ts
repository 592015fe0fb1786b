import type { Readable } from 'node:stream';

import { SingleFlight } from '../concurrency/index.js';
import type { BlobInfo, BlobProvider, ByteRange, DiscardedBlob } from '../content/index.js';
import { type ErrorCode, LandfallError } from '../errors.js';
import type { Descriptor, Digest } from '../spec/index.js';
import { RegistryFault } from './registry-fault.js';

export interface RestoringBlobsOptions {
  /** What is here. */
  readonly blobs: BlobProvider;
  /** What is not here because it was dropped on purpose. */
  readonly discarded: { get(digest: Digest): Promise<DiscardedBlob | undefined> };
  /** Brings a discarded blob back, or says why it cannot. */
  readonly restore: (descriptor: Descriptor) => Promise<void>;
}

/**
 * Blobs that are fetched back when they are opened, should they have been dropped; until then their size is known and
 * nothing is moved. However many clients want one, it is fetched once, and goes on being so when a client has gone.
 */
export class RestoringBlobs implements BlobProvider {
  readonly #options: RestoringBlobsOptions;
  readonly #restoring = new SingleFlight<Digest, void>();

  constructor(options: RestoringBlobsOptions) {
    this.#options = options;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    const { blobs, discarded } = this.#options;
    const here = await blobs.info(digest);
    if (here !== undefined) return here;
    const blob = await discarded.get(digest);
    return blob === undefined
      ? undefined
      : { digest, size: blob.size, createdAt: blob.discardedAt, labels: {} };
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    await this.#bringBack(descriptor);
    return await this.#options.blobs.open(descriptor, range);
  }

  async path(digest: Digest): Promise<string> {
    const info = await this.info(digest);
    if (info !== undefined) {
      await this.#bringBack({ mediaType: 'application/octet-stream', digest, size: info.size });
    }
    return await this.#options.blobs.path(digest);
  }

  async #bringBack(descriptor: Descriptor): Promise<void> {
    const { digest } = descriptor;
    if ((await this.#options.blobs.info(digest)) !== undefined) return;
    try {
      await this.#restoring.run(digest, () => this.#options.restore(descriptor));
    } catch (error) {
      throw faultOf(error);
    }
  }
}

/** What fails at the place that a blob came from. All else is this machine's own matter. */
const REMOTE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UNAUTHORIZED',
  'DENIED',
  'RATE_LIMITED',
  'UNAVAILABLE',
  'PROTOCOL',
  'REDIRECT_REFUSED',
  'DIGEST_MISMATCH',
  'SIZE_MISMATCH',
]);

function faultOf(error: unknown): unknown {
  if (!(error instanceof LandfallError)) return error;
  const { code, message } = error as LandfallError;
  if (code === 'BLOB_NOT_FOUND' || code === 'NOT_FOUND') {
    return new RegistryFault(404, 'BLOB_UNKNOWN', message);
  }
  return REMOTE.has(code) ? new RegistryFault(502, 'UNKNOWN', message) : error;
}
