import type { CatalogImage } from '../content/index.js';
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
  readonly mediaType: string;
  /** The config's digest, where one platform only is here. */
  readonly imageId?: Digest;
  /** The platforms that are here, as text. */
  readonly platforms: readonly string[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly usedAt: Date;
  readonly labels: Readonly<Record<string, string>>;
  readonly pinned: boolean;
  /** The root of the additional store that has the name, where it is not the store's own. */
  readonly additionalRoot?: string;
}

/**
 * Every image that can be used, by name, those of additional stores included. One that is damaged is listed too, with what is
 * known of it.
 */
export async function listImages(store: Store): Promise<readonly ImageSummary[]> {
  await recordMissingDocuments(store);
  await store.snapshotter.measure();
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
