import { unpackLimits } from '../../../src/spec/index.js';
import { decompress } from '../../../src/unpack/compression/decompress.js';
import { asyncChunksOf, chunkingFor, type Chunking } from '../chunking.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { randomCompressed } from '../random-compressed.js';
import type { Random } from '../random.js';
import { checkSame, type Outcome, outcomeOf, Violation } from '../violation.js';

/** gzip and zstd alone: all of the content or an error, whatever the damage and however the bytes arrive. */
export const decompressTarget: FuzzTarget = {
  name: 'decompress',
  weight: 8,
  isPure: true,
  generate: randomCompressed,
  check: async ({ layers: [bytes = Buffer.alloc(0)], expected }, { random }) => {
    const found = await decompressed(bytes, 'whole', random);
    if (expected === 'refused' && 'done' in found) {
      throw new Violation('wrong', `${found.done.length} bytes were accepted of a file that is damaged`);
    }
    if (expected instanceof Buffer) checkSame('the content', expected.toString('hex'), contentOf(found));
    const chunking = chunkingFor(random, bytes.length * 4);
    const again = await decompressed(bytes, chunking, random);
    checkSame(`decompressed in chunks of ${chunking}`, contentOf(found), contentOf(again));
  },
};

function decompressed(bytes: Buffer, chunking: Chunking, random: Random): Promise<Outcome<Buffer>> {
  return outcomeOf(async () => {
    const source = asyncChunksOf(bytes, chunking, random);
    const { chunks } = await decompress(source, { limits: unpackLimits(), compressedSize: bytes.length });
    const found: Buffer[] = [];
    for await (const chunk of chunks) found.push(Buffer.from(chunk));
    return Buffer.concat(found);
  });
}

function contentOf(outcome: Outcome<Buffer>): string {
  return 'done' in outcome ? outcome.done.toString('hex') : `refused with ${outcome.refused}`;
}
