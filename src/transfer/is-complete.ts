import type { BlobProvider } from '../content/index.js';
import { readManifest } from '../engine/read-document.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  type ImageIndex,
  isIndexType,
  isManifestType,
  LIMITS,
} from '../spec/index.js';
import type { SelectedEntries } from './select-platforms.js';

export interface IsCompleteOptions {
  readonly select: (target: Descriptor, index: ImageIndex, depth: number) => Promise<SelectedEntries>;
  /** How deep it lies in indexes. Default 0. */
  readonly depth?: number;
}

/**
 * Whether all that a descriptor stands for is there, as far as it was chosen. Documents are read and verified, other blobs are
 * looked for by their size only.
 *
 * Errors: INVALID_MANIFEST and the like, DIGEST_MISMATCH, FILESYSTEM, and those of `select`.
 */
export async function isComplete(
  blobs: Pick<BlobProvider, 'info' | 'open'>,
  descriptor: Descriptor,
  options: IsCompleteOptions,
): Promise<boolean> {
  return await looksComplete(blobs, descriptor, { ...options, known: new Set() });
}

async function looksComplete(
  blobs: Pick<BlobProvider, 'info' | 'open'>,
  descriptor: Descriptor,
  options: IsCompleteOptions & { readonly known: Set<Digest> },
): Promise<boolean> {
  const { select, depth = 0, known } = options;
  // Once is enough: indexes that list one another over and over would be looked at for ever.
  if (known.has(descriptor.digest)) return true;
  const info = await blobs.info(descriptor.digest);
  if (info?.size !== descriptor.size) return false;
  const { mediaType } = descriptor;
  if (!isIndexType(mediaType) && !isManifestType(mediaType)) return true;
  if (depth > LIMITS.indexDepth) return false;
  const document = await readManifest(blobs, descriptor);
  const parts =
    document.kind === 'index' ? (await select(descriptor, document, depth)).kept : childrenOf(document);
  for (const part of parts) {
    if (!(await looksComplete(blobs, part, { ...options, depth: depth + 1 }))) return false;
  }
  known.add(descriptor.digest);
  return true;
}
