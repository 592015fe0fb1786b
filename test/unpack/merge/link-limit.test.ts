import { lstatSync } from 'node:fs';
import { link, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fstatat, SystemError } from '../../../src/system/index.js';
import type * as System from '../../../src/system/index.js';
import { completeLayer } from '../../../src/unpack/merge/complete-layer.js';
import { copyTree } from '../../../src/unpack/merge/copy-tree.js';
import type { LayerChanges } from '../../../src/unpack/index.js';
import { LINK_LIMIT_WARNING } from '../../../src/unpack/disk/copy-node.js';
import { mergeLayer } from '../../../src/unpack/merge/merge-layer.js';
import { listing, Sandbox } from '../../support/extract-layer.js';
import { archive, directory, file, hardLink } from '../../support/tar-builder.js';
import { removeTree } from '../../support/unpack-fixture.js';

const EMLINK = 31;
/** So many names has a file at most here; ext4 has 65,000. */
const LIMIT = 3;

vi.mock(import('../../../src/system/index.js'), async (original) => {
  const system = await original();
  const linkat: typeof System.linkat = (oldDirfd, oldName, newDirfd, newName, flags) => {
    // The kernel looks for the new name first.
    const taken = system.fstatatIfPresent(newDirfd, newName) !== undefined;
    const follow = flags === system.AT_SYMLINK_FOLLOW ? 0 : system.AT_SYMLINK_NOFOLLOW;
    if (!taken && system.fstatat(oldDirfd, oldName, follow).nlink >= LIMIT) {
      throw new SystemError(EMLINK, 'linkat', newName);
    }
    system.linkat(oldDirfd, oldName, newDirfd, newName, flags);
  };
  return { ...system, linkat };
});

const NONE: LayerChanges = { implied: [], whiteouts: [], opaques: [], pendingLinks: [] };
const NAMES = Array.from({ length: 10 }, (_, i) => `l${i}`);

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-links-'));
});
afterEach(() => removeTree(root));

const at = (...parts: string[]): string => join(root, ...parts);

/** How many names each of the files has that the given paths are, in descending order. */
function groups(paths: readonly string[]): number[] {
  const counts = new Map<number, number>();
  for (const path of paths) counts.set(lstatSync(path).ino, (counts.get(lstatSync(path).ino) ?? 0) + 1);
  return [...counts.values()].sort((a, b) => b - a);
}

describe('a file of more names than its file system allows becomes several, with one warning', () => {
  let sandbox: Sandbox;
  beforeEach(() => {
    sandbox = new Sandbox();
  });
  afterEach(() => {
    expect(sandbox.damage()).toEqual([]);
    sandbox.remove();
  });

  test('in a layer', () => {
    const parts = [file('f', 'x', { mode: 0o4755, mtime: 5 }), ...NAMES.map((name) => hardLink(name, 'f'))];
    const found = sandbox.extract(archive(...parts));
    const paths = ['f', ...NAMES];
    expect(listing(sandbox.layer)).toEqual(Object.fromEntries(paths.map((path) => [path, 'file 4755 x'])));
    const files = paths.map((path) => join(sandbox.layer, path));
    expect(groups(files)).toEqual([3, 3, 3, 2]);
    expect(files.map((path) => lstatSync(path).mtimeMs)).toEqual(files.map(() => 5000));
    expect(found.warnings).toEqual([LINK_LIMIT_WARNING]);
  });

  test('in a layer that replaces a copy, and the directory of one', () => {
    sandbox.extract(
      archive(
        file('f', 'x'),
        hardLink('a', 'f'),
        hardLink('b', 'f'),
        hardLink('d/c', 'f'),
        file('d/c', 'y'),
        hardLink('e', 'f'),
        hardLink('d/e', 'f'),
        file('d', 'z'),
        directory('d'),
        hardLink('g', 'f'),
        hardLink('h', 'g'),
      ),
    );
    const content = Object.fromEntries(['f', 'a', 'b', 'e', 'g', 'h'].map((path) => [path, 'file 644 x']));
    expect(listing(sandbox.layer)).toEqual({ ...content, d: 'dir 755' });
  });
});

test('so do links to a lower file, on overlay', async () => {
  await mkdir(at('lower'));
  await mkdir(at('layer'));
  await writeFile(at('lower/f'), 'x');
  const pendingLinks = NAMES.map((path) => ({ path, target: 'f' }));
  const { warnings } = await completeLayer({
    kind: 'complete',
    form: 'overlay',
    directory: at('layer'),
    parents: [at('lower')],
    changes: { ...NONE, pendingLinks },
  });
  expect(groups(['f', ...NAMES].map((name) => at('layer', name)))).toEqual([3, 3, 3, 2]);
  expect(warnings).toEqual([LINK_LIMIT_WARNING]);
});

test('so do links to a lower file, merged', async () => {
  await mkdir(at('target'));
  await mkdir(at('layer'));
  await writeFile(at('target/f'), 'x');
  const pendingLinks = NAMES.map((path) => ({ path, target: 'f' }));
  const changes = { ...NONE, pendingLinks };
  const job = { kind: 'merge', directory: at('layer'), target: at('target'), changes } as const;
  expect((await mergeLayer(job)).warnings).toEqual([LINK_LIMIT_WARNING]);
  expect(groups(['f', ...NAMES].map((name) => at('target', name)))).toEqual([3, 3, 3, 2]);
  for (const name of NAMES) expect(await readFile(at('target', name), 'utf8')).toBe('x');
});

test('so do the files of a tree that is copied', async () => {
  await mkdir(at('source/d'), { recursive: true });
  await mkdir(at('target'));
  await writeFile(at('source/f'), 'x');
  for (const name of NAMES) await link(at('source/f'), at('source/d', name));
  const job = { kind: 'copy', source: at('source'), target: at('target') } as const;
  expect((await copyTree(job)).warnings).toEqual([LINK_LIMIT_WARNING]);
  expect(groups([at('target/f'), ...NAMES.map((name) => at('target/d', name))])).toEqual([3, 3, 3, 2]);
  expect(fstatat(-100, at('target/f')).size).toBe(1);
});
