import { describe, expect, test } from 'vitest';
import { RegistryError } from '../../../src/errors.js';
import { hasRepository, parseShard } from '../../../src/transfer/sync/shard.js';
import { addImage } from '../../support/memory-images.js';
import { Mirrored, mirror } from './mirrored.js';

const NAMES = Array.from({ length: 400 }, (_, at) => `docker://quay.io/team/r${at}`);

/** The shards that have a repository. */
function ownersOf(name: string, count: number): number[] {
  return Array.from({ length: count }, (_, index) => index).filter((index) =>
    hasRepository({ index, count }, name),
  );
}

describe('the shards of a mirror', () => {
  test.each([1, 2, 7, 16])('have each repository once, and about as many each: %d', (count) => {
    const owners = NAMES.map((name) => ownersOf(name, count));
    expect(owners.every((of) => of.length === 1)).toBe(true);
    const mean = NAMES.length / count;
    for (let shard = 0; shard < count; shard += 1) {
      const own = owners.filter(([owner]) => owner === shard).length;
      expect(own).toBeGreaterThan(mean / 2);
      expect(own).toBeLessThan(mean * 2);
    }
  });

  test('lose to another one what that has, and nothing else, where there are more', () => {
    for (const name of NAMES) {
      const [before = -1] = ownersOf(name, 7);
      expect([before, 7]).toContain(ownersOf(name, 8)[0]);
    }
  });

  test.each(['0/1', '7/8', '0/8'])('%s is one', (text) => {
    const [index, count] = text.split('/').map(Number);
    expect(parseShard(text)).toEqual({ index, count });
  });

  test.each(['8/8', '1', '1/0', '-1/2', 'a/b', '1/2/3', '0/0'])('%s is none', (text) => {
    expect(() => parseShard(text)).toThrow(`--shard ${text}: this is no shard`);
  });
});

describe('a sync of a shard', () => {
  function filled(): Mirrored {
    const lan = new Mirrored();
    for (let at = 0; at < 12; at += 1) {
      const repository = lan.repository(`src.lan/r${at % 4}`);
      addImage(repository, { tag: `t${at}`, layers: ['base', 'x'.repeat(100 * at)] });
    }
    return lan;
  }

  test('copies its part, and all together all', async () => {
    const lan = filled();
    const copied: string[] = [];
    for (let index = 0; index < 3; index += 1) {
      const { images } = await lan.sync(mirror('["**"]'), { shard: { index, count: 3 } });
      copied.push(...images.map(({ source }) => source));
    }
    expect(copied.length).toBe(12);
    expect(new Set(copied).size).toBe(12);
    for (let at = 0; at < 4; at += 1)
      expect(lan.tags(`dst.lan/hub/r${at}`)).toEqual(lan.tags(`src.lan/r${at}`));
  });

  test('has the same repositories when the mirror has grown', async () => {
    const lan = filled();
    const of = async (index: number): Promise<string[]> => {
      const { images } = await lan.sync(mirror('["**"]'), { shard: { index, count: 3 }, dryRun: true });
      return images.map(({ source }) => source);
    };
    const before = [await of(0), await of(1), await of(2)];
    for (let at = 0; at < 20; at += 1)
      addImage(lan.repository(`src.lan/new${at}`), { tag: '1', layers: ['x'.repeat(5000)] });
    for (const [index, images] of before.entries())
      expect(await of(index)).toEqual(expect.arrayContaining(images));
  });

  test('copies its part though a repository of another one cannot be listed, which tells of it', async () => {
    const lan = filled();
    const away = new RegistryError('UNAVAILABLE', 'away', { retryable: true });
    lan.transport('src.lan').onCall = (call) => {
      if (call === 'tags src.lan/r2') throw away;
    };
    const failures: string[] = [];
    for (let index = 0; index < 3; index += 1) {
      const result = await lan.sync(mirror('["r*", r2]'), { shard: { index, count: 3 } });
      failures.push(...result.failures.map(({ subject }) => subject));
    }
    expect(failures).toEqual(['docker://src.lan/r2']);
    for (const at of [0, 1, 3]) expect(lan.tags(`dst.lan/hub/r${at}`)).toEqual(lan.tags(`src.lan/r${at}`));
  });

  test('counts an image that is broken for everybody as nothing', async () => {
    const lan = filled();
    const broken = addImage(lan.repository('src.lan/r0'), { tag: 'broken', layers: ['b'] });
    lan.repository('src.lan/r0').damage(broken.digest);
    const failed: string[] = [];
    for (let index = 0; index < 3; index += 1) {
      const text = mirror('["**", { name: r0, tags: { list: [broken], include: ".*" } }]');
      const { images } = await lan.sync(text, { shard: { index, count: 3 } });
      failed.push(...images.flatMap(({ outcome, source }) => (outcome === 'failed' ? [source] : [])));
    }
    expect(failed).toEqual(['docker://src.lan/r0:broken']);
  });

  test('writes no archive that another one writes', async () => {
    const text = mirror('["**"]').replace('docker://dst.lan/hub', 'oci-archive:images.tar');
    const shard = { index: 1, count: 2 };
    await expect(filled().sync(text, { shard })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      hint: 'Put {shard} into the name of the file.',
    });
  });
});
