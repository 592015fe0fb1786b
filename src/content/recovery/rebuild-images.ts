import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { LandfallError } from '../../errors.js';
import {
  corruptDatabase,
  type DamagedDatabase,
  type MetadataDatabase,
  type Row,
  textOf,
} from '../../metadata/index.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  parseDescriptor,
  parseJson,
  parseReference,
} from '../../spec/index.js';
import { INDEX_FILE, REF_NAME, unlessMissing } from '../store/layout-files.js';
import { type ImageRecord, recordOf } from '../images/images.js';
import { markIndexStale } from '../images/render-index.js';

export interface NamedTarget {
  readonly name: string;
  readonly digest: Digest;
}

export interface RebuiltImages {
  readonly images: readonly ImageRecord[];
  /** Names whose target is not whole. */
  readonly lost: readonly NamedTarget[];
  /** Whether labels, pins and times of use are known. */
  readonly complete: boolean;
  /** What is wrong with `index.json`; undefined where it could be read. */
  readonly indexFault: string | undefined;
}

/** Room for the names of some 100,000 images. */
const INDEX_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Records the images that `index.json` or the old database names and whose targets are whole. The latter is
 * the better witness where both can be read: it has the whole descriptor, and the index is made from it.
 */
export async function rebuildImages(
  root: string,
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
): Promise<RebuiltImages> {
  const known = await old?.read('images', 'name', imageOf);
  const index = await readIndex(root);
  const candidates = new Map<string, ImageRecord[]>();
  const now = new Date();
  const fromIndex = index.entries.map(({ name, target }): ImageRecord => {
    const times = { createdAt: now, updatedAt: now, usedAt: now };
    return { name, target, ...times, labels: {}, pinned: false, discardLayers: false };
  });
  for (const image of [...(known?.values ?? []), ...fromIndex]) {
    candidates.set(image.name, [...(candidates.get(image.name) ?? []), image]);
  }
  const images: ImageRecord[] = [];
  const lost: NamedTarget[] = [];
  for (const [name, [first, ...others]] of [...candidates].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (first === undefined) continue;
    const image = await firstWhole(database, [first, ...others]);
    if (image === undefined) lost.push({ name, digest: first.target.digest });
    else images.push(image);
  }
  await record(database, images);
  const pins = await takePins(database, old);
  if (index.fault !== undefined) await keepIndex(root);
  return { images, lost, complete: known?.complete === true && pins.complete, indexFault: index.fault };
}

async function readIndex(
  root: string,
): Promise<{ entries: readonly { name: string; target: Descriptor }[]; fault: string | undefined }> {
  const bytes = await unlessMissing(readFile(join(root, INDEX_FILE)));
  if (bytes === undefined) return { entries: [], fault: 'is missing' };
  try {
    const index = parseJson(bytes, INDEX_FILE, INDEX_MAX_BYTES);
    const manifests =
      typeof index === 'object' && index !== null && 'manifests' in index ? index.manifests : undefined;
    if (!Array.isArray(manifests)) return { entries: [], fault: 'lists nothing' };
    const entries = manifests.map(parseEntry);
    const read = entries.filter((entry) => entry !== undefined);
    return { entries: read, fault: read.length === entries.length ? undefined : 'is damaged in part' };
  } catch (error) {
    if (error instanceof LandfallError) return { entries: [], fault: 'is damaged' };
    throw error;
  }
}

/**
 * It is written anew once the database is there, and what a person may read of it must not be lost by that.
 */
async function keepIndex(root: string): Promise<void> {
  const time = new Date().toISOString().replaceAll(/[-:]/g, '');
  const index = join(root, INDEX_FILE);
  await unlessMissing(copyFile(index, `${index}.damaged-${time}`));
}

/** Undefined for what landfall did not write. */
function parseEntry(value: unknown): { name: string; target: Descriptor } | undefined {
  try {
    const { annotations, ...target } = parseDescriptor(value, INDEX_FILE);
    const name = annotations?.[REF_NAME];
    return name !== undefined && isCanonical(name) ? { name, target } : undefined;
  } catch (error) {
    if (error instanceof LandfallError) return undefined;
    throw error;
  }
}

/** A row whose parts do not fit each other is damaged, though the database does not know it. */
export function imageOf(row: Row): ImageRecord {
  const image = recordOf(row);
  if (isCanonical(image.name) && row['digest'] === image.target.digest) return image;
  throw corruptDatabase(image.name, 'has a row that makes no sense');
}

/** @throws SpecError INVALID_REFERENCE */
function isCanonical(name: string): boolean {
  return formatReference(parseReference(name)) === name;
}

async function firstWhole(
  database: MetadataDatabase,
  images: readonly ImageRecord[],
): Promise<ImageRecord | undefined> {
  for (const image of images) {
    const { digest, size } = image.target;
    const row = await database.get('SELECT 1 FROM blobs WHERE digest = ? AND size = ?', [digest, size]);
    if (row !== undefined) return image;
  }
  return undefined;
}

/** Takes over what daemons pin; they would say it again when they start, which may be after the next gc. */
async function takePins(
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
): Promise<{ readonly complete: boolean }> {
  if (old === undefined || !(await old.has('daemon_pins'))) return { complete: true };
  const pins = await old.read('daemon_pins', 'daemon, pattern', (row) => [
    textOf(row, 'daemon'),
    textOf(row, 'pattern'),
  ]);
  await database.transaction(async (transaction) => {
    for (const pin of pins.values)
      await transaction.run('INSERT INTO daemon_pins (daemon, pattern) VALUES (?, ?)', pin);
  });
  return pins;
}

async function record(database: MetadataDatabase, images: readonly ImageRecord[]): Promise<void> {
  await database.transaction(async (transaction) => {
    for (const { name, target, createdAt, updatedAt, usedAt, labels, pinned, discardLayers } of images) {
      await transaction.run(
        `INSERT INTO images (name, digest, media_type, size, target, created_at, updated_at, used_at, labels, pinned,
           discard_layers)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        [
          name,
          target.digest,
          target.mediaType,
          target.size,
          JSON.stringify(target),
          createdAt.getTime(),
          updatedAt.getTime(),
          usedAt.getTime(),
          JSON.stringify(labels),
          Number(pinned),
          Number(discardLayers),
        ],
      );
    }
    // Also where none is left: it may list what is lost.
    await markIndexStale(transaction);
  });
}
