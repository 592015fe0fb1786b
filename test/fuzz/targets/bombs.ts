import { gzipSync } from 'node:zlib';
import { compress as zstd } from 'zstd-napi';
import { unpackLimits } from '../../../src/spec/index.js';
import { decompress } from '../../../src/unpack/compression/decompress.js';
import { bomb } from '../bombs.js';
import { asyncChunksOf } from '../chunking.js';
import { extractLayer, PLAINLY } from '../extract-layer.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { INFLATERS } from './decompress.js';
import { checkPrintable, outcomeOf, outcomeOfSync, Violation } from '../violation.js';

/** Archives that claim more than they hold. The memory that they cost is looked at after every input. */
export const bombsTarget: FuzzTarget = {
  name: 'bombs',
  weight: 0.25,
  generate: (random) => ({ layers: [bomb(random)] }),
  check: ({ layers: [archive = Buffer.alloc(0)] }, { sandbox, random }) => {
    const way = { ...PLAINLY, chunking: 65_536 } as const;
    const outcome = outcomeOfSync(() => extractLayer(archive, sandbox.bed('first'), way, random));
    if (!('done' in outcome)) return;
    const { warnings } = outcome.done;
    checkPrintable(...warnings);
    if (warnings.length > 1000) throw new Violation('wrong', `${warnings.length} warnings about one layer`);
  },
};

const MIB = 2 ** 20;

/** Compressed data that grows without end, or to just below and above the bytes that a layer may have. */
export const inflationTarget: FuzzTarget = {
  name: 'inflation',
  weight: 0.25,
  generate: (random) => {
    const plain = Buffer.alloc(random.pick([8, 32, 33, 64]) * MIB);
    const isAllowed = plain.length <= 32 * MIB;
    const blob = random.chance(0.5) ? gzipSync(plain) : zstd(plain);
    return { layers: [blob], ...(isAllowed ? {} : { expected: 'refused' as const }) };
  },
  check: async ({ layers: [blob = Buffer.alloc(0)], expected }, { random }) => {
    const outcome = await outcomeOf(async () => {
      const limits = unpackLimits({ layerBytes: 32 * MIB });
      const source = asyncChunksOf(blob, 65_536, random);
      const inflate = random.pick(INFLATERS);
      const { chunks } = await decompress(source, { limits, compressedSize: blob.length, inflate });
      let bytes = 0;
      for await (const chunk of chunks) bytes += chunk.length;
      return bytes;
    });
    if ('done' in outcome === (expected === 'refused')) {
      throw new Violation('wrong', `a layer at its limit ended with ${JSON.stringify(outcome)}`);
    }
  },
};
