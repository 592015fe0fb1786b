import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { removeStale } from '../../scripts/remove-stale.js';

let work: string;
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-stale-'));
});
afterEach(() => rm(work, { recursive: true }));

it('removes what has no source any more, and nothing else', async () => {
  const made = join(work, 'dist');
  const sources = join(work, 'src');
  for (const directory of [made, sources]) await mkdir(join(directory, 'spec'), { recursive: true });
  await writeFile(join(sources, 'spec/digest.ts'), '');
  const names = [
    'digest.js',
    'digest.d.ts',
    'digest.js.map',
    'gone.js',
    'gone.d.ts',
    'gone.js.map',
    'notes.proto',
  ];
  for (const name of names) await writeFile(join(made, 'spec', name), '');
  const removed = await removeStale(made, sources);
  expect(removed).toEqual(['spec/gone.d.ts', 'spec/gone.js', 'spec/gone.js.map']);
  expect((await readdir(join(made, 'spec'))).sort()).toEqual([
    'digest.d.ts',
    'digest.js',
    'digest.js.map',
    'notes.proto',
  ]);
  expect(await readdir(join(sources, 'spec'))).toEqual(['digest.ts']);
});
