import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultOwnership } from '../../../src/unpack/index.js';
import { LayerWriter } from '../../../src/unpack/layer/layer-writer.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { mountLoopDisk } from '../../support/loop-disk.js';
import { MountNamespace, outputAt } from '../../support/mount-namespace.js';
import { isRoot } from '../../support/needs-root.js';
import { archive, device, directory, fifo, file, symlink } from '../../support/tar-builder.js';

describe('a mount on which directories hand their group down', () => {
  /** Groups by path: in directories of root's group and of another, for root and for others. */
  const GROUPS = {
    '': 0,
    f: 0,
    d: 50,
    'd/f': 0,
    'd/g': 50,
    'd/s': 0,
    'd/p': 0,
    'd/c': 0,
    'd/e': 0,
    'd/e/f': 0,
    'd/e/g': 7,
  };

  it.skipIf(!isRoot)('leaves every entry its own', async () => {
    await using namespace = await MountNamespace.start();
    const disk = await mountLoopDisk(namespace, 'ext4');
    await outputAt(namespace, 'mount', '-o', 'remount,grpid', disk);
    const layer = namespace.reach(join(disk, 'layer'));
    mkdirSync(layer);
    const group = (path: keyof typeof GROUPS): { gid: number } => ({ gid: GROUPS[path] });
    extract(
      layer,
      file('f', 'x', group('f')),
      directory('d', group('d')),
      file('d/f', 'x', group('d/f')),
      file('d/g', 'x', group('d/g')),
      symlink('d/s', 'x', group('d/s')),
      fifo('d/p', group('d/p')),
      device('c', 'd/c', 1, 3, group('d/c')),
      directory('d/e', group('d/e')),
      file('d/e/f', 'x', group('d/e/f')),
      file('d/e/g', 'x', group('d/e/g')),
    );
    expect(groupsOf(layer, Object.keys(GROUPS))).toEqual(GROUPS);
  });

  it.skipIf(!isRoot)('and what comes into a directory when its group has changed', async () => {
    await using namespace = await MountNamespace.start();
    const disk = await mountLoopDisk(namespace, 'ext4');
    await outputAt(namespace, 'mount', '-o', 'remount,grpid', disk);
    const layer = namespace.reach(join(disk, 'layer'));
    mkdirSync(layer);
    extract(
      layer,
      file('d/before'),
      directory('d', { gid: 50 }),
      file('d/after'),
      directory('.', { gid: 60 }),
      file('beside'),
    );
    const groups = { '': 60, d: 50, 'd/before': 0, 'd/after': 0, beside: 0 };
    expect(groupsOf(layer, Object.keys(groups))).toEqual(groups);
  });
});

function extract(layer: string, ...parts: readonly Buffer[]): void {
  const writer = new LayerWriter(layer, { ownership: defaultOwnership(), devices: true });
  try {
    const reader = new TarReader(writer);
    reader.push(archive(...parts));
    reader.end();
    writer.finish();
  } finally {
    writer.close();
  }
}

function groupsOf(layer: string, paths: readonly string[]): Record<string, number> {
  return Object.fromEntries(paths.map((path) => [path, lstatSync(join(layer, path)).gid]));
}
