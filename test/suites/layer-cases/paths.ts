import { IMPLIED, type LayerCase } from '../../support/layer-case.js';
import { device, directory, file, symlink } from '../../support/tar-builder.js';

const BECOMES = /^"s" is a symlink in a lower layer and becomes a directory here$/;
const DEEP = Array.from({ length: 1000 }, (_, i) => `${i}`);

const NAMES: readonly LayerCase[] = [
  {
    name: 'absolute, with dots and doubled slashes, and with .. in the text',
    layers: [[file('/a//./b/f', '1'), file('./c/../g', '2'), directory('a/b/')]],
    tree: { a: IMPLIED, 'a/b': 'dir 755', 'a/b/f': 'file 644 1', g: 'file 644 2' },
  },
  {
    name: 'names with line breaks, escapes and backslashes, of bytes that are no text, of 255 bytes',
    layers: [[file('a\n\x1b[2Jb'), file('..\\..\\x'), file('\xff\xe9/\x01', 'x'), file('n'.repeat(255))]],
    tree: {
      'a\n\x1b[2Jb': 'file 644 ',
      '..\\..\\x': 'file 644 ',
      '\xff\xe9': IMPLIED,
      '\xff\xe9/\x01': 'file 644 x',
      ['n'.repeat(255)]: 'file 644 ',
    },
  },
  {
    name: 'a thousand directories deep, over three layers',
    layers: [
      [file(`${DEEP.join('/')}/f`, '1'), file(`${DEEP.join('/')}/gone`)],
      [file(`${DEEP.join('/')}/g`, '2'), file(`${DEEP.join('/')}/.wh.gone`)],
      [file(`${DEEP.slice(0, 500).join('/')}/.wh.500`)],
    ],
    tree: Object.fromEntries(DEEP.slice(0, 500).map((_, i) => [DEEP.slice(0, i + 1).join('/'), IMPLIED])),
  },
  {
    name: 'a file named twice is the later one',
    layers: [[file('f', 'longer'), file('g'), file('f', 'x', { mode: 0o600 })]],
    tree: { f: 'file 600 x', g: 'file 644 ' },
  },
  {
    name: 'a directory listed behind its content',
    layers: [[file('d/f', 'x'), directory('d', { mode: 0o711, mtime: 5 })]],
    tree: { d: 'dir 711, at 5', 'd/f': 'file 644 x' },
  },
];

const WITHIN: readonly LayerCase[] = [
  {
    name: 'through symlinks of the same layer, confined to it',
    layers: [
      [
        directory('usr/lib'),
        symlink('lib', 'usr/lib'),
        file('lib/a', '1'),
        symlink('abs', '/usr'),
        file('abs/b', '2'),
        symlink('usr/up', '../../../usr'),
        file('usr/up/c', '3'),
        symlink('dangling', 'to/here'),
        file('dangling/d', '4'),
      ],
    ],
    tree: {
      usr: IMPLIED,
      'usr/lib': 'dir 755',
      lib: 'symlink usr/lib',
      'usr/lib/a': 'file 644 1',
      abs: 'symlink /usr',
      'usr/b': 'file 644 2',
      'usr/up': 'symlink ../../../usr',
      'usr/c': 'file 644 3',
      dangling: 'symlink to/here',
      to: IMPLIED,
      'to/here': IMPLIED,
      'to/here/d': 'file 644 4',
    },
  },
  {
    name: 'through a symlink of the same layer to a directory that a lower layer has',
    layers: [
      [directory('d', { mode: 0o700, mtime: 1 }), file('d/a', '1')],
      [symlink('s', 'd'), file('s/b', '2')],
    ],
    tree: { d: 'dir 700, at 1', 'd/a': 'file 644 1', 'd/b': 'file 644 2', s: 'symlink d' },
  },
  {
    name: 'through a symlink that takes the place of a lower directory, which is gone',
    layers: [
      [directory('lib'), file('lib/old', 'x'), directory('usr/lib')],
      [symlink('lib', 'usr/lib'), file('lib/new', 'y')],
    ],
    tree: { usr: IMPLIED, 'usr/lib': 'dir 755', 'usr/lib/new': 'file 644 y', lib: 'symlink usr/lib' },
  },
  {
    name: 'below a file of the same layer is refused',
    layers: [[file('f', 'x'), file('f/g', 'y')]],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'through a loop of symlinks is refused',
    layers: [[symlink('a', 'b'), symlink('b', 'a'), file('a/f')]],
    code: 'BAD_ARCHIVE',
  },
];

