import { device, directory, fifo, file, hardLink, symlink } from '../../support/tar-builder.js';
import type { WrittenLayer } from './written-layer.js';

/** Hard links, by what they lead to. */
export const LINKS: readonly WrittenLayer[] = [
  {
    name: 'an earlier file',
    parts: [file('d/f', 'x'), hardLink('l', 'd/f')],
    tree: { d: 'dir 755', 'd/f': 'file 644 x', l: 'file 644 x' },
    changes: { implied: ['', 'd'] },
  },
  {
    name: 'an earlier symlink, not what it leads to',
    parts: [file('t', 'x'), symlink('s', 't'), hardLink('l', 's')],
    tree: { t: 'file 644 x', s: 'symlink t', l: 'symlink t' },
  },
  {
    name: 'a fifo and a device',
    parts: [fifo('p'), device('c', 'c', 1, 3), hardLink('l', 'p'), hardLink('m', 'c')],
    tree: { p: 'fifo 644', c: 'char 1:3 644', l: 'fifo 644', m: 'char 1:3 644' },
  },
  {
    name: 'a target through a symlink of the layer',
    parts: [file('usr/f', 'x'), symlink('s', '/usr'), hardLink('l', 's/f')],
    tree: { usr: 'dir 755', 'usr/f': 'file 644 x', s: 'symlink /usr', l: 'file 644 x' },
    changes: { implied: ['', 'usr'] },
  },
  {
    name: 'in place of something else',
    parts: [file('f', 'x'), file('l/g', 'y'), hardLink('l', 'f')],
    tree: { f: 'file 644 x', l: 'file 644 x' },
  },
  {
    name: 'a file that only a lower layer has',
    parts: [hardLink('d/l', '/usr/bin/f')],
    tree: { d: 'dir 755' },
    changes: { implied: ['', 'd'], pendingLinks: [{ path: 'd/l', target: 'usr/bin/f' }] },
  },
  {
    name: 'a lower file in a directory that is here',
    parts: [directory('d'), hardLink('l', './d/f')],
    tree: { d: 'dir 755' },
    changes: { pendingLinks: [{ path: 'l', target: 'd/f' }] },
  },
  {
    name: 'a lower file behind a symlink that is here',
    parts: [symlink('s', '/usr/./x/..'), hardLink('l', 's/bin/f')],
    tree: { s: 'symlink /usr/./x/..' },
    changes: { pendingLinks: [{ path: 'l', target: 'usr/bin/f' }] },
  },
  {
    name: 'a link that itself waits',
    parts: [hardLink('l', 'lower'), hardLink('m', 'l')],
    tree: {},
    changes: {
      pendingLinks: [
        { path: 'l', target: 'lower' },
        { path: 'm', target: 'lower' },
      ],
    },
  },
  {
    name: 'several in the order of the archive',
    parts: [hardLink('z', 'a/1'), hardLink('d/y', 'b'), hardLink('a', 'c')],
    tree: { d: 'dir 755' },
    changes: {
      implied: ['', 'd'],
      pendingLinks: [
        { path: 'z', target: 'a/1' },
        { path: 'd/y', target: 'b' },
        { path: 'a', target: 'c' },
      ],
    },
  },
  {
    name: 'a later entry in place of one that waits',
    parts: [hardLink('l', 'lower'), file('l', 'x')],
    tree: { l: 'file 644 x' },
  },
  {
    name: 'a later directory in place of one that waits',
    parts: [hardLink('l', 'lower'), directory('l')],
    tree: { l: 'dir 755' },
    changes: { opaques: ['l'] },
  },
  {
    name: 'one that waits in place of a file',
    parts: [file('l', 'x'), hardLink('l', 'lower')],
    tree: {},
    changes: { pendingLinks: [{ path: 'l', target: 'lower' }] },
  },
  {
    name: 'one that waits where a whiteout is',
    parts: [file('.wh.l'), hardLink('l', 'lower')],
    tree: {},
    changes: { pendingLinks: [{ path: 'l', target: 'lower' }] },
  },
];
