import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FilledStore, fillStore } from './filled-store.js';

const OLD = 30 * 86_400_000;
const PAUSE = 'registry.k8s.io/pause:3.10';
const APP = 'quay.io/team/app:1';

describe('pin', () => {
  let store: FilledStore;
  beforeAll(async () => {
    store = await fillStore([
      { name: PAUSE, layers: [[{ path: 'pause', content: 'pause\n' }]], unusedMs: OLD },
      { name: APP, layers: [[{ path: 'app', content: 'app\n' }]], unusedMs: OLD },
    ]);
  });
  afterAll(() => store[Symbol.asyncDispose]());

  const digestOf = (image: number): string | undefined => store.layouts[image]?.target.digest;

  test('says what it pinned, and tries all', async () => {
    const { code, out, err } = await store.run('pin', PAUSE, 'no-such-image');
    expect({ code, out }).toEqual({ code: 3, out: `pinned ${PAUSE}\n` });
    expect(err).toContain('there is no image "no-such-image"');
  });

  test('what is pinned is not collected, however long it was not used', async () => {
    const { out } = await store.run('gc', '--unused-for', '720h');
    expect(out).toMatch(`removed ${APP}\nremoved 1 image, 3 blobs, 0 snapshots, 0 partial downloads; freed `);
    expect(await store.runJson('images')).toMatchObject([{ name: PAUSE, pinned: true }]);
  });

  test('and as JSON; twice is no error', async () => {
    expect(await store.runJson('pin', PAUSE)).toEqual([{ name: PAUSE, digest: digestOf(0), pinned: true }]);
  });

  test('unpin lets it go', async () => {
    expect(await store.run('unpin', PAUSE)).toEqual({ code: 0, out: `unpinned ${PAUSE}\n`, err: '' });
    expect(await store.runJson('unpin', PAUSE)).toEqual([
      { name: PAUSE, digest: digestOf(0), pinned: false },
    ]);
    expect(await store.runJson('gc', '--unused-for', '30d')).toMatchObject({ images: [PAUSE] });
    expect(await store.runJson('images')).toEqual([]);
  });

  test('rmi removes what is pinned', async () => {
    await using other = await fillStore([{ name: PAUSE }]);
    await other.run('pin', PAUSE);
    const { code, out } = await other.run('rmi', PAUSE);
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^removed ${PAUSE} \\(freed `));
    expect(await other.runJson('images')).toEqual([]);
  });
});
