import { device, directory, fifo, file, hardLink, pax, symlink } from '../../support/tar-builder.js';
import type { Escape } from './escape.js';

interface Row {
  readonly name: string;
  readonly parts: (outside: string, up: string) => readonly Buffer[];
  readonly code?: string;
}

const CLIMBING: readonly Row[] = [
  { name: 'a path that climbs', parts: (_, up) => [file(`${up}/sentinel`, 'x')] },
  { name: 'a path that climbs from within', parts: (_, up) => [file(`a/b/../../${up}/sentinel`, 'x')] },
  { name: 'a path that climbs behind a slash', parts: (_, up) => [file(`/${up}/sentinel`, 'x')] },
  { name: 'a path that climbs behind a dot', parts: (_, up) => [file(`./././${up}/sentinel`, 'x')] },
  { name: 'a pax path that climbs', parts: (_, up) => [file('a', 'x', { pax: { path: `${up}/sentinel` } })] },
  {
    name: 'a path that climbs behind a symlink that leads deep',
    parts: (_, up) => [directory('a/b/c'), symlink('s', 'a/b/c'), file(`s/../${up}/sentinel`, 'x')],
  },
  { name: 'a directory that climbs', parts: () => [directory('..', { mode: 0o777 })] },
  {
    name: 'a directory that climbs, with its attributes',
    parts: (_, up) => [directory(up, { uid: 5, mtime: 5 })],
  },
  { name: 'a symlink whose name climbs', parts: (_, up) => [symlink(`${up}/sentinel`, '/')] },
  { name: 'a fifo whose name climbs', parts: (_, up) => [fifo(`${up}/sentinel`)] },
  { name: 'a device whose name climbs', parts: (_, up) => [device('b', `${up}/sda`, 8, 0)] },
  { name: 'a whiteout that climbs', parts: (_, up) => [file(`${up}/.wh.sentinel`)] },
  { name: 'a whiteout that climbs from within', parts: (_, up) => [file(`a/../${up}/.wh.sentinel`)] },
  { name: 'a whiteout of a path that climbs', parts: (_, up) => [file(`.wh.x/../${up}/sentinel`)] },
  { name: 'an opaque whiteout that climbs', parts: (_, up) => [file(`${up}/.wh..wh..opq`)] },
  { name: 'a hard link that climbs', parts: (_, up) => [hardLink('l', `${up}/sentinel`)] },
  { name: 'a hard link whose name climbs', parts: (_, up) => [file('f'), hardLink(`${up}/sentinel`, 'f')] },
  {
    name: 'a pax link path that climbs',
    parts: (_, up) => [hardLink('l', 'f', { pax: { linkpath: `${up}/sentinel` } })],
  },
  {
    name: 'global records that climb',
    parts: (_, up) => [pax({ path: `${up}/sentinel` }, 'g'), file('a', 'x')],
  },
];

