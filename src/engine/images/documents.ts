import type { BlobProvider, DocumentFacts } from '../../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
  normalizePlatform,
  platformOf,
} from '../../spec/index.js';
import { imageLayers } from './image.js';
import { readConfig, readManifest } from './read-document.js';
import type { StoreParts } from '../store.js';

export interface RecordDocumentsOptions {
  /**
   * What becomes of a manifest below an index that is here without all that it lists: it was left by a pull that did not
   * end, unless its content was lost. `skip` says the former, and is the default.
   */
  readonly incomplete?: 'skip' | 'record';
}

/**
 * Records what the indexes and manifests from a target down say, as far as they are here. The target itself always is
 * recorded. Call it before a name is given to the target, while everything is leased.
 *
 * Errors: those of reading documents; of those below the target only where they are not damaged.
 */
export async function recordDocuments(
  store: Pick<StoreParts, 'content' | 'documents' | 'database'>,
  target: Descriptor,
  options: RecordDocumentsOptions = {},
): Promise<void> {
  const found: DocumentFacts[] = [];
  await survey(store, target, { found, incomplete: options.incomplete ?? 'skip', depth: 0 });
  await store.documents.put(found);
}

/**
 * Records the documents of images of which nothing is recorded. Returns the names of those whose target cannot be read, by
 * that target.
 */
export async function recordMissingDocuments(
  store: Pick<StoreParts, 'content' | 'documents' | 'database'>,
  o: Abortable = {},
): Promise<ReadonlyMap<Digest, string>> {
  const unreadable = new Map<Digest, string>();
  for (const { name, target } of await store.documents.unrecorded()) {
    throwIfAborted(o.signal);
    try {
      await recordDocuments(store, target);
      if ((await store.documents.get(target.digest)) === undefined) unreadable.set(target.digest, name);
    } catch (error) {
      if (!(error instanceof LandfallError)) throw error;
      unreadable.set(target.digest, name);
    }
  }
  return unreadable;
}

interface Survey {
  readonly found: DocumentFacts[];
  readonly incomplete: 'skip' | 'record';
  readonly depth: number;
}

async function survey(
  store: Pick<StoreParts, 'content' | 'documents' | 'database'>,
  descriptor: Descriptor,
  o: Survey,
): Promise<void> {
  const { digest, mediaType } = descriptor;
  const isIndex = isIndexType(mediaType);
  if (!isIndex && !isManifestType(mediaType)) return;
  if (o.depth > LIMITS.indexDepth || (await store.content.info(digest)) === undefined) return;
  const known = await store.documents.get(digest);
  if (!isIndex && known?.platform !== undefined) return;
  const document = await readManifest(store.content, descriptor);
  const below = o.depth > 0;
  if (document.kind === 'manifest') {
    if (below && o.incomplete === 'skip' && !(await isWhole(store, document))) return;
    o.found.push(await factsOfManifest(store.content, descriptor, document));
    return;
  }
  if (known === undefined) o.found.push(factsOf(descriptor, document));
  for (const child of document.manifests) {
    try {
      await survey(store, child, { ...o, depth: o.depth + 1 });
    } catch (error) {
      // One platform that is damaged is no reason to know nothing of the others.
      if (!(error instanceof LandfallError)) throw error;
    }
  }
}

/** Whether all that a manifest lists came once: it is here, or damaged, or was dropped on purpose. */
async function isWhole(
  { content, database }: Pick<StoreParts, 'content' | 'database'>,
  manifest: ImageManifest,
): Promise<boolean> {
  for (const { digest } of childrenOf(manifest)) {
    const came = await database.get(
      'SELECT 1 FROM blobs WHERE digest = ?1 UNION ALL SELECT 1 FROM discarded WHERE digest = ?1',
      [digest],
    );
    if (came === undefined && (await content.info(digest)) === undefined) return false;
  }
  return true;
}

function factsOf({ digest, mediaType }: Descriptor, document: ImageIndex | ImageManifest): DocumentFacts {
  const subject = document.subject?.digest;
  return {
    digest,
    mediaType,
    ...(subject === undefined ? {} : { subject }),
    children: childrenOf(document).map((child) => ({ digest: child.digest, size: child.size })),
    chainIds: [],
  };
}

async function factsOfManifest(
  content: BlobProvider,
  descriptor: Descriptor,
  manifest: ImageManifest,
): Promise<DocumentFacts> {
  const facts = factsOf(descriptor, manifest);
  const image = await imageFacts(content, manifest);
  return image === undefined ? facts : { ...facts, ...image };
}

/** What only an image manifest has, and only its config tells. Undefined for an artifact or an attestation. */
async function imageFacts(
  content: BlobProvider,
  manifest: ImageManifest,
): Promise<{ platform: string; imageId: Digest; chainIds: readonly Digest[] } | undefined> {
  if (!isConfigType(manifest.config.mediaType)) return undefined;
  if ((await content.info(manifest.config.digest)) === undefined) return undefined;
  try {
    const config = await readConfig(content, manifest.config);
    const platform = normalizePlatform(platformOf(config));
    // An attestation has a config of an image's type, but no platform that anything could run.
    if (platform.os === 'unknown' || platform.architecture === 'unknown') return undefined;
    return {
      platform: formatPlatform(platform),
      imageId: manifest.config.digest,
      chainIds: imageLayers(manifest, config).map(({ chainId }) => chainId),
    };
  } catch (error) {
    // Its blobs are known all the same.
    if (error instanceof LandfallError) return undefined;
    throw error;
  }
}
