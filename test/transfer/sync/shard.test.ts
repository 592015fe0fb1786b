import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RegistryError } from '../../../src/errors.js';
import type { Digest } from '../../../src/spec/index.js';
import { imagesOfShard, parseShard, type ShardedImage } from '../../../src/transfer/sync/shard.js';
import { addImage } from '../../support/memory-images.js';
import { Mirrored, mirror } from './mirrored.js';

function image(repository: string, name: string, blobs: Readonly<Record<string, number>>): ShardedImage {
  return { repository, name, blobs: new Map(Object.entries(blobs) as [Digest, number][]) };
}

function allShards<T extends ShardedImage>(images: readonly T[], count: number): T[][] {
  return Array.from({ length: count }, (_, index) => imagesOfShard(images, { index, count }));
}

/** What a shard has to move, shared blobs of a repository once. */
function load(images: readonly ShardedImage[]): number {
  const blobs = new Map(
    images.flatMap((one) => [...one.blobs].map(([digest, size]) => [`${one.repository} ${digest}`, size])),
  );
  return [...blobs.values()].reduce((sum, size) => sum + size, 0);
}

const names = (images: readonly ShardedImage[]): string[] =>
  images.map(({ repository, name }) => `${repository}:${name}`);

describe('the shards of a mirror', () => {
  test('have every image once, whatever order they are listed in', () => {
    const arbitrary = fc.array(
      fc.record({
        repository: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
        name: fc.string({ minLength: 1, maxLength: 3 }),
        blobs: fc.dictionary(fc.constantFrom('x', 'y', 'z', 'u', 'v'), fc.nat(1000)),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(arbitrary, fc.integer({ min: 1, max: 9 }), (records, count) => {
        const images = [
          ...new Map(records.map((one) => [`${one.repository}:${one.name}`, one])).values(),
        ].map(({ repository, name, blobs }) => image(repository, name, blobs));
        const shards = allShards(images, count);
        expect(shards.flatMap(names).sort()).toEqual(names(images).sort());
        expect(allShards([...images].reverse(), count).map((one) => names(one).sort())).toEqual(
          shards.map((one) => names(one).sort()),
        );
      }),
    );
  });

  test('are balanced by bytes, where a repository is no more than a fair share', () => {
    const images = Array.from({ length: 60 }, (_, at) =>
      image(`r${at % 20}`, `t${at}`, { [`base${at % 20}`]: 500, [`own${at}`]: 1 + ((at * 37) % 100) }),
    );
    const loads = allShards(images, 4).map(load);
    const mean = loads.reduce((sum, one) => sum + one, 0) / loads.length;
    for (const one of loads) expect(Math.abs(one - mean) / mean).toBeLessThan(0.1);
  });

  test('keep a repository together, so that its shared layers are moved once', () => {
    const images = Array.from({ length: 32 }, (_, at) =>
      image(`r${Math.floor(at / 2)}`, `t${at}`, { [`base${Math.floor(at / 2)}`]: 1000, [`own${at}`]: 1 }),
    );
    for (const shard of allShards(images, 4)) {
      const counts = new Map<string, number>();
      for (const { repository } of shard) counts.set(repository, (counts.get(repository) ?? 0) + 1);
      expect([...counts.values()].every((count) => count === 2)).toBe(true);
    }
  });

  test('cut a repository that is larger than they are', () => {
    const images = Array.from({ length: 64 }, (_, at) => image('only', `t${at}`, { [`own${at}`]: 100 }));
    expect(allShards(images, 4).map(load)).toEqual([1600, 1600, 1600, 1600]);
  });

  test('share out images of unknown size too', () => {
    const images = Array.from({ length: 8 }, (_, at) => image(`r${at}`, 't', {}));
    expect(allShards(images, 4).map((shard) => shard.length)).toEqual([2, 2, 2, 2]);
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
      expect(images.length).toBeGreaterThan(0);
      copied.push(...images.map(({ source }) => source));
    }
    expect(copied.length).toBe(12);
    expect(new Set(copied).size).toBe(12);
    for (let at = 0; at < 4; at += 1)
      expect(lan.tags(`dst.lan/hub/r${at}`)).toEqual(lan.tags(`src.lan/r${at}`));
  });

  test('that cannot look at everything does nothing: others would share out differently', async () => {
    const lan = filled();
    lan.transport('src.lan').onCall = (call) => {
      if (call === 'resolve t5') throw new RegistryError('UNAVAILABLE', 'away', { retryable: true });
    };
    await expect(lan.sync(mirror('["**"]'), { shard: { index: 0, count: 3 } })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(lan.transport('dst.lan').count('copied')).toBe(0);
  });

  test.each(['tags src.lan/r2', 'catalog'])('that cannot list everything does nothing: %s', async (what) => {
    const lan = filled();
    const away = new RegistryError('UNAVAILABLE', 'away', { retryable: true });
    lan.transport('src.lan').onCall = (call) => {
      if (call === what) throw away;
    };
    if (what === 'catalog') lan.transport('src.lan').repositories = () => Promise.reject(away);
    const shard = { index: 0, count: 3 };
    await expect(lan.sync(mirror('["r*", r2]'), { shard })).rejects.toBe(away);
    expect(lan.transport('dst.lan').count('copied')).toBe(0);
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
