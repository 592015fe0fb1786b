import type { Readable } from 'node:stream';

import { LandfallError } from '../../errors.js';
import { type Descriptor, type Digest, isConfigType, isIndexType, isManifestType } from '../../spec/index.js';
import { checkSize } from './blob-stream.js';
import type {
  Labels,
  BlobInfo,
  BlobProvider,
  ByteRange,
  ContentStore,
  IngestOptions,
  IngestWriter,
} from './content-store.js';

/** A content store that is only read. */
export type ListedBlobs = BlobProvider & Pick<ContentStore, 'list'>;

/**
 * A store that has what additional ones have too: it is looked at first, then they are, in their order. All
 * that is written goes to it alone.
 *
 * What an additional store has is here, so no ingest of it begins. Its small manifests (index, manifest,
 * config) are copied nevertheless: a database can then be rebuilt from what lies beside it, and what an image
 * consists of is still known when an additional store is gone, which leaves its layers to be fetched again.
 */
export class JoinedContentStore implements ContentStore {
  readonly #own: ContentStore;
  readonly #additional: readonly ListedBlobs[];

  constructor(own: ContentStore, additional: readonly ListedBlobs[]) {
    this.#own = own;
    this.#additional = additional;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    for (const store of [this.#own, ...this.#additional]) {
      const info = await store.info(digest);
      if (info !== undefined) return info;
    }
    return undefined;
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    return (await this.#holder(descriptor.digest)).open(descriptor, range);
  }

  async path(digest: Digest): Promise<string> {
    return (await this.#holder(digest)).path(digest);
  }

  async ingest(descriptor: Descriptor, options: IngestOptions = {}): Promise<IngestWriter | undefined> {
    const holder = await this.#holder(descriptor.digest);
    const info = holder === this.#own ? undefined : await holder.info(descriptor.digest);
    if (info === undefined) return this.#own.ingest(descriptor, options);
    checkSize(descriptor, info.size);
    if (!isManifestOrIndex(descriptor)) return undefined;
    const { source } = info;
    const copied = await this.#copy(
      descriptor,
      holder,
      source === undefined ? options : { ...options, source },
    );
    return copied ? undefined : this.#own.ingest(descriptor, options);
  }

  /** Each once, in no order. */
  async *list(): AsyncGenerator<BlobInfo, void, undefined> {
    const before: ListedBlobs[] = [];
    for (const store of [this.#own, ...this.#additional]) {
      for await (const info of store.list()) {
        if (!(await isIn(before, info.digest))) yield info;
      }
      before.push(store);
    }
  }

  /** Only what is its own has labels of its own. */
  update(digest: Digest, change: { readonly labels: Labels }): Promise<BlobInfo> {
    return this.#own.update(digest, change);
  }

  /** What an additional store has is still here afterwards. */
  delete(digest: Digest): Promise<void> {
    return this.#own.delete(digest);
  }

  /** The first store that has a blob; where none has it the own one, which says so in its own words. */
  async #holder(digest: Digest): Promise<ListedBlobs> {
    for (const store of [this.#own, ...this.#additional]) {
      if ((await store.info(digest)) !== undefined) return store;
    }
    return this.#own;
  }

  /** False where the other store's blob is damaged: it is then fetched as if that store did not have it. */
  async #copy(descriptor: Descriptor, from: BlobProvider, options: IngestOptions): Promise<boolean> {
    const writer = await this.#own.ingest(descriptor, options);
    if (writer === undefined) return true;
    await using held = writer;
    let at = 0;
    try {
      for await (const chunk of await from.open(descriptor)) {
        await held.write(at, chunk as Buffer);
        at += (chunk as Buffer).length;
      }
      await held.commit();
      return true;
    } catch (error) {
      if (error instanceof LandfallError && error.code === 'DIGEST_MISMATCH') return false;
      throw error;
    }
  }
}

function isManifestOrIndex({ mediaType }: Descriptor): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType) || isConfigType(mediaType);
}

async function isIn(stores: readonly BlobProvider[], digest: Digest): Promise<boolean> {
  for (const store of stores) if ((await store.info(digest)) !== undefined) return true;
  return false;
}
