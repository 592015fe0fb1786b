import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type ExpectedImage, listSnapshot, withoutUnpackTimes } from './expected-image.js';
import { landfallAt, type Place } from './mount-namespace.js';
import { type StoreTables, storeTables } from './store-tables.js';
import { listTree } from './tree-listing.js';

/**
 * What is wrong with what a store shows: empty where the store is sound. It is judged by the files themselves
 * and not by landfall's own checks, which have their say afterwards.
 *
 * @param expected all images that the store may hold
 */
export async function storeFaults(
  place: Place,
  root: string,
  expected: readonly ExpectedImage[],
): Promise<string[]> {
  // First: opening the store mends an index that is behind the database, and at no moment may it be
  // unreadable.
  const faults = await indexFaults(place.reach(root));
  const images = await landfallAt(place, ['--root', root, 'images']);
  // Nothing had been put there when the store was still being made.
  if (images.code === 2 && images.stderr.includes('there is no store')) return faults;
  if (images.code !== 0) return [...faults, `images exits with ${images.code}: ${images.stderr}`];
  const tables = await storeTables(place, root);
  faults.push(...(await blobFaults(place.reach(root), tables)));
  faults.push(...(await chainFaults(place.reach(root), tables, expected)));
  for (const { name, digest } of tables.images) {
    const image = expected.find((one) => one.name === name && one.layout.target.digest === digest);
    if (image === undefined) faults.push(`the image ${name} is not one that was pulled`);
    else faults.push(...missingOf(tables, image));
  }
  const check = await landfallAt(place, ['--root', root, 'fsck']);
  if (check.code !== 0) faults.push(`fsck exits with ${check.code}: ${check.stdout}${check.stderr}`);
  const listed = await indexNames(place.reach(root));
  if (JSON.stringify(listed) !== JSON.stringify(tables.images.map(({ name }) => name))) {
    faults.push(`index.json names ${listed.join(' ')} after the store was opened`);
  }
  return faults;
}

/** What is wrong with an image as it is mounted. */
export async function mountFaults(
  place: Place,
  root: string,
  image: ExpectedImage,
  target: string,
): Promise<string[]> {
  await mkdir(place.reach(target), { recursive: true });
  const mounted = await landfallAt(place, ['--root', root, 'mount', image.name, target]);
  if (mounted.code !== 0) return [`${image.name} cannot be mounted: ${mounted.stderr}`];
  try {
    return difference(
      image.tree,
      withoutUnpackTimes(await listTree(place.reach(target))),
      `${image.name}, mounted`,
    );
  } finally {
    await landfallAt(place, ['--root', root, 'umount', target]);
  }
}

/**
 * What lies in a store and is of no use to it, once everything has ended and was collected.
 *
 * @param images all that it has
 */
export async function leftovers(
  place: Place,
  root: string,
  images: readonly ExpectedImage[],
): Promise<string[]> {
  const tables = await storeTables(place, root);
  const names = (directory: string): Promise<string[]> => readdir(place.reach(join(root, directory)));
  const digests = new Set(images.flatMap(({ layout }) => [...layout.blobs.keys()]).map(hexOf));
  const chains = new Set(images.flatMap((image) => [...image.chains.keys()]));
  const numbers = new Set(tables.snapshots.map(({ number }) => `${number}`));
  return [
    ...(await names('.')).filter((name) => !ROOT_NAMES.has(name)).map((name) => `${name} in the root`),
    ...(await names('ingest')).map((name) => `ingest/${name}`),
    ...(await names('blobs')).filter((name) => name !== 'sha256').map((name) => `blobs/${name}`),
    ...(await names('blobs/sha256')).filter((name) => !digests.has(name)).map((name) => `the blob ${name}`),
    ...(await names('snapshots')).filter((name) => !numbers.has(name)).map((name) => `snapshots/${name}`),
    ...tables.blobs
      .map(({ digest }) => hexOf(digest))
      .filter((hex) => !digests.has(hex))
      .map((hex) => `a row of the blob ${hex}`),
    ...tables.chains
      .filter(({ chainId }) => !chains.has(chainId))
      .map(({ chainId }) => `the chain ${chainId}`),
    ...tables.snapshots
      .filter(({ number }) => !tables.chains.some((chain) => chain.number === number))
      .map(({ name, kind }) => `the ${kind} snapshot ${name}`),
  ];
}

