import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';

import {
  ManifestGraph,
  ManifestStore,
  referencedBlobs,
  referencedChains,
  reachedBy,
} from '../../src/content/index.js';
import {
  at,
  chainOf,
  CHAINS,
  digests,
  infoOf,
  putRandomManifests,
  randomManifests,
  SIZE,
} from '../support/random-documents.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

describe('what is held', () => {
  let scratch: ScratchRoot;
  beforeEach(async () => {
    scratch = await scratchRoot();
    return () => scratch[Symbol.asyncDispose]();
  });

  it('is what images and living leases reach, whichever way one asks', async () => {
    await fc.assert(
      fc.asyncProperty(randomManifests, async (g) => {
        const graph = new ManifestGraph(await putRandomManifests(scratch.database, g));
        const reached = graph.reach([...g.images, ...g.leased].map(at));
        const held = digests.filter((digest) => reached.blobs.has(digest));
        expect([...(await referencedBlobs(scratch.database, digests))].sort()).toEqual(held.sort());
        const chains = Array.from({ length: CHAINS }, (_, chain) => chainOf(chain));
        const heldOf = chains.filter((chainId) => reached.chains.has(chainId));
        expect([...(await referencedChains(scratch.database, chains))].sort()).toEqual(heldOf.sort());
        // Of what was not asked for, nothing is said.
        expect([...(await referencedBlobs(scratch.database, [at(0)]))]).toEqual(
          held.filter((digest) => digest === at(0)),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('is found from one target as from all', async () => {
    await fc.assert(
      fc.asyncProperty(randomManifests, fc.nat(SIZE - 1), async (g, index) => {
        const graph = new ManifestGraph(await putRandomManifests(scratch.database, g));
        expect(await reachedBy(scratch.database, at(index))).toEqual(graph.reach([at(index)]));
      }),
      { numRuns: 60 },
    );
  });

  it('holds a chain that a lease names, as long as the lease lives', async () => {
    const { database } = scratch;
    await database.run('INSERT INTO leases (id, created_at, expires_at) VALUES (?, 0, ?)', [
      'l',
      Date.now() + 60_000,
    ]);
    await database.run(`INSERT INTO lease_resources VALUES ('l', 'snapshot', ?)`, [chainOf(1)]);
    const chains = [chainOf(1), chainOf(2)];
    expect([...(await referencedChains(database, chains))]).toEqual([chainOf(1)]);
    await database.run('UPDATE leases SET expires_at = 1');
    expect([...(await referencedChains(database, chains))]).toEqual([]);
  });
});

describe('DocumentStore', () => {
  let scratch: ScratchRoot;
  let manifests: ManifestStore;
  beforeEach(async () => {
    scratch = await scratchRoot();
    manifests = new ManifestStore(scratch.database);
    return () => scratch[Symbol.asyncDispose]();
  });

  it('gives back what it was given', async () => {
    const plain = infoOf(0, [3, 2], 5);
    const image = { ...infoOf(1, [4], null), platform: 'linux/arm64/v8', imageId: at(4) };
    await manifests.put([plain, image]);
    expect(await manifests.get(at(0))).toEqual(plain);
    expect(await manifests.get(at(1))).toEqual(image);
    expect(await manifests.get(at(2))).toBeUndefined();
    expect([...(await manifests.all()).values()]).toEqual([plain, image]);
    expect(await manifests.holders(at(4))).toEqual([image]);
    expect(await manifests.chainHolders(chainOf(4))).toEqual([image]);
    expect(await manifests.chainHolders(chainOf(0))).toEqual([]);
  });

  it('adds what it learns later of a document, and forgets nothing of it', async () => {
    const { chainIds, ...info } = infoOf(0, [3], null);
    const image = { ...info, platform: 'linux/amd64', imageId: at(3), chainIds };
    await manifests.put([{ ...info, chainIds: [] }]);
    await manifests.put([image]);
    await manifests.put([{ ...info, chainIds: [] }]);
    expect(await manifests.get(at(0))).toEqual(image);
  });

  it('forgets a document with its links, and leaves those of others', async () => {
    await manifests.put([infoOf(0, [3, 4], null), infoOf(1, [3], null)]);
    await scratch.database.transaction(async (tx) => {
      await manifests.delete(at(0), tx);
      await manifests.delete(at(7), tx);
    });
    expect(await manifests.get(at(0))).toBeUndefined();
    expect(await scratch.database.all('SELECT child FROM links')).toEqual([{ child: at(3) }]);
    expect(await scratch.database.all('SELECT chain_id FROM chain_links')).toEqual([
      { chain_id: chainOf(3) },
    ]);
    expect((await manifests.holders(at(3))).map(({ digest }) => digest)).toEqual([at(1)]);
  });
});
