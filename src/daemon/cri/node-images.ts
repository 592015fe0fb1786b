import { isLandfallError, LandfallError, SpecError } from '../../errors.js';
import { type LoadedImage, loadImage } from '../../engine/images/image.js';
import { type ImageSummary, listImages } from '../../engine/images/images.js';
import { abbreviatedId, isImageId } from '../../engine/images/names.js';
import type { Store } from '../../engine/store.js';
import {
  type Descriptor,
  type Digest,
  encodedOf,
  formatReference,
  hostPlatform,
  isIndexType,
  parseReference,
  type Reference,
  repositoryName,
} from '../../spec/index.js';

/** An image as a node knows it: one of each ID, whatever it is called. */
export interface NodeImage {
  /** The digest of its config, for this node's platform. */
  readonly id: Digest;
  /** Canonical names that the store has for it, sorted. */
  readonly names: readonly string[];
  /** Those of them that are tags. */
  readonly repoTags: readonly string[];
  /** `registry/repository@digest` of each target that it is had by. */
  readonly repoDigests: readonly string[];
  /** Bytes that it takes, blobs and unpacked layers. */
  readonly size: number;
  /** `User` of its config. */
  readonly user: string | undefined;
  readonly pinned: boolean;
}

/**
 * The reference by which a node knows an image: as in containerd's CRI, a digest makes the tag irrelevant.
 *
 * @throws SpecError INVALID_REFERENCE
 */
export function nodeReference(name: string): Reference {
  const { registry, repository, tag, digest } = parseReference(name, { defaultTag: true });
  if (digest !== undefined) return { registry, repository, digest };
  return { registry, repository, ...(tag === undefined ? {} : { tag }) };
}

/** The info of an image that stays the same as long as the platforms of its target do. */
interface ImageInfo {
  readonly id: Digest;
  readonly user: string | undefined;
}

/** All images of a store, kept in memory for as long as nothing is written to its database. */
export class NodeImages {
  readonly #store: Store;
  readonly #info = new Map<string, ImageInfo>();
  #known: { readonly state: string; readonly images: Promise<readonly NodeImage[]> } | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** In order of their IDs. Artifacts, which have no config of an image, are none. */
  async list(): Promise<readonly NodeImage[]> {
    const state = await this.#store.database.state();
    if (this.#known?.state !== state) this.#known = { state, images: this.#read() };
    const { images } = this.#known;
    return await images.catch((error: unknown) => {
      if (this.#known?.images === images) this.#known = undefined;
      throw error;
    });
  }

  /**
   * By ID, the beginning of one that fits no other, tag, digest, or both; familiar or canonical.
   *
   * @throws SpecError INVALID_REFERENCE (it is none of these, or the beginning of several IDs)
   */
  async find(name: string): Promise<NodeImage | undefined> {
    const images = await this.list();
    if (isImageId(name)) return images.find(({ id }) => id === name || encodedOf(id) === name);
    const short = findShort(images, name);
    return findByReference(images, name, short) ?? short;
  }

  async #read(): Promise<readonly NodeImage[]> {
    const summaries = await listImages(this.#store);
    const byId = new Map<Digest, { info: ImageInfo; summaries: ImageSummary[] }>();
    const used = new Set<string>();
    for (const summary of summaries) {
      const key = `${summary.digest} ${summary.platforms.join(' ')}`;
      used.add(key);
      const info = this.#info.get(key) ?? (await this.#infoOf(summary));
      // An image that is just being removed has no info; it may be here again at the next call.
      if (info === undefined) continue;
      this.#info.set(key, info);
      const known = byId.get(info.id);
      if (known === undefined) byId.set(info.id, { info, summaries: [summary] });
      else known.summaries.push(summary);
    }
    for (const key of this.#info.keys()) if (!used.has(key)) this.#info.delete(key);
    return [...byId.values()]
      .map(({ info, summaries: named }) => this.#imageOf(info, named))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Undefined for an artifact, and for an image that is too damaged to read. */
  async #infoOf({ name }: ImageSummary): Promise<ImageInfo | undefined> {
    const { catalog, content } = this.#store;
    try {
      const record = await catalog.get(name);
      if (record === undefined) return undefined;
      const { imageId, config } = await loadForNode(content, record.target);
      return { id: imageId, user: config.config?.User };
    } catch (error) {
      if (error instanceof LandfallError) return undefined;
      throw error;
    }
  }

  #imageOf({ id, user }: ImageInfo, summaries: readonly ImageSummary[]): NodeImage {
    const references = summaries.map(({ name, digest }) => ({ ...parseReference(name), target: digest }));
    const tags = references.filter(({ tag, digest }) => tag !== undefined && digest === undefined);
    const names = summaries.map(({ name }) => name);
    return {
      id,
      names,
      repoTags: tags.map((reference) => formatReference(reference)),
      repoDigests: [
        ...new Set(references.map((reference) => `${repositoryName(reference)}@${reference.target}`)),
      ].sort(),
      // Names of one target are one image there, and two targets of one image share its layers.
      size: Math.max(...summaries.map(({ size, snapshotSize }) => size + snapshotSize)),
      user,
      pinned: summaries.some(({ pinned }) => pinned),
    };
  }
}

/**
 * From an index, the image for this machine: the presence of another one must not keep a kubelet from
 * pulling.
 */
async function loadForNode(content: Store['content'], target: Descriptor): Promise<LoadedImage> {
  try {
    if (isIndexType(target.mediaType)) return await loadImage(content, target, hostPlatform());
  } catch (error) {
    if (!isLandfallError(error) || error.code !== 'NO_MATCHING_PLATFORM') throw error;
  }
  return await loadImage(content, target);
}

function findByReference(
  images: readonly NodeImage[],
  name: string,
  short: NodeImage | undefined,
): NodeImage | undefined {
  try {
    const reference = parseReference(name, { defaultTag: true });
    const exact = formatReference(reference);
    const named = images.find(({ names }) => names.includes(exact));
    if (named !== undefined || reference.digest === undefined) return named;
    // `repository@digest`, with a tag or without, is also what was pulled by its tag and has this digest.
    const digest = `${repositoryName(reference)}@${reference.digest}`;
    return images.find(({ repoDigests }) => repoDigests.includes(digest));
  } catch (error) {
    if (short !== undefined && error instanceof SpecError) return undefined;
    throw error;
  }
}

function findShort(images: readonly NodeImage[], name: string): NodeImage | undefined {
  const beginning = abbreviatedId(name);
  if (beginning === undefined) return undefined;
  const found = images.filter(({ id }) => encodedOf(id).startsWith(beginning));
  return found.length === 1 ? found[0] : undefined;
}
