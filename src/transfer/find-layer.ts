import type { BlobProvider } from '../content/index.js';
import { type ImageLayer, imageLayers } from '../engine/images/image.js';
import { readConfig, readManifest } from '../engine/images/read-manifest.js';
import { isLandfallError } from '../errors.js';
import {
  type Descriptor,
  type Digest,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
} from '../spec/index.js';

/**
 * The layer of an image that has a digest, or a diffId, whatever platform it is for; undefined where no
 * manifest that can be read has it. Errors: those of reading manifests, BLOB_NOT_FOUND not among them.
 */
export async function findLayer(
  content: BlobProvider,
  target: Descriptor,
  digest: Digest,
): Promise<ImageLayer | undefined> {
  return await layerBelow(content, target, { digest, depth: 0, seen: new Set() });
}

interface LayerSearch {
  /** Of the layer, or its diffId. */
  readonly digest: Digest;
  readonly depth: number;
  /** Manifests in which it is not. */
  readonly seen: Set<Digest>;
}

async function layerBelow(
  content: BlobProvider,
  target: Descriptor,
  { digest, depth, seen }: LayerSearch,
): Promise<ImageLayer | undefined> {
  const { mediaType } = target;
  const isManifestOrIndex = isIndexType(mediaType) || isManifestType(mediaType);
  // A few indexes that each list the next one many times would otherwise be read without an end.
  if (!isManifestOrIndex || depth > LIMITS.indexDepth || seen.has(target.digest)) return undefined;
  seen.add(target.digest);
  const manifest = await unlessAbsent(readManifest(content, target));
  if (manifest?.kind === 'index') {
    for (const child of manifest.manifests) {
      const found = await layerBelow(content, child, { digest, depth: depth + 1, seen });
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (manifest === undefined || !isConfigType(manifest.config.mediaType)) return undefined;
  const config = await unlessAbsent(readConfig(content, manifest.config));
  if (config?.rootfs.diff_ids.length !== manifest.layers.length) return undefined;
  return imageLayers(manifest, config).find(
    ({ descriptor, diffId }) => descriptor.digest === digest || diffId === digest,
  );
}

/** Of an image often only some platforms are here. */
async function unlessAbsent<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (isLandfallError(error) && error.code === 'BLOB_NOT_FOUND') return undefined;
    throw error;
  }
}
