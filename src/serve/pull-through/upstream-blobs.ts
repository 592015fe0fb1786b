import type { Readable } from 'node:stream';

import type { BlobInfo, BlobProvider, ByteRange } from '../../content/index.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import type { BlobFlows } from './blob-flows.js';
import { upstreamFault } from './upstream-fault.js';

export interface UpstreamBlobsOptions {
  /** What is here. */
  readonly blobs: BlobProvider;
  readonly flows: BlobFlows;
  /** `registry/repository` that what is not here is brought from. */
  readonly repository: string;
  /** What is known of a blob that is not here; undefined where nobody has it. */
  readonly describe: (digest: Digest) => Promise<Descriptor | undefined>;
}

/** The blobs of one repository: those that are here, and those that are at its upstream. */
export class UpstreamBlobs implements BlobProvider {
  readonly #options: UpstreamBlobsOptions;
  /** What was found for one request, which looks before it opens. */
  readonly #described = new Map<Digest, Descriptor>();

  constructor(options: UpstreamBlobsOptions) {
    this.#options = options;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    const here = await this.#options.blobs.info(digest);
    if (here !== undefined) return here;
    const descriptor = await this.#describe(digest);
    return descriptor === undefined
      ? undefined
      : { digest, size: descriptor.size, createdAt: new Date(), labels: {} };
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    const { blobs, flows, repository } = this.#options;
    const { digest } = descriptor;
    if ((await blobs.info(digest)) !== undefined) return await blobs.open(descriptor, range);
    const known = (await this.#describe(digest)) ?? descriptor;
    try {
      return await flows.join(known, repository).open(range);
    } catch (error) {
      throw upstreamFault(error, 'BLOB_UNKNOWN');
    }
  }

  path(digest: Digest): Promise<string> {
    return this.#options.blobs.path(digest);
  }

  async #describe(digest: Digest): Promise<Descriptor | undefined> {
    const known = this.#described.get(digest);
    if (known !== undefined) return known;
    try {
      const descriptor = await this.#options.describe(digest);
      if (descriptor !== undefined) this.#described.set(digest, descriptor);
      return descriptor;
    } catch (error) {
      throw upstreamFault(error, 'BLOB_UNKNOWN');
    }
  }
}
