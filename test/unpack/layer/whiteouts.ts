import { device, directory, file, hardLink, symlink } from '../../support/tar-builder.js';
import { OPQ, type WrittenLayer } from './written-layer.js';

/** Whiteouts, which only say what is to be done with lower layers. */
export const WHITEOUTS: readonly WrittenLayer[] = [
  { name: 'of a name', parts: [file('.wh.gone')], tree: {}, changes: { whiteouts: ['gone'] } },
  {
    name: 'in a directory that is not listed',
    parts: [file('a/b/.wh.gone')],
    tree: {},
    changes: { whiteouts: ['a/b/gone'] },
  },
  { name: 'twice', parts: [file('.wh.gone'), file('.wh.gone')], tree: {}, changes: { whiteouts: ['gone'] } },
  {
    name: 'of any type',
    parts: [directory('.wh.a'), symlink('.wh.b', '/etc'), hardLink('.wh.c', 'x'), device('c', '.wh.d', 0, 0)],
    tree: {},
    changes: { whiteouts: ['a', 'b', 'c', 'd'] },
  },
  {
    name: 'with content',
    parts: [file('.wh.gone', 'content'), file('f', 'x')],
    tree: { f: 'file 644 x' },
    changes: { whiteouts: ['gone'] },
  },
  {
    name: 'before the file that takes the place',
    parts: [file('.wh.f'), file('f', 'x')],
    tree: { f: 'file 644 x' },
  },
  {
    name: 'after the file that takes the place',
    parts: [file('f', 'x'), file('.wh.f')],
    tree: { f: 'file 644 x' },
  },
  {
    name: 'before the directory that takes the place',
    parts: [file('.wh.d'), directory('d'), file('d/f', 'x')],
    tree: { d: 'dir 755', 'd/f': 'file 644 x' },
    changes: { opaques: ['d'] },
  },
  {
    name: 'after the directory that takes the place',
    parts: [directory('d'), file('.wh.d')],
    tree: { d: 'dir 755' },
    changes: { opaques: ['d'] },
  },
  {
    name: 'of a directory that is only implied, which takes nothing from the one that it hides',
    parts: [file('.wh.d'), file('d/f', 'x')],
    tree: { d: 'dir 755', 'd/f': 'file 644 x' },
    changes: { opaques: ['d'] },
  },
  {
    name: 'within a hidden directory',
    parts: [file('.wh.d'), file('d/.wh.x'), file(`d/e/${OPQ}`)],
    tree: {},
    changes: { whiteouts: ['d'] },
  },
  {
    name: 'within a directory that is hidden only afterwards',
    parts: [file(`d/e/${OPQ}`), file('d/.wh.x'), file('.wh.d')],
    tree: {},
    changes: { whiteouts: ['d'] },
  },
  {
    name: 'within a hidden directory that is made anew',
    parts: [file('d/.wh.x'), file('.wh.d'), directory('d')],
    tree: { d: 'dir 755' },
    changes: { opaques: ['d'], whiteouts: ['d/x'] },
  },
  {
    name: 'opaque',
    parts: [directory('d', { mode: 0o700 }), file(`d/${OPQ}`)],
    tree: { d: 'dir 700' },
    changes: { opaques: ['d'] },
  },
  {
    name: 'opaque after the content, which stays',
    parts: [file('d/f', 'x'), file(`d/${OPQ}`)],
    tree: { d: 'dir 755', 'd/f': 'file 644 x' },
    changes: { implied: ['', 'd'], opaques: ['d'] },
  },
  {
    name: 'opaque in a directory that is not there',
    parts: [file(`a/b/${OPQ}`)],
    tree: {},
    changes: { opaques: ['a/b'] },
  },
  {
    name: 'opaque before the directory, which is there afterwards',
    parts: [file(`d/${OPQ}`), directory('d'), file('e/.wh.x'), file('e/f', 'x')],
    tree: { d: 'dir 755', e: 'dir 755', 'e/f': 'file 644 x' },
    changes: { implied: ['', 'e'], opaques: ['d'], whiteouts: ['e/x'] },
  },
  {
    name: 'opaque root',
    parts: [file(OPQ), file('f', 'x')],
    tree: { f: 'file 644 x' },
    changes: { opaques: [''] },
  },
  {
    name: 'opaque and a name in it',
    parts: [directory('d'), file(`d/${OPQ}`), file('d/.wh.x')],
    tree: { d: 'dir 755' },
    changes: { opaques: ['d'], whiteouts: ['d/x'] },
  },
  {
    name: 'opaque and a name in it, of a directory that is not there',
    parts: [file(`d/${OPQ}`), file('d/.wh.x'), file('d/e/.wh.y')],
    tree: {},
    changes: { opaques: ['d'] },
  },
  {
    name: 'below what is no directory here, where nothing of the lower layers shows anyway',
    parts: [file('f', 'x'), symlink('s', 'f'), file('f/.wh.x'), file(`s/y/${OPQ}`)],
    tree: { f: 'file 644 x', s: 'symlink f' },
  },
  {
    name: 'below what becomes no directory afterwards',
    parts: [file('f/.wh.x'), file(`s/y/${OPQ}`), file('f', 'x'), symlink('s', 'f')],
    tree: { f: 'file 644 x', s: 'symlink f' },
  },
  {
    name: 'below a symlink of the layer to a directory of it, which they do not follow',
    parts: [directory('d'), symlink('s', 'd'), file('s/.wh.x'), file(`s/${OPQ}`)],
    tree: { d: 'dir 755', s: 'symlink d' },
  },
  {
    name: 'below a hard link to a file of a lower layer',
    parts: [file('l/.wh.x'), hardLink('l', 'f'), file('l/.wh.y')],
    tree: {},
    changes: { pendingLinks: [{ path: 'l', target: 'f' }] },
  },
  {
    name: 'of a directory that a file, and then a directory, takes the place of',
    parts: [file('d/.wh.x'), file('d', 'x'), directory('d')],
    tree: { d: 'dir 755' },
    changes: { opaques: ['d'], whiteouts: ['d/x'] },
  },
  {
    name: 'the book-keeping of aufs',
    parts: [
      directory('.wh..wh.plnk'),
      file('.wh..wh.plnk/1.2', 'x'),
      file('.wh..wh.aufs'),
      directory('.wh..wh.orph'),
      file('d/.wh..wh.x/y/.wh.z', 'x'),
    ],
    tree: {},
  },
  {
    name: 'of names that are not UTF-8',
    parts: [file('.wh.\xff')],
    tree: {},
    changes: { whiteouts: ['\xff'] },
  },
];
