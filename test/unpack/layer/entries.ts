import { device, directory, fifo, file, symlink } from '../../support/tar-builder.js';
import type { WrittenLayer } from './written-layer.js';

/** Entries that nothing else has to do with. */
export const ENTRIES: readonly WrittenLayer[] = [
  { name: 'no entries', parts: [], tree: {} },
  { name: 'a file', parts: [file('f', 'x', { mode: 0o604 })], tree: { f: 'file 604 x' } },
  { name: 'a file without any permission', parts: [file('f', 'x', { mode: 0 })], tree: { f: 'file 0 x' } },
  {
    name: 'setuid, setgid and sticky',
    parts: [file('f', '', { mode: 0o6755, uid: 5, gid: 6 }), directory('d', { mode: 0o3777 })],
    tree: { f: 'file 6755 ', d: 'dir 3777' },
  },
  { name: 'an empty file', parts: [file('f')], tree: { f: 'file 644 ' } },
  {
    name: 'a directory, also with a slash at its end',
    parts: [directory('d', { mode: 0o700 }), directory('e/')],
    tree: { d: 'dir 700', e: 'dir 755' },
  },
  {
    name: 'a directory that denies writing, and its content',
    parts: [directory('d', { mode: 0o500 }), file('d/f', 'x')],
    tree: { d: 'dir 500', 'd/f': 'file 644 x' },
  },
  {
    name: 'symlinks, whatever they lead to',
    parts: [symlink('s', '/etc/passwd'), symlink('t', '../../..')],
    tree: { s: 'symlink /etc/passwd', t: 'symlink ../../..' },
  },
  {
    name: 'devices',
    parts: [device('c', 'null', 1, 3, { mode: 0o666 }), device('b', 'sda', 8, 300, { mode: 0o660 })],
    tree: { null: 'char 1:3 666', sda: 'block 8:300 660' },
  },
  {
    name: 'a character device 0:1, which is no whiteout',
    parts: [device('c', 'c', 0, 1)],
    tree: { c: 'char 0:1 644' },
  },
  { name: 'a fifo', parts: [fifo('p', { mode: 0o622 })], tree: { p: 'fifo 622' } },
  {
    name: 'names that are not UTF-8',
    parts: [file('\xff\xe9/\x01', 'x')],
    tree: { '\xff\xe9': 'dir 755', '\xff\xe9/\x01': 'file 644 x' },
    changes: { implied: ['', '\xff\xe9'] },
  },
  {
    name: 'a name of 255 bytes',
    parts: [file('n'.repeat(255), 'x')],
    tree: { ['n'.repeat(255)]: 'file 644 x' },
  },
  {
    name: 'a name that looks like a whiteout but is none',
    parts: [file('.whx', 'x'), file('x.wh.y', 'y')],
    tree: { '.whx': 'file 644 x', 'x.wh.y': 'file 644 y' },
  },
  { name: 'the root itself', parts: [directory('./', { mode: 0o711 })], tree: {}, changes: { implied: [] } },
  { name: 'the root by a slash', parts: [directory('/')], tree: {}, changes: { implied: [] } },
  {
    name: 'absolute names, dots and doubled slashes',
    parts: [file('/a//./b/f', 'x'), file('./a/g', 'y')],
    tree: { a: 'dir 755', 'a/b': 'dir 755', 'a/b/f': 'file 644 x', 'a/g': 'file 644 y' },
    changes: { implied: ['', 'a', 'a/b'] },
  },
  {
    name: 'a .. within the layer, resolved in the text',
    parts: [file('a/../f', 'x')],
    tree: { f: 'file 644 x' },
  },
  {
    name: 'a .. behind a symlink, resolved in the text too',
    parts: [directory('d/e'), symlink('s', 'd/e'), file('s/../f', 'x')],
    tree: { d: 'dir 755', 'd/e': 'dir 755', s: 'symlink d/e', f: 'file 644 x' },
    changes: { implied: ['', 'd'] },
  },
  {
    name: 'implied directories',
    parts: [file('a/b/f', 'x'), directory('a/c')],
    tree: { a: 'dir 755', 'a/b': 'dir 755', 'a/b/f': 'file 644 x', 'a/c': 'dir 755' },
    changes: { implied: ['', 'a', 'a/b'] },
  },
  {
    name: 'a directory listed after its content',
    parts: [file('a/f', 'x'), directory('a', { mode: 0o711 })],
    tree: { a: 'dir 711', 'a/f': 'file 644 x' },
  },
];
