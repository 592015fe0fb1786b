import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { gzipMember } from '../support/compressed-builder.js';
import { chunksOf } from '../support/chunks-of.js';
import { DAMAGED_GZIP, EXTRA, TEXT, WHOLE_GZIP } from './gzip-rows.js';

/** One way to inflate gzip. The chunks may be views of memory that is used again. */
export type Gunzip = (source: AsyncIterator<Buffer>) => AsyncIterable<Buffer>;

const CHUNK_BYTES = [1 << 20, 1000, 3];
/** Several times what any chunk of what is inflated holds; repeats itself at many distances. */
const LONG = Buffer.concat(
  Array.from({ length: 2000 }, (_, i) =>
    Buffer.from(TEXT.slice((i * 7919) % 8000, ((i * 7919) % 8000) + 1000)),
  ),
);

export async function inflated(gunzip: Gunzip, source: AsyncIterator<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of gunzip(source)) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

/** What every way to inflate gzip has to do. */
export function gunzipSuite(name: string, gunzip: Gunzip): void {
  const inflate = async (bytes: Buffer, chunkBytes: number): Promise<string> =>
    (await inflated(gunzip, chunksOf(bytes, chunkBytes))).toString('latin1');
  const refusal = (message: RegExp): unknown =>
    expect.objectContaining({ code: 'BAD_ARCHIVE', message: expect.stringMatching(message) as string });

  describe(`gunzip by ${name}`, () => {
    it.each(WHOLE_GZIP)('reads $name', async ({ bytes, text = TEXT }) => {
      for (const size of CHUNK_BYTES) expect(await inflate(bytes, size), `chunks of ${size}`).toBe(text);
    });

    it.each(DAMAGED_GZIP)('refuses $name', async ({ bytes, message }) => {
      for (const size of CHUNK_BYTES)
        await expect(inflate(bytes, size), `chunks of ${size}`).rejects.toEqual(refusal(message));
    });

    it.each([
      { what: 'text', bytes: LONG },
      { what: 'zeros', bytes: Buffer.alloc(3 << 20) },
    ])('reads much $what, at every level', async ({ bytes }) => {
      for (const level of [0, 1, 6, 9]) {
        const found = await inflated(gunzip, chunksOf(gzipSync(bytes, { level }), 50_000));
        expect(found.equals(bytes), `level ${level}`).toBe(true);
      }
    });

    it('splits chunks between members and padding as it pleases', async () => {
      const bytes = Buffer.concat([
        gzipSync('first '),
        gzipMember(Buffer.from('second'), { extra: EXTRA, name: 'n', comment: 'c', headerChecksum: 'right' }),
        Buffer.alloc(3),
      ]);
      for (let size = 1; size <= bytes.length; size++)
        expect(await inflate(bytes, size)).toBe('first second');
    });

    it.each([
      { what: 'a text', bytes: gzipSync('a text of some length, of some length') },
      {
        what: 'all fields',
        bytes: gzipMember(Buffer.from('text'), {
          extra: EXTRA,
          name: 'n',
          comment: 'c',
          headerChecksum: 'right',
        }),
      },
    ])('refuses $what cut anywhere', async ({ bytes }) => {
      for (let cut = 2; cut < bytes.length; cut++)
        await expect(inflate(bytes.subarray(0, cut), 7), `cut at ${cut}`).rejects.toEqual(
          refusal(/cut short/),
        );
    });

    it('refuses every bit that is wrong in a member, but those that mean nothing', async () => {
      const member = gzipMember(Buffer.from('a text, a text'), { headerChecksum: 'right' });
      for (let bit = 0; bit < member.length * 8; bit++) {
        const wrong = Buffer.from(member);
        wrong.writeUInt8(wrong.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        // What fills up the last byte of the last block.
        if (
          bit >> 3 === member.length - 9 &&
          (await inflate(wrong, 1000).catch(() => '')) === 'a text, a text'
        )
          continue;
        await expect(inflate(wrong, 1000), `bit ${bit}`).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
      }
    });

    it('passes on an error of the source', async () => {
      const lost = new Error('lost');
      async function* breaking(): AsyncGenerator<Buffer> {
        yield* chunksOf(gzipSync(LONG).subarray(0, -100), 10_000);
        throw lost;
      }
      await expect(inflated(gunzip, breaking())).rejects.toBe(lost);
    });

    it('hands out what it has before it waits for more', async () => {
      const bytes = gzipSync(LONG, { level: 0 });
      let asked = 0;
      async function* waiting(): AsyncGenerator<Buffer> {
        for await (const chunk of chunksOf(bytes, 1000)) {
          asked += 1;
          yield chunk;
          // Nobody would come here who only waits.
          if (asked === 3) await new Promise(() => undefined);
        }
      }
      const chunks = gunzip(waiting())[Symbol.asyncIterator]();
      let length = 0;
      while (length < 2900) length += ((await chunks.next()).value as Buffer).length;
    });

    it('can be left in the middle', async () => {
      for (let i = 0; i < 20; i++) {
        for await (const chunk of gunzip(chunksOf(gzipSync(LONG), 10_000))) {
          expect(chunk.length).toBeGreaterThan(0);
          break;
        }
      }
    });
  });
}
