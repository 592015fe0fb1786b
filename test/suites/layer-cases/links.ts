import { IMPLIED, type LayerCase } from '../../support/layer-case.js';
import { device, directory, fifo, file, hardLink, symlink } from '../../support/tar-builder.js';

const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
const OPQ = '.wh..wh..opq';

const WITHIN: readonly LayerCase[] = [
  {
    name: 'to an earlier entry, by its path in all spellings',
    layers: [[file('d/f', 'x'), hardLink('a', 'd/f'), hardLink('b', '/d/f'), hardLink('c', './d/../d//f')]],
    tree: { d: IMPLIED, 'd/f': 'file 644 x', a: 'file 644 x', b: 'file 644 x', c: 'file 644 x' },
    same: [['d/f', 'a', 'b', 'c']],
  },
  {
    name: 'to a symlink, a fifo and devices, each itself',
    layers: [
      [
        symlink('s', '/nowhere'),
        fifo('p'),
        device('c', 'c', 1, 3),
        device('b', 'b', 8, 0),
        ...['s', 'p', 'c', 'b'].map((name) => hardLink(`l${name}`, name)),
      ],
    ],
    tree: {
      s: 'symlink /nowhere',
      ls: 'symlink /nowhere',
      p: 'fifo 644',
      lp: 'fifo 644',
      c: 'char 1:3 644',
      lc: 'char 1:3 644',
      b: 'block 8:0 644',
      lb: 'block 8:0 644',
    },
    same: ['s', 'p', 'c', 'b'].map((name) => [name, `l${name}`]),
  },
  {
    name: 'to what is replaced later keeps what it linked to',
    layers: [[file('f', 'old'), hardLink('l', 'f'), file('f', 'new'), hardLink('m', 'f')]],
    tree: { f: 'file 644 new', l: 'file 644 old', m: 'file 644 new' },
    same: [['f', 'm']],
  },
  {
    name: 'to a link, and so on',
    layers: [[file('f', 'x'), hardLink('l', 'f'), hardLink('m', 'l'), file('f', 'y'), hardLink('n', 'm')]],
    tree: { f: 'file 644 y', l: 'file 644 x', m: 'file 644 x', n: 'file 644 x' },
    same: [['l', 'm', 'n']],
  },
  {
    name: 'has the attributes of the file, not its own',
    layers: [
      [
        file('f', 'x', { mode: 0o4755, uid: 5 }),
        hardLink('l', 'f', { mode: 0o600, uid: 9, mtime: 9, xattrs: { 'user.a': '1' } }),
      ],
    ],
    tree: { f: 'file 4755 x, 5:0', l: 'file 4755 x, 5:0' },
    same: [['f', 'l']],
  },
  {
    name: 'through a symlink of the layer',
    layers: [[file('usr/f', 'x'), symlink('s', '/usr'), hardLink('l', 's/f'), hardLink('s/m', 's/f')]],
    tree: { usr: IMPLIED, 'usr/f': 'file 644 x', 'usr/m': 'file 644 x', s: 'symlink /usr', l: 'file 644 x' },
    same: [['usr/f', 'usr/m', 'l']],
  },
];

