import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GarbageReport } from '../../../src/engine/upkeep/collect-garbage.js';
import { describing } from '../../content/blobs.js';
import { type FilledStore, fillStore, sizeOf } from './filled-store.js';

const HOUR = 3_600_000;
const OLD = 'quay.io/team/old:1';
const NEW = 'quay.io/team/new:1';

describe('gc', () => {
  let store: FilledStore;
  beforeEach(async () => {
    store = await fillStore([
      { name: OLD, layers: [[{ path: 'old', content: 'old\n' }]], unusedMs: 10 * HOUR },
      { name: NEW, layers: [[{ path: 'new', content: 'new\n' }]] },
    ]);
  });
  afterEach(() => store[Symbol.asyncDispose]());

  const names = async (): Promise<string[]> =>
    ((await store.runJson('images')) as { name: string }[]).map(({ name }) => name);

  test('takes no image by itself', async () => {
    expect(await store.run('gc')).toEqual({
      code: 0,
      out: 'removed 0 blobs, 0 snapshots, 0 partial downloads; freed 0 B\n',
      err: '',
    });
    expect(await names()).toEqual([NEW, OLD]);
  });

  test('--dry-run says what would go, and how much that frees, and changes nothing', async () => {
    const freed = sizeOf(store.layouts[0]);
    const { out } = await store.run('gc', '--dry-run', '--unused-for', '9h59m');
    expect(out).toBe(
      `would remove ${OLD}\nwould remove 1 image, 3 blobs, 0 snapshots, 0 partial downloads, and free ${freed} B\n`,
    );
    expect(await names()).toEqual([NEW, OLD]);
    const blobs = [...(store.layouts[0]?.blobs ?? [])].map(([digest, { length: size }]) => ({
      digest,
      size,
    }));
    const report = (await store.runJson('gc', '--dry-run', '--unused-for', '9h59m')) as Pick<
      GarbageReport,
      'blobs'
    >;
    const byDigest = (one: { digest: string }, other: { digest: string }): number =>
      one.digest < other.digest ? -1 : 1;
    expect({ ...report, blobs: [...report.blobs].sort(byDigest) }).toEqual({
      dryRun: true,
      images: [OLD],
      blobs: blobs.sort(byDigest),
      snapshots: [],
      partials: [],
      uploads: 0,
      freed,
      warnings: [],
    });
  });

  test.each([
    ['10h1m', [NEW, OLD]],
    ['9h59m', [NEW]],
    ['0.5d', [NEW, OLD]],
    ['0.4d', [NEW]],
  ])('--unused-for %s leaves %j', async (duration, left) => {
    await store.run('gc', '--unused-for', duration);
    expect(await names()).toEqual(left);
  });

  test('--partials-older-than takes partial downloads before their day is over', async () => {
    const half = describing(Buffer.alloc(100, 1));
    await store.with(async ({ content }) => {
      await using writer = await content.ingest(half);
      await writer?.write(0, Buffer.alloc(50, 1));
    });
    expect(await store.runJson('gc')).toMatchObject({ partials: [] });
    expect(await store.runJson('gc', '--partials-older-than', '1h')).toMatchObject({ partials: [] });
    expect(await store.runJson('gc', '--partials-older-than', '0')).toMatchObject({
      partials: [half.digest],
    });
  });

  test.each(['soon', '-1h', '', '10', '1y'])('%j is no duration', async (duration) => {
    const { code, err } = await store.run('gc', '--unused-for', duration);
    expect(code).toBe(2);
    expect(err).toBe(
      `landfall: --unused-for: "${duration}" is not a duration\n  hint: Write for example 720h, 30d or 1h30m.\n`,
    );
  });

  test('says on standard error what kept it from taking all', async () => {
    await store.with(async ({ content, database, manifests, images }) => {
      const target = (await images.get(OLD))?.target;
      if (target === undefined) throw new Error('the image is not there');
      await content.delete(target.digest);
      await database.transaction((transaction) => manifests.delete(target.digest, transaction));
    });
    const { code, err } = await store.run('gc');
    expect(code).toBe(0);
    expect(err).toMatch(new RegExp(`^landfall: warning: .*${OLD}`, 'm'));
  });
});
