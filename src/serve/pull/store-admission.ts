import { imagesListing, readManifestBlob } from '../../content/index.js';
import { type ReadManifestBytes, readVerified } from '../../engine/images/read-manifest.js';
import type { Store } from '../../engine/store.js';
import { accompanies } from '../../engine/trust/accompaniment.js';
import { admitKnown } from '../../engine/trust/admit-image.js';
import { indexesAbove } from '../../engine/trust/manifest-paths.js';
import { type Abortable, isLandfallError, TrustError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  type ImageIndex,
  type ImageManifest,
  LIMITS,
  parseReference,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import { type PolicyFile, type PolicyImage, registryImage, type SignatureRuling } from '../../trust/index.js';

export interface StoreAdmissionOptions extends Abortable {
  readonly store: Store;
  readonly policy: PolicyFile;
  /** The names of images for the policy; default: those of the store. */
  readonly nameFor?: ((reference: Reference) => Reference) | undefined;
  /** Knows manifests that have no name yet. */
  readonly pending?:
    | {
        /** Of the images that are to have it. */
        names(digest: Digest): readonly string[];
        indexesOf(digest: Digest): readonly Digest[];
      }
    | undefined;
}

/** For a blob that no manifest describes. */
const OCTETS = 'application/octet-stream';

/**
 * The entries of an index that are looked at: no image is made for more platforms, and each costs a request.
 */
const MOST_LISTED = 50;

/** What a policy asks for under one name. */
interface Governed {
  readonly image: PolicyImage;
  readonly ruling: SignatureRuling;
}

export interface ManifestNode {
  readonly descriptor: Descriptor;
  /** Undefined for what is of a type that is not known here, which clients may know all the same. */
  readonly manifest: ImageManifest | ImageIndex | undefined;
}

/**
 * Holds manifests of a store against a signature policy, by what the store remembers and the signatures that
 * it keeps; no registry is asked. It decides at each request, so that a changed policy holds at once.
 */
export class StoreAdmission {
  readonly #options: StoreAdmissionOptions;

  constructor(options: StoreAdmissionOptions) {
    this.#options = options;
  }

  /** An image as the policy knows it. */
  image(reference: Reference): PolicyImage {
    return registryImage(this.#options.nameFor?.(reference) ?? reference);
  }

  /** Whether the policy accepts everything. One that cannot be understood accepts nothing. */
  async isOpenToAll(): Promise<boolean> {
    try {
      return await this.#options.policy.acceptsEverything();
    } catch {
      return false;
    }
  }

  /**
   * Why a manifest that is here may not be given; undefined where it may: nothing is asked of it, it
   * accompanies an image, or a signature is here for it, an index that leads to it, or an entry of it.
   *
   * @param repository `registry/repository`
   * @param tag by which it is asked for, where that is a tag
   * @throws TrustError where no signature can help
   */
  async refusal(repository: string, digest: Digest, tag?: string): Promise<unknown> {
    // Before anything is looked up.
    if (await this.isOpenToAll()) return undefined;
    const { store, signal } = this.#options;
    const { governed, refusal, isOpen } = await this.ruled(await this.names(repository, digest, tag));
    if (isOpen) return undefined;
    if (governed.length === 0) throw refusal ?? new TypeError(`${digest} has no name`);
    const found = await this.manifest(digest);
    const read: ReadManifestBytes = (descriptor) =>
      readVerified(store.content, descriptor, LIMITS.manifestBytes);
    if (await accompaniesBy(tagsOf(governed, tag), found, read)) return undefined;
    const below = childrenIn(found).map((child) => child.digest);
    const path = [...(await this.above(digest)), digest, ...below];
    let why: unknown;
    for (const { image, ruling } of governed) {
      try {
        await admitKnown(store, { ruling, image, path, repository, signal });
        return undefined;
      } catch (error) {
        // Another name, or its registry, may know more.
        if (!isLandfallError(error) || error.code === 'ABORTED') throw error;
        why ??= error;
      }
    }
    return why;
  }

  /**
   * What the policy says under some names: whether one of them needs nothing, which of them need signatures,
   * and why one is refused.
   */
  async ruled(images: readonly PolicyImage[]): Promise<{
    readonly isOpen: boolean;
    readonly governed: readonly Governed[];
    readonly refusal: TrustError | undefined;
  }> {
    const governed: Governed[] = [];
    let refusal: TrustError | undefined;
    for (const image of images) {
      try {
        const ruling = await this.#options.policy.rulingFor(image);
        if (ruling === undefined) return { isOpen: true, governed: [], refusal: undefined };
        governed.push({ image, ruling });
      } catch (error) {
        if (!(error instanceof TrustError)) throw error;
        refusal ??= error;
      }
    }
    return { isOpen: false, governed, refusal };
  }

  /**
   * The tag that was asked for; else the tags of the repository that are known to lead to a digest, and the
   * digest.
   */
  async names(repository: string, digest: Digest, tag: string | undefined): Promise<readonly PolicyImage[]> {
    const at = parseReference(repository);
    if (tag !== undefined) return [this.image({ ...at, tag })];
    const { store, pending } = this.#options;
    const path = [digest, ...(await this.above(digest))];
    const verified = (await store.verifications.about(path)).map(({ name }) => name);
    const names = [
      ...verified,
      ...(pending?.names(digest) ?? []),
      ...(await imagesListing(store.database, digest)),
    ];
    const tagged = [...new Set(names)].filter((name) => isTagIn(repository, name));
    return [...tagged.map((name) => this.image(parseReference(name))), this.image({ ...at, digest })];
  }

  /** The indexes that lead to a manifest. */
  async above(digest: Digest): Promise<readonly Digest[]> {
    const { store, pending } = this.#options;
    const known = pending?.indexesOf(digest) ?? [];
    return [...new Set([...known, ...(await indexesAbove(store.manifests, digest))])];
  }

  async manifest(digest: Digest): Promise<ManifestNode> {
    const { content, manifests } = this.#options.store;
    const described = (await manifests.get(digest))?.mediaType;
    const manifest = (await readManifestBlob(content, digest, described))?.manifest;
    const size = (await content.info(digest))?.size ?? 0;
    return { descriptor: { mediaType: described ?? manifest?.mediaType ?? OCTETS, digest, size }, manifest };
  }
}

/** The entries of an index: where one of them is signed, the index leads to something that may be served. */
export function childrenIn({ manifest }: ManifestNode): readonly Descriptor[] {
  return manifest?.kind === 'index' ? manifest.manifests.slice(0, MOST_LISTED) : [];
}

/** The tags by which a manifest may be asked for; undefined stands for its digest. */
export function tagsOf(
  governed: readonly Governed[],
  tag: string | undefined,
): readonly (string | undefined)[] {
  return tag === undefined ? [undefined, ...governed.map(({ image }) => image.reference?.tag)] : [tag];
}

export async function accompaniesBy(
  tags: readonly (string | undefined)[],
  { descriptor, manifest }: ManifestNode,
  read: ReadManifestBytes,
): Promise<boolean> {
  if (manifest === undefined) return false;
  for (const tag of new Set(tags)) {
    try {
      if (await accompanies(descriptor, tag, read)) return true;
    } catch (error) {
      // An index with an unreadable part counts as an image.
      if (!isLandfallError(error) || error.code === 'ABORTED') throw error;
    }
  }
  return false;
}

/** Whether a name is a tag of a repository. What was verified in a file may be called something else. */
function isTagIn(repository: string, name: string): boolean {
  if (!name.startsWith(`${repository}:`)) return false;
  try {
    const reference = parseReference(name);
    if (reference.digest !== undefined || reference.tag === undefined) return false;
    return formatReference(reference) === name && repositoryName(reference) === repository;
  } catch {
    return false;
  }
}
