import {
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  isManifestType,
  LIMITS,
  referrerDescriptor,
} from '../../spec/index.js';
import type { BlobProvider } from '../store/content-store.js';
import { readManifestBlob } from './read-manifest.js';

/**
 * Finds what refers to a digest by reading: one manifest at a time, of which little more than the digests is
 * kept. What was read before is remembered, for a registry is asked about each image that is pulled.
 */
export class ReferrerFinder {
  readonly #blobs: BlobProvider;
  readonly #outlines = new OutlineCache();

  constructor(blobs: BlobProvider) {
    this.#blobs = blobs;
  }

  /**
   * The manifests and indexes that name `subject` as theirs, among what `targets` lead to, in the order of
   * their digests. What is absent, damaged or no manifest is passed over: it must not hide the others.
   */
  async find(targets: readonly Descriptor[], subject: Digest): Promise<Digest[]> {
    const referrers: Digest[] = [];
    const seen = new Set<Digest>();
    const waiting = targets.map(({ digest, mediaType }) => ({ digest, mediaType, depth: 0 }));
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { digest, mediaType, depth } = next;
      if (seen.has(digest) || depth > LIMITS.indexDepth) continue;
      seen.add(digest);
      if (!isIndexType(mediaType) && !isManifestType(mediaType)) continue;
      const outline = await this.#outline(digest, mediaType);
      if (outline?.subject === subject) referrers.push(digest);
      for (const child of outline?.children ?? []) waiting.push({ ...child, depth: depth + 1 });
    }
    return referrers.sort();
  }

  /**
   * How a list of referrers describes one (distribution-spec: Listing Referrers); undefined where its content
   * has gone. Its annotations and its type of artifact are its own, and so no longer than the manifest.
   */
  async describe(digest: Digest): Promise<Descriptor | undefined> {
    const found = await readManifestBlob(this.#blobs, digest);
    if (found === undefined) return undefined;
    const { manifest, size } = found;
    return referrerDescriptor({ digest, size }, manifest);
  }

  async #outline(digest: Digest, mediaType: string): Promise<Outline | undefined> {
    const known = this.#outlines.get(digest);
    // Under another type the same bytes may be no manifest.
    if (known?.mediaType === mediaType) return known;
    const manifest = (await readManifestBlob(this.#blobs, digest, mediaType))?.manifest;
    // What is not here may come.
    if (manifest === undefined) return undefined;
    const outline = outlineOf(manifest, mediaType);
    this.#outlines.add(digest, outline);
    return outline;
  }
}

function outlineOf(manifest: ImageManifest | ImageIndex, mediaType: string): Outline {
  const children = manifest.kind === 'index' ? manifest.manifests : [];
  return {
    mediaType,
    subject: manifest.subject?.digest,
    children: children.map((child) => ({ digest: child.digest, mediaType: child.mediaType })),
  };
}

/** What of a manifest says where referrers are: never what they are. */
export interface Outline {
  /** As which it was read. */
  readonly mediaType: string;
  readonly subject: Digest | undefined;
  /** The entries of an index. */
  readonly children: readonly { readonly digest: Digest; readonly mediaType: string }[];
}

/** In manifests and entries of indexes together, some 200 bytes each. */
const DEFAULT_CAPACITY = 50_000;

/** Outlines by digest, which never change. Beyond its capacity the oldest are forgotten. */
export class OutlineCache {
  readonly #capacity: number;
  readonly #outlines = new Map<Digest, Outline>();
  #weight = 0;

  constructor(capacity: number = DEFAULT_CAPACITY) {
    this.#capacity = capacity;
  }

  get(digest: Digest): Outline | undefined {
    return this.#outlines.get(digest);
  }

  add(digest: Digest, outline: Outline): void {
    this.#drop(digest);
    this.#outlines.set(digest, outline);
    this.#weight += weightOf(outline);
    for (const oldest of this.#outlines.keys()) {
      if (this.#weight <= this.#capacity) break;
      this.#drop(oldest);
    }
  }

  #drop(digest: Digest): void {
    const outline = this.#outlines.get(digest);
    if (outline === undefined) return;
    this.#outlines.delete(digest);
    this.#weight -= weightOf(outline);
  }
}

function weightOf({ children }: Outline): number {
  return 1 + children.length;
}
