import {
  type BlobProvider,
  blobsAmong,
  type CatalogImage,
  dropBlobs,
  dropUnreachableDiscarded,
  forgetVerifications,
  referencedBlobs,
  referencedChains,
  type ImageRecord,
  type Lease,
  onReserve,
  reachedBy,
  removeBlobFiles,
  type SweptBlob,
} from '../../content/index.js';
import { type Abortable, ContentError, LandfallError, SpecError, throwIfAborted } from '../../errors.js';
import type { Transaction } from '../../metadata/index.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  encodedOf,
  familiarReference,
  formatReference,
  isConfigType,
  isDigest,
  isIndexType,
  isManifestType,
  isVerifiable,
  LIMITS,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import type { SweptSnapshots } from '../../unpack/index.js';
import type { Store, StoreParts } from '../store.js';
import { noteDiscarded } from './layer-blobs.js';
import { loadImage, recordManifests } from './image.js';
import { readManifest } from './read-manifest.js';

/**
 * Gives an image one more name, or moves a name to it.
 *
 * @param source any name of the image, as a person would write it
 * @param name the new one
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE (also for a name with another digest, which only a pull can vouch
 *   for)
 * - {@link LandfallError} ABORTED, before the name is given
 */
export async function tagImage(
  store: Store,
  source: string,
  name: string,
  { signal }: Abortable = {},
): Promise<ImageRecord> {
  throwIfAborted(signal);
  const reference = parseReference(name, { defaultTag: true });
  await using lease = await store.leases.create();
  await lease.addBlob((await resolveImage(store, source)).target.digest);
  // Looked for again now that it is leased: its last name may have gone in between, and all that it held.
  const { name: known, target, discardLayers } = await resolveImage(store, source);
  if (reference.digest !== undefined && reference.digest !== target.digest) {
    throw new SpecError(
      'INVALID_REFERENCE',
      `${JSON.stringify(name)} names another digest than ${target.digest}`,
      { hint: 'Leave the digest out of the new name.' },
    );
  }
  await copyManifests(store, target, { lease, source: repositoryName(parseReference(known)) });
  await recordManifests(store, target);
  throwIfAborted(signal);
  return await store.images.put({ name: formatReference(reference), target, discardLayers });
}

/**
 * Copies the manifests of an image that lies in an additional store, before the main store gives it a name.
 * Layers stay where they are, and those that it goes without are noted.
 *
 * @param lease - holds what is copied until it has a name
 * @param source - `registry/repository` of the image, as far as its name says it
 */
async function copyManifests(
  store: Store,
  target: Descriptor,
  { lease, source }: { readonly lease: Lease; readonly source: string },
): Promise<void> {
  if (store.additional.length === 0) return;
  for await (const manifest of manifestsPresent(store.content, target)) {
    await lease.addBlob(manifest.digest);
    // What is here needs no writer; asking for one is what copies it.
    await (await store.content.ingest(manifest))?.discard();
    if (!isManifestType(manifest.mediaType)) continue;
    await noteDiscarded(store, childrenOf(await readManifest(store.content, manifest)), source);
  }
}

/** Indexes, manifests and configs from a target down, as far as they are here. */
async function* manifestsPresent(
  content: BlobProvider,
  descriptor: Descriptor,
  depth = 0,
): AsyncGenerator<Descriptor> {
  const { digest, mediaType } = descriptor;
  const lists = isIndexType(mediaType) || isManifestType(mediaType);
  if (!lists && !isConfigType(mediaType)) return;
  if (depth > LIMITS.indexDepth + 1 || (await content.info(digest)) === undefined) return;
  yield descriptor;
  if (!lists) return;
  for (const child of childrenOf(await readManifest(content, descriptor))) {
    yield* manifestsPresent(content, child, depth + 1);
  }
}

/**
 * Keeps an image from being collected for not being used, or no longer does: then the pins that daemons set
 * for its name go too, until a daemon that runs with them sets them again. A pinned image goes only when it
 * is removed by its name.
 *
 * @param name as a person would write it: a reference, a digest, an image ID
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE
 * - {@link LandfallError} UNSUPPORTED (only an additional store has it), ABORTED
 */
export async function pinImage(
  store: Store,
  name: string,
  pinned: boolean,
  { signal }: Abortable = {},
): Promise<ImageRecord> {
  throwIfAborted(signal);
  const image = await resolveOwnImage(store, name);
  const record = await store.images.pin(image.name, pinned);
  if (!pinned) await store.daemonPins.remove(image.name);
  if (record !== undefined) {
    const pinnedBy = await store.daemonPins.of();
    return { ...record, pinned: record.pinned || pinnedBy(record.name).length > 0 };
  }
  throw new ContentError('BLOB_NOT_FOUND', `the image ${image.name} was removed meanwhile`);
}

