import type { Lease } from '../content/index.js';
import { discardedBlobs } from '../engine/discard-layers.js';
import { removeImage } from '../engine/remove.js';
import { restoreBlobs } from '../engine/restore-blobs.js';
import type { Store } from '../engine/store.js';
import { type Abortable, ContentError, isLandfallError } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import { type Descriptor, parseReference, repositoryName, shortDigest } from '../spec/index.js';
import { DescriptorFinder } from './descriptor-finder.js';
import type { DestinationPlace } from './destination.js';
import type { SignatureMemory } from './governed-image.js';
import type { SourcePlace } from './source.js';
import { StoreRepository } from './store-repository.js';

export interface StorePlaceOptions {
  /** Closed by whoever opened it. */
  readonly store: Store;
  /** Where layers are fetched again that were dropped once they were unpacked; without it such a layer cannot be read. */
  readonly registry?: Pick<RegistryClient, 'repository'> | undefined;
}

/** The store, to read and to write. What is put is leased until it is disposed of, so that it can be named in peace. */
export class StorePlace implements SourcePlace, DestinationPlace {
  readonly kind = 'store';
  readonly name: string;
  readonly store: Store;
  readonly finder: DescriptorFinder;
  readonly #registry: StorePlaceOptions['registry'];
  #lease: Promise<Lease> | undefined;

  constructor({ store, registry }: StorePlaceOptions) {
    this.name = `store:${store.root}`;
    this.store = store;
    this.finder = new DescriptorFinder(store.content);
    this.#registry = registry;
  }

  repository(name: string): StoreRepository {
    return new StoreRepository(this, name);
  }

  async repositories(): Promise<readonly string[]> {
    const images = await this.store.catalog.list();
    return [...new Set(images.map(({ name }) => repositoryName(parseReference(name))))].sort();
  }

  get memory(): SignatureMemory {
    return { store: this.store, lease: () => this.#leased() };
  }

  /** Keeps content from being collected until this is disposed of. Call it before looking whether it is there. */
  async lease({ digest }: Pick<Descriptor, 'digest'>): Promise<void> {
    await (await this.#leased()).addBlob(digest);
  }

  /**
   * Fetches a layer again that the store dropped once it was unpacked; nothing where the store never had it.
   * Errors: BLOB_NOT_FOUND (there is no registry to ask, or nobody knows which), those of fetching.
   */
  async restore(descriptor: Descriptor, { signal }: Abortable = {}): Promise<void> {
    const discarded = await discardedBlobs(this.store).get(descriptor.digest);
    if (discarded === undefined) return;
    if (this.#registry === undefined) {
      throw new ContentError(
        'BLOB_NOT_FOUND',
        `the store dropped layer ${shortDigest(descriptor.digest)} once it was unpacked`,
        {
          details: { digest: descriptor.digest },
          hint: 'Pull the image again with --no-unpack where its registry can be reached.',
        },
      );
    }
    await restoreBlobs(this.store, this.#registry, [descriptor], { signal });
  }

  /** False where the store has no such name. */
  async remove(name: string): Promise<boolean> {
    try {
      await removeImage(this.store, name);
      return true;
    } catch (error) {
      if (isLandfallError(error) && error.code === 'BLOB_NOT_FOUND') return false;
      throw error;
    }
  }

  /** Nothing is left to do: each blob and each name was made durable when it was put. */
  finish(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#lease)?.[Symbol.asyncDispose]();
  }

  async #leased(): Promise<Lease> {
    const lease = (this.#lease ??= this.store.leases.create());
    try {
      return await lease;
    } catch (error) {
      // The database may be locked for a moment only.
      if (this.#lease === lease) this.#lease = undefined;
      throw error;
    }
  }
}
