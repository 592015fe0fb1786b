import type { Readable } from 'node:stream';
import type { Abortable } from '../errors.js';
import { type Descriptor, type Digest, isIndexType, isManifestType, shortDigest } from '../spec/index.js';
import {
  type FetchedPart,
  type Fetcher,
  type FetchOptions,
  RemoteFetcher,
  type RemoteFetcherOptions,
} from './fetcher.js';
import { HeadRequests } from './hosts/registry-host.js';
import { listReferrers, type ReferrersOptions, type ReferrersTarget } from './lists/referrers.js';
import { type ListOptions, listTags } from './lists/tag-list.js';
import { deleteBlob, deleteManifest, deleteTag } from './push/delete.js';
import { hasBlob } from './push/push-blob.js';
import { type Pusher, type PushOptions, RemotePusher } from './push/pusher.js';
import { hasManifest, storedManifest } from './push/put-manifest.js';
import type { OpenContent } from './push/verified-source.js';

/** One repository of a registry, for one task. */
export class RemoteRepository implements Fetcher, Pusher {
  /** `docker.io/library/alpine` */
  readonly name: string;
  readonly #options: RemoteFetcherOptions;
  readonly #fetcher: Fetcher;
  readonly #pusher: Pusher;

  /** @internal */
  constructor(options: RemoteFetcherOptions) {
    this.name = `${options.chain.registry}/${options.repository}`;
    this.#options = options;
    this.#fetcher = new RemoteFetcher(options);
    this.#pusher = new RemotePusher(options);
  }

  /** See {@link Fetcher}. @throws as that says */
  async fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable> {
    return await this.#fetcher.fetch(descriptor, options);
  }

  async fetchPart(descriptor: Descriptor, options: FetchOptions): Promise<FetchedPart> {
    return await this.#fetcher.fetchPart(descriptor, options);
  }

  async distrust(descriptor: Descriptor): Promise<boolean> {
    return await this.#fetcher.distrust(descriptor);
  }

  /** See {@link Pusher}. @throws as that says */
  async push(
    descriptor: Descriptor,
    open: OpenContent,
    options?: PushOptions,
  ): Promise<'pushed' | 'mounted' | 'exists'> {
    return await this.#pusher.push(descriptor, open, options);
  }

  /**
   * Whether the repository has content, asked where content is pushed to.
   *
   * @throws `RegistryError` all codes; `ContentError` SIZE_MISMATCH (it has it, in another size)
   */
  async has(descriptor: Descriptor, options?: Abortable): Promise<boolean> {
    const { chain, repository } = this.#options;
    const { digest, mediaType } = descriptor;
    return isManifestType(mediaType) || isIndexType(mediaType)
      ? await hasManifest(chain, repository, { at: digest, digest }, options)
      : await hasBlob(chain, repository, descriptor, options);
  }

  /**
   * What a tag or a digest names where manifests are pushed to, by one HEAD: never at a mirror, which may lag behind. Undefined
   * where it names nothing, or the registry says too little of it.
   *
   * @throws `RegistryError` all codes but NOT_FOUND
   */
  async stored(tagOrDigest: string, options?: Abortable): Promise<Descriptor | undefined> {
    const { chain, repository } = this.#options;
    return await storedManifest(chain, repository, tagOrDigest, options);
  }

  /**
   * Bytes of a blob, by one HEAD; undefined where the repository does not have it, or the registry does not tell.
   *
   * @throws `RegistryError` all codes but NOT_FOUND
   */
  async blobSize(digest: Digest, options?: Abortable): Promise<number | undefined> {
    return await blobSize(this.#options, digest, options);
  }

  /**
   * Its tags, in the registry's order (distribution-spec: Listing Tags). Leaving the loop early fetches no more pages.
   *
   * @throws `RegistryError` while it is read: all codes; NOT_FOUND for a repository that is not there
   */
  tags(options?: ListOptions): AsyncIterable<string> {
    return listTags(this.#options, options);
  }

  /**
   * The manifests and indexes whose `subject` is a digest, each once (distribution-spec: Listing Referrers), also where the
   * registry has no such list. Nothing was verified: a descriptor says only what there is to fetch.
   *
   * @throws `RegistryError` while it is read: all codes; `SpecError` for a list that is malformed
   */
  referrers(subject: Digest, options?: ReferrersOptions): AsyncIterable<Descriptor> {
    return listReferrers(this.#options, subject, options);
  }

  /**
   * Deletes a manifest, and with it all tags that name it (distribution-spec: Deleting manifests).
   *
   * @throws `RegistryError` all codes; UNSUPPORTED where the registry deletes none
   */
  async deleteManifest(digest: Digest, options?: Abortable): Promise<void> {
    await deleteManifest(this.#options.chain, this.#options.repository, digest, options);
  }

  /**
   * Deletes a tag and leaves what it names (distribution-spec: Deleting tags).
   *
   * @throws `RegistryError` all codes; UNSUPPORTED where the registry deletes none
   */
  async deleteTag(tag: string, options?: Abortable): Promise<void> {
    await deleteTag(this.#options.chain, this.#options.repository, tag, options);
  }

  /**
   * Deletes a blob (distribution-spec: Deleting Blobs).
   *
   * @throws `RegistryError` all codes; UNSUPPORTED where the registry deletes none
   */
  async deleteBlob(digest: Digest, options?: Abortable): Promise<void> {
    await deleteBlob(this.#options.chain, this.#options.repository, digest, options);
  }
}

/**
 * How many bytes a blob has, as the registry says to a HEAD (distribution-spec: Checking if content exists in the registry);
 * undefined where it does not say.
 *
 * @throws {RegistryError} all codes: NOT_FOUND where it is not there
 */
async function blobSize(
  { chain, repository }: ReferrersTarget,
  digest: Digest,
  { signal }: Abortable = {},
): Promise<number | undefined> {
  const heads = new HeadRequests();
  return await chain.run({ capability: 'pull', signal }, async (turn) => {
    const { size } = await heads.blob(turn.host, {
      repository,
      path: `blobs/${digest}`,
      headers: { accept: '*/*' },
      access: [{ type: 'repository', name: repository, actions: 'pull' }],
      expected: [200],
      subject: `blob ${shortDigest(digest)} of ${chain.registry}/${repository}`,
      attempt: turn.attempt,
      signal: turn.signal,
      patienceMs: turn.patienceMs,
    });
    return size;
  });
}
