import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { withRootLocked, writeLayoutFile } from '../../src/content/store/layout-files.js';
import { scratchDirectory } from './scratch-root.js';

describe('the files at the top of a store', () => {
  let scratch: Awaited<ReturnType<typeof scratchDirectory>>;
  let root: string;
  beforeEach(async () => {
    scratch = await scratchDirectory();
    root = scratch.path;
    await mkdir(join(root, 'ingest'));
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  it('are changed by one at a time', async () => {
    let inside = 0;
    let most = 0;
    const turn = (): Promise<void> =>
      withRootLocked(root, async () => {
        inside += 1;
        most = Math.max(most, inside);
        await sleep(20);
        inside -= 1;
      });
    await Promise.all([turn(), turn(), turn()]);
    expect(most).toBe(1);
  });

  it('are free again after a turn that failed', async () => {
    const failing = withRootLocked(root, () => Promise.reject(new Error('stop')));
    await expect(failing).rejects.toThrow('stop');
    expect(await withRootLocked(root, () => Promise.resolve('next'))).toBe('next');
  });

  it('are replaced as a whole, and leave nothing beside them', async () => {
    await writeLayoutFile(root, 'index.json', 'a long first content');
    await writeLayoutFile(root, 'index.json', 'second');
    expect(await readFile(join(root, 'index.json'), 'utf8')).toBe('second');
    expect(await readdir(join(root, 'ingest'))).toEqual([]);
  });

  it('leave nothing behind when they cannot be written', async () => {
    await mkdir(join(root, 'index.json'));
    await expect(writeLayoutFile(root, 'index.json', 'x')).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(join(root, 'ingest'))).toEqual([]);
  });
});
