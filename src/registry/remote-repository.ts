import type { Abortable } from '../errors.js';
import { type Descriptor, type Digest, isIndexType, isManifestType, shortDigest } from '../spec/index.js';
import { RemoteFetcher, type RemoteFetcherOptions } from './fetcher.js';
import { HeadRequests } from './hosts/mirror-list.js';
import { listReferrers, type ReferrersOptions } from './lists/referrers.js';
import { type ListOptions, listTags } from './lists/tag-list.js';
import { deleteBlob, deleteManifest, deleteTag } from './push/delete.js';
import { hasBlob } from './push/push-blob.js';
import { pushContent, type Pusher, type PushOptions } from './push/pusher.js';
import { hasManifest, storedManifest } from './push/put-manifest.js';
import type { OpenContent } from './push/verified-source.js';

/** One repository of a registry, for one task. */
export class RemoteRepository extends RemoteFetcher implements Pusher {
  /** `docker.io/library/alpine` */
  readonly name: string;
  readonly #options: RemoteFetcherOptions;

  /** @internal */
  constructor(options: RemoteFetcherOptions) {
    super(options);
    this.name = `${options.mirrors.registry}/${options.repository}`;
    this.#options = options;
  }

  /** See {@link Pusher}. @throws as that says */
  async push(
    descriptor: Descriptor,
    open: OpenContent,
    options?: PushOptions,
  ): Promise<'pushed' | 'mounted' | 'exists'> {
    const { mirrors, repository } = this.#options;
    return await pushContent(mirrors, repository, descriptor, open, options);
  }

  /**
   * Whether the repository has content, asked where content is pushed to.
   *
   * @throws `RegistryError` all codes; `ContentError` SIZE_MISMATCH (it has it, in another size)
   */
  async has(descriptor: Descriptor, options?: Abortable): Promise<boolean> {
    const { mirrors, repository } = this.#options;
    const { digest, mediaType } = descriptor;
    return isManifestType(mediaType) || isIndexType(mediaType)
      ? await hasManifest(mirrors, repository, { at: digest, digest }, options)
      : await hasBlob(mirrors, repository, descriptor, options);
  }

  /**
   * What a tag or a digest names where manifests are pushed to, by one HEAD: never at a mirror, which may lag
   * behind. Undefined where it names nothing, or the registry says too little of it.
   *
   * @throws `RegistryError` all codes but NOT_FOUND
   */
  async stored(tagOrDigest: string, options?: Abortable): Promise<Descriptor | undefined> {
    const { mirrors, repository } = this.#options;
    return await storedManifest(mirrors, repository, tagOrDigest, options);
  }

  /**
   * Bytes of a blob, by one HEAD; undefined where the repository does not have it, or the registry does not
   * tell.
   *
   * @throws `RegistryError` all codes but NOT_FOUND
   */
  async blobSize(digest: Digest, { signal }: Abortable = {}): Promise<number | undefined> {
    const { mirrors, repository } = this.#options;
    const heads = new HeadRequests();
    return await mirrors.run({ capability: 'pull', signal }, async (attempt) => {
      const { size } = await heads.blob(attempt, {
        repository,
        path: `blobs/${digest}`,
        headers: { accept: '*/*' },
        expected: [200],
        subject: `blob ${shortDigest(digest)} of ${this.name}`,
      });
      return size;
    });
  }

  /**
   * Its tags, in the registry's order (distribution-spec: Listing Tags). Leaving the loop early fetches no
   * more pages.
   *
   * @throws `RegistryError` while it is read: all codes; NOT_FOUND for a repository that is not there
   */
  tags(options?: ListOptions): AsyncIterable<string> {
    return listTags(this.#options, options);
  }

  /**
   * The manifests and indexes whose `subject` is a digest, each once (distribution-spec: Listing Referrers),
   * also where the registry has no such list. Nothing was verified: a descriptor says only what there is to
   * fetch.
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
    await deleteManifest(this.#options.mirrors, this.#options.repository, digest, options);
  }

  /**
   * Deletes a tag and leaves what it names (distribution-spec: Deleting tags).
   *
   * @throws `RegistryError` all codes; UNSUPPORTED where the registry deletes none
   */
  async deleteTag(tag: string, options?: Abortable): Promise<void> {
    await deleteTag(this.#options.mirrors, this.#options.repository, tag, options);
  }

  /**
   * Deletes a blob (distribution-spec: Deleting Blobs).
   *
   * @throws `RegistryError` all codes; UNSUPPORTED where the registry deletes none
   */
  async deleteBlob(digest: Digest, options?: Abortable): Promise<void> {
    await deleteBlob(this.#options.mirrors, this.#options.repository, digest, options);
  }
}
