import type { Readable } from 'node:stream';

import type { Abortable } from '../errors.js';
import { type Descriptor, type Digest, isIndexType, isManifestType } from '../spec/index.js';
import { deleteBlob, deleteManifest, deleteTag } from './push/delete.js';
import {
  type FetchedPart,
  type Fetcher,
  type FetchOptions,
  RemoteFetcher,
  type RemoteFetcherOptions,
} from './fetcher.js';
import { hasBlob } from './push/push-blob.js';
import { hasManifest, storedManifest } from './push/stored-manifest.js';
import { type Pusher, type PushOptions, RemotePusher } from './push/pusher.js';
import { blobSize } from './lists/blob-size.js';
import { listReferrers, type ReferrersOptions } from './lists/referrers.js';
import { type ListOptions, listTags } from './lists/tag-list.js';
import type { OpenContent } from './push/verified-source.js';

/** One repository of a registry, for one task. */
export class RemoteRepository implements Fetcher, Pusher {
  /** `docker.io/library/alpine` */
  readonly name: string;
  readonly #options: RemoteFetcherOptions;
  readonly #fetcher: Fetcher;
  readonly #pusher: Pusher;

  constructor(options: RemoteFetcherOptions) {
    this.name = `${options.chain.registry}/${options.repository}`;
    this.#options = options;
    this.#fetcher = new RemoteFetcher(options);
    this.#pusher = new RemotePusher(options);
  }

  async fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable> {
    return await this.#fetcher.fetch(descriptor, options);
  }

  async fetchPart(descriptor: Descriptor, options: FetchOptions): Promise<FetchedPart> {
    return await this.#fetcher.fetchPart(descriptor, options);
  }

  async distrust(descriptor: Descriptor): Promise<boolean> {
    return await this.#fetcher.distrust(descriptor);
  }

  async push(
    descriptor: Descriptor,
    open: OpenContent,
    options?: PushOptions,
  ): Promise<'pushed' | 'mounted' | 'exists'> {
    return await this.#pusher.push(descriptor, open, options);
  }

  /** Whether the repository has content, as whoever pushes to it is told. See {@link hasBlob}, {@link hasManifest}. */
  async has(descriptor: Descriptor, options?: Abortable): Promise<boolean> {
    const { chain, repository } = this.#options;
    const { digest, mediaType } = descriptor;
    return isManifestType(mediaType) || isIndexType(mediaType)
      ? await hasManifest(chain, repository, { at: digest, digest }, options)
      : await hasBlob(chain, repository, descriptor, options);
  }

  /** What a tag or a digest names, as whoever pushes to it is told. See {@link storedManifest}. */
  async stored(tagOrDigest: string, options?: Abortable): Promise<Descriptor | undefined> {
    const { chain, repository } = this.#options;
    return await storedManifest(chain, repository, tagOrDigest, options);
  }

  /** See {@link blobSize}. */
  async blobSize(digest: Digest, options?: Abortable): Promise<number | undefined> {
    return await blobSize(this.#options, digest, options);
  }

  /** See {@link listTags}. */
  tags(options?: ListOptions): AsyncIterable<string> {
    return listTags(this.#options, options);
  }

  /** What refers to a digest. See {@link listReferrers}. */
  referrers(subject: Digest, options?: ReferrersOptions): AsyncIterable<Descriptor> {
    return listReferrers(this.#options, subject, options);
  }

  /** See {@link deleteManifest}. */
  async deleteManifest(digest: Digest, options?: Abortable): Promise<void> {
    await deleteManifest(this.#options.chain, this.#options.repository, digest, options);
  }

  /** See {@link deleteTag}. */
  async deleteTag(tag: string, options?: Abortable): Promise<void> {
    await deleteTag(this.#options.chain, this.#options.repository, tag, options);
  }

  /** See {@link deleteBlob}. */
  async deleteBlob(digest: Digest, options?: Abortable): Promise<void> {
    await deleteBlob(this.#options.chain, this.#options.repository, digest, options);
  }
}
