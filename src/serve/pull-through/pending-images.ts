import { Limiter } from '../../concurrency/index.js';
import type { Lease } from '../../content/index.js';
import { recordManifests } from '../../engine/images/image.js';
import type { StoreParts } from '../../engine/store.js';
import { isLandfallError } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
} from '../../spec/index.js';
import type { BlobFetches } from './blob-fetch.js';

/** What leads to a manifest: the target that gets the name once the manifest is whole. */
interface Root {
  readonly target: Descriptor;
  /** Canonical; undefined for a target that has its name already. */
  readonly name: string | undefined;
}

type Roots = ReadonlyMap<string, Root>;

/**
 * A manifest that is not whole, or an index that leads to manifests which may not have been asked for yet.
 */
interface Pending<M = ImageManifest | ImageIndex> {
  readonly descriptor: Descriptor;
  readonly manifest: M;
  /** `registry/repository` */
  readonly repository: string;
  readonly roots: Map<string, Root>;
  readonly lease: Lease;
  usedAt: number;
}

/** How long a pending image stays without progress, and how many manifests and indexes may be pending. */
const KEPT_MS = 60 * 60 * 1000;
const MOST = 20_000;

/**
 * The images that are not whole yet. Their names are given once all is here that a manifest lists, so that
 * whenever this process ends the store holds nothing that is named and incomplete; until then leases keep
 * what has come.
 */
export class PendingImages {
  readonly #store: StoreParts;
  readonly #pending = new Map<Digest, Pending>();
  /** Which of them list a blob or a manifest. */
  readonly #listing = new Map<Digest, Set<Pending>>();
  /** One change at a time, so that none is made of what another one is changing. */
  readonly #changes = new Limiter(1);

  constructor(store: StoreParts) {
    this.#store = store;
  }

  /** What a blob is said to be by a manifest that waits for it. */
  blob(digest: Digest): Descriptor | undefined {
    return listedBy(this.waitingFor(digest)[0], digest);
  }

