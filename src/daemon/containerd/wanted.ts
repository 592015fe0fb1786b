import type { CatalogImage } from '../../content/index.js';
import { type LoadedImage, loadImage } from '../../engine/images/image.js';
import { readVerified } from '../../engine/images/read-manifest.js';
import type { Store } from '../../engine/store.js';
import { LandfallError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  hostPlatform,
  isIndexType,
  LIMITS,
  parseManifest,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import type { NodeImages } from '../cri/node-images.js';
import { chainLabels, childLabels } from './labels.js';
import type { Labels } from '../../unpack/index.js';

/** An image that containerd is to know, by one of the targets that it is had by. */
export interface WantedTarget {
  readonly target: Descriptor;
  /** The config's digest. */
  readonly imageId: Digest;
  /**
   * What containerd needs of its content, none of which are layers; what a blob refers to stands before it.
   */
  readonly blobs: readonly WantedBlob[];
  /** The chain IDs of its layers, bottom first. */
  readonly chain: readonly Digest[];
}

export interface WantedBlob {
  readonly descriptor: Descriptor;
  readonly labels: Labels;
}

/** A name that containerd is to have: a tag, `repository@digest`, or an image's ID. */
export interface WantedRecord {
  readonly name: string;
  readonly target: WantedTarget;
  readonly pinned: boolean;
}

/** All of a store that containerd is to know, at one moment. */
export interface Wanted {
  readonly records: ReadonlyMap<string, WantedRecord>;
  /** The record that stands for each name of the store. */
  readonly byName: ReadonlyMap<string, WantedRecord>;
  /** For each target, another text whenever one of its names was given or changed. */
  readonly versions: ReadonlyMap<WantedTarget, string>;
  /** Another text whenever anything above is another. */
  readonly fingerprint: string;
}

export interface WantedImagesOptions {
  readonly store: Store;
  readonly images: NodeImages;
  readonly snapshotter: string;
}

/** What a store has for containerd: the images that it has unpacked, for the platform of this machine. */
export class WantedImages {
  readonly #options: WantedImagesOptions;
  /** By the digest of the target, on which all of it depends. */
  #known: ReadonlyMap<Digest, WantedTarget> = new Map();

  constructor(options: WantedImagesOptions) {
    this.#options = options;
  }

  async read(): Promise<Wanted> {
    const { store, images } = this.#options;
    const pinned = new Map(
      (await images.list()).flatMap((image) => image.names.map((name) => [name, image.pinned])),
    );
    const targets = new Map<Digest, WantedTarget>();
    const found: FoundName[] = [];
    for (const image of await store.catalog.list()) {
      const isPinned = pinned.get(image.name);
      if (isPinned === undefined) continue;
      const { digest } = image.target;
      const target = targets.get(digest) ?? this.#known.get(digest) ?? (await this.#targetOf(image.target));
      if (target === undefined || !(await this.#isUnpacked(target))) continue;
      targets.set(digest, target);
      found.push({ image, target, pinned: isPinned });
    }
    this.#known = targets;
    return wantedOf(found);
  }

  async #isUnpacked({ chain }: WantedTarget): Promise<boolean> {
    // What lies on others is not there without them.
    const top = chain.at(-1);
    return top === undefined || (await this.#options.store.snapshotter.findChain(top)) !== undefined;
  }

  /** Undefined where containerd would not find an image for this machine, or it is damaged. */
  async #targetOf(target: Descriptor): Promise<WantedTarget | undefined> {
    const { content } = this.#options.store;
    try {
      // Of an index containerd takes what it lists for this machine, whatever else of it is here.
      const platform = isIndexType(target.mediaType) ? hostPlatform() : undefined;
      return await this.#read(target, await loadImage(content, target, platform));
    } catch (error) {
      if (error instanceof LandfallError) return undefined;
      throw error;
    }
  }

  async #read(target: Descriptor, image: LoadedImage): Promise<WantedTarget> {
    const { manifest, manifestDescriptor, imageId, chainId } = image;
    const { snapshotter } = this.#options;
    const indexes = (await this.#indexesTo(target, manifestDescriptor.digest)) ?? [];
    return {
      target,
      imageId,
      blobs: [
        { descriptor: manifest.config, labels: chainLabels(snapshotter, chainId) },
        { descriptor: manifestDescriptor, labels: childLabels(manifest) },
        ...indexes,
      ],
      chain: image.layers.map((layer) => layer.chainId),
    };
  }

  /**
   * The indexes that lead from a descriptor to a manifest, the nearest to it first; undefined where none do.
   */
  async #indexesTo(
    from: Descriptor,
    manifest: Digest,
    depth = 0,
  ): Promise<readonly WantedBlob[] | undefined> {
    const { content } = this.#options.store;
    if (from.digest === manifest) return [];
    if (!isIndexType(from.mediaType) || depth > LIMITS.indexDepth) return undefined;
    if ((await content.info(from.digest)) === undefined) return undefined;
    const index = parseManifest(await readVerified(content, from, LIMITS.manifestBytes), from.mediaType);
    for (const child of index.kind === 'index' ? index.manifests : []) {
      const below = await this.#indexesTo(child, manifest, depth + 1);
      if (below !== undefined) return [...below, { descriptor: from, labels: childLabels(index) }];
    }
    return undefined;
  }
}

interface FoundName {
  readonly image: CatalogImage;
  readonly target: WantedTarget;
  readonly pinned: boolean;
}

function wantedOf(found: readonly FoundName[]): Wanted {
  const records = new Map<string, WantedRecord>();
  const byName = new Map<string, WantedRecord>();
  const versions = new Map<WantedTarget, string>();
  for (const { image, target, pinned } of found) {
    const names = [...recordNames(image.name, target.target.digest), target.imageId];
    // Several targets may be one image; its ID then stands for the first.
    for (const name of names) if (!records.has(name)) records.set(name, { name, target, pinned });
    const [first = ''] = names;
    byName.set(image.name, { name: first, target, pinned });
    const version = `${image.createdAt.getTime()} ${image.updatedAt.getTime()}`;
    versions.set(target, `${versions.get(target) ?? ''}${image.name} ${version}\n`);
  }
  const lines = [...records.values()].map(
    ({ name, target, pinned }) => `${name} ${target.target.digest} ${pinned}`,
  );
  return { records, byName, versions, fingerprint: [...lines, ...versions.values()].join('\n') };
}

function recordNames(name: string, digest: Digest): readonly string[] {
  const byDigest = `${repositoryName(parseReference(name))}@${digest}`;
  return [...new Set([criName(name), byDigest])];
}

/**
 * What containerd's CRI calls an image that was pulled by a canonical name: it drops a tag that stands beside
 * a digest.
 */
export function criName(name: string): string {
  const reference = parseReference(name);
  if (reference.digest === undefined) return name;
  return `${repositoryName(reference)}@${reference.digest}`;
}
