import type { Lease } from '../../content/index.js';
import { discardedBlobs } from '../../engine/images/layer-blobs.js';
import { recordDocuments } from '../../engine/images/image.js';
import type { StoreParts } from '../../engine/store.js';
import { isLandfallError } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
} from '../../spec/index.js';
import type { BlobFlows } from './blob-flows.js';

export type PendingStore = Pick<
  StoreParts,
  'root' | 'content' | 'documents' | 'database' | 'images' | 'leases'
>;

/** What leads to a manifest: the target that gets the name once the manifest is whole. */
interface Root {
  readonly target: Descriptor;
  /** Canonical; undefined for a target that has its name already. */
  readonly name: string | undefined;
}

/** A manifest that was asked for and is not whole. */
interface PendingImage {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  /** `registry/repository` */
  readonly repository: string;
}

interface Pending extends PendingImage {
  readonly roots: Map<string, Root>;
  readonly lease: Lease;
  usedAt: number;
}

/** An index that leads to manifests which may not have been asked for yet. */
interface PendingIndex {
  readonly roots: Map<string, Root>;
  readonly children: ReadonlyMap<Digest, Descriptor>;
  readonly lease: Lease;
  usedAt: number;
}

/** How long a pending image stays without progress, and how many may be pending. */
const KEPT_MS = 60 * 60 * 1000;
const MOST = 10_000;

/**
 * The images that are not whole yet. Their names are given once all is here that a manifest lists, so that
 * whenever this process ends the store holds nothing that is named and incomplete; until then leases keep
 * what has come.
 */
export class PendingImages {
  readonly #store: PendingStore;
  readonly #manifests = new Map<Digest, Pending>();
  readonly #indexes = new Map<Digest, PendingIndex>();
  /** Which manifests wait for a blob. */
  readonly #waiting = new Map<Digest, Set<Pending>>();
  /** What is under way. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(store: PendingStore) {
    this.#store = store;
  }

  /** What a blob is said to be by a manifest that waits for it. */
  blob(digest: Digest): Descriptor | undefined {
    for (const { manifest } of this.#waiting.get(digest) ?? []) {
      const child = childrenOf(manifest).find((one) => one.digest === digest);
      if (child !== undefined) return child;
    }
    return undefined;
  }

  /** The descriptor of a manifest in an index that was asked for. */
  document(digest: Digest): Descriptor | undefined {
    for (const { children } of this.#indexes.values()) {
      const child = children.get(digest);
      if (child !== undefined) return child;
    }
    return undefined;
  }

