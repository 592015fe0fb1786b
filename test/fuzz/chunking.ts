import type { Random } from './random.js';

/** How bytes are cut into chunks; a number is the length of each. */
export type Chunking = number | 'whole' | 'random';

const LENGTHS: readonly Chunking[] = [1, 7, 511, 512, 513, 1024, 4096, 'random'];

/** More chunks take too long. */
const MOST_CHUNKS = 6000;

/** A way to cut so many bytes. */
export function chunkingFor(random: Random, length: number): Chunking {
  const chunking = random.pick(LENGTHS);
  return typeof chunking === 'number' && length / chunking > MOST_CHUNKS ? 511 : chunking;
}

/**
 * The bytes in chunks. Each chunk is spoilt when the next is asked for, so that who keeps a view of it shows
 * itself.
 */
export function* chunksOf(
  bytes: Buffer,
  chunking: Chunking,
  random: Random,
): Generator<Buffer, void, undefined> {
  const largest = Math.max(1, random.pick([100, 600, 3000, bytes.length]));
  for (let at = 0; at < bytes.length;) {
    const length =
      chunking === 'whole' ? bytes.length : chunking === 'random' ? random.between(1, largest) : chunking;
    const chunk = Buffer.from(bytes.subarray(at, at + length));
    at += chunk.length;
    yield chunk;
    chunk.fill(0xaa);
  }
}

export async function* asyncChunksOf(
  bytes: Buffer,
  chunking: Chunking,
  random: Random,
): AsyncGenerator<Buffer, void, undefined> {
  for (const chunk of chunksOf(bytes, chunking, random)) yield await Promise.resolve(chunk);
}
