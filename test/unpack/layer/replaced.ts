import { device, directory, fifo, file, hardLink, symlink } from '../../support/tar-builder.js';
import { OPQ, type WrittenLayer } from './written-layer.js';

/** Entries in the place of earlier ones. */
export const REPLACED: readonly WrittenLayer[] = [
  {
    name: 'a file by a file',
    parts: [file('f', 'long content'), file('f', 'x', { mode: 0o600 })],
    tree: { f: 'file 600 x' },
  },
  { name: 'a file by a symlink', parts: [file('f', 'x'), symlink('f', 't')], tree: { f: 'symlink t' } },
  {
    name: 'a symlink by a file, not what it leads to',
    parts: [file('t', 'target'), symlink('s', 't'), file('s', 'x')],
    tree: { t: 'file 644 target', s: 'file 644 x' },
  },
  {
    name: 'a symlink to a directory by a directory',
    parts: [directory('t'), file('t/f', 'x'), symlink('s', 't'), directory('s', { mode: 0o700 })],
    tree: { t: 'dir 755', 't/f': 'file 644 x', s: 'dir 700' },
    changes: { opaques: ['s'] },
  },
  {
    name: 'a file by a directory, which hides what the file hid',
    parts: [file('f', 'x'), directory('f')],
    tree: { f: 'dir 755' },
    changes: { opaques: ['f'] },
  },
  {
    name: 'a directory by a directory, whose content stays',
    parts: [directory('d', { mode: 0o700 }), file('d/f', 'x'), directory('d', { mode: 0o711 })],
    tree: { d: 'dir 711', 'd/f': 'file 644 x' },
  },
  {
    name: 'a directory with content by a file',
    parts: [directory('d'), file('d/e/f', 'x'), symlink('d/s', '/etc'), file('d', 'y')],
    tree: { d: 'file 644 y' },
  },
  {
    name: 'a directory by a symlink',
    parts: [directory('d'), directory('t'), symlink('d', 't'), file('d/f', 'x')],
    tree: { d: 'symlink t', t: 'dir 755', 't/f': 'file 644 x' },
  },
  {
    name: 'a directory by a file and that by a directory',
    parts: [directory('d'), file('d/f', 'x'), file('d', 'y'), directory('d')],
    tree: { d: 'dir 755' },
    changes: { opaques: ['d'] },
  },
  {
    name: 'a file by a device and that by a fifo',
    parts: [file('f', 'x'), device('c', 'f', 1, 3), fifo('f')],
    tree: { f: 'fifo 644' },
  },
  {
    name: 'one name of a hard link, the other stays',
    parts: [file('f', 'x'), hardLink('g', 'f'), file('f', 'y')],
    tree: { f: 'file 644 y', g: 'file 644 x' },
  },
  {
    name: 'a directory with notes on lower layers, which go with it',
    parts: [file('d/.wh.a'), file(`d/e/${OPQ}`), hardLink('d/l', 'lower'), file('d', 'y')],
    tree: { d: 'file 644 y' },
  },
];
