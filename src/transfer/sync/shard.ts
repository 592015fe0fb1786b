import { LandfallError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';

/** One of several workers that share a mirror: `0/8` to `7/8`. */
export interface Shard {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** @throws {LandfallError} INVALID_CONFIG */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? [];
  const shard = { index: Number(index), count: Number(count) };
  if (index !== undefined && shard.index < shard.count) return shard;
  throw new LandfallError('INVALID_CONFIG', `--shard ${text}: this is no shard`, {
    hint: 'Write I/N with I from 0 to N-1: the first of eight is 0/8, the last 7/8.',
  });
}

/** What is known of an image before it is shared out. */
export interface ShardedImage {
  /** Of the source: `docker://quay.io/team/app`. */
  readonly repository: string;
  /** A tag or a digest. */
  readonly name: string;
  /** All that it consists of, with sizes in bytes. */
  readonly blobs: ReadonlyMap<Digest, number>;
}

/** What goes to one shard as a whole. */
interface Unit<T> {
  readonly bytes: number;
  readonly images: readonly T[];
}

/**
 * The images of one shard. All workers that see the same images come to the same answer, so that each image
 * is of exactly one.
 *
 * A repository stays together, its shared layers counted once, unless it is more than half of what is a
 * shard's fair share: then it is cut into pieces of that size in the order of its tags. The largest is given
 * away first, to the shard that has least (longest processing time first, which is at most a third worse than
 * the best there is).
 */
export function imagesOfShard<T extends ShardedImage>(images: readonly T[], shard: Shard): T[] {
  const repositories = groupByRepository(images);
  const total = repositories.reduce((sum, group) => sum + bytesOf(group), 0);
  const largest = total / shard.count / 2;
  const units = repositories.flatMap((group) => unitsOf(group, largest));
  // Those of one size stay in the order of their names.
  units.sort((a, b) => b.bytes - a.bytes);
  const loads = Array.from({ length: shard.count }, (_, index) => ({ index, bytes: 0, images: 0 }));
  const mine: T[] = [];
  for (const unit of units) {
    // By how many images, too, so that many of no size are shared out.
    const least = loads.reduce((a, b) => ((b.bytes - a.bytes || b.images - a.images) < 0 ? b : a));
    least.bytes += unit.bytes;
    least.images += unit.images.length;
    if (least.index === shard.index) mine.push(...unit.images);
  }
  return mine;
}

/** In the order of their names, whatever order they came in. */
function groupByRepository<T extends ShardedImage>(images: readonly T[]): T[][] {
  const groups = new Map<string, T[]>();
  for (const image of images) groups.set(image.repository, [...(groups.get(image.repository) ?? []), image]);
  return [...groups.entries()]
    .sort(([a], [b]) => compareText(a, b))
    .map(([, group]) => group.sort((a, b) => compareText(a.name, b.name)));
}

function unitsOf<T extends ShardedImage>(group: readonly T[], largest: number): Unit<T>[] {
  const units: Unit<T>[] = [];
  let piece: T[] = [];
  let seen = new Set<Digest>();
  let bytes = 0;
  const end = (): void => {
    if (piece.length > 0) units.push({ bytes, images: piece });
    piece = [];
    seen = new Set();
    bytes = 0;
  };
  for (const image of group) {
    const more = [...image.blobs].reduce((sum, [digest, size]) => sum + (seen.has(digest) ? 0 : size), 0);
    if (piece.length > 0 && bytes + more > largest) end();
    piece.push(image);
    for (const [digest, size] of image.blobs) {
      if (!seen.has(digest)) bytes += size;
      seen.add(digest);
    }
  }
  end();
  return units;
}

/** What is shared counts once. */
function bytesOf(group: readonly ShardedImage[]): number {
  const blobs = new Map(group.flatMap((image) => [...image.blobs]));
  return [...blobs.values()].reduce((sum, size) => sum + size, 0);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
