import { execFileSync } from 'node:child_process';
import { chmod, link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { renderTree } from '../../scripts/render-tree.js';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-tree-'));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const modes: readonly number[] = [
  0o644, 0o755, 0o4755, 0o4644, 0o2755, 0o2644, 0o1755, 0o1644, 0o7777, 0o7000, 0,
];

test.each(modes.map((mode) => [mode.toString(8), mode] as const))(
  'mode %s as ls shows it',
  async (_name, mode) => {
    const file = join(root, 'file');
    await writeFile(file, '');
    await chmod(file, mode);
    const [shown] = execFileSync('ls', ['-ln', file], { encoding: 'utf8' }).split(' ');
    expect(renderTree(root, { depth: 1, entries: 1 })).toContain(`  ${shown ?? ''}  `);
  },
);

test('counts what is beyond its limits, and follows no symlink', async () => {
  await mkdir(join(root, 'a/b/c'), { recursive: true });
  await writeFile(join(root, 'a/b/c/deep'), '');
  await writeFile(join(root, 'file'), 'text');
  await link(join(root, 'file'), join(root, 'linked'));
  await symlink('a', join(root, 's'));
  await writeFile(join(root, 'z'), '');
  const lines = renderTree(root, { depth: 2, entries: 4 }).split('\n');
  // Mode and owner stand before the names, where there is one; owners have numbers of any length.
  const names = lines.map((line) => line.replace(/^(?: {24}| +\S+ +\S+ +)/, ''));
  expect(names).toEqual([
    '.',
    '├─ a',
    '│  └─ b',
    '│     └─ … 1 more',
    '├─ file  4 B, 2 links',
    '├─ linked  4 B, 2 links',
    '├─ s -> a',
    '└─ … 1 more',
    '',
  ]);
});

test('a name cannot move the cursor', async () => {
  await writeFile(join(root, 'x\u001b[2Jy'), '');
  expect(renderTree(root, { depth: 1, entries: 1 })).not.toContain('\u001b');
});
