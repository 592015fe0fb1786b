import { statfs } from 'node:fs/promises';
import { type BlobProvider, ingestPath, type Lease, partialProgress } from '../content/index.js';
import { type Abortable, ContentError, throwIfAborted } from '../errors.js';
import { type Descriptor, type Digest, type ImageManifest, isConfigType } from '../spec/index.js';
import type { BlobArrivals } from './blob-arrivals.js';
import { discardedBlobs } from './discard-layers.js';
import { requireUnpackable } from './fetch-graph.js';
import type { Store } from './store.js';

export interface EarlyLayersOptions extends Abortable {
  readonly store: Store;
  readonly arrivals: Pick<BlobArrivals, 'start'>;
  readonly lease: Lease;
  readonly unpack: boolean;
}

/**
 * The layers of an image that are begun while its config is on its way, which saves a round trip. Nothing is unpacked before
 * the config says what each of them is to be.
 */
export class EarlyLayers {
  readonly #options: EarlyLayersOptions;
  #begun: Promise<ReadonlySet<Digest>> = Promise.resolve(new Set<Digest>());

  constructor(options: EarlyLayersOptions) {
    this.#options = options;
  }

  /** Begins with what is sure to be needed. */
  begin(manifest: ImageManifest): void {
    this.#begun = this.#begin(manifest);
    // Looked at when the config is here, unless that fails first.
    this.#begun.catch(() => undefined);
  }

  /**
   * Waits until none is begun any more.
   *
   * @returns whether all of some blobs were, and then there is space for them
   * @throws what comes of beginning later too: LIMIT_EXCEEDED, UNSUPPORTED_MEDIA_TYPE, NO_SPACE; those of the database
   */
  async include(blobs: readonly Descriptor[]): Promise<boolean> {
    const begun = await this.#begun;
    return blobs.every(({ digest }) => begun.has(digest));
  }

  /** Waits for the same, whatever becomes of it. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#begun]);
  }

  async #begin({ config, layers }: ImageManifest): Promise<ReadonlySet<Digest>> {
    const { store, arrivals, lease, unpack, signal } = this.#options;
    const { root, content } = store;
    // Where it is here, there is nothing to wait for; where it is none, the pull may end at it.
    if (!isConfigType(config.mediaType) || (await content.info(config.digest)) !== undefined)
      return new Set();
    const input = layers.map((descriptor) => ({ descriptor }));
    if (unpack) requireUnpackable(input, store.limits);
    const digests = layers.map(({ digest }) => digest);
    // Before it is looked at what is here, so that it stays true.
    await lease.addBlob(...digests);
    // Whether a store can go on without these depends on the config.
    const lists = [discardedBlobs(store), ...store.additional.map(({ discarded }) => discarded)];
    const discarded = await Promise.all(lists.map((list) => list.among(digests)));
    const needed = layers.filter(({ digest }) => !discarded.some((list) => list.has(digest)));
    await requireSpace({ root, content, descriptors: needed, signal });
    for (const layer of needed) arrivals.start(layer, 'layer');
    return new Set(needed.map(({ digest }) => digest));
  }
}

export interface RequireSpaceOptions extends Abortable {
  /** The store's directory. */
  readonly root: string;
  readonly content: Pick<BlobProvider, 'info'>;
  /** What is to be brought in; one digest may stand there several times. */
  readonly descriptors: readonly Descriptor[];
}

/**
 * Refuses what cannot fit: adds up the sizes of the blobs that are not here, less what partials of them have on disk
 * already, and holds that against what is free where the store lies.
 *
 * A look, not a reservation: others may take the space meanwhile, and then the write itself finds none.
 *
 * @throws ContentError NO_SPACE, with the bytes that are `needed` and `available`; FILESYSTEM; LandfallError ABORTED
 */
export async function requireSpace({
  root,
  content,
  descriptors,
  signal,
}: RequireSpaceOptions): Promise<void> {
  const distinct = new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor]));
  const missing = await Promise.all(
    [...distinct.values()].map(async ({ digest, size }) => {
      throwIfAborted(signal);
      if ((await content.info(digest)) !== undefined) return 0;
      const bytes = (await partialProgress(ingestPath(root, digest)))?.bytes ?? 0;
      return Math.max(0, size - bytes);
    }),
  );
  throwIfAborted(signal);
  const needed = missing.reduce((sum, bytes) => sum + bytes, 0);
  if (needed === 0) return;
  const available = await availableBytes(root);
  if (available === undefined || needed <= available) return;
  throw new ContentError(
    'NO_SPACE',
    `${needed} bytes are to be downloaded, and only ${available} are free at ${root}`,
    {
      details: { path: root, needed, available },
      hint: 'Free some space on that file system, remove unused images with landfall gc, or choose another --root.',
    },
  );
}

/** What this user may still write; undefined where the file system does not say. */
async function availableBytes(root: string): Promise<number | undefined> {
  // A file system that does not answer must not keep anybody from trying.
  const stats = await statfs(root).catch(() => undefined);
  return stats === undefined || stats.blocks === 0 ? undefined : stats.bavail * stats.bsize;
}
