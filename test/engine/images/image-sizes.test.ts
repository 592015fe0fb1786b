import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';

import { ManifestGraph } from '../../../src/content/index.js';
import { type ImageSizes, surveyTargets } from '../../../src/engine/images/images.js';
import type { Digest } from '../../../src/spec/index.js';
import { type ScratchRoot, scratchRoot } from '../../content/scratch-root.js';
import {
  at,
  chainOf,
  CHAINS,
  digests,
  putRandomManifests,
  randomManifests,
  SIZE,
} from '../../support/random-documents.js';

describe('what images take', () => {
  let scratch: ScratchRoot;
  beforeEach(async () => {
    scratch = await scratchRoot();
    return () => scratch[Symbol.asyncDispose]();
  });

  /** Each blob has a size that is its own power of two, so that no two sets of them have one sum. */
  const sizeOf = (index: number): number => 2 ** index;
  const chainSize = (index: number): number => 2 ** (SIZE + index);

  const fill = async (absent: readonly number[]): Promise<void> => {
    const { database } = scratch;
    for (const [index, digest] of digests.entries()) {
      if (absent.includes(index)) continue;
      await database.run('INSERT INTO blobs (digest, size, created_at) VALUES (?, ?, 0)', [
        digest,
        sizeOf(index),
      ]);
    }
    for (let index = 0; index < CHAINS; index++) {
      const { lastId } = await database.run(
        `INSERT INTO snapshots (snapshotter, name, kind, created_at, updated_at, bytes, inodes)
         VALUES ('overlay', ?, 'committed', 0, 0, ?, 1)`,
        [chainOf(index), chainSize(index)],
      );
      await database.run(
        `INSERT INTO chains (snapshotter, chain_id, diff_id, snapshot_id) VALUES ('overlay', ?1, ?1, ?2)`,
        [chainOf(index), lastId],
      );
    }
  };

  /** Adds up what each target reaches, one by one. */
  const expected = (
    graph: ManifestGraph,
    targets: readonly Digest[],
    absent: readonly number[],
  ): Map<Digest, ImageSizes> => {
    const reached = new Map(targets.map((target) => [target, graph.reach([target])]));
    const users = (digest: Digest): number =>
      [...reached.values()].filter(({ blobs, chains }) => blobs.has(digest) || chains.has(digest)).length;
    return new Map(
      [...reached].map(([target, { blobs, chains }]) => {
        const ofBlobs = digests.flatMap((digest, index) =>
          blobs.has(digest) && !absent.includes(index) ? [{ digest, size: sizeOf(index) }] : [],
        );
        const ofChains = Array.from({ length: CHAINS }, (_, index) => index).flatMap((index) =>
          chains.has(chainOf(index)) ? [{ digest: chainOf(index), size: chainSize(index) }] : [],
        );
        const sum = (parts: readonly { size: number }[]): number =>
          parts.reduce((all, { size }) => all + size, 0);
        const all = [...ofBlobs, ...ofChains];
        const unique = sum(all.filter(({ digest }) => users(digest) === 1));
        return [
          target,
          { size: sum(ofBlobs), snapshotSize: sum(ofChains), unique, shared: sum(all) - unique },
        ];
      }),
    );
  };

  it('is the same as adding up what each reaches', async () => {
    const absences = fc.uniqueArray(fc.nat(SIZE - 1), { maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(randomManifests, absences, fc.boolean(), async (g, absent, areImages) => {
        const graph = new ManifestGraph(await putRandomManifests(scratch.database, g));
        // As an index has manifests below it and a manifest has none, the two are read in different ways.
        if (areImages)
          await scratch.database.run(`UPDATE documents SET platform = 'linux/amd64' WHERE ${LEAVES}`);
        await fill(absent);
        const surveyed = await surveyTargets(scratch.database);
        const sizes = new Map(
          [...surveyed].map(([target, { size, snapshotSize, unique, shared }]) => [
            target,
            { size, snapshotSize, unique, shared },
          ]),
        );
        expect(sizes).toEqual(expected(graph, g.images.map(at), absent));
      }),
      { numRuns: 150 },
    );
  });
});

/** Manifests that list no manifests. */
const LEAVES = `NOT EXISTS (SELECT 1 FROM links JOIN documents AS below ON below.digest = links.child WHERE links.document = documents.id)`;