const ACROSS: readonly LayerCase[] = [
  {
    name: 'to a file of a lower layer: both names are one file, with all its attributes',
    layers: [
      [
        directory('d', { mtime: 1, mode: 0o711 }),
        file('d/f', 'x', {
          mode: 0o6755,
          uid: 5,
          gid: 6,
          mtime: 7,
          xattrs: { 'user.a': '1', 'security.capability': CAPABILITY },
        }),
      ],
      [directory('e', { mtime: 2 }), hardLink('e/l', 'd/f', { mode: 0o600, mtime: 9 })],
    ],
    tree: {
      d: 'dir 711, at 1',
      'd/f': `file 6755 x, 5:6, at 7, security.capability=0x${CAPABILITY.toString('hex')}, user.a=1`,
      e: 'dir 755, at 2',
      'e/l': `file 6755 x, 5:6, at 7, security.capability=0x${CAPABILITY.toString('hex')}, user.a=1`,
    },
    same: [['d/f', 'e/l']],
  },
  {
    name: 'to a symlink, a fifo and devices of a lower layer',
    layers: [
      [
        symlink('s', '/nowhere', { mtime: 3 }),
        fifo('p', { mode: 0o620 }),
        device('c', 'c', 1, 3),
        device('b', 'b', 8, 0),
      ],
      ['s', 'p'].map((name) => hardLink(`l${name}`, name)),
    ],
    tree: {
      s: 'symlink /nowhere, at 3',
      ls: 'symlink /nowhere, at 3',
      p: 'fifo 620',
      lp: 'fifo 620',
      c: 'char 1:3 644',
      b: 'block 8:0 644',
    },
    same: ['s', 'p'].map((name) => [name, `l${name}`]),
  },
  {
    name: 'several to one lower file, by its several names',
    layers: [
      [file('f', 'x'), hardLink('g', 'f')],
      [hardLink('l', 'f'), hardLink('m', 'l'), hardLink('n', 'g')],
    ],
    tree: Object.fromEntries(['f', 'g', 'l', 'm', 'n'].map((name) => [name, 'file 644 x'])),
    same: [['f', 'g', 'l', 'm', 'n']],
  },
  {
    name: 'to a lower file that has other names, which overlay leaves with the lower file',
    layers: [[file('f', 'x'), hardLink('g', 'f'), hardLink('h', 'f')], [hardLink('l', 'f')]],
    tree: Object.fromEntries(['f', 'g', 'h', 'l'].map((name) => [name, 'file 644 x'])),
    same: [['f', 'g', 'h', 'l']],
    sameInOverlay: [
      ['f', 'l'],
      ['g', 'h'],
    ],
  },
  {
    name: 'a chain through three layers',
    layers: [[file('a/f', 'x', { uid: 5 })], [hardLink('b/l', 'a/f')], [hardLink('c/m', 'b/l')]],
    tree: {
      a: IMPLIED,
      'a/f': 'file 644 x, 5:0',
      b: IMPLIED,
      'b/l': 'file 644 x, 5:0',
      c: IMPLIED,
      'c/m': 'file 644 x, 5:0',
    },
    same: [['a/f', 'b/l', 'c/m']],
    sameInOverlay: [['b/l', 'c/m']],
  },
  {
    name: 'to two lower files, one in the place of the directory that has the other',
    layers: [
      [file('d/f', 'f'), file('g', 'g')],
      [hardLink('l', 'd/f'), hardLink('d', 'g')],
    ],
    tree: { l: 'file 644 f', d: 'file 644 g', g: 'file 644 g' },
    same: [['d', 'g']],
  },
  {
    name: 'to two lower files, one in the place of the other',
    layers: [
      [file('f', 'f'), file('g', 'g')],
      [hardLink('l', 'f'), hardLink('f', 'g')],
    ],
    tree: { l: 'file 644 f', f: 'file 644 g', g: 'file 644 g' },
    same: [['f', 'g']],
  },
  {
    name: 'to a lower file that the layer replaces: before it the old one, behind it the new one',
    layers: [[file('f', 'old')], [hardLink('before', 'f'), file('f', 'new'), hardLink('behind', 'f')]],
    tree: { before: 'file 644 old', f: 'file 644 new', behind: 'file 644 new' },
    same: [['f', 'behind']],
  },
  {
    name: 'to a lower file whose directory the layer replaces later',
    layers: [[file('d/f', 'x')], [hardLink('l', 'd/f'), symlink('d', '/nowhere')]],
    tree: { d: 'symlink /nowhere', l: 'file 644 x' },
  },
  {
    name: 'in the place of a lower file, directory and symlink',
    layers: [
      [file('f', 'x'), file('a', 'old'), file('b/old'), symlink('c', 'b')],
      [hardLink('a', 'f'), hardLink('b', 'f'), hardLink('c', 'f')],
    ],
    tree: Object.fromEntries(['f', 'a', 'b', 'c'].map((name) => [name, 'file 644 x'])),
    same: [['f', 'a', 'b', 'c']],
  },
  {
    name: 'in the place of another name of the same file',
    layers: [[file('f', 'x'), hardLink('l', 'f')], [hardLink('l', 'f')]],
    tree: { f: 'file 644 x', l: 'file 644 x' },
    same: [['f', 'l']],
  },
  {
    name: 'at a name that the layer whites out',
    layers: [
      [file('f', 'x'), file('l', 'old')],
      [file('.wh.l'), hardLink('l', 'f')],
    ],
    tree: { f: 'file 644 x', l: 'file 644 x' },
    same: [['f', 'l']],
  },
  {
    name: 'replaced by an upper layer, which leaves the file',
    layers: [[file('f', 'x')], [hardLink('l', 'f')], [file('l', 'y')]],
    tree: { f: 'file 644 x', l: 'file 644 y' },
  },
  {
    name: 'below a symlink of a lower layer, which becomes a directory',
    layers: [[file('f', 'x'), directory('d'), symlink('s', 'd')], [hardLink('s/l', 'f')]],
    tree: { d: 'dir 755', f: 'file 644 x', s: IMPLIED, 's/l': 'file 644 x' },
    same: [['f', 's/l']],
    warnings: [/^"s" is a symlink in a lower layer/],
  },
];

