import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { main } from '../../../src/cli/main.js';
import { imageMounts } from '../../../src/engine/files/mount.js';
import { listImages } from '../../../src/engine/images/images.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { touchImage } from '../../../src/engine/images/names.js';
import { ContentError } from '../../../src/errors.js';
import { FakeSignals, fakeSurroundings } from '../../cli/fake-surroundings.js';
import { putImage } from '../../support/stored-image.js';

const NAME = 'docker.io/library/app:1';

describe('when an image was last used', () => {
  let work: string;
  let root: string;
  let store: Store;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-touch-'));
    root = join(work, 'root');
    store = await openStore({ root });
    await putImage(store, NAME, { layers: ['one', 'two'], unpack: true });
    await store.database.run('UPDATE images SET used_at = 1');
  });
  afterEach(async () => {
    await store.close();
    await rm(work, { recursive: true, force: true });
  });

  const usedAt = async (): Promise<number> => (await store.images.get(NAME))?.usedAt.getTime() ?? 0;
  const run = async (...argv: string[]): Promise<number> =>
    await main(['--root', root, ...argv], fakeSurroundings({ env: {} }), new FakeSignals());

  it.each<[string, () => Promise<unknown>]>([
    ['asking for its mounts', () => imageMounts(store, 'app:1')],
    ['unpacking it', () => run('unpack', 'app:1', join(work, 'out'), '--platform', 'linux/amd64')],
  ])('is told by %s', async (_what, use) => {
    const before = Date.now();
    await use();
    expect(await usedAt()).toBeGreaterThanOrEqual(before);
  });

  it('is not told by looking at it', async () => {
    await listImages(store);
    expect(await run('inspect', 'app:1')).toBe(0);
    expect(await run('images')).toBe(0);
    await mkdir(join(work, 'full/of'), { recursive: true });
    expect(await run('unpack', 'app:1', join(work, 'full'))).not.toBe(0);
    expect(await usedAt()).toBe(1);
  });

  it('is no reason to fail, unless the program is wrong', async () => {
    const touching = (error: Error): Pick<Store, 'images'> => {
      const images = Object.assign(Object.create(store.images) as typeof store.images, {
        touch: () => Promise.reject(error),
      });
      return { images };
    };
    await touchImage(touching(new ContentError('LOCKED', 'somebody else writes')), NAME);
    await touchImage(store, 'docker.io/library/unknown:1');
    await expect(touchImage(touching(new TypeError('wrong')), NAME)).rejects.toThrow('wrong');
  });
});
