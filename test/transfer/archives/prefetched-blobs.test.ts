import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/spec/index.js';
import type { ArchivedBlob } from '../../../src/transfer/transports/archives/archive-contents.js';
import {
  PrefetchedBlobs,
  type PrefetchOptions,
} from '../../../src/transfer/transports/archives/write-archive.js';

const SIZE = 1000;

describe('blobs that are fetched ahead', () => {
  /** Blobs of so many bytes each, and a note of which were opened. */
  const blobsOf = (sizes: readonly number[]): { blobs: ArchivedBlob[]; opened: number[] } => {
    const opened: number[] = [];
    const blobs = sizes.map((size, at): ArchivedBlob => {
      const bytes = Buffer.alloc(size, at);
      return {
        descriptor: { mediaType: 'text/plain', digest: digestOf(bytes), size },
        open: () => {
          opened.push(at);
          return Promise.resolve(Readable.from([bytes]));
        },
        onProgress: undefined,
      };
    });
    return { blobs, opened };
  };
  const settle = async (): Promise<void> => {
    for (let slots = 0; slots < 50; slots += 1) await turn();
  };
  const firstOf = async (sizes: readonly number[], o: PrefetchOptions): Promise<number[]> => {
    const { blobs, opened } = blobsOf(sizes);
    await using prefetched = new PrefetchedBlobs(blobs, o);
    const reading = prefetched.take(0);
    await reading.next();
    await settle();
    const before = [...opened];
    await reading.return();
    return before;
  };

  test('are as many as memory may hold, however fast they come', async () => {
    const o = { smallBytes: SIZE, memoryBytes: 4 * SIZE, concurrency: 8 };
    expect(await firstOf(Array<number>(20).fill(SIZE), o)).toEqual([0, 1, 2, 3]);
  });

  test('are the small ones: a large one is read when its turn comes', async () => {
    const o = { smallBytes: SIZE, memoryBytes: 3 * SIZE, concurrency: 8 };
    expect(await firstOf([5 * SIZE, SIZE, 5 * SIZE, SIZE, SIZE, SIZE], o)).toEqual([1, 3, 4, 0]);
  });

  test('are no more at once than they may be', async () => {
    let atOnce = 0;
    let most = 0;
    const { blobs } = blobsOf(Array<number>(30).fill(SIZE));
    const slow = blobs.map((blob): ArchivedBlob => ({
      ...blob,
      open: async (offset) => {
        atOnce += 1;
        most = Math.max(most, atOnce);
        await settle();
        atOnce -= 1;
        return await blob.open(offset);
      },
    }));
    await using prefetched = new PrefetchedBlobs(slow, { concurrency: 3 });
    for (const at of slow.keys())
      for await (const chunk of prefetched.take(at)) expect(chunk).toHaveLength(SIZE);
    expect(most).toBe(3);
  });

  test('come in order, whatever their sizes and the limits', async () => {
    const sizes = [SIZE, 0, 9 * SIZE, 1, SIZE, 9 * SIZE, 9 * SIZE, 2 * SIZE, SIZE];
    for (const memoryBytes of [0, SIZE, 5 * SIZE, 100 * SIZE]) {
      const { blobs } = blobsOf(sizes);
      await using prefetched = new PrefetchedBlobs(blobs, {
        smallBytes: 2 * SIZE,
        memoryBytes,
        concurrency: 2,
      });
      for (const [at, blob] of blobs.entries()) {
        const chunks: Buffer[] = [];
        for await (const chunk of prefetched.take(at)) chunks.push(chunk);
        expect(digestOf(Buffer.concat(chunks))).toBe(blob.descriptor.digest);
      }
    }
  });

  test('fail when their turn comes, and not before', async () => {
    const { blobs } = blobsOf([SIZE, SIZE]);
    const [first, second] = blobs;
    if (first === undefined || second === undefined) throw new Error('there are two');
    const broken = { ...second, open: () => Promise.reject(new Error('broken')) };
    await using prefetched = new PrefetchedBlobs([first, broken]);
    expect((await prefetched.take(0).next()).value).toHaveLength(SIZE);
    await settle();
    await expect(prefetched.take(1).next()).rejects.toThrow('broken');
  });
});