  /** The names that were asked for and lead to a manifest, and that it does not have yet. */
  names(digest: Digest): readonly string[] {
    const roots = [this.#manifests.get(digest), ...this.#indexesWith(digest)].flatMap((one) => [
      ...(one?.roots.values() ?? []),
    ]);
    return roots.flatMap(({ name }) => (name === undefined ? [] : [name]));
  }

  /** The indexes that were asked for and lead to a manifest. */
  indexesOf(digest: Digest): readonly Digest[] {
    const found = new Set<Digest>();
    // Each once, however many ways lead up to it: of indexes within indexes there may be very many.
    let level: readonly Digest[] = [digest];
    while (level.length > 0) {
      const listed = level;
      level = [...this.#indexes]
        .filter(([index, { children }]) => !found.has(index) && listed.some((one) => children.has(one)))
        .map(([index]) => index);
      for (const index of level) found.add(index);
    }
    return [...found].reverse();
  }

  /** Whether a manifest was added, and is not recorded as whole. */
  has(digest: Digest): boolean {
    return this.#manifests.has(digest) || this.#indexes.has(digest);
  }

  /** The images that wait for a blob. */
  waitingFor(digest: Digest): readonly PendingImage[] {
    return [...(this.#waiting.get(digest) ?? [])];
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
    { document, name }: { readonly document: ImageManifest | ImageIndex; readonly name?: string | undefined },
  ): Promise<void> {
    await this.#inTurn(async () => {
      await this.#expire();
      const roots = await this.#rootsOf(repository, descriptor, name);
      if (document.kind === 'index') await this.#addIndex(descriptor, document, roots);
      else await this.#addManifest({ repository, descriptor, manifest: document }, roots);
    });
  }

  /** A name leads elsewhere by now: what it led to does not get it any more. */
  unname(name: string): void {
    for (const { roots } of [...this.#manifests.values(), ...this.#indexes.values()]) roots.delete(name);
  }

  /** A blob is here: images that it completes get their names. */
  async arrived(digest: Digest): Promise<void> {
    await this.#inTurn(async () => {
      for (const pending of this.#waiting.get(digest) ?? []) await this.#settle(pending);
    });
  }

  /** Those of a manifest's blobs that are not here. */
  async missing(manifest: ImageManifest): Promise<readonly Descriptor[]> {
    const { content } = this.#store;
    const missing = new Map<Digest, Descriptor>();
    for (const child of childrenOf(manifest)) {
      if ((await content.info(child.digest)) === undefined) missing.set(child.digest, child);
    }
    const discarded = await discardedBlobs(this.#store).among([...missing.keys()]);
    return [...missing.values()].filter((child) => !discarded.has(child.digest));
  }

  /** Releases all that is not whole. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      for (const pending of [...this.#manifests.values()]) await this.#dropManifest(pending);
      for (const [digest, index] of [...this.#indexes]) await this.#dropIndex(digest, index);
    });
  }

  /** A pending index itself, and those that lead to it. */
  #indexesWith(digest: Digest): readonly PendingIndex[] {
    return [digest, ...this.indexesOf(digest)].flatMap((one) => this.#indexes.get(one) ?? []);
  }

  /** One change at a time, so that none is made of what another one is changing. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const next = this.#turn.then(change);
    this.#turn = next.catch(() => undefined);
    return next;
  }

  /** The roots of a manifest: itself by the name asked for, indexes that list it, or else its digest. */
  async #rootsOf(
    repository: string,
    descriptor: Descriptor,
    name: string | undefined,
  ): Promise<Map<string, Root>> {
    const { digest } = descriptor;
    const roots = new Map<string, Root>();
    const add = (root: Root): void => void roots.set(root.name ?? root.target.digest, root);
    if (name !== undefined) add({ target: descriptor, name });
    for (const index of this.#indexes.values()) {
      if (!index.children.has(digest)) continue;
      index.usedAt = Date.now();
      for (const root of index.roots.values()) add(root);
    }
    for (const { digest: holder, mediaType } of await this.#store.documents.holders(digest)) {
      const info = await this.#store.content.info(holder);
      if (info !== undefined)
        add({ target: { mediaType, digest: holder, size: info.size }, name: undefined });
    }
    return roots.size === 0 ? ownRoot({ repository, descriptor }) : roots;
  }

  async #addIndex(
    descriptor: Descriptor,
    index: ImageIndex,
    roots: ReadonlyMap<string, Root>,
  ): Promise<void> {
    const { digest } = descriptor;
    const known = this.#indexes.get(digest);
    const children = new Map(index.manifests.map((child) => [child.digest, child]));
    if (known === undefined) {
      const lease = await this.#leaseOf(digest);
      this.#indexes.set(digest, { roots: new Map(roots), children, lease, usedAt: Date.now() });
    } else {
      known.usedAt = Date.now();
      for (const [key, root] of roots) known.roots.set(key, root);
    }
    // The index may be another name for manifests that are here already.
    for (const child of children.keys()) await this.#adopt(child, roots);
  }

  /** Gives the name of an index at once where a manifest below it is whole. */
  async #adopt(child: Digest, roots: ReadonlyMap<string, Root>): Promise<void> {
    const pending = this.#manifests.get(child);
    if (pending !== undefined) for (const [key, root] of roots) pending.roots.set(key, root);
    else if ((await this.#store.documents.get(child)) !== undefined) await this.#name(roots);
  }

  async #addManifest(image: PendingImage, roots: ReadonlyMap<string, Root>): Promise<void> {
    const { digest } = image.descriptor;
    const known = this.#manifests.get(digest);
    if (known !== undefined) {
      known.usedAt = Date.now();
      for (const [key, root] of roots) known.roots.set(key, root);
      return;
    }
    const children = childrenOf(image.manifest).map((child) => child.digest);
    // Leased before they are looked for, so that no collection comes in between.
    const lease = await this.#leaseOf(digest, ...children);
    const pending = { ...image, roots: new Map(roots), lease, usedAt: Date.now() };
    this.#manifests.set(digest, pending);
    for (const child of children) {
      const waiting = this.#waiting.get(child);
      if (waiting === undefined) this.#waiting.set(child, new Set([pending]));
      else waiting.add(pending);
    }
    await this.#settle(pending);
  }

  async #leaseOf(...digests: readonly Digest[]): Promise<Lease> {
    const lease = await this.#store.leases.create();
    try {
      await lease.addBlob(...digests);
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
    return lease;
  }

  /** Gives the names, should all be here. */
  async #settle(pending: Pending): Promise<void> {
    pending.usedAt = Date.now();
    if ((await this.missing(pending.manifest)).length > 0) return;
    if (this.#manifests.get(pending.descriptor.digest) !== pending) return;
    await this.#name(pending.roots.size > 0 ? pending.roots : ownRoot(pending));
    await this.#dropManifest(pending);
  }

  async #name(roots: ReadonlyMap<string, Root>): Promise<void> {
    for (const { target, name } of roots.values()) {
      await recordDocuments(this.#store, target);
      if (name !== undefined) await this.#store.images.put({ name, target });
    }
  }

  async #dropManifest(pending: Pending): Promise<void> {
    this.#manifests.delete(pending.descriptor.digest);
    for (const { digest } of childrenOf(pending.manifest)) {
      const waiting = this.#waiting.get(digest);
      waiting?.delete(pending);
      if (waiting?.size === 0) this.#waiting.delete(digest);
    }
    await pending.lease[Symbol.asyncDispose]();
  }

  async #dropIndex(digest: Digest, { lease }: PendingIndex): Promise<void> {
    this.#indexes.delete(digest);
    await lease[Symbol.asyncDispose]();
  }

  async #expire(): Promise<void> {
    const before = Date.now() - KEPT_MS;
    for (const pending of [...this.#manifests.values()]) {
      if (pending.usedAt < before || this.#manifests.size > MOST) await this.#dropManifest(pending);
    }
    for (const [digest, index] of [...this.#indexes]) {
      if (index.usedAt < before || this.#indexes.size > MOST) await this.#dropIndex(digest, index);
    }
  }
}

/** What nothing else leads to is named by its digest. */
function ownRoot({
  repository,
  descriptor,
}: Pick<PendingImage, 'repository' | 'descriptor'>): Map<string, Root> {
  const name = `${repository}@${descriptor.digest}`;
  return new Map([[name, { target: descriptor, name }]]);
}

export interface ImageCompletionOptions {
  readonly pending: PendingImages;
  readonly flows: Pick<BlobFlows, 'join'>;
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

  async #complete({ descriptor, manifest, repository }: PendingImage): Promise<void> {
    const { pending, flows, signal } = this.#options;
    if (signal.aborted || this.#completing.has(descriptor.digest)) return;
    this.#completing.add(descriptor.digest);
    try {
      const missing = await pending.missing(manifest);
      await Promise.all(
        missing.map(async (child) => {
          const flow = flows.join(child, repository);
          const leave = flow.want();
          await flow.done.finally(leave);
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
