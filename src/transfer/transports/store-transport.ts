import { addAbortSignal, type Readable } from 'node:stream';
import type { IngestWriter, Lease } from '../../content/index.js';
import type { Store } from '../../engine/store.js';
import { KeptSignatures } from '../../engine/trust/signature-sources.js';
import { type Abortable, ContentError, isLandfallError, throwIfAborted } from '../../errors.js';
import type { FetchOptions, RegistryClient } from '../../registry/index.js';
import { recordManifests } from '../../engine/images/image.js';
import { readManifest } from '../../engine/images/read-manifest.js';
import { removeImage } from '../../engine/images/names.js';
import { requireSpace } from '../../engine/pull/require-space.js';
import { restoreBlobs } from '../../engine/pull/restore-blobs.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  type ImageIndex,
  isDigest,
  parseDigest,
  parseReference,
  type Reference,
  referrerDescriptor,
  repositoryName,
  shortDigest,
} from '../../spec/index.js';
import type {
  DestinationTransport,
  DestinationRepository,
  GovernedImage,
  OpenContent,
  PutOptions,
  PutOutcome,
  SignatureMemory,
  SourceTransport,
  SourceRepository,
} from './destination.js';
import { isComplete, type SelectedEntries } from './image-graph.js';
import { DescriptorFinder } from './layout-transport.js';

export interface StoreTransportOptions {
  /** The caller closes it. */
  readonly store: Store;
  /**
   * Where layers are fetched again that were dropped once they were unpacked; without it such a layer cannot
   * be read.
   */
  readonly registry?: Pick<RegistryClient, 'repository'> | undefined;
}

/**
 * The store, to read and to write. What is put is leased until it is disposed of, so that it can be named in
 * peace.
 */
export class StoreTransport implements SourceTransport, DestinationTransport {
  readonly kind = 'store';
  readonly name: string;
  readonly store: Store;
  readonly finder: DescriptorFinder;
  readonly #registry: StoreTransportOptions['registry'];
  #lease: Promise<Lease> | undefined;