const LOWER: readonly LayerCase[] = [
  {
    name: 'through a symlink of a lower layer, which becomes a directory',
    layers: [[directory('d', { mtime: 1 }), file('d/a', '1'), symlink('s', 'd')], [file('s/b', '2')]],
    tree: { d: 'dir 755, at 1', 'd/a': 'file 644 1', s: IMPLIED, 's/b': 'file 644 2' },
    warnings: [BECOMES],
  },
  {
    name: 'through a symlink two layers below, and not told again above',
    layers: [[symlink('s', '/etc')], [file('x')], [file('s/a', '1')], [file('s/b', '2')]],
    tree: { x: 'file 644 ', s: IMPLIED, 's/a': 'file 644 1', 's/b': 'file 644 2' },
    warnings: [BECOMES],
  },
  {
    name: 'a directory over a symlink of a lower layer is what the layer says, and no surprise',
    layers: [
      [directory('d', { mtime: 1 }), file('d/a', '1'), symlink('s', 'd')],
      [directory('s', { mode: 0o700, uid: 5 }), file('s/b', '2')],
    ],
    tree: { d: 'dir 755, at 1', 'd/a': 'file 644 1', s: 'dir 700, 5:0', 's/b': 'file 644 2' },
  },
  {
    name: 'through a file of a lower layer, which becomes a directory',
    layers: [[file('f', 'x')], [file('f/g', 'y')]],
    tree: { f: IMPLIED, 'f/g': 'file 644 y' },
    warnings: [/^"f" is not a directory in a lower layer and becomes a directory here$/],
  },
  {
    name: 'through a symlink that a layer between has replaced by a directory',
    layers: [[symlink('s', '/etc')], [directory('s', { mode: 0o700 })], [file('s/f', 'x')]],
    tree: { s: 'dir 700', 's/f': 'file 644 x' },
  },
  {
    name: 'through a symlink that a layer between has deleted',
    layers: [[symlink('s', '/etc')], [file('.wh.s')], [file('s/f', 'x')]],
    tree: { s: IMPLIED, 's/f': 'file 644 x' },
  },
];

const DEVICES: readonly LayerCase[] = [
  {
    name: 'devices of the least and the greatest numbers',
    layers: [
      [
        device('b', 'b', 0, 0),
        device('c', 'c', 0, 1),
        device('c', 'most', 4095, 1_048_575),
        device('b', 'by-pax', 0, 0, { pax: { 'SCHILY.devmajor': '259', 'SCHILY.devminor': '1048575' } }),
      ],
    ],
    tree: {
      b: 'block 0:0 644',
      c: 'char 0:1 644',
      most: 'char 4095:1048575 644',
      'by-pax': 'block 259:1048575 644',
    },
  },
  {
    name: 'a character device 0:0 is refused',
    layers: [[device('c', 'c', 0, 0)]],
    code: 'UNSUPPORTED_ENTRY',
  },
  {
    name: 'a character device that the kernel would cut off to 0:0 is refused',
    layers: [[device('c', 'c', 4096, 0)]],
    code: 'UNSUPPORTED_ENTRY',
  },
  {
    name: 'a character device that is 0:0 only in its pax header is refused',
    layers: [[device('c', 'c', 1, 3, { pax: { 'SCHILY.devmajor': '0', 'SCHILY.devminor': '0' } })]],
    code: 'UNSUPPORTED_ENTRY',
  },
  {
    name: 'a device whose minor number Linux does not have is refused',
    layers: [[device('b', 'b', 8, 0, { pax: { 'SCHILY.devminor': '1048576' } })]],
    code: 'UNSUPPORTED_ENTRY',
  },
];

export const PATH_CASES: readonly LayerCase[] = [...NAMES, ...WITHIN, ...LOWER, ...DEVICES];
