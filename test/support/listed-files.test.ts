import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NEEDS_ROOT } from './needs-root.js';
import { CHANGES_ITS_PROCESS } from './own-process.js';
import { PRIVILEGES_MATTER } from './privileges-matter.js';

const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).map((path) => join('test', path));

describe.each(Object.entries({ NEEDS_ROOT, CHANGES_ITS_PROCESS, PRIVILEGES_MATTER }))('%s', (_, list) => {
  it.each([...new Set(list)])('%s is there', (glob) => {
    const [folder = '', name = ''] = glob.includes('**') ? glob.split('**') : [glob, ''];
    expect(files.filter((path) => path.startsWith(folder) && path.endsWith(name))).not.toEqual([]);
  });
});
