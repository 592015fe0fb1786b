import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FilledStore, fillStore, sizeOf, sizeOfOwn } from './filled-store.js';

const BASE = [{ path: 'base', content: 'what both have\n'.repeat(50) }];
const APP = 'quay.io/team/app:1';
/** Of what this test has made: on a busy machine that is some seconds ago. */
const MOMENTS_AGO: unknown = expect.stringMatching(/^(just now|\d+ seconds? ago)$/);
const BUSYBOX = 'docker.io/library/busybox:musl';

describe('images', () => {
  let store: FilledStore;
  beforeAll(async () => {
    store = await fillStore([
      { name: APP, layers: [BASE, [{ path: 'app', content: 'app\n' }]], labels: { team: 'blue', empty: '' } },
      {
        name: BUSYBOX,
        layers: [BASE, [{ path: 'box', content: 'box\n' }]],
        platforms: ['linux/amd64', 'linux/arm64'],
        unusedMs: 3 * 86_400_000,
      },
    ]);
    await store.with((opened) => opened.images.pin(APP, true));
  });
  afterAll(() => store[Symbol.asyncDispose]());

  const namesOf = async (...argv: string[]): Promise<string[]> =>
    ((await store.runJson('images', ...argv)) as { name: string }[]).map(({ name }) => name);

  test('shows what each is, what it takes, and when it was used', async () => {
    const { code, out, err } = await store.run('images');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const lines = out.split('\n');
    expect(lines[0]?.split(/ {2,}/)).toEqual([
      'REPOSITORY',
      'TAG',
      'DIGEST',
      'PLATFORM',
      'SIZE',
      'UNIQUE',
      'SHARED',
      'PINNED',
      'CREATED',
      'LAST USED',
    ]);
    expect(lines.slice(1, 3).map((line) => line.split(/ {2,}/))).toEqual([
      ['busybox', 'musl', expect.any(String), 'linux/amd64, linux/arm64', expect.any(String)].concat([
        expect.any(String),
        expect.any(String),
        MOMENTS_AGO,
        '3 days ago',
      ]),
      ['quay.io/team/app', '1', expect.any(String), 'linux/amd64', expect.any(String)].concat([
        expect.any(String),
        expect.any(String),
        'yes',
        MOMENTS_AGO,
        MOMENTS_AGO,
      ]),
    ]);
    expect(lines.slice(3)).toEqual(['']);
  });

  test('as JSON tells what is shared', async () => {
    const [app, busybox] = store.layouts;
    expect(await store.runJson('images')).toMatchObject([
      { name: BUSYBOX, size: sizeOf(busybox), unique: sizeOfOwn(busybox, app), pinned: false },
      {
        name: APP,
        digest: app?.target.digest,
        mediaType: app?.target.mediaType,
        imageId: app?.manifests[0].config.digest,
        platforms: ['linux/amd64'],
        size: sizeOf(app),
        snapshotSize: 0,
        shared: sizeOf(app) - sizeOfOwn(app, busybox),
        unique: sizeOfOwn(app, busybox),
        pinned: true,
        labels: { team: 'blue', empty: '' },
      },
    ]);
  });

  test.each<[name: string, filters: string[], found: string[]]>([
    ['a familiar name', ['reference=busybox:*'], [BUSYBOX]],
    ['a canonical name', ['reference=docker.io/*'], [BUSYBOX]],
    ['a label', ['label=team'], [APP]],
    ['a label with its value', ['label=team=blue'], [APP]],
    ['a label that is empty', ['label=empty='], [APP]],
    ['a label with another value', ['label=team=red'], []],
    ['a name that every object has', ['label=constructor'], []],
    ['what is pinned', ['pinned=true'], [APP]],
    ['what is not', ['pinned=false'], [BUSYBOX]],
    ['two that both must fit', ['pinned=true', 'reference=busybox:*'], []],
  ])('are filtered by %s', async (_, filters, found) => {
    expect(await namesOf(...filters.flatMap((filter) => ['--filter', filter]))).toEqual(found);
  });

  test('-q prints each digest once', async () => {
    await store.with(async ({ images }) => {
      const image = await images.get(APP);
      if (image !== undefined) await images.put({ name: 'quay.io/team/again:1', target: image.target });
    });
    const [app, busybox] = store.layouts.map(({ target }) => target.digest);
    expect((await store.run('images', '-q')).out).toBe(`${busybox}\n${app}\n`);
  });
});
