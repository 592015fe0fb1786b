import type { BlobProvider, CatalogImage, ImageRecord } from '../../content/index.js';
import { type Abortable, ContentError, LandfallError, SpecError, throwIfAborted } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  encodedOf,
  familiarReference,
  formatReference,
  isDigest,
  isVerifiable,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { loadImage } from './image.js';
import type { Store, StoreParts } from '../store.js';

/** Shortest abbreviation of an image ID that is looked up, in hexadecimal digits. */
const SHORTEST_IMAGE_ID = 4;

/**
 * Finds an image in the store, or in an additional one, by any name that a person would use: familiar or canonical
 * reference, target digest, image ID, or the beginning of one.
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
    {
      hint: 'See `landfall images`, or pull it first.',
    },
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

function isImageId(name: string): boolean {
  // `keep:me` is a digest of some algorithm by its form, and a repository with a tag to everybody.
  return (isDigest(name) && isVerifiable(name)) || /^[0-9a-f]{64}$/.test(name);
}

/** Looks among targets and configs; an abbreviation must fit one image only. */
async function findByImageId(store: Store, name: string): Promise<CatalogImage | undefined> {
  const wanted = name.replace(/^sha256:/, '');
  if (!/^[0-9a-f]+$/.test(wanted) || wanted.length < SHORTEST_IMAGE_ID) return undefined;
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
 * Notes that an image is being used, which is what `gc --unused-for` goes by. A store that cannot be written now, or an
 * additional one, is no reason for what uses the image to fail.
 */
export async function touchImage(store: Pick<StoreParts, 'images'>, name: string): Promise<void> {
  try {
    await store.images.touch(name);
  } catch (error) {
    if (!(error instanceof LandfallError)) throw error;
  }
}