/**
 * Sets labels of a name, which `images --filter label=` finds; those with null go, and others stay.
 *
 * @param name as a person would write it: a reference, a digest, an image ID
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE
 * - {@link LandfallError} UNSUPPORTED (only an additional store has it), ABORTED
 */
export async function labelImage(
  store: Store,
  name: string,
  changes: Readonly<Record<string, string | null>>,
  { signal }: Abortable = {},
): Promise<ImageRecord> {
  throwIfAborted(signal);
  const image = await resolveOwnImage(store, name);
  const record = await store.images.label(image.name, changes);
  if (record !== undefined) return record;
  throw new ContentError('BLOB_NOT_FOUND', `the image ${image.name} was removed meanwhile`);
}

/** What {@link removeImage} has removed. */
export interface RemovedImage {
  /** Canonical. */
  readonly name: string;
  /** What the name stood for. */
  readonly digest: Digest;
  /** Bytes that only this image used. */
  readonly freed: number;
}

/**
 * Removes a name from the store, and with the last name of an image what only that image used; pinned or
 * not. It looks at what this image reaches and at nothing else, so it takes as long in a large store as in
 * a small one.
 *
 * The name goes in one transaction, after which it is not aborted any more, so that what has begun to go is
 * gone.
 *
 * @param name as a person would write it: a reference, a digest, an image ID
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE
 * - {@link LandfallError} UNSUPPORTED (only an additional store has it), ABORTED
 */
export async function removeImage(
  store: Store,
  name: string,
  { signal }: Abortable = {},
): Promise<RemovedImage> {
  throwIfAborted(signal);
  const image = await resolveOwnImage(store, name);
  const { digest } = image.target;
  // Whose process is dead holds nothing; where that cannot be written, it is left to the next collection.
  await store.leases.sweep().catch(() => undefined);
  // So is what cannot be read of a damaged image.
  await recordManifests(store, image.target).catch(() => undefined);
  throwIfAborted(signal);
  const { blobs, snapshots } = await onReserve(store.root, () =>
    store.images.deleteWithin(async (transaction, drop) => {
      await drop(image.name);
      return await sweepTarget(store, transaction, digest);
    }),
  );
  faultPoint('rmi:committed');
  const removed = await removeBlobFiles(
    store.root,
    store.database,
    blobs.map((blob) => blob.digest),
  );
  faultPoint('rmi:blobs-removed');
  const freed = removed.reduce((sum, { size }) => sum + size, await store.snapshotter.removeSwept(snapshots));
  return { name: image.name, digest, freed };
}

/** Decides what goes with a target, and takes it out of the database. */
async function sweepTarget(
  store: Store,
  transaction: Transaction,
  target: Digest,
): Promise<{ blobs: readonly SweptBlob[]; snapshots: SweptSnapshots }> {
  const reached = await reachedBy(transaction, target);
  const held = await referencedBlobs(transaction, reached.blobs);
  const unreferenced = [...reached.blobs].filter((digest) => !held.has(digest));
  const retained = await referencedChains(transaction, reached.chains);
  const snapshots = await store.snapshotter.sweep(transaction, { retained, among: [...reached.chains] });
  const gone = new Set(unreferenced);
  const blobs = await blobsAmong(transaction, unreferenced);
  await dropBlobs(transaction, blobs);
  await dropUnreachableDiscarded(transaction, (digest) => !gone.has(digest));
  for (const digest of unreferenced) await store.manifests.delete(digest, transaction);
  await forgetVerifications(transaction, unreferenced);
  faultPoint('rmi:decided');
  return { blobs, snapshots };
}

/**
 * Releases a snapshot that another program retains, and removes layers that are not needed any more: at once,
 * so that their space is free when this resolves. A chain that an image or a lease of the store needs stays.
 *
 * @returns bytes that were freed of layers; what only that program used is not counted
 * Errors: SNAPSHOT_NOT_FOUND, IN_USE (that program holds others on top of it).
 */
export async function releaseSnapshot(store: Store, name: string, retainedBy: string): Promise<number> {
  const { snapshotter, database, root } = store;
  const chains = await snapshotter.release(name, retainedBy);
  if (chains.length === 0) return 0;
  const swept = await onReserve(root, () =>
    database.transaction(async (transaction) => {
      const retained = await referencedChains(transaction, chains);
      return await snapshotter.sweep(transaction, { retained, among: chains });
    }),
  );
  return await snapshotter.removeSwept(swept);
}

/** Shortest abbreviation of an image ID that is looked up, in hexadecimal digits. */
const SHORTEST_IMAGE_ID = 4;