  constructor({ store, registry }: StoreTransportOptions) {
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

  /**
   * Keeps content from being collected until this is disposed of. Call it before looking whether it is there.
   */
  async lease({ digest }: Pick<Descriptor, 'digest'>): Promise<void> {
    await (await this.#leased()).addBlob(digest);
  }

  /**
   * Fetches a layer again that the store dropped once it was unpacked; nothing where the store never had it.
   * Errors: BLOB_NOT_FOUND (there is no registry to ask, or nobody knows which), those of fetching.
   */
  async restore(descriptor: Descriptor, { signal }: Abortable = {}): Promise<void> {
    const discarded = await this.store.discarded.get(descriptor.digest);
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

  async requireRoom(
    descriptors: readonly Descriptor[],
    layers: readonly Descriptor[],
    { signal }: Abortable = {},
  ): Promise<void> {
    const { root, content, database } = this.store;
    await requireSpace({ root, content, descriptors, unpacked: { layers, database }, signal });
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

/**
 * The images of a store whose names are of one repository. What refers to them is found wherever it is in the
 * store, and what is put without a tag has the name `REPOSITORY@DIGEST`, so that it is kept.
 */
export class StoreRepository implements SourceRepository, DestinationRepository {
  readonly name: string;
  readonly location: string;
  readonly transport: StoreTransport;
  readonly readBack: Pick<SourceRepository, 'fetch' | 'referrers'> = this;

  /** @param name canonical */
  constructor(transport: StoreTransport, name: string) {
    this.name = name;
    this.location = name;
    this.transport = transport;
  }

  /** What is found there is counted on from then on, so that no collection may take it. */
  get blobs(): DestinationRepository['blobs'] & object {
    const { content } = this.transport.store;
    return {
      info: async (digest) => {
        await this.transport.lease({ digest });
        return await content.info(digest);
      },
      open: (...of) => content.open(...of),
    };
  }

  get memory(): SignatureMemory {
    return this.transport.memory;
  }

  /** Also signatures by their tag that are kept without a name, beside the image that they are for. */
  async resolve(tagOrDigest: string): Promise<Descriptor | undefined> {
    const { store } = this.transport;
    const named = await store.catalog.get(this.#nameOf(tagOrDigest));
    if (named !== undefined) return named.target;
    if (!isDigest(tagOrDigest)) return await new KeptSignatures(store).resolve(tagOrDigest);
    return await this.#manifest(parseDigest(tagOrDigest));
  }

  async stored(tagOrDigest: string): Promise<Descriptor | undefined> {
    if (isDigest(tagOrDigest)) return await this.resolve(tagOrDigest);
    return (await this.transport.store.images.get(this.#nameOf(tagOrDigest)))?.target;
  }

  async has({ digest }: Descriptor): Promise<boolean> {
    return (await this.transport.store.content.info(digest)) !== undefined;
  }

  async *tags(): AsyncGenerator<string> {
    for (const { tag, digest } of await this.#references()) {
      if (tag !== undefined && digest === undefined) yield tag;
    }
  }

  async *referrers(subject: Digest): AsyncGenerator<Descriptor> {
    const { manifests, content } = this.transport.store;
    for (const { digest, mediaType } of await manifests.referrers(subject)) {
      const info = await content.info(digest);
      if (info === undefined) continue;
      const descriptor = { mediaType, digest, size: info.size };
      const manifest = await readManifest(content, descriptor);
      // A signature by cosign's scheme is on record for what it signs, and refers to it by its tag alone.
      if (manifest.subject?.digest === subject) yield referrerDescriptor(descriptor, manifest);
    }
  }

  async governed(tagOrDigest: string): Promise<GovernedImage> {
    const reference = parseReference(this.#nameOf(tagOrDigest));
    const { registryImage } = await import('../../trust/index.js');
    const { memory } = this;
    return { image: registryImage(reference), tag: reference.tag, signatures: [], memory };
  }

  async fetch(descriptor: Descriptor, { offset = 0, length, signal }: FetchOptions = {}): Promise<Readable> {
    const { content } = this.transport.store;
    await this.transport.lease(descriptor);
    if ((await content.info(descriptor.digest)) === undefined)
      await this.transport.restore(descriptor, { signal });
    return await content.open(descriptor, { offset, length });
  }

  async put(descriptor: Descriptor, open: OpenContent, options: PutOptions = {}): Promise<PutOutcome> {
    const { digest, mediaType, size } = descriptor;
    await this.transport.lease(descriptor);
    const outcome = await this.#bring(descriptor, open, options);
    if (options.tag === undefined && options.root !== true) return outcome;
    const { store } = this.transport;
    await recordManifests(store, descriptor);
    const name = this.#nameOf(options.tag ?? digest);
    const target = { mediaType, digest, size };
    await store.images.put({ name, target, discardLayers: false });
    return outcome;
  }

  async deleteTag(tag: string): Promise<void> {
    const name = this.#nameOf(tag);
    if (!(await this.transport.remove(name))) throw notThere(name);
  }

  async deleteManifest(digest: Digest): Promise<void> {
    const images = await this.transport.store.images.list();
    const named = images.filter(
      ({ name, target }) => target.digest === digest && repositoryName(parseReference(name)) === this.name,
    );
    if (named.length === 0) throw notThere(`${this.name}@${digest}`);
    for (const { name } of named) await this.transport.remove(name);
  }

  /** From where an earlier try stopped, and again where the source breaks and has got further since. */
  async #bring(
    descriptor: Descriptor,
    open: OpenContent,
    { signal, onProgress }: PutOptions,
  ): Promise<PutOutcome> {
    const { content } = this.transport.store;
    for (;;) {
      const writer = await content.ingest(descriptor, { signal });
      if (writer === undefined) return 'exists';
      await using held = writer;
      const resumed = held.offset > 0;
      try {
        await copyInto(held, open, { signal, onProgress });
        await held.commit();
        return 'copied';
      } catch (error) {
        // What an earlier process left may have been damaged since, and is gone now.
        const again = isLandfallError(error) && error.code === 'DIGEST_MISMATCH' && error.retryable;
        if (!resumed || !again) throw error;
      }
    }
  }

  async #manifest(digest: Digest): Promise<Descriptor | undefined> {
    const { manifests, content } = this.transport.store;
    const [details, info] = await Promise.all([manifests.get(digest), content.info(digest)]);
    if (info === undefined) return undefined;
    if (details !== undefined) return { mediaType: details.mediaType, digest, size: info.size };
    return await this.#unrecorded(digest);
  }

  /**
   * What an additional store has, or an older program pulled: it is recorded nowhere, so its manifests are
   * read.
   */
  async #unrecorded(digest: Digest): Promise<Descriptor | undefined> {
    const { catalog, content } = this.transport.store;
    const images = await catalog.list();
    const targets = images
      .filter(({ name }) => repositoryName(parseReference(name)) === this.name)
      .map(({ target }) => target);
    const found = await this.transport.finder.find(targets, digest);
    if (found === undefined) return undefined;
    const all = (_: Descriptor, { manifests }: ImageIndex): Promise<SelectedEntries> =>
      Promise.resolve({ kept: manifests, omitted: [] });
    if (!(await isComplete(content, found, { select: all }))) return undefined;
    const { mediaType, size } = found;
    return { mediaType, digest, size };
  }

  async #references(): Promise<readonly Reference[]> {
    const images = await this.transport.store.catalog.list();
    return images
      .map(({ name }) => parseReference(name))
      .filter((reference) => repositoryName(reference) === this.name);
  }

  /** @throws SpecError INVALID_REFERENCE */
  #nameOf(tagOrDigest: string): string {
    const separator = isDigest(tagOrDigest) ? '@' : ':';
    return formatReference(parseReference(`${this.name}${separator}${tagOrDigest}`));
  }
}

async function copyInto(
  writer: IngestWriter,
  open: OpenContent,
  { signal, onProgress }: Pick<PutOptions, 'signal' | 'onProgress'>,
): Promise<void> {
  const { size } = writer.descriptor;
  while (writer.offset < size) {
    const from = writer.offset;
    try {
      const stream = await open(from);
      let at = from;
      for await (const chunk of signal === undefined ? stream : addAbortSignal(signal, stream)) {
        const bytes = chunk as Uint8Array;
        await writer.write(at, bytes);
        at += bytes.length;
        onProgress?.(writer.offset);
      }
      return;
    } catch (error) {
      throwIfAborted(signal);
      // A source that brings nothing has tried by itself as often as is of use.
      const isFruitless = writer.offset === from;
      if (isFruitless || !isLandfallError(error) || !error.retryable) throw error;
    }
  }
}

function notThere(name: string): ContentError {
  return new ContentError('BLOB_NOT_FOUND', `${name} is not in the store`, {
    hint: 'See `landfall images`.',
  });
}
