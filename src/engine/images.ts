import type { CatalogImage } from '../content/index.js';
import { type Abortable, throwIfAborted } from '../errors.js';
import type { Digest } from '../spec/index.js';
import { recordMissingDocuments } from './documents.js';
import { type ImageSizes, surveyTargets, type TargetFacts } from './image-sizes.js';
import type { Store } from './store.js';

/** An image, with what it takes in the store that has its name. Names of one target are one image there. */
export interface ImageSummary extends ImageSizes {
  /** Canonical. */
  readonly name: string;
  /** Of the target. */
  readonly digest: Digest;
  /** Of the target: an index, or a manifest. */
  readonly mediaType: string;
  /** The config's digest, where one platform only is here. */
  readonly imageId?: Digest;
  /** The platforms that are here, as text. */
  readonly platforms: readonly string[];
  /** When the name was first given. */
  readonly createdAt: Date;
  /** When the name was last given a target, or other labels. */
  readonly updatedAt: Date;
  /** When somebody last pulled, mounted or unpacked it. */
  readonly usedAt: Date;
  /** What users and other programs attached to it. */
  readonly labels: Readonly<Record<string, string>>;
  /** Never collected for being unused. */
  readonly pinned: boolean;
  /** The root of the additional store that has the name, where it is not the store's own. */
  readonly additionalRoot?: string;
}

/**
 * Every image that can be used, by name, those of additional stores included. One that is damaged is listed too, with what is
 * known of it. Layers that were unpacked since the last time are measured first, which may take a while.
 *
 * @returns the images, in order of their names; sizes are in bytes
 * @throws {@link ContentError} FILESYSTEM, STORE_CORRUPT; {@link LandfallError} ABORTED
 */
export async function listImages(store: Store, { signal }: Abortable = {}): Promise<readonly ImageSummary[]> {
  throwIfAborted(signal);
  await recordMissingDocuments(store, { signal });
  await store.snapshotter.measure({ signal });
  const stores = [{ root: undefined, database: store.database }, ...store.additional];
  const [images, ...surveys] = await Promise.all([
    store.catalog.list(),
    ...stores.map(async ({ root, database }) => [root, await surveyTargets(database)] as const),
  ]);
  const facts = new Map<string | undefined, ReadonlyMap<Digest, TargetFacts>>(surveys);
  return images.map((image) => summaryOf(image, facts.get(image.additionalRoot)?.get(image.target.digest)));
}

function summaryOf(image: CatalogImage, facts: TargetFacts | undefined): ImageSummary {
  const { name, target, createdAt, updatedAt, usedAt, labels, pinned, additionalRoot } = image;
  const { platforms = [], imageIds = [], ...sizes } = facts ?? {};
  const [imageId] = imageIds;
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    ...(imageId === undefined || imageIds.length > 1 ? {} : { imageId }),
    platforms,
    ...{ ...NOTHING, ...sizes },
    createdAt,
    updatedAt,
    usedAt,
    labels,
    pinned,
    ...(additionalRoot === undefined ? {} : { additionalRoot }),
  };
}

const NOTHING: ImageSizes = { size: 0, snapshotSize: 0, shared: 0, unique: 0 };
