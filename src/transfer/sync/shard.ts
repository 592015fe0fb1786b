import { LandfallError } from '../../errors.js';
import { digestOf } from '../../spec/index.js';

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

/**
 * Whether a shard has a repository of a source: `docker://quay.io/team/app`. Each repository is of exactly one,
 * and stays there whatever else the mirror gets or loses; with another number of shards only those move that
 * have to (rendezvous hashing: the shard with the highest score for the name has it).
 */
export function hasRepository({ index, count }: Shard, repository: string): boolean {
  let highest = { score: '', shard: 0 };
  for (let shard = 0; shard < count; shard += 1) {
    const score = digestOf(Buffer.from(`${shard} ${repository}`));
    if (score > highest.score) highest = { score, shard };
  }
  return highest.shard === index;
}
