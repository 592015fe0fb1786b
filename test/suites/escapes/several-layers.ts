import { device, directory, fifo, file, hardLink, symlink } from '../../support/tar-builder.js';
import type { Escape } from './escape.js';

/** How a lower layer plants a way out at a path, for the next ones to go through. */
const WAYS: Readonly<Record<string, (path: string, outside: string, up: string) => readonly Buffer[]>> = {
  'an absolute symlink': (path, outside) => [symlink(path, outside)],
  'a symlink that climbs': (path, _, up) => [symlink(path, up)],
  'a chain of symlinks': (path, outside) => [
    symlink(path, 'next'),
    symlink('next', '/last'),
    symlink('last', outside),
  ],
  'a hard link to a symlink': (path, outside) => [symlink('first', outside), hardLink(path, 'first')],
  'a symlink to the root of the process': (path, outside) => [symlink(path, `/proc/self/root${outside}`)],
};

/** What the next layer does at the way, which is called `way` everywhere. */
const THROUGH: readonly {
  readonly name: string;
  readonly parts: readonly Buffer[];
  readonly code?: string;
}[] = [
  { name: 'a file', parts: [file('way/sentinel', 'x')] },
  {
    name: 'a file with setuid, an owner and xattrs',
    parts: [file('way/directory/file', 'x', { mode: 0o6777, uid: 5, xattrs: { 'user.a': '1' } })],
  },
  {
    name: 'a symlink, a fifo and devices',
    parts: [symlink('way/s', '/'), fifo('way/p'), device('c', 'way/c', 1, 3), device('b', 'way/b', 8, 0)],
  },
  {
    name: 'a directory at it, with attributes',
    parts: [directory('way', { mode: 0o777, uid: 5, mtime: 5, xattrs: { 'user.sentinel': '1' } })],
  },
  {
    name: 'a directory below it, with attributes',
    parts: [directory('way/directory', { mode: 0o777, uid: 5, mtime: 5, xattrs: { 'user.sentinel': '1' } })],
  },
  { name: 'a directory that is only needed', parts: [file('way/directory/deep/x', 'x')] },
  {
    name: 'whiteouts',
    parts: [file('way/.wh.sentinel'), file('way/.wh.directory'), file('way/directory/.wh.file')],
  },
  { name: 'an opaque whiteout', parts: [file('way/.wh..wh..opq')] },
  { name: 'an opaque whiteout below it', parts: [file('way/directory/.wh..wh..opq')] },
  { name: 'a whiteout of it', parts: [file('.wh.way')] },
  { name: 'a whiteout of it, and a file through it', parts: [file('.wh.way'), file('way/sentinel', 'x')] },
  { name: 'a file in its place', parts: [file('way', 'x', { mode: 0o6777, uid: 5 })] },
  {
    name: 'a hard link to something behind it',
    parts: [hardLink('stolen', 'way/sentinel')],
    code: 'BAD_ARCHIVE',
  },
  { name: 'a hard link to it', parts: [hardLink('copy', 'way')] },
  { name: 'a hard link below it', parts: [file('mine', 'x'), hardLink('way/sentinel', 'mine')] },
  { name: 'a hard link below it to a lower file', parts: [hardLink('way/sentinel', 'lower')] },
  {
    name: 'a symlink of its own to it, and a file through both',
    parts: [symlink('mine', 'way'), file('mine/sentinel', 'x'), file('mine/.wh.directory')],
  },
];

/** Done by a third layer, with what the second one has left there. */
const LATER: readonly Escape[] = [
  {
    name: 'a directory becomes a symlink, and then a file lies in it',
    layers: (outside) => [
      [directory('d', { mode: 0o700 }), file('d/f')],
      [symlink('d', outside)],
      [file('d/sentinel', 'x'), file('d/.wh.directory')],
    ],
  },
  {
    name: 'a symlink becomes a directory, in which a name outside is deleted',
    layers: (outside) => [
      [symlink('d', outside)],
      [directory('d'), file('d/sentinel', 'x')],
      [file('d/.wh.sentinel'), file('d/.wh.directory'), file('.wh.d')],
    ],
  },
  {
    name: 'a directory in the place of another, of which a symlink was left',
    layers: (outside) => [
      [directory('d/e'), symlink('d/e/s', outside)],
      [file('d/.wh..wh..opq'), directory('d/e')],
      [file('d/e/s/sentinel', 'x'), file('d/e/s/.wh.directory')],
    ],
  },
  {
    name: 'a hard link to a symlink of a lower layer, and a file through it',
    layers: (outside) => [
      [symlink('s', outside)],
      [hardLink('l', 's')],
      [file('l/sentinel', 'x'), file('s/.wh.sentinel')],
    ],
  },
  {
    name: 'a hard link to a symlink to a file, and a file in its place',
    layers: (outside) => [
      [symlink('s', `${outside}/sentinel`)],
      [hardLink('l', 's')],
      [file('l', 'x', { mode: 0o777, uid: 5 })],
    ],
  },
  {
    name: 'deletion of a tree that holds symlinks outside',
    layers: (outside) => [
      [symlink('d/s', outside), symlink('d/e/s', outside)],
      [file('.wh.d')],
      [directory('d')],
    ],
  },
  {
    name: 'a tree that holds symlinks outside, made opaque',
    layers: (outside) => [
      [symlink('d/s', outside), symlink('d/e/s', outside)],
      [file('d/.wh..wh..opq')],
      [file('d/e/f')],
    ],
  },
  {
    name: 'a symlink deep down',
    layers: (outside, up) => [
      [symlink('a/b/c/s', `../../../${up}`), symlink('a/t', outside)],
      [file('a/b/c/s/sentinel', 'x'), directory('a/t/directory', { mode: 0o777, mtime: 5 })],
      [file('a/b/c/s/.wh..wh..opq'), file('a/.wh.t'), file('a/t/sentinel', 'x')],
    ],
  },
  {
    name: 'what the layers below were said to be, and are not',
    layers: (outside) => [
      [directory('a'), symlink('b', outside)],
      [symlink('a', outside), directory('b')],
      [file('a/sentinel', 'x'), file('b/sentinel', 'x')],
      [file('a/.wh.sentinel'), file('b/.wh.sentinel'), file('.wh.a'), file('.wh.b')],
    ],
  },
];

export const SEVERAL_LAYERS: readonly Escape[] = [
  ...Object.entries(WAYS).flatMap(([way, plant]) =>
    THROUGH.map(({ name, parts, code }): Escape => ({
      name: `${name} through ${way} of a lower layer`,
      layers: (outside, up) => [[file('lower', 'x'), ...plant('way', outside, up)], parts, [file('last')]],
      ...(code === undefined ? {} : { code }),
    })),
  ),
  ...LATER,
];