const THROUGH: readonly Row[] = [
  { name: 'an absolute path', parts: (outside) => [file(`${outside}/sentinel`, 'x')] },
  {
    name: 'a hard link to an absolute path, and writing through it',
    parts: (outside) => [hardLink('l', `${outside}/sentinel`), file('l', 'x')],
  },
  {
    name: 'a file through an absolute symlink',
    parts: (outside) => [symlink('s', outside), file('s/sentinel', 'x')],
  },
  {
    name: 'a file through a symlink that climbs',
    parts: (_, up) => [symlink('s', up), file('s/sentinel', 'x')],
  },
  {
    name: 'a file through a deeper symlink that climbs',
    parts: (_, up) => [directory('d'), symlink('d/s', `../${up}`), file('d/s/sentinel', 'x')],
  },
  {
    name: 'a file through two symlinks that climb half the way each',
    parts: (_, up) => [
      directory('a/b'),
      symlink('a/b/s', '../..'),
      symlink('t', `a/b/s/${up}`),
      file('t/sentinel', 'x'),
    ],
  },
  {
    name: 'a file through a symlink to the root of the machine',
    parts: (outside) => [symlink('s', '/'), file(`s${outside}/sentinel`, 'x')],
  },
  ...['/proc/self/root', '/proc/1/root', '/proc/self/cwd/../../../../../..'].map((target) => ({
    name: `a file through ${target}`,
    parts: (outside: string): Buffer[] => [symlink('s', target), file(`s${outside}/sentinel`, 'x')],
  })),
  {
    name: 'a file through the descriptors of the process',
    parts: (_, up) => [
      ...Array.from({ length: 30 }, (__, i) => symlink(`s${i}`, `/proc/self/fd/${i}/${up}`)),
      ...Array.from({ length: 30 }, (__, i) => file(`s${i}/sentinel`, 'x')),
    ],
  },
  {
    name: 'a file in place of a symlink to a file outside',
    parts: (outside) => [symlink('s', `${outside}/sentinel`), file('s', 'x')],
  },
  {
    name: 'a directory over a symlink to one outside, with its attributes',
    parts: (outside) => [
      symlink('s', `${outside}/directory`),
      directory('s', { mode: 0o777, uid: 5, mtime: 5, xattrs: { 'user.sentinel': '1' } }),
      file('s/file', 'x'),
    ],
  },
  {
    name: 'a directory that becomes a symlink',
    parts: (outside) => [
      directory('d', { mode: 0o777, mtime: 5 }),
      file('d/f', 'x'),
      symlink('d', outside),
      file('d/sentinel', 'x'),
    ],
  },
  {
    name: 'the attributes of a directory that has become a symlink',
    parts: (outside) => [
      directory('d', { mode: 0o777, uid: 5, mtime: 5, xattrs: { 'user.sentinel': '1' } }),
      symlink('d', `${outside}/directory`),
    ],
  },
  {
    name: 'the attributes of a directory and content that has become a symlink below',
    parts: (outside) => [directory('d/directory', { mode: 0o777, mtime: 5 }), symlink('d', outside)],
  },
  {
    name: 'a default ACL of a directory that has become a symlink',
    parts: (outside) => [
      directory('d', { xattrs: { 'system.posix_acl_default': ACL } }),
      directory('d', { xattrs: { 'user.a': '1' } }),
      symlink('d', outside),
    ],
  },
  {
    name: 'a whiteout through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/.wh.sentinel'), file('s/.wh.directory')],
  },
  {
    name: 'an opaque whiteout through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/.wh..wh..opq')],
  },
  {
    name: 'replacing through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/directory', 'x')],
  },
  {
    name: 'removing a directory that holds a symlink outside',
    parts: (outside) => [
      symlink('d/s', outside),
      directory('d/e'),
      symlink('d/e/s', `${outside}/directory`),
      file('d', 'x'),
    ],
  },
  {
    name: 'a hard link through a symlink',
    parts: (outside) => [symlink('s', outside), hardLink('l', 's/sentinel')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'a hard link to a symlink, and writing through it',
    parts: (outside) => [symlink('s', `${outside}/sentinel`), hardLink('l', 's'), file('l', 'x')],
  },
  {
    name: 'a hard link to a symlink to a directory, and writing through it',
    parts: (outside) => [symlink('s', outside), hardLink('l', 's'), file('l/sentinel', 'x')],
  },
  {
    name: 'a file that aufs kept, which is a symlink',
    parts: (outside) => [
      symlink('.wh..wh.plnk', outside),
      symlink('.wh..wh.plnk/sentinel', `${outside}/sentinel`),
      hardLink('l', '.wh..wh.plnk/sentinel'),
      file('.wh..wh.plnk/../l/x'),
    ],
  },
  {
    name: 'a device and a fifo through a symlink',
    parts: (outside) => [symlink('s', outside), device('b', 's/sda', 8, 0), fifo('s/p')],
  },
  {
    name: 'setuid through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/sh', 'x', { mode: 0o6755 })],
  },
  {
    name: 'a mode, owner and xattrs of a fifo and a device in place of a symlink',
    parts: (outside) => [
      symlink('p', `${outside}/sentinel`),
      fifo('p', { mode: 0o777, uid: 5, xattrs: { 'trusted.a': '1' } }),
      symlink('c', `${outside}/sentinel`),
      device('c', 'c', 1, 3, { mode: 0o777, uid: 5, xattrs: { 'trusted.a': '1' } }),
    ],
  },
  {
    name: 'owner, mode, times and xattrs of a symlink itself',
    parts: (outside) => [
      symlink('s', `${outside}/sentinel`, {
        mode: 0o4777,
        uid: 5,
        gid: 5,
        mtime: 5,
        xattrs: { 'trusted.a': '1' },
      }),
    ],
  },
  {
    name: 'a symlink through a symlink',
    parts: (outside) => [symlink('s', outside), symlink('s/sentinel', '/nowhere')],
  },
  {
    name: 'a sparse file through a symlink',
    parts: (outside) => [
      symlink('s', outside),
      pax({ 'GNU.sparse.size': '1000', 'GNU.sparse.map': '0,1', 'GNU.sparse.name': 's/sentinel' }),
      file('x', 'y'),
    ],
  },
];

/** user::rwx, group::r-x, mask::r-x, other::r-x, as the kernel stores them. */
const ACL = Buffer.from('0200000001000700ffffffff04000500ffffffff10000500ffffffff20000500ffffffff', 'hex');

const NAMES: readonly Row[] = [
  { name: 'a whiteout of the parent', parts: () => [file('.wh...')], code: 'BAD_ARCHIVE' },
  { name: 'a whiteout of the parent, in a directory', parts: () => [file('d/.wh...')], code: 'BAD_ARCHIVE' },
  { name: 'names with line breaks and escapes', parts: () => [file('\n\x1b[2J/..\\..\\x', 'x')] },
  {
    name: 'a name with a NUL, which ends it',
    parts: () => [file('a', 'x', { raw: { 0: 'f\0/../../outside/sentinel' } })],
  },
  {
    name: 'a pax path with a NUL',
    parts: (_, up) => [file('a', 'x', { pax: { path: `f\0/${up}/sentinel` } })],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'names that landfall itself uses',
    parts: () => [file('fs'), directory('work'), file('snapshot.json'), directory('root'), directory('0')],
  },
];

export const ONE_LAYER: readonly Escape[] = [
  ...CLIMBING.map((row) => ({ ...row, code: 'UNSAFE_PATH' })),
  ...THROUGH,
  ...NAMES,
].map(({ parts, ...row }) => ({ ...row, layers: (outside, up) => [parts(outside, up)] }));