/**
 * Finds an image in the store, or in an additional one, by any name that a person would use: familiar or
 * canonical reference, target digest, image ID, or the beginning of one.
 *
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image)
 * - {@link SpecError} INVALID_REFERENCE (also for the beginning of several IDs)
 * - {@link LandfallError} ABORTED
 */
export async function resolveImage(
  store: Store,
  name: string,
  { signal }: Abortable = {},
): Promise<CatalogImage> {
  throwIfAborted(signal);
  const found = (await findByReference(store, name)) ?? (await findByImageId(store, name));
  if (found !== undefined) return found;
  throw new ContentError(
    'BLOB_NOT_FOUND',
    `there is no image ${JSON.stringify(name)} in the store at ${store.root}`,
    { hint: 'See `landfall images`, or pull it first.' },
  );
}

/**
 * The same for an image whose name is to be changed or removed: it must be the store's own.
 * Errors: also UNSUPPORTED (only an additional store has it).
 */
export async function resolveOwnImage(store: Store, name: string): Promise<ImageRecord> {
  const image = await resolveImage(store, name);
  if (image.additionalRoot === undefined) return image;
  throw new LandfallError(
    'UNSUPPORTED',
    `${image.name} is in the additional store at ${image.additionalRoot}, where nothing is changed`,
    {
      hint: 'Leave that store out of --additional-root and LANDFALL_ADDITIONAL_ROOTS to be without its images.',
      details: { name: image.name, path: image.additionalRoot },
    },
  );
}

async function findByReference(store: Store, name: string): Promise<CatalogImage | undefined> {
  if (isImageId(name)) return undefined;
  const reference = parseReference(name, { defaultTag: true });
  const exact = await store.catalog.get(formatReference(reference));
  if (exact !== undefined || reference.digest === undefined) return exact;
  // `name@digest` also means an image that was pulled by its tag and has this digest.
  for (const record of await ownFirst(store)) {
    if (record.target.digest !== reference.digest) continue;
    if (repositoryName(parseReference(record.name)) === repositoryName(reference)) return record;
  }
  return undefined;
}

/** All images; what can be changed comes before what cannot. */
async function ownFirst({ catalog }: Store): Promise<readonly CatalogImage[]> {
  const images = await catalog.list();
  const own = images.filter(({ additionalRoot }) => additionalRoot === undefined);
  return [...own, ...images.filter(({ additionalRoot }) => additionalRoot !== undefined)];
}

/** Whether a name can only be a digest, with or without its algorithm. */
export function isImageId(name: string): boolean {
  // `keep:me` has the form of a digest, but is a repository with a tag.
  return (isDigest(name) && isVerifiable(name)) || /^[0-9a-f]{64}$/.test(name);
}

/** The digits of a name that may be the beginning of an image ID; undefined for every other name. */
export function abbreviatedId(name: string): string | undefined {
  const digits = name.replace(/^sha256:/, '');
  return /^[0-9a-f]+$/.test(digits) && digits.length >= SHORTEST_IMAGE_ID ? digits : undefined;
}

/** Looks among targets and configs; an abbreviation must fit one image only. */
async function findByImageId(store: Store, name: string): Promise<CatalogImage | undefined> {
  const wanted = abbreviatedId(name);
  if (wanted === undefined) return undefined;
  const fits = (digest: Digest): boolean => digest === name || encodedOf(digest).startsWith(wanted);
  const found: CatalogImage[] = [];
  for (const record of await ownFirst(store)) {
    if (fits(record.target.digest) || fits(await imageIdOf(store.content, record.target))) found.push(record);
  }
  if (new Set(found.map((record) => record.target.digest)).size > 1) {
    throw new SpecError('INVALID_REFERENCE', `${JSON.stringify(name)} fits more than one image`, {
      hint: `Give more of it; it fits ${found.map((record) => familiarReference(parseReference(record.name))).join(', ')}.`,
    });
  }
  return found[0];
}

/** The config's digest of an image as it would be used here; the target's own where that cannot be read. */
async function imageIdOf(content: BlobProvider, target: Descriptor): Promise<Digest> {
  try {
    return (await loadImage(content, target)).imageId;
  } catch {
    return target.digest;
  }
}

/**
 * Notes that an image is being used, which is what `gc --unused-for` goes by. A store that cannot be
 * written now, or an additional one, is no reason for what uses the image to fail.
 */
export async function touchImage(store: Pick<StoreParts, 'images'>, name: string): Promise<void> {
  try {
    await store.images.touch(name);
  } catch (error) {
    if (!(error instanceof LandfallError)) throw error;
  }
}
