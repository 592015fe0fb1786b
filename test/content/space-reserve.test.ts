import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { keepReserve, onReserve, RESERVE_FILE } from '../../src/content/store/layout-files.js';
import { ContentError } from '../../src/errors.js';

describe('the space that is kept aside', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'landfall-reserve-'));
    await keepReserve(root);
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  it('takes space on the disk, once', async () => {
    const { blocks, ino } = await stat(join(root, RESERVE_FILE));
    expect(blocks * 512).toBeGreaterThanOrEqual(1 << 20);
    await keepReserve(root);
    expect((await stat(join(root, RESERVE_FILE))).ino).toBe(ino);
  });

  it('is given up where something finds none, which is then done again', async () => {
    let times = 0;
    const done = await onReserve(root, async () => {
      times += 1;
      if ((await readdir(root)).includes(RESERVE_FILE)) throw new ContentError('NO_SPACE', 'full');
      return 'done';
    });
    expect([done, times]).toEqual(['done', 2]);
  });

  it('is kept where something succeeds, or fails for another reason', async () => {
    expect(await onReserve(root, () => Promise.resolve('done'))).toBe('done');
    const other = new ContentError('LOCKED', 'held');
    await expect(onReserve(root, () => Promise.reject(other))).rejects.toBe(other);
    expect(await readdir(root)).toEqual([RESERVE_FILE]);
  });

  it('does not help twice', async () => {
    const full = new ContentError('NO_SPACE', 'full');
    await expect(onReserve(root, () => Promise.reject(full))).rejects.toBe(full);
    expect(await readdir(root)).toEqual([]);
  });
});
