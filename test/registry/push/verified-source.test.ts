import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';

import { describe, expect, it } from 'vitest';

import { VerifiedSource } from '../../../src/registry/push/verified-source.js';
import { sourceOf } from '../../support/push-fixture.js';
import { blobOf, failure, patterned } from '../../support/registry-fixture.js';

const bytes = patterned(300_000);
const SIZE = bytes.length;

describe('pieces', () => {
  const rows: [name: string, pieces: [start: number, end: number][], offsets: number[], verified: boolean][] =
    [
      ['the whole', [[0, SIZE]], [0], true],
      [
        'one behind the other, from one opening',
        [
          [0, 100_000],
          [100_000, 200_001],
          [200_001, SIZE],
        ],
        [0],
        true,
      ],
      [
        'one again, from its beginning',
        [
          [0, 100_000],
          [100_000, 200_000],
          [100_000, SIZE],
        ],
        [0, 100_000],
        true,
      ],
      [
        'from within one that was given out, the bytes before which are read again',
        [
          [0, 100_000],
          [50_000, SIZE],
        ],
        [0, 0],
        true,
      ],
      ['the end, behind bytes that were never given out', [[250_000, SIZE]], [0], true],
      ['not the end', [[0, SIZE - 1]], [0], false],
      [
        'the end, and then the beginning again',
        [
          [0, SIZE],
          [0, 1],
        ],
        [0, 0],
        false,
      ],
    ];
  it.each(rows)('%s', async (_name, pieces, offsets, verified) => {
    const { open, offsets: opened } = sourceOf(bytes);
    const source = new VerifiedSource(blobOf(bytes), open);
    for (const [start, end] of pieces) {
      expect((await buffer(source.piece(start, end))).equals(bytes.subarray(start, end))).toBe(true);
    }
    expect([opened, source.verified]).toEqual([offsets, verified]);
    source.close();
  });
});

it('of other bytes the last are not given out', async () => {
  const source = new VerifiedSource(blobOf(bytes), sourceOf(Buffer.alloc(SIZE)).open);
  let given = 0;
  const read = async (): Promise<void> => {
    for await (const chunk of source.piece(0, SIZE)) given += (chunk as Buffer).length;
  };
  expect(await failure(read())).toMatchObject({ code: 'DIGEST_MISMATCH' });
  expect(given).toBeGreaterThan(0);
  expect(given).toBeLessThan(SIZE);
  expect([source.verified, source.takeFailure()]).toMatchObject([
    false,
    { error: { code: 'DIGEST_MISMATCH' } },
  ]);
});

it('a failure is told once', async () => {
  const gone = new Error('gone');
  const source = new VerifiedSource(blobOf(bytes), () => Promise.reject(gone));
  await expect(buffer(source.piece(0, SIZE))).rejects.toBe(gone);
  expect(source.takeFailure()).toEqual({ error: gone, opened: false });
  expect(source.takeFailure()).toBe(undefined);
});

it('what the network does to a piece is no failure of the source, whose stream is closed', async () => {
  const opened: Readable[] = [];
  const source = new VerifiedSource(blobOf(bytes), async () => {
    opened.push(await sourceOf(bytes).open());
    return opened.at(-1) ?? new PassThrough();
  });
  const piece = source.piece(0, SIZE);
  await once(piece, 'readable');
  const broken = new Error('the connection broke');
  piece.destroy(broken);
  await expect(finished(piece)).rejects.toBe(broken);
  expect(source.takeFailure()).toBe(undefined);
  expect(opened[0]?.destroyed).toBe(true);
});

it('a piece that is overtaken by another neither fails nor verifies that one', async () => {
  const slow = new PassThrough();
  const other = await sourceOf(bytes).open();
  let asked = (): void => undefined;
  const isAsked = new Promise<void>((resolve) => (asked = resolve));
  const streams = [slow, other];
  const source = new VerifiedSource(blobOf(bytes), () => {
    asked();
    return Promise.resolve(streams.shift() ?? new PassThrough());
  });
  source.piece(0, SIZE).resume();
  await isAsked;
  const second = source.piece(0, SIZE);
  slow.destroy(new Error('too late'));
  expect((await buffer(second)).equals(bytes)).toBe(true);
  expect([source.verified, source.takeFailure()]).toEqual([true, undefined]);
});

it('a piece that is overtaken by another leaves no digest behind to go on from', async () => {
  const slow = new PassThrough();
  let asked = (): void => undefined;
  const isAsked = new Promise<void>((resolve) => (asked = resolve));
  let openings = 0;
  const source = new VerifiedSource(blobOf(bytes), async (offset) => {
    openings += 1;
    asked();
    return openings === 1 ? slow : await sourceOf(bytes).open(offset);
  });
  source.piece(0, 100_000).resume();
  await isAsked;
  const second = source.piece(0, 200_000);
  // Other bytes than the second piece has, and they come while it is being read.
  slow.write(Buffer.alloc(100_000));
  await buffer(second);
  expect((await buffer(source.piece(150_000, SIZE))).equals(bytes.subarray(150_000))).toBe(true);
  expect(source.verified).toBe(true);
});
