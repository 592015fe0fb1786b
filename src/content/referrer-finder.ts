import type { BlobProvider } from './content-store.js';
import {
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  isManifestType,
  LIMITS,
  referrerDescriptor,
} from '../spec/index.js';
import { type Outline, OutlineCache } from './outline-cache.js';
import { readDocument } from './read-document.js';

/**
 * Finds what refers to a digest by reading: one document at a time, of which little more than the digests is kept. What was
 * read before is remembered, for a registry is asked about each image that is pulled.
 */
export class ReferrerFinder {
  readonly #blobs: BlobProvider;
  readonly #outlines = new OutlineCache();

  constructor(blobs: BlobProvider) {
    this.#blobs = blobs;
  }

  /**
   * The manifests and indexes that name `subject` as theirs, among what `targets` lead to, in the order of their digests.
   * What is absent, damaged or no document is passed over: it must not hide the others.
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
   * How a list of referrers describes one (distribution-spec: Listing Referrers); undefined where its content has gone.
   * Its annotations and its type of artifact are its own, and so no longer than the document.
   */
  async describe(digest: Digest): Promise<Descriptor | undefined> {
    const found = await readDocument(this.#blobs, digest);
    if (found === undefined) return undefined;
    const { document, size } = found;
    return referrerDescriptor({ digest, size }, document);
  }

  async #outline(digest: Digest, mediaType: string): Promise<Outline | undefined> {
    const known = this.#outlines.get(digest);
    // Under another type the same bytes may be no document.
    if (known?.mediaType === mediaType) return known;
    const document = (await readDocument(this.#blobs, digest, mediaType))?.document;
    // What is not here may come.
    if (document === undefined) return undefined;
    const outline = outlineOf(document, mediaType);
    this.#outlines.add(digest, outline);
    return outline;
  }
}

function outlineOf(document: ImageManifest | ImageIndex, mediaType: string): Outline {
  const children = document.kind === 'index' ? document.manifests : [];
  return {
    mediaType,
    subject: document.subject?.digest,
    children: children.map((child) => ({ digest: child.digest, mediaType: child.mediaType })),
  };
}
