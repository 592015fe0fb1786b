import { randomUUID } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { compress as zstd } from 'zstd-napi';
import { digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { type LayerInput, unpackTree, WorkerPool } from '../../../src/unpack/index.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { randomArchive } from '../random-input.js';
import type { Random } from '../random.js';
import { checkPrintable, outcomeOf, Violation } from '../violation.js';

/**
 * Whole images, as `landfall unpack` takes them: blobs on a disk, decompressed and extracted in threads,
 * merged into a directory, which is empty again where it failed.
 */
export function createImageTarget(): FuzzTarget & AsyncDisposable {
  const pool = new WorkerPool({ size: 2, idleMs: 3_600_000 });
  let warm: Promise<unknown> | undefined;
  return {
    name: 'image',
    weight: 1,
    generate: (random, seeds) => ({
      layers: Array.from({ length: random.between(1, 3) }, () => randomArchive(random, seeds)),
    }),
    check: async ({ layers }, { sandbox, random }) => {
      const blobs = sandbox.bed('blobs');
      const directory = sandbox.bed('merged');
      // Threads open descriptors of their own when they start.
      warm ??= startThreads(pool, blobs).then(() => sandbox.settle());
      await warm;
      const inputs = layers.map((layer) => layerInput(blobs, layer, random));
      const warnings: string[] = [];
      const outcome = await outcomeOf(() =>
        unpackTree(inputs, directory, {
          pool,
          onEvent: (event) => {
            if (event.type === 'warning') warnings.push(event.message);
          },
        }),
      );
      checkPrintable(...warnings);
      const left = readdirSync(directory);
      if (!('done' in outcome) && left.length > 0) {
        throw new Violation('wrong', `a failure left ${left.join(', ')}`);
      }
    },
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

/** As many jobs at a time as the pool has threads. */
async function startThreads(pool: WorkerPool, directory: string): Promise<void> {
  const jobs = Array.from({ length: pool.size }, () => pool.run({ kind: 'sync', directory }));
  await Promise.all(jobs);
}

function layerInput(blobs: string, tar: Buffer, random: Random): LayerInput {
  const way = random.pick(['none', 'gzip', 'zstd'] as const);
  const blob = way === 'none' ? tar : way === 'gzip' ? gzipSync(tar, { level: 1 }) : zstd(tar);
  const path = join(blobs, randomUUID());
  writeFileSync(path, blob);
  return {
    descriptor: { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(tar),
    open: () => Promise.resolve({ path, verified: Promise.resolve() }),
  };
}
