import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { IngestDirectory } from '../../src/content/store/ingest-directory.js';
import { scratchDirectory } from './scratch-root.js';

/** How many descriptors of this process are open on a file. */
async function descriptorsOn(path: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.all(names.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return targets.filter((target) => target === path).length;
}

describe('IngestDirectory', () => {
  let scratch: Awaited<ReturnType<typeof scratchDirectory>>;
  let path: string;
  beforeEach(async () => {
    scratch = await scratchDirectory();
    path = join(scratch.path, 'sha256-abc');
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  it('has one holder, also when it is removed and made anew while others wait', async () => {
    let holders = 0;
    let most = 0;
    const hold = async (): Promise<void> => {
      const directory = await IngestDirectory.lock(path);
      holders += 1;
      most = Math.max(most, holders);
      await sleep(150);
      holders -= 1;
      await directory.remove();
    };
    const first = await IngestDirectory.lock(path);
    const waiting = hold();
    // The one who waits has the lock file open that is about to be removed.
    await vi.waitFor(async () => expect(await descriptorsOn(join(path, 'lock'))).toBe(2), {
      timeout: 30_000,
    });
    await first.remove();
    await Promise.all([waiting, hold(), hold()]);
    expect(most).toBe(1);
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is refused while somebody has it, and taken when nobody does', async () => {
    expect(await IngestDirectory.tryLock(path, { create: false })).toBeUndefined();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    const held = await IngestDirectory.lock(path);
    expect(await IngestDirectory.tryLock(path, { create: true })).toBeUndefined();
    await held.release();
    const taken = await IngestDirectory.tryLock(path, { create: false });
    expect(taken).toBeDefined();
    await taken?.leave();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('keeps no descriptor of a lock that was given up', async () => {
    const held = await IngestDirectory.lock(path);
    const controller = new AbortController();
    const waiting = IngestDirectory.lock(path, { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await IngestDirectory.tryLock(path, { create: true })).toBeUndefined();
    expect(await descriptorsOn(join(path, 'lock'))).toBe(1);
    await held.release();
    expect(await descriptorsOn(join(path, 'lock'))).toBe(0);
  });
});
