import type { StatsFs } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, expect, test, vi } from 'vitest';

import { requireRoom } from '../../../src/engine/pull/require-space.js';

/** What the disk says of itself; undefined for the real one. */
const disk = vi.hoisted((): { stats?: Partial<StatsFs> } => ({}));
vi.mock(import('node:fs/promises'), async (original) => {
  const fs = await original();
  const statfs = (async (path: string) =>
    Object.assign(await fs.statfs(path), disk.stats)) as typeof fs.statfs;
  return { ...fs, statfs };
});
afterEach(() => {
  delete disk.stats;
});

const FAT = 0x4d44;
const GIB = 2 ** 30;
const ROOMY = { blocks: 1e9, bavail: 1e9, bsize: 4096 };

const ask = (largest: number, needed = largest): Promise<void> =>
  requireRoom('/media/app.tar', tmpdir(), { needed, largest });

test('a file of 4 GiB is refused on FAT, with the way around', async () => {
  disk.stats = { ...ROOMY, type: FAT };
  await expect(ask(4 * GIB)).rejects.toMatchObject({
    code: 'FILESYSTEM',
    hint: expect.stringContaining('--split') as string,
  });
});

test.each([
  ['files that are smaller, on FAT', FAT, 4 * GIB - 1, 40 * GIB],
  ['a large file, on another file system', 0x2011bab0, 40 * GIB, 40 * GIB],
])('%s are let through', async (_, type, largest, needed) => {
  disk.stats = { ...ROOMY, type };
  await expect(ask(largest, needed)).resolves.toBeUndefined();
});

test('more than is free is refused', async () => {
  disk.stats = { blocks: 100, bavail: 10, bsize: 4096 };
  await expect(ask(1000, 40_961)).rejects.toMatchObject({
    code: 'NO_SPACE',
    details: { needed: 40_961, available: 40_960 },
  });
});
