import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FilledStore, fillStore } from './filled-store.js';

const APP = 'quay.io/team/app:1';

describe('label', () => {
  let store: FilledStore;
  beforeAll(async () => {
    store = await fillStore([{ name: APP }, { name: 'quay.io/team/other:1' }]);
  });
  afterAll(() => store[Symbol.asyncDispose]());

  test('sets what images finds, and leaves other labels', async () => {
    expect(await store.run('label', APP, 'team=crane', 'note=a=b')).toEqual({
      code: 0,
      out: `${APP}\n  team=crane\n  note=a=b\n`,
      err: '',
    });
    expect(await store.runJson('images', '--filter', 'label=team=crane')).toMatchObject([{ name: APP }]);
    expect(await store.runJson('label', APP, 'tier=1')).toMatchObject({
      name: APP,
      labels: { team: 'crane', note: 'a=b', tier: '1' },
    });
  });

  test('takes away those without a value, also one that is not there', async () => {
    expect(await store.runJson('label', APP, 'team=', 'note=', 'tier=', 'none=')).toMatchObject({
      labels: {},
    });
    expect(await store.runJson('images', '--filter', 'label=team')).toEqual([]);
  });

  test.each(['team', '=crane', ''])('refuses %j', async (label) => {
    const { code, err } = await store.run('label', APP, label);
    expect(code).toBe(2);
    expect(err).toContain('is not a label');
  });

  test('says that an image is not there', async () => {
    expect((await store.run('label', 'no-such-image', 'a=b')).code).toBe(3);
  });
});