  /** The descriptor of a manifest in an index that was asked for. */
  manifest(digest: Digest): Descriptor | undefined {
    return listedBy(this.#indexesWith(digest)[0], digest);
  }

  /** The names that were asked for and lead to a manifest, and that it does not have yet. */
  names(digest: Digest): readonly string[] {
    const leading = [digest, ...this.indexesOf(digest)].map((one) => this.#pending.get(one));
    return leading.flatMap((one) => [...(one?.roots.values() ?? [])]).flatMap(({ name }) => name ?? []);
  }

  /** The indexes that were asked for and lead to a manifest. */
  indexesOf(digest: Digest): readonly Digest[] {
    const found = new Set<Digest>();
    // Each once, however many ways lead up to it: of indexes within indexes there may be very many.
    for (let level: readonly Digest[] = [digest]; level.length > 0;) {
      const above = level.flatMap((one) => this.#indexesWith(one)).map(({ descriptor }) => descriptor.digest);
      level = [...new Set(above)].filter((index) => !found.has(index));
      for (const index of level) found.add(index);
    }
    return [...found].reverse();
  }

  /** Whether a manifest was added, and is not recorded as whole. */
  has(digest: Digest): boolean {
    return this.#pending.has(digest);
  }

  /** The images that wait for a blob. */
  waitingFor(digest: Digest): readonly Pending<ImageManifest>[] {
    return [...(this.#listing.get(digest) ?? [])].filter(isImage);
  }

  /**
   * Adds a manifest that is in the store and was asked for. Nothing happens to one that is recorded and
   * whole.
   *
   * @param name the name that was asked for, where it was one
   */
  async add(
    repository: string,
    descriptor: Descriptor,
    { manifest, name }: { readonly manifest: ImageManifest | ImageIndex; readonly name?: string | undefined },
  ): Promise<void> {
    await this.#changes.run(async () => {
      await this.#expire();
      const roots = await this.#rootsOf(repository, descriptor, name);
      const known = this.#pending.get(descriptor.digest);
      if (known !== undefined) {
        known.usedAt = Date.now();
        addTo(known.roots, roots);
      }
      const pending = known ?? (await this.#begin(repository, descriptor, manifest, roots));
      // The index may be another name for manifests that are here already.
      if (!isImage(pending)) for (const { digest } of childrenOf(manifest)) await this.#adopt(digest, roots);
      else if (known === undefined) await this.#settle(pending);
    });
  }

  /** A name leads elsewhere by now: what it led to does not get it any more. */
  unname(name: string): void {
    for (const { roots } of this.#pending.values()) roots.delete(name);
  }

  /** A blob is here: images that it completes get their names. */
  async arrived(digest: Digest): Promise<void> {
    await this.#changes.run(async () => {
      for (const pending of this.waitingFor(digest)) await this.#settle(pending);
    });
  }

  /** Those of a manifest's blobs that are not here. */
  async missing(manifest: ImageManifest): Promise<readonly Descriptor[]> {
    const { content } = this.#store;
    const missing = new Map<Digest, Descriptor>();
    for (const child of childrenOf(manifest)) {
      if ((await content.info(child.digest)) === undefined) missing.set(child.digest, child);
    }
    const discarded = await this.#store.discarded.among([...missing.keys()]);
    return [...missing.values()].filter((child) => !discarded.has(child.digest));
  }

  /** Releases all that is not whole. */
  async close(): Promise<void> {
    await this.#changes.run(async () => {
      for (const pending of [...this.#pending.values()]) await this.#drop(pending);
    });
  }

  #indexesWith(digest: Digest): readonly Pending[] {
    return [...(this.#listing.get(digest) ?? [])].filter((pending) => !isImage(pending));
  }

  /** The roots of a manifest: itself by the name asked for, indexes that list it, or else its digest. */
  async #rootsOf(repository: string, descriptor: Descriptor, name: string | undefined): Promise<Roots> {
    const { digest } = descriptor;
    const roots = new Map<string, Root>();
    const add = (root: Root): void => void roots.set(root.name ?? root.target.digest, root);
    if (name !== undefined) add({ target: descriptor, name });
    for (const index of this.#indexesWith(digest)) {
      index.usedAt = Date.now();
      addTo(roots, index.roots);
    }
    for (const { digest: holder, mediaType } of await this.#store.manifests.holders(digest)) {
      const info = await this.#store.content.info(holder);
      if (info === undefined) continue;
      add({ target: { mediaType, digest: holder, size: info.size }, name: undefined });
    }
    return roots.size === 0 ? ownRoot(repository, descriptor) : roots;
  }

  async #begin(
    repository: string,
    descriptor: Descriptor,
    manifest: ImageManifest | ImageIndex,
    roots: Roots,
  ): Promise<Pending> {
    const children = childrenOf(manifest).map(({ digest }) => digest);
    const lease = await this.#store.leases.create();
    try {
      // Leased before they are looked for, so that no collection comes in between.
      await lease.addBlob(descriptor.digest, ...(manifest.kind === 'index' ? [] : children));
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
    const usedAt = Date.now();
    const pending = { descriptor, manifest, repository, roots: new Map(roots), lease, usedAt };
    this.#pending.set(descriptor.digest, pending);
    for (const digest of children) {
      this.#listing.set(digest, (this.#listing.get(digest) ?? new Set()).add(pending));
    }
    return pending;
  }

  /** Gives the name of an index at once where a manifest below it is whole. */
  async #adopt(child: Digest, roots: Roots): Promise<void> {
    const pending = this.#pending.get(child);
    if (pending !== undefined && isImage(pending)) addTo(pending.roots, roots);
    else if ((await this.#store.manifests.get(child)) !== undefined) await this.#name(roots);
  }

  /** Gives the names, should all be here. */
  async #settle(pending: Pending<ImageManifest>): Promise<void> {
    const { descriptor, manifest, repository, roots } = pending;
    pending.usedAt = Date.now();
    if ((await this.missing(manifest)).length > 0) return;
    if (this.#pending.get(descriptor.digest) !== pending) return;
    await this.#name(roots.size > 0 ? roots : ownRoot(repository, descriptor));
    await this.#drop(pending);
  }

  async #name(roots: Roots): Promise<void> {
    for (const { target, name } of roots.values()) {
      await recordManifests(this.#store, target);
      if (name !== undefined) await this.#store.images.put({ name, target });
    }
  }

  async #drop(pending: Pending): Promise<void> {
    this.#pending.delete(pending.descriptor.digest);
    for (const { digest } of childrenOf(pending.manifest)) {
      const listing = this.#listing.get(digest);
      listing?.delete(pending);
      if (listing?.size === 0) this.#listing.delete(digest);
    }
    await pending.lease[Symbol.asyncDispose]();
  }

  async #expire(): Promise<void> {
    const before = Date.now() - KEPT_MS;
    for (const pending of [...this.#pending.values()])
      if (pending.usedAt < before || this.#pending.size > MOST) await this.#drop(pending);
  }
}

function isImage(pending: Pending): pending is Pending<ImageManifest> {
  return pending.manifest.kind === 'manifest';
}

function listedBy(pending: Pending | undefined, digest: Digest): Descriptor | undefined {
  return pending && childrenOf(pending.manifest).find((child) => child.digest === digest);
}

function addTo(roots: Map<string, Root>, others: Roots): void {
  for (const [key, root] of others) roots.set(key, root);
}

/** What nothing else leads to is named by its digest. */
function ownRoot(repository: string, target: Descriptor): Roots {
  const name = `${repository}@${target.digest}`;
  return new Map([[name, { target, name }]]);
}

export interface ImageCompletionOptions {
  readonly pending: PendingImages;
  readonly fetches: Pick<BlobFetches, 'join'>;
  /** Aborted when the mirror stops. */
  readonly signal: AbortSignal;
  readonly onWarning: (text: string) => void;
}

/**
 * Fetches the rest of an image: once a layer is here whole, a client pulls its image, and the mirror is to
 * have all of it.
 */
export class ImageCompletion {
  readonly #options: ImageCompletionOptions;
  /** The manifests whose further blobs are being brought. */
  readonly #completing = new Set<Digest>();
  /** What goes on beside the answers. */
  readonly #aside = new Set<Promise<void>>();

  constructor(options: ImageCompletionOptions) {
    this.#options = options;
  }

  /** A blob is here whole. */
  arrived(digest: Digest): void {
    this.#doAside(async () => {
      const { pending } = this.#options;
      await pending.arrived(digest);
      for (const image of pending.waitingFor(digest)) {
        if (image.manifest.config.digest !== digest) this.#doAside(() => this.#complete(image));
      }
    });
  }

  /** Waits until nothing goes on any more. */
  async settle(): Promise<void> {
    while (this.#aside.size > 0) await Promise.allSettled([...this.#aside]);
  }

  async #complete({ descriptor, manifest, repository }: Pending<ImageManifest>): Promise<void> {
    const { pending, fetches, signal } = this.#options;
    if (signal.aborted || this.#completing.has(descriptor.digest)) return;
    this.#completing.add(descriptor.digest);
    try {
      const missing = await pending.missing(manifest);
      await Promise.all(
        missing.map(async (child) => {
          const blobFetch = fetches.join(child, repository);
          const leave = blobFetch.want();
          await blobFetch.done.finally(leave);
        }),
      );
    } finally {
      this.#completing.delete(descriptor.digest);
    }
  }

  /** Does something that no answer waits for. A failure is a warning; the next request tries again. */
  #doAside(action: () => Promise<void>): void {
    const { signal, onWarning } = this.#options;
    const doing = action()
      .catch((error: unknown) => {
        if (signal.aborted) return;
        onWarning(
          `an image could not be completed: ${isLandfallError(error) ? error.message : String(error)}`,
        );
      })
      .finally(() => this.#aside.delete(doing));
    this.#aside.add(doing);
  }
}