/** What a store that is closed has at its top. */
const ROOT_NAMES: ReadonlySet<string> = new Set([
  'oci-layout',
  'index.json',
  'metadata.db',
  'blobs',
  'ingest',
  'snapshots',
  'reserve',
]);

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}

async function indexFaults(root: string): Promise<string[]> {
  try {
    // A store that was being made has none yet.
    if ((await readdir(root)).includes('index.json')) await indexNames(root);
    return [];
  } catch (error) {
    return [`index.json cannot be read: ${String(error)}`];
  }
}

async function indexNames(root: string): Promise<string[]> {
  const index = JSON.parse(await readFile(join(root, 'index.json'), 'utf8')) as {
    manifests: { annotations: Record<string, string> }[];
  };
  return index.manifests
    .map(({ annotations }) => annotations['org.opencontainers.image.ref.name'] ?? '')
    .sort();
}

/** Whoever has a row is there, and whoever is there is what its name says, with a row or without. */
export async function blobFaults(root: string, tables: StoreTables): Promise<string[]> {
  const directory = join(root, 'blobs/sha256');
  const sizes = new Map<string, number>();
  const faults: string[] = [];
  for (const name of await readdir(directory)) {
    const bytes = await readFile(join(directory, name));
    sizes.set(`sha256:${name}`, bytes.length);
    if (createHash('sha256').update(bytes).digest('hex') !== name) faults.push(`the blob ${name} is damaged`);
  }
  for (const { digest, size } of tables.blobs) {
    const found = sizes.get(digest);
    if (found !== size) faults.push(`the blob ${digest} has ${found ?? 'no'} bytes, not ${size}`);
  }
  return faults;
}

async function chainFaults(
  root: string,
  tables: StoreTables,
  expected: readonly ExpectedImage[],
): Promise<string[]> {
  const faults: string[] = [];
  for (const { chainId, number } of tables.chains) {
    const wanted = expected.map(({ chains }) => chains.get(chainId)).find((listing) => listing !== undefined);
    if (wanted === undefined) faults.push(`the chain ${chainId} is of no image that was pulled`);
    else {
      const found = await listSnapshot(join(root, 'snapshots', `${number}`)).catch((error: unknown) => [
        String(error),
      ]);
      faults.push(...difference(wanted, found, `the snapshot ${number}`));
    }
  }
  return faults;
}

/** Blobs of an image that have no row, and were not dropped on purpose either. */
export function missingBlobs(tables: StoreTables, { name, layout }: ExpectedImage): string[] {
  const blobs = new Set([...tables.blobs.map(({ digest }) => digest), ...tables.discarded]);
  return [...layout.blobs.keys()]
    .filter((digest) => !blobs.has(digest))
    .map((digest) => `${name} lacks the blob ${digest}`);
}

function missingOf(tables: StoreTables, image: ExpectedImage): string[] {
  const { name, chains } = image;
  const unpacked = new Set(tables.chains.map(({ chainId }) => chainId));
  return [
    ...missingBlobs(tables, image),
    ...[...chains.keys()]
      .filter((chain) => !unpacked.has(chain))
      .map((chain) => `${name} lacks the chain ${chain}`),
  ];
}

/** The first few lines that only one of two listings has. */
function difference(wanted: readonly string[], found: readonly string[], what: string): string[] {
  const [before, after] = [new Set(wanted), new Set(found)];
  const lines = [
    ...wanted.filter((line) => !after.has(line)).map((line) => `lacks ${line}`),
    ...found.filter((line) => !before.has(line)).map((line) => `has ${line}`),
  ];
  return lines.slice(0, 5).map((line) => `${what} ${line}`);
}
