import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { mirrorSet, pushAll } from '../support/mirror-set.js';
import { needsPeer } from '../support/peers.js';
import { tagsOf } from '../support/registry-facts.js';
import { landfallJson } from '../support/warm-command.js';

const SHARDS = 8;
const REPOSITORIES = 24;
const TAGS = 4;

interface Report {
  readonly shard: string;
  readonly images: readonly { readonly source: string; readonly outcome: string; readonly bytes: number }[];
}

describe.skipIf(needsPeer('docker-registry') !== undefined)('eight workers of one mirror', () => {
  let work: string;
  let file: string;
  let source: DockerRegistry;
  let mirror: DockerRegistry;
  let reports: Report[];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-shards-'));
    [source, mirror] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
    const set = mirrorSet({ repositories: REPOSITORIES, tags: TAGS, layerBytes: 50_000 });
    await pushAll(set, source.address);
    file = join(work, 'mirror.yaml');
    await writeFile(
      file,
      `{ sources: [{ registry: "${source.address}", repositories: ["**"] }], destinations: ["docker://${mirror.address}"] }`,
    );
    reports = await Promise.all(
      Array.from({ length: SHARDS }, (_, index) =>
        landfallJson<Report>(['sync', '-f', file, '--progress', 'none', '--shard', `${index}/${SHARDS}`]),
      ),
    );
  });
  afterAll(async () => {
    await Promise.all([source.stop(), mirror.stop()]);
    await rm(work, { recursive: true, force: true });
  });

  test('copy every image, each by exactly one', async () => {
    const sources = reports.flatMap(({ images }) => images.map((image) => image.source));
    expect(sources.length).toBe(REPOSITORIES * TAGS);
    expect(new Set(sources).size).toBe(sources.length);
    expect(reports.flatMap(({ images }) => images.map(({ outcome }) => outcome))).toEqual(
      Array<string>(REPOSITORIES * TAGS).fill('copied'),
    );
    for (let at = 0; at < REPOSITORIES; at += 1)
      expect(await tagsOf(mirror.address, `team/r${at}`)).toEqual(
        await tagsOf(source.address, `team/r${at}`),
      );
  });

  test('keep repositories together', () => {
    const owners = new Map<string, Set<string>>();
    for (const { shard, images } of reports) {
      for (const { source: name } of images) {
        const repository = name.slice(0, name.lastIndexOf(':'));
        owners.set(repository, (owners.get(repository) ?? new Set()).add(shard));
      }
    }
    expect(owners.size).toBe(REPOSITORIES);
    expect([...owners.values()].every((shards) => shards.size === 1)).toBe(true);
  });

  test('find nothing left to do the next time', async () => {
    const { images } = await landfallJson<Report>(['sync', '-f', file, '--progress', 'none']);
    expect(images.length).toBe(REPOSITORIES * TAGS);
    expect(images.every(({ outcome }) => outcome === 'exists')).toBe(true);
  });

  test('have the same repositories when the mirror grows', async () => {
    const more = mirrorSet({ repositories: 2 * REPOSITORIES, tags: 1, layerBytes: 1000 });
    await pushAll(more, source.address);
    const again = await landfallJson<Report>(['sync', '-f', file, '--dry-run', '--shard', `0/${SHARDS}`]);
    const before = reports[0]?.images.map((image) => image.source) ?? [];
    expect(again.images.map((image) => image.source)).toEqual(expect.arrayContaining(before));
  });
});
