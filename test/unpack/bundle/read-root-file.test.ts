import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createResolver, O_DIRECTORY, O_PATH, type Resolver } from '../../../src/system/index.js';
import { readRootFile } from '../../../src/unpack/bundle/bundle-config.js';
import { scratchDirectory } from '../../system/scratch.js';

const INSIDE = 'app:x:1000:1000::/:';
const SENTINEL = 'app:x:0:0:outside:/:';
const LIMIT = 1000;

const scratch = scratchDirectory();
writeFileSync(join(scratch, 'secret'), SENTINEL);
mkdirSync(join(scratch, 'etc'));
writeFileSync(join(scratch, 'etc/passwd'), SENTINEL);

/** What lies in a root file system: content, or a link with `-> ` before its target. */
type Tree = Readonly<Record<string, string>>;

function plant(tree: Tree): string {
  const root = mkdtempSync(join(scratch, 'root-'));
  for (const [path, content] of Object.entries(tree)) {
    const place = join(root, path);
    mkdirSync(dirname(place), { recursive: true });
    if (content.startsWith('-> ')) symlinkSync(content.slice('-> '.length), place);
    else writeFileSync(place, content);
  }
  return root;
}

function read(resolver: Resolver, root: string, path = '/etc/passwd'): string | undefined {
  const fd = openSync(root, O_PATH | O_DIRECTORY);
  try {
    return readRootFile(fd, path, { limit: LIMIT, resolver })?.toString();
  } finally {
    closeSync(fd);
  }
}

/** So many symlinks one after the other, the last of which leads to a file. */
function chain(length: number): Tree {
  const links = Array.from({ length: length - 1 }, (_, i): [string, string] => [
    `etc/link${i}`,
    i === 0 ? '-> ../file' : `-> link${i - 1}`,
  ]);
  return { ...Object.fromEntries(links), 'etc/passwd': `-> link${length - 2}`, file: INSIDE };
}

describe.each([createResolver({ openat2: true }), createResolver({ openat2: false })])(
  'a file of a root file system, by the $method resolver',
  (resolver) => {
    it.each<[string, Tree]>([
      ['a file', { 'etc/passwd': INSIDE }],
      ['a relative symlink', { 'etc/passwd': '-> ../usr/lib/passwd', 'usr/lib/passwd': INSIDE }],
      ['an absolute symlink', { 'etc/passwd': '-> /usr/lib/passwd', 'usr/lib/passwd': INSIDE }],
      ['a symlink beside it', { 'etc/passwd': '-> passwd-', 'etc/passwd-': INSIDE }],
      ['a directory that is a symlink', { etc: '-> /usr/etc', 'usr/etc/passwd': INSIDE }],
      [
        '.. in a directory that is a symlink: of where it leads',
        { etc: '-> usr/etc', 'usr/etc/passwd': '-> ../share/passwd', 'usr/share/passwd': INSIDE },
      ],
      ['.. above the root, which is the root', { 'etc/passwd': '-> ../../../file', file: INSIDE }],
      ['40 symlinks', chain(40)],
    ])('reads %s', (_, tree) => {
      expect(read(resolver, plant(tree))).toBe(INSIDE);
    });

    it.each<[string, Tree]>([
      ['an absolute symlink to a file outside', { 'etc/passwd': `-> ${scratch}/secret` }],
      ['an absolute symlink to the machine’s own', { 'etc/passwd': '-> /etc/passwd' }],
      ['a relative symlink to a file outside', { 'etc/passwd': '-> ../../secret' }],
      ['a relative symlink from the top', { 'etc/passwd': '-> ../../../../../../../../etc/hostname' }],
      ['a directory that is an absolute symlink outside', { etc: `-> ${scratch}/etc` }],
      ['a directory that is a relative symlink outside', { etc: '-> ../etc' }],
      ['a directory that is a symlink to its parent', { etc: '-> ..' }],
      [
        'a symlink through a directory that leads outside',
        { 'etc/passwd': '-> ../out/secret', out: '-> ../' },
      ],
      [
        '.. after a directory that leads outside',
        { 'etc/passwd': `-> ../out/../secret`, out: `-> ${scratch}/etc` },
      ],
      ['a symlink to this process’ root', { 'etc/passwd': '-> /proc/self/root/etc/passwd' }],
      ['a symlink to a descriptor', { 'etc/passwd': '-> /proc/self/fd/0' }],
      ['a symlink to nothing', { 'etc/passwd': '-> nowhere' }],
      ['a symlink to itself', { 'etc/passwd': '-> passwd' }],
      ['two symlinks to one another', { 'etc/passwd': '-> other', 'etc/other': '-> passwd' }],
      ['41 symlinks', chain(41)],
      ['a symlink that grows too long', { 'etc/passwd': `-> ${'./'.repeat(2040)}x/../passwd` }],
      ['a directory', { 'etc/passwd/file': INSIDE }],
      ['a symlink to a directory', { 'etc/passwd': '-> /', file: INSIDE }],
      ['a symlink with a slash to a file', { 'etc/passwd': '-> ../file/', file: INSIDE }],
      ['a file for a directory', { etc: INSIDE }],
      ['nothing at all', {}],
    ])('finds nothing at %s', (_, tree) => {
      expect(read(resolver, plant(tree))).toBeUndefined();
    });

    it('neither opens a fifo nor waits for who writes to it', () => {
      const root = plant({ 'etc/group': '' });
      execFileSync('mkfifo', [join(root, 'etc/passwd')]);
      expect(read(resolver, root)).toBeUndefined();
      symlinkSync('passwd', join(root, 'etc/link'));
      expect(read(resolver, root, '/etc/link')).toBeUndefined();
    });

    it('reads no device', () => {
      expect(read(resolver, '/dev', '/zero')).toBeUndefined();
      expect(read(resolver, '/dev', '/null')).toBeUndefined();
    });

    it('reads what is as large as it may be, and refuses what is larger by its size', () => {
      const root = plant({ 'etc/passwd': 'x'.repeat(LIMIT), 'etc/group': '' });
      expect(read(resolver, root)).toHaveLength(LIMIT);
      truncateSync(join(root, 'etc/group'), 2 ** 40);
      expect(() => read(resolver, root, '/etc/group')).toThrow(
        expect.objectContaining({ code: 'LIMIT_EXCEEDED' }) as Error,
      );
    });

    it('reads an empty file as such', () => {
      expect(read(resolver, plant({ 'etc/passwd': '' }))).toBe('');
    });

    it('leaves no descriptor open', () => {
      const open = (): number => readdirSync('/proc/self/fd').length;
      const roots = [{ 'etc/passwd': INSIDE }, chain(41), { 'etc/passwd/x': '' }, {}].map(plant);
      const before = open();
      for (const root of roots) read(resolver, root);
      expect(open()).toBe(before);
    });
  },
);
