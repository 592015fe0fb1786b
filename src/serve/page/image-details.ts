import { buffer } from 'node:stream/consumers';

import type { BlobProvider } from '../../content/index.js';
import { readDocument } from '../../content/read-document.js';
import { isLandfallError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageConfig,
  type ImageManifest,
  isConfigType,
  LIMITS,
  parseImageConfig,
  platformOf,
} from '../../spec/index.js';

/** One manifest below an image's name, as far as it is here. */
export interface ManifestDetails {
  readonly digest: Digest;
  /** As text; undefined for what is no image that could run. */
  readonly platform: string | undefined;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig | undefined;
}

/** So many manifests are read for a page. */
const MOST_MANIFESTS = 64;

/** Reads the manifests below a target that are here, in the order of the index, and their configs; no layers. */
export async function readDetails(
  blobs: BlobProvider,
  target: Descriptor,
): Promise<readonly ManifestDetails[]> {
  const found: ManifestDetails[] = [];
  await collect(blobs, target.digest, { found, depth: 0, mediaType: target.mediaType });
  return found;
}

async function collect(
  blobs: BlobProvider,
  digest: Digest,
  o: { readonly found: ManifestDetails[]; readonly depth: number; readonly mediaType?: string },
): Promise<void> {
  if (o.depth > LIMITS.indexDepth || o.found.length >= MOST_MANIFESTS) return;
  const document = (await readDocument(blobs, digest, o.mediaType))?.document;
  if (document === undefined) return;
  if (document.kind === 'index') {
    for (const child of document.manifests) {
      await collect(blobs, child.digest, { ...o, depth: o.depth + 1, mediaType: child.mediaType });
    }
    return;
  }
  const config = await readConfig(blobs, document.config);
  const platform = config === undefined ? undefined : platformOf(config);
  const runs = platform !== undefined && platform.os !== '' && platform.os !== 'unknown';
  o.found.push({ digest, platform: runs ? formatPlatform(platform) : undefined, manifest: document, config });
}

/** Undefined where it is not here, or is not an image's. */
async function readConfig(blobs: BlobProvider, config: Descriptor): Promise<ImageConfig | undefined> {
  if (!isConfigType(config.mediaType) || config.size > LIMITS.configBytes) return undefined;
  try {
    if ((await blobs.info(config.digest)) === undefined) return undefined;
    return parseImageConfig(await buffer(await blobs.open(config)));
  } catch (error) {
    if (isLandfallError(error)) return undefined;
    throw error;
  }
}
