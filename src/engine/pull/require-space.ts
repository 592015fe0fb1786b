import { statfs } from 'node:fs/promises';
import { type BlobProvider, ingestPath, partialProgress } from '../../content/index.js';
import { type Abortable, ContentError, throwIfAborted } from '../../errors.js';
import { type Descriptor, formatSize } from '../../spec/index.js';
import type { Store } from '../store.js';

export interface RequireSpaceOptions extends Abortable {
  /** The store's directory. */
  readonly root: string;
  readonly content: Pick<BlobProvider, 'info'>;
  /** The content to fetch; one digest may be in it several times. */
  readonly descriptors: readonly Descriptor[];
  /** Layers among them that are unpacked too, in the store of that database. Default: none. */
  readonly unpacked?:
    { readonly layers: readonly Descriptor[]; readonly database: Store['database'] } | undefined;
}

/**
 * Refuses what cannot fit: adds up the sizes of the blobs that are not here, less what partials of them
 * have on disk already, and what their layers take unpacked by what those of the store do, and holds that
 * against what is free where the store lies.
 *
 * A look, not a reservation: others may take the space meanwhile, and then the write itself finds none.
 *
 * @throws ContentError NO_SPACE, with the bytes that are `needed` and `available`; FILESYSTEM;
 *   LandfallError ABORTED
 */
export async function requireSpace({
  root,
  content,
  descriptors,
  unpacked,
  signal,
}: RequireSpaceOptions): Promise<void> {
  const distinct = new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor]));
  const layers = new Set(unpacked?.layers.map(({ digest }) => digest));
  let downloaded = 0;
  let toUnpack = 0;
  await Promise.all(
    [...distinct.values()].map(async ({ digest, size }) => {
      throwIfAborted(signal);
      if ((await content.info(digest)) !== undefined) return;
      const bytes = (await partialProgress(ingestPath(root, digest)))?.bytes ?? 0;
      downloaded += Math.max(0, size - bytes);
      if (layers.has(digest)) toUnpack += size;
    }),
  );
  throwIfAborted(signal);
  if (downloaded === 0) return;
  const available = await availableBytes(root);
  if (available === undefined || downloaded + toUnpack * MOST_UNPACKED <= available) return;
  const unpackedBytes =
    unpacked === undefined ? 0 : Math.round(toUnpack * (await unpackedRatio(unpacked.database)));
  const needed = downloaded + unpackedBytes;
  if (needed <= available) return;
  const more = unpackedBytes === 0 ? '' : ` and some ${formatSize(unpackedBytes)} unpacked`;
  throw new ContentError(
    'NO_SPACE',
    `${formatSize(downloaded)} must be downloaded${more}, and only ${formatSize(available)} are free at ${root}`,
    {
      details: { path: root, needed, available },
      hint: 'Free some space on that file system, remove unused images with landfall gc, or choose another --root.',
    },
  );
}

/**
 * Refuses files that would have no room in a directory, or of which one is larger than its file system takes.
 *
 * @param place for messages
 * @param needed bytes of all of them
 * @param largest bytes of the largest
 * @throws ContentError NO_SPACE, with the bytes that are `needed` and `available`; FILESYSTEM for a file of
 *   4 GiB on FAT
 */
export async function requireRoom(
  place: string,
  directory: string,
  { needed, largest }: { readonly needed: number; readonly largest: number },
): Promise<void> {
  if (largest > FAT_FILE_BYTES && (await isFat(directory))) {
    throw new ContentError(
      'FILESYSTEM',
      `${place} needs a file of ${formatSize(largest)}, and FAT takes files of less than 4 GiB`,
      {
        details: { path: directory, needed: largest, available: FAT_FILE_BYTES },
        hint: 'Write an archive in parts with landfall save --split 2G, or use exFAT or another file system.',
      },
    );
  }
  const available = await availableBytes(directory);
  if (available === undefined || needed <= available) return;
  throw new ContentError(
    'NO_SPACE',
    `${place} needs ${formatSize(needed)}, and only ${formatSize(available)} are free there`,
    {
      details: { path: directory, needed, available },
      hint: 'Free some space there, choose another place, or deliver less at once.',
    },
  );
}

/** Less is not looked at closely. Few layers are compressed better. */
const MOST_UNPACKED = 20;

/** Of images that are unpacked: what their layers have compressed, and on the disk. */
const UNPACKED = `
WITH unpacked AS (
  SELECT id, children FROM documents
  WHERE EXISTS (SELECT 1 FROM chains WHERE chain_id = json_extract(chain_ids, '$[#-1]'))
), layers AS (
  SELECT DISTINCT json_extract(value, '$[0]') AS digest, json_extract(value, '$[1]') AS size
  FROM unpacked, json_each(children) WHERE key > 0
), trees AS (
  SELECT DISTINCT snapshots.id, bytes FROM unpacked
  JOIN chain_links ON document = unpacked.id
  JOIN chains USING (chain_id)
  JOIN snapshots ON snapshots.id = snapshot_id WHERE inodes > 0
)
SELECT (SELECT coalesce(sum(size), 0) FROM layers) AS compressed,
       (SELECT coalesce(sum(bytes), 0) FROM trees) AS bytes`;

/** How many times as large layers are unpacked as the store knows them; 1 where it has none yet. */
async function unpackedRatio(database: Store['database']): Promise<number> {
  const { compressed, bytes } = (await database.get(UNPACKED)) ?? {};
  const [whole, unpacked] = [Number(compressed ?? 0), Number(bytes ?? 0)];
  return whole === 0 || unpacked === 0 ? 1 : unpacked / whole;
}

/** MSDOS_SUPER_MAGIC of statfs(2), for FAT of all sizes. exFAT has another number, and no such limit. */
const FAT_MAGIC = 0x4d44;
const FAT_FILE_BYTES = 2 ** 32 - 1;

async function isFat(directory: string): Promise<boolean> {
  return (await statfs(directory).catch(() => undefined))?.type === FAT_MAGIC;
}

/** Bytes that this user may still write; undefined where the file system does not say. */
async function availableBytes(directory: string): Promise<number | undefined> {
  // A file system that does not answer must not keep anybody from trying.
  const stats = await statfs(directory).catch(() => undefined);
  return stats === undefined || stats.blocks === 0 ? undefined : stats.bavail * stats.bsize;
}
