import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publishSignedSet, type SignedSet } from '../../fixtures/signed-set.js';
import { RegistryClient } from '../../src/registry/index.js';
import type { Digest } from '../../src/spec/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { rounds } from '../support/rounds.js';
import { digestAt, repositoriesOf, requestsOf, tagsOf } from '../support/registry-facts.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const REPOSITORIES = rounds({ short: 4, long: 12 });
const TAGS = 5;

interface SyncReport {
  readonly totals: Readonly<Record<string, number>>;
}

describe.skipIf(needsPeer('docker-registry') !== undefined)(
  `${REPOSITORIES * TAGS} images in ${REPOSITORIES} repositories, across a gap`,
  () => {
    let work: string;
    let near: DockerRegistry;
    let far: DockerRegistry;
    let client: RegistryClient;
    let set: SignedSet;
    let archive: string;
    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), 'landfall-air-gap-'));
      archive = join(work, 'images.tar');
      [near, far] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
      client = new RegistryClient();
      set = await publishSignedSet(client, near.address, { repositories: REPOSITORIES, tags: TAGS });
    });
    afterAll(async () => {
      await client.close();
      await Promise.all([near.stop(), far.stop()]);
      await rm(work, { recursive: true, force: true });
    });

    async function sync(source: object, to: string, root: string): Promise<SyncReport> {
      const file = join(work, `${root}.yaml`);
      await writeFile(file, JSON.stringify({ sources: [source] }));
      return await landfallJson(['sync', '-f', file, '--root', join(work, root), '--to', to]);
    }

    /** Requests since a moment, of those that move blobs. */
    async function moved(registry: DockerRegistry, since: number): Promise<string[]> {
      const requests = requestsOf(await registry.accessLog()).slice(since);
      return requests.filter((request) => /^(GET|PUT|PATCH) \S+\/blobs\//.test(request));
    }

    async function asked(registry: DockerRegistry): Promise<number> {
      return requestsOf(await registry.accessLog()).length;
    }

    const toArchive = (): Promise<SyncReport> =>
      sync({ registry: near.address, repositories: ['set/*'] }, `oci-archive:${archive}`, 'near');
    const toRegistry = (): Promise<SyncReport> =>
      sync({ from: 'store', repositories: [`${near.address}/set/*`] }, `docker://${far.address}`, 'far');

    it('go into an archive, each blob once', async () => {
      const before = await asked(near);
      const { totals } = await toArchive();
      expect(totals).toMatchObject({ images: REPOSITORIES * TAGS, failed: 0 });
      const fetched = (await moved(near, before)).map((request) => request.replace(/^.*\/blobs\//, ''));
      expect(fetched).toHaveLength(new Set(fetched).size);
      expect(new Set(fetched)).toEqual(new Set(set.blobs.keys()));
    });

    it('are proved whole before they travel, and after', async () => {
      for (const root of ['near', 'far']) {
        const { code, stdout } = await landfall([
          'verify',
          '--root',
          join(work, root),
          `oci-archive:${archive}`,
        ]);
        expect({ code, stdout }).toMatchObject({ code: 0 });
      }
    });

    it('come out of it into another store, and from there into another registry, each blob once', async () => {
      await landfallJson(['load', '--no-unpack', '--root', join(work, 'far'), '-i', archive]);
      const before = await asked(far);
      expect((await toRegistry()).totals).toMatchObject({ images: REPOSITORIES * TAGS, failed: 0 });
      const uploads = (await moved(far, before)).filter((request) => request.startsWith('PUT'));
      expect(uploads).toHaveLength(set.blobs.size);
    });

    it('are then the same by digest, tag and referrer', async () => {
      const here = (name: string): string => name.slice(near.address.length + 1);
      const there = await repositoriesOf(far.address);
      const nameAt = (name: string): string => there.find((each) => each.endsWith(here(name))) ?? '';
      expect(there).toHaveLength(REPOSITORIES);
      for (const name of set.repositories) {
        const tags = await tagsOf(near.address, here(name));
        // Besides those by which clients keep lists of referrers in a registry that keeps none.
        expect(tags.filter((tag) => !/^sha256-[0-9a-f]{64}$/.test(tag))).toHaveLength(2 * TAGS);
        expect(await tagsOf(far.address, nameAt(name))).toEqual(tags);
        for (const tag of tags.filter((each) => set.tags.includes(each) || each.endsWith('.sig'))) {
          const digest = await digestAt(near.address, here(name), tag);
          expect(await digestAt(far.address, nameAt(name), tag)).toBe(digest);
          expect(await referrersOf(far.address, nameAt(name), digest as Digest)).toEqual(
            await referrersOf(near.address, here(name), digest as Digest),
          );
        }
      }
    });

    it('are proved whole at the registry, each blob read once', async () => {
      const before = await asked(far);
      const report = await landfallJson<{ images: unknown[]; blobs: number; whole: boolean }>([
        ...['verify', '--referrers', `docker://${far.address}/`],
      ]);
      // With cosign's signatures, and the lists of referrers that clients keep.
      expect(report.images.length).toBeGreaterThanOrEqual(2 * REPOSITORIES * TAGS);
      expect(report).toMatchObject({ blobs: set.blobs.size, whole: true });
      // Configs are read a second time, to be held against the layers.
      const read = (await moved(far, before)).map((request) => request.replace(/^.*\/blobs\//, ''));
      expect(new Set(read)).toEqual(new Set(set.blobs.keys()));
      expect(read.length).toBeLessThan(1.5 * set.blobs.size);
      expect((await landfall(['verify', `docker://${far.address}/nobody/`])).code).toBe(3);
    });

    it('a second time: no blob moves', async () => {
      const before = await asked(far);
      expect((await toRegistry()).totals).toMatchObject({ copied: 0, failed: 0 });
      expect(await moved(far, before)).toEqual([]);
      const loaded = await landfallJson<object>([
        'load',
        '--no-unpack',
        '--root',
        join(work, 'far'),
        '-i',
        archive,
      ]);
      expect(JSON.stringify(loaded)).not.toContain('"outcome":"copied"');
    });

    /** Level by level, of the manifests below an index too. */
    async function referrersOf(address: string, name: string, digest: Digest): Promise<object> {
      const repository = client.repository({ registry: address, repository: name });
      const found: Record<string, unknown> = {};
      for await (const descriptor of repository.referrers(digest)) {
        found[descriptor.digest] = {
          descriptor,
          referrers: await referrersOf(address, name, descriptor.digest),
        };
      }
      return found;
    }
  },
);
