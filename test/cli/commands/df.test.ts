import { statfsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FilledStore, fillStore, sizeOf } from './filled-store.js';

describe('df', () => {
  let store: FilledStore;
  beforeAll(async () => {
    store = await fillStore([{ name: 'quay.io/team/app:1' }, { name: 'quay.io/team/gone:1' }]);
  });
  afterAll(() => store[Symbol.asyncDispose]());

  test('is JSON of the whole', async () => {
    const bytes = sizeOf(store.layouts[0]);
    const { blocks, bsize } = statfsSync(store.root);
    expect(await store.runJson('df')).toMatchObject({
      root: store.root,
      blobs: { count: store.layouts[0]?.blobs.size, bytes, reclaimable: 0 },
      snapshots: { count: 0, bytes: 0, reclaimable: 0 },
      partials: { count: 0, bytes: 0, reclaimable: 0 },
      quarantine: { count: 0, bytes: 0 },
      reclaimable: 0,
      capacityBytes: blocks * bsize,
    });
  });

  test('what no image holds is reclaimable', async () => {
    await store.with(async ({ images }) => {
      for (const { name } of await images.list()) await images.delete(name);
    });
    const bytes = sizeOf(store.layouts[0]);
    expect(await store.runJson('df')).toMatchObject({ blobs: { reclaimable: bytes }, reclaimable: bytes });
    const { code, out, err } = await store.run('df');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^blobs +\d+ +\S+ k?B +\S+ k?B \(100%\)$/m);
    // Piped, so in characters that every reader has.
    expect(out).toMatch(/^\[[#=+o.-]+\]$/m);
  });
});
