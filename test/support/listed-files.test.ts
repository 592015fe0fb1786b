import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NEEDS_ROOT } from './needs-root.js';
import { CHANGES_ITS_PROCESS } from './own-process.js';
import { PRIVILEGES_MATTER } from './privileges-matter.js';

const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).map((path) => join('test', path));

/** Whether a path is one of a glob's; the lists have whole paths and `FOLDER/**REST`. */
function isOf(glob: string, path: string): boolean {
  const [folder = '', name = ''] = glob.includes('**') ? glob.split('**') : [glob, ''];
  return path.startsWith(folder) && path.endsWith(name);
}

describe.each(Object.entries({ NEEDS_ROOT, CHANGES_ITS_PROCESS, PRIVILEGES_MATTER }))('%s', (_, list) => {
  it.each([...new Set(list)])('%s is there', (glob) => {
    expect(files.filter((path) => isOf(glob, path))).not.toEqual([]);
  });
});

// In a process that has loaded the module for another file, this file would get the real one.
const replacing = files.filter(
  (path) => path.endsWith('.test.ts') && /^vi\.mock\(/m.test(readFileSync(path, 'utf8')),
);
it.each(replacing)('%s, which replaces a module, has a process of its own', (path) => {
  expect(CHANGES_ITS_PROCESS.filter((glob) => isOf(glob, path))).not.toEqual([]);
});
