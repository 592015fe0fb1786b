import { unpackLimits } from '../../../src/spec/index.js';
import { probeInflater } from '../../../src/system/index.js';
import { decompress } from '../../../src/unpack/compression/decompress.js';
import { type InflateChoice } from '../../../src/unpack/compression/inflate-choice.js';
import { asyncChunksOf, chunkingFor, type Chunking } from '../chunking.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { randomCompressed } from '../random-compressed.js';
import type { Random } from '../random.js';
import { checkSame, type Outcome, outcomeOf, Violation } from '../violation.js';

/**
 * The libraries that this machine has for gzip: each reads every input, and zlib, which is always there,
 * comes first.
 */
export const INFLATERS: readonly InflateChoice[] = probeInflater('isa-l').available
  ? ['zlib', 'isa-l']
  : ['zlib'];

/**
 * gzip and zstd alone: all of the content or an error, whatever the damage, however the bytes arrive, by
 * whatever they are inflated, and in whichever thread.
 */
export const decompressTarget: FuzzTarget = {
  name: 'decompress',
  weight: 8,
  isPure: true,
  generate: randomCompressed,
  check: async ({ layers: [bytes = Buffer.alloc(0)], expected }, { random }) => {
    let first: Outcome<Buffer> | undefined;
    for (const inflate of INFLATERS) {
      const found = await decompressed(bytes, { inflate, chunking: 'whole', random, overlap: false });
      if (expected === 'refused' && 'done' in found) {
        throw new Violation('wrong', `${found.done.length} bytes were accepted of a file that is damaged`);
      }
      if (expected instanceof Buffer) checkSame('the content', expected.toString('hex'), contentOf(found));
      const chunking = chunkingFor(random, bytes.length * 4);
      const again = await decompressed(bytes, { inflate, chunking, random, overlap: true });
      checkSame(`decompressed in chunks of ${chunking}`, contentOf(found), contentOf(again));
      first ??= found;
      if (!isOfIncompleteCodes(first, found))
        checkSame(`inflated by ${inflate}`, contentOf(first), contentOf(found));
    }
  },
};

interface Way {
  readonly inflate: InflateChoice;
  readonly chunking: Chunking;
  readonly random: Random;
  /** Whether each next chunk is inflated in another thread. */
  readonly overlap: boolean;
}

function decompressed(bytes: Buffer, { inflate, chunking, random, overlap }: Way): Promise<Outcome<Buffer>> {
  return outcomeOf(async () => {
    const source = asyncChunksOf(bytes, chunking, random);
    const { chunks } = await decompress(source, {
      limits: unpackLimits(),
      compressedSize: bytes.length,
      inflate,
      overlap: () => overlap,
    });
    const found: Buffer[] = [];
    for await (const chunk of chunks) found.push(Buffer.from(chunk));
    return Buffer.concat(found);
  });
}

/** What ISA-L reads and zlib does not, by design of both: codes that leave bit patterns without a meaning. */
function isOfIncompleteCodes(zlib: Outcome<Buffer>, isal: Outcome<Buffer>): boolean {
  return (
    'refused' in zlib &&
    'done' in isal &&
    / (code lengths|distances|literal\/lengths) set$/.test(zlib.message)
  );
}

function contentOf(outcome: Outcome<Buffer>): string {
  return 'done' in outcome ? outcome.done.toString('hex') : `refused with ${outcome.refused}`;
}