const DEVICES: readonly LayerCase[] = [
  {
    name: 'to a device, which who may not make it leaves out, over something of a lower layer',
    layers: [
      [file('null', 'lower'), file('l/lower'), file('kept', 'x')],
      [
        device('c', 'null', 1, 3),
        hardLink('l', 'null'),
        hardLink('m', 'l'),
        hardLink('kept', 'null'),
        file('kept', 'y'),
      ],
    ],
    tree: { null: 'char 1:3 644', l: 'char 1:3 644', m: 'char 1:3 644', kept: 'file 644 y' },
    same: [['null', 'l', 'm']],
  },
];

const REFUSED: readonly LayerCase[] = [
  ['what is nowhere', [[file('f')], [hardLink('l', 'nowhere')]]],
  ['what is nowhere, in the only layer', [[hardLink('l', 'd/nowhere')]]],
  ['a file that a lower layer deleted', [[file('f')], [file('.wh.f')], [hardLink('l', 'f')]]],
  [
    'a file in a directory that a lower layer deleted',
    [[file('d/f')], [file('.wh.d')], [hardLink('l', 'd/f')]],
  ],
  [
    'a file in a directory that a lower layer made opaque',
    [[file('d/f')], [file(`d/${OPQ}`)], [hardLink('l', 'd/f')]],
  ],
  ['a file that the layer deletes, before the link', [[file('f')], [file('.wh.f'), hardLink('l', 'f')]]],
  ['a file that the layer deletes, behind the link', [[file('f')], [hardLink('l', 'f'), file('.wh.f')]]],
  [
    'a file in a directory that the layer makes opaque',
    [[file('d/f')], [hardLink('l', 'd/f'), file(`d/${OPQ}`)]],
  ],
  ['a directory of the layer', [[directory('d'), hardLink('l', 'd')]]],
  ['a directory of a lower layer', [[directory('d')], [hardLink('l', 'd')]]],
  ['a file through a symlink of a lower layer', [[file('d/f'), symlink('s', 'd')], [hardLink('l', 's/f')]]],
  [
    'a file far below a symlink of a lower layer',
    [[file('d/e/f'), symlink('s', 'd')], [hardLink('l', 's/e/f')]],
  ],
  ['a file below a file', [[file('f')], [hardLink('l', 'f/g')]]],
  ['itself', [[file('f', 'x'), hardLink('f', 'f')]]],
  ['itself, a lower file', [[file('f', 'x')], [hardLink('f', 'f')]]],
  ['the root', [[hardLink('l', '/')]]],
].map(([name, layers]) => ({
  name: `to ${name as string} is refused`,
  layers: layers as Buffer[][],
  code: 'BAD_ARCHIVE',
}));

export const LINK_CASES: readonly LayerCase[] = [...WITHIN, ...ACROSS, ...DEVICES, ...REFUSED];
