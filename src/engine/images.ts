import type { BlobProvider, ImageRecord } from '../content/index.js';
import { LandfallError } from '../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  formatPlatform,
  isIndexType,
  isManifestType,
  LIMITS,
} from '../spec/index.js';
import { type LocalManifest, manifestsHere } from './image.js';
import { readManifest } from './read-document.js';
import type { Store } from './store.js';

export interface ImageSummary {
  /** Canonical. */
  readonly name: string;
  /** Of the target. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** The config's digest, where one platform only is here. */
  readonly imageId?: Digest;
  /** The platforms that are here, as text. */
  readonly platforms: readonly string[];
  /** Bytes of its blobs that are here. */
  readonly size: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly usedAt: Date;
  readonly labels: Readonly<Record<string, string>>;
}

/** Every image of the store, by name. */
export async function listImages(store: Store): Promise<readonly ImageSummary[]> {
  const summaries: ImageSummary[] = [];
  for (const record of await store.images.list()) summaries.push(await summarise(store, record));
  return summaries;
}

async function summarise({ content }: Store, record: ImageRecord): Promise<ImageSummary> {
  const { name, target, createdAt, updatedAt, usedAt, labels } = record;
  const { manifests, size } = await survey(content, target);
  const only = manifests.length === 1 ? manifests[0] : undefined;
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    ...(only === undefined ? {} : { imageId: only.manifest.config.digest }),
    platforms: manifests.map(({ platform }) => formatPlatform(platform)),
    size,
    createdAt,
    updatedAt,
    usedAt,
    labels,
  };
}

/** What of an image is here. One that is damaged is still listed, with what could be read of it. */
async function survey(
  content: BlobProvider,
  target: Descriptor,
): Promise<{ manifests: readonly LocalManifest[]; size: number }> {
  let size = 0;
  try {
    for await (const blob of reachableBlobs(content, target)) size += blob.size;
    return { manifests: await manifestsHere(content, target), size };
  } catch (error) {
    if (error instanceof LandfallError) return { manifests: [], size };
    throw error;
  }
}

/** Every blob below a descriptor that is here, itself included, each once; what is absent is passed over. */
export async function* reachableBlobs(
  content: BlobProvider,
  target: Descriptor,
  seen: Set<Digest> = new Set<Digest>(),
  depth = 0,
): AsyncGenerator<Descriptor> {
  if (seen.has(target.digest) || depth > LIMITS.indexDepth + 1) return;
  seen.add(target.digest);
  if ((await content.info(target.digest)) === undefined) return;
  yield target;
  if (!isIndexType(target.mediaType) && !isManifestType(target.mediaType)) return;
  for (const child of childrenOf(await readManifest(content, target))) {
    yield* reachableBlobs(content, child, seen, depth + 1);
  }
}
