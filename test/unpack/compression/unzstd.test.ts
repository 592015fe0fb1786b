import { compress } from 'zstd-napi';
import { describe, expect, test } from 'vitest';
import { unzstd } from '../../../src/unpack/compression/unzstd.js';

async function* chunksOf(bytes: Buffer, chunkBytes: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
    yield await Promise.resolve(chunk);
    chunk.fill(0xaa);
  }
}

async function decompressed(bytes: Buffer, chunkBytes: number): Promise<string> {
  let text = '';
  for await (const chunk of unzstd(chunksOf(bytes, chunkBytes))) text += chunk.toString('latin1');
  return text;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const FRAME = compress(Buffer.from('content'));

// Magic number, descriptor, window or size, then blocks (RFC 8878 section 3.1.1). Where libzstd has all of
// such a frame at once it looks at other things than where it gets it in parts.
const REFUSED: readonly (readonly [frame: string, bytes: Buffer, code: string])[] = [
  ['says that it has a byte, and ends with an empty block', hex('28b52ffd 20 01 010000'), 'BAD_ARCHIVE'],
  ['says that it has a byte, and has two', hex('28b52ffd 20 01 110000 6161'), 'BAD_ARCHIVE'],
  ['says that it has two bytes, and has one', hex('28b52ffd 20 02 090000 61'), 'BAD_ARCHIVE'],
  ['says that it has none, and has one', hex('28b52ffd 20 00 090000 61'), 'BAD_ARCHIVE'],
  ['has a byte and a window of 2 GiB', hex('28b52ffd 80 a8 01000000 090000 61'), 'LIMIT_EXCEEDED'],
  ['ends within its header', hex('28b52ffd 80'), 'BAD_ARCHIVE'],
];

describe.each([1, 2, 5, 17, 18, 19, 1000])('in chunks of %i bytes', (chunkBytes) => {
  test.each(REFUSED)('a frame is refused that %s', async (_, frame, code) => {
    await expect(decompressed(frame, chunkBytes)).rejects.toMatchObject({ code });
    await expect(decompressed(Buffer.concat([FRAME, frame]), chunkBytes)).rejects.toMatchObject({ code });
  });

  test('frames are taken one after another, short ones too', async () => {
    const short = hex('28b52ffd 20 01 090000 61');
    const skippable = hex('502a4d18 00000000');
    const bytes = Buffer.concat([short, FRAME, skippable, short, short, FRAME, short]);
    expect(await decompressed(bytes, chunkBytes)).toBe('acontentaacontenta');
  });
});

test('a frame of more than one chunk of output arrives whole', async () => {
  const plain = Buffer.alloc(3 * 512 * 1024, 'a long line that repeats itself ');
  expect((await decompressed(compress(plain), 100)) === plain.toString('latin1')).toBe(true);
});
