import { IMPLIED, type LayerCase } from '../../support/layer-case.js';
import { device, directory, fifo, file, hardLink, symlink } from '../../support/tar-builder.js';

const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
/**
 * user::rwx, group::r-x, mask::r-x, other::r-x, as the kernel stores them: more than a mode says, and without
 * any ID.
 */
const ACL = Buffer.from('0200000001000700ffffffff04000500ffffffff10000500ffffffff20000500ffffffff', 'hex');
const ACL_SHOWN = `0x${ACL.toString('hex')}`;
const ALL = { uid: 5, gid: 6, mtime: 7 };

const OVERLAY_MARKS = {
  'trusted.overlay.opaque': 'y',
  'trusted.overlay.redirect': '/etc',
  'trusted.overlay.metacopy': '',
  'trusted.overlay.overlay.opaque': 'y',
  'user.overlay.opaque': 'y',
  'user.overlay.whiteout': '',
  'user.overlay.overlay.overlay.x': 'y',
};
const OVERLAY_WARNINGS = [/trusted\.overlay\.\* are not kept/, /user\.overlay\.\* are not kept/];

const REPLACED: readonly LayerCase[] = [
  {
    name: 'of a directory are replaced by those of a directory over it, xattrs and ACLs included',
    layers: [
      [
        directory('d', {
          ...ALL,
          mode: 0o3700,
          xattrs: {
            'user.old': '1',
            'user.both': '1',
            'trusted.old': '1',
            'system.posix_acl_access': ACL,
            'system.posix_acl_default': ACL,
          },
        }),
        file('d/f', 'x'),
      ],
      [directory('d', { mode: 0o711, mtime: 9, xattrs: { 'user.both': '2', 'user.new': '2' } })],
    ],
    tree: { d: 'dir 711, at 9, user.both=2, user.new=2', 'd/f': 'file 644 x' },
  },
  {
    name: 'of a directory are replaced by those of a later entry in the same layer',
    layers: [
      [
        directory('d', { ...ALL, mode: 0o700, xattrs: { 'user.old': '1', 'system.posix_acl_default': ACL } }),
        file('d/f', 'x'),
        directory('d', { mode: 0o711, mtime: 9, xattrs: { 'user.new': '2' } }),
      ],
    ],
    tree: { d: 'dir 711, at 9, user.new=2', 'd/f': 'file 644 x' },
  },
  {
    name: 'of a file leave nothing to a file over it',
    layers: [
      [
        file('f', 'longer', {
          ...ALL,
          mode: 0o6755,
          xattrs: { 'user.old': '1', 'security.capability': CAPABILITY },
        }),
      ],
      [file('f', 'x')],
    ],
    tree: { f: 'file 644 x' },
  },
  {
    name: 'of the root are replaced as those of any directory',
    layers: [
      [directory('.', { ...ALL, mode: 0o751, xattrs: { 'user.old': '1' } }), file('f')],
      [directory('./', { mode: 0o711, mtime: 9, xattrs: { 'user.new': '2' } })],
    ],
    tree: { '': 'dir 711, at 9, user.new=2', f: 'file 644 ' },
  },
  {
    name: 'of the root stay when an upper layer does not list it',
    layers: [
      [directory('.', { ...ALL, mode: 0o751, xattrs: { 'user.a': '1' } }), file('f')],
      [file('g'), file('.wh.f')],
    ],
    tree: { '': 'dir 751, 5:6, at 7, user.a=1', g: 'file 644 ' },
  },
];

const UNLISTED: readonly LayerCase[] = [
  {
    name: 'of a directory that is listed nowhere are root’s, with mode 755',
    layers: [[file('a/b/f', 'x')]],
    tree: { a: IMPLIED, 'a/b': IMPLIED, 'a/b/f': 'file 644 x' },
  },
  {
    name: 'of a directory that only a lower layer lists stay, times and xattrs included',
    layers: [
      [
        directory('a', { ...ALL, mode: 0o2750, xattrs: { 'user.a': '1', 'trusted.a': '2' } }),
        directory('a/b', { mode: 0o700, mtime: 8, xattrs: { 'system.posix_acl_default': ACL } }),
      ],
      [file('a/b/f', 'x')],
    ],
    tree: {
      a: 'dir 2750, 5:6, at 7, trusted.a=2, user.a=1',
      'a/b': `dir 700, at 8, system.posix_acl_default=${ACL_SHOWN}`,
      'a/b/f': 'file 644 x',
    },
  },
  {
    name: 'of a directory that several lower layers list are those of the topmost',
    layers: [
      [directory('a', { mode: 0o700, mtime: 1, xattrs: { 'user.low': '1' } })],
      [directory('a', { mode: 0o711, mtime: 2 })],
      [file('other')],
      [file('a/f', 'x')],
    ],
    tree: { a: 'dir 711, at 2', 'a/f': 'file 644 x', other: 'file 644 ' },
  },
  {
    name: 'come through a layer that needs the directory and does not list it either',
    layers: [[directory('a', { mode: 0o700, mtime: 1 })], [file('a/f', 'x')], [file('a/g', 'y')]],
    tree: { a: 'dir 700, at 1', 'a/f': 'file 644 x', 'a/g': 'file 644 y' },
  },
  {
    name: 'do not come from a directory that a layer between has deleted',
    layers: [[directory('a', { ...ALL, mode: 0o700 })], [file('.wh.a')], [file('a/f', 'x')]],
    tree: { a: IMPLIED, 'a/f': 'file 644 x' },
  },
  {
    name: 'do not come from a directory that the layer itself deletes',
    layers: [[directory('a', { ...ALL, mode: 0o700 })], [file('a/f', 'x'), file('.wh.a')]],
    tree: { a: IMPLIED, 'a/f': 'file 644 x' },
  },
  {
    name: 'stay with a directory that is made opaque, and do not come to what is below it',
    layers: [
      [directory('a', { mode: 0o700, mtime: 1 }), directory('a/b', { mode: 0o700, mtime: 2 })],
      [file('a/.wh..wh..opq'), file('a/b/f', 'x')],
    ],
    tree: { a: 'dir 700, at 1', 'a/b': IMPLIED, 'a/b/f': 'file 644 x' },
  },
  {
    name: 'of a directory that a whiteout needs stay',
    layers: [
      [directory('a', { mode: 0o700, mtime: 1 }), directory('a/b', { mode: 0o711, mtime: 2 }), file('a/b/f')],
      [file('a/b/.wh.f')],
    ],
    tree: { a: 'dir 700, at 1', 'a/b': 'dir 711, at 2' },
  },
];

const SET: readonly LayerCase[] = [
  {
    name: 'setuid, setgid and sticky, whoever the owner',
    layers: [
      [
        file('u', '', { ...ALL, mode: 0o4755 }),
        file('g', '', { ...ALL, mode: 0o2755 }),
        file('none', '', { ...ALL, mode: 0o6000 }),
        directory('d', { ...ALL, mode: 0o7777 }),
        file('d/f', 'x'),
        directory('d/e'),
      ],
    ],
    tree: {
      u: 'file 4755 , 5:6, at 7',
      g: 'file 2755 , 5:6, at 7',
      none: 'file 6000 , 5:6, at 7',
      d: 'dir 7777, 5:6, at 7',
      'd/f': 'file 644 x',
      'd/e': 'dir 755',
    },
  },
  {
    name: 'the largest IDs, a time before 1970 and one with a fraction',
    layers: [
      [
        file('ids', '', { pax: { uid: '4294967294', gid: '4294967294' } }),
        file('early', '', { pax: { mtime: '-1.5' } }),
        directory('fraction', { pax: { mtime: '1234567.5' } }),
        file('fraction/f'),
      ],
    ],
    tree: {
      ids: 'file 644 , 4294967294:4294967294',
      early: 'file 644 , at -1.5',
      fraction: 'dir 755, at 1234567.5',
      'fraction/f': 'file 644 ',
    },
  },
  {
    name: 'times of directories, after all that lies in them and whatever stands behind them',
    layers: [
      [
        directory('a', { mtime: 1 }),
        directory('a/b', { mtime: 2 }),
        file('a/b/f'),
        file('a/b/gone'),
        symlink('a/s', 'x'),
      ],
      [directory('a/b', { mtime: 3 }), file('a/b/.wh.gone'), hardLink('a/b/l', 'a/b/f'), fifo('a/b/p')],
    ],
    tree: {
      a: 'dir 755, at 1',
      'a/b': 'dir 755, at 3',
      'a/b/f': 'file 644 ',
      'a/b/l': 'file 644 ',
      'a/b/p': 'fifo 644',
      'a/s': 'symlink x',
    },
    same: [['a/b/f', 'a/b/l']],
  },
  {
    name: 'xattrs of every kind and value, on what takes them',
    layers: [
      [
        file('f', 'x', {
          uid: 5,
          mode: 0o400,
          xattrs: {
            'user.binary': Buffer.from([0, 255, 10, 61]),
            'user.empty': '',
            'user.with=sign': '1',
            'trusted.t': '2',
            'security.capability': CAPABILITY,
            'security.other': 'kept',
          },
        }),
        directory('d', { mode: 0o500, xattrs: { 'user.d': '1', 'trusted.t': '2' } }),
        symlink('s', 'x', { xattrs: { 'trusted.t': '3' } }),
        fifo('p', { xattrs: { 'trusted.t': '4' } }),
        device('c', 'c', 1, 3, { xattrs: { 'trusted.t': '5' } }),
      ],
      [file('other')],
    ],
    tree: {
      f: `file 400 x, 5:0, security.capability=0x${CAPABILITY.toString('hex')}, security.other=kept, trusted.t=2, user.binary=0x00ff0a3d, user.empty=, user.with=sign=1`,
      d: 'dir 500, trusted.t=2, user.d=1',
      s: 'symlink x, trusted.t=3',
      p: 'fifo 644, trusted.t=4',
      c: 'char 1:3 644, trusted.t=5',
      other: 'file 644 ',
    },
  },
  {
    name: 'ACLs, of which a default one is not handed down to what the layer puts there',
    layers: [
      [
        directory('d', { xattrs: { 'system.posix_acl_default': ACL } }),
        file('d/f', 'x', { mode: 0o755, xattrs: { 'system.posix_acl_access': ACL } }),
        directory('d/e', { mode: 0o700 }),
        file('d/e/f', 'x', { mode: 0o666 }),
        file('d/implied/f', 'x'),
      ],
      [file('d/g', 'y'), file('d/late/f', 'x')],
    ],
    tree: {
      d: `dir 755, system.posix_acl_default=${ACL_SHOWN}`,
      'd/f': `file 755 x, system.posix_acl_access=${ACL_SHOWN}`,
      'd/e': 'dir 700',
      'd/e/f': 'file 666 x',
      'd/implied': IMPLIED,
      'd/implied/f': 'file 644 x',
      'd/g': 'file 644 y',
      'd/late': IMPLIED,
      'd/late/f': 'file 644 x',
    },
  },
  {
    name: 'overlay’s own are dropped, and the mount does not obey them',
    layers: [
      [directory('d'), file('d/f', 'lower'), file('g', 'lower'), directory('.', { xattrs: OVERLAY_MARKS })],
      [
        directory('d', { xattrs: OVERLAY_MARKS }),
        file('g', 'upper', { xattrs: { ...OVERLAY_MARKS, 'user.kept': '1' } }),
        directory('.', { xattrs: OVERLAY_MARKS }),
      ],
    ],
    tree: { '': 'dir 755', d: 'dir 755', 'd/f': 'file 644 lower', g: 'file 644 upper, user.kept=1' },
    warnings: [...OVERLAY_WARNINGS, ...OVERLAY_WARNINGS],
  },
  {
    name: 'xattrs that no file system takes are left out, each kind with one warning',
    layers: [
      [
        file('f', 'x', { xattrs: { 'nonsense.a': '1', 'user.a': '1' } }),
        file('g', 'x', { xattrs: { 'nonsense.b': '1' } }),
        symlink('s', 'x', { xattrs: { 'user.a': '1' } }),
        fifo('p', { xattrs: { 'user.a': '1' } }),
        file('acl', 'x', { xattrs: { 'system.posix_acl_access': 'nonsense' } }),
      ],
    ],
    tree: {
      f: 'file 644 x, user.a=1',
      g: 'file 644 x',
      s: 'symlink x',
      p: 'fifo 644',
      acl: 'file 644 x',
    },
    warnings: [/"nonsense" are not kept/, /"user" are not kept/, /"system" are not kept/],
    exported: {
      tree: {
        f: 'file 644 x, nonsense.a=1, user.a=1',
        g: 'file 644 x, nonsense.b=1',
        s: 'symlink x, user.a=1',
        p: 'fifo 644, user.a=1',
        acl: 'file 644 x, system.posix_acl_access=nonsense',
      },
      warnings: [],
    },
  },
];

/** What is closed even to its owner: an ordinary user has to open it up for a while. */
const CLOSED: readonly LayerCase[] = [
  {
    name: 'directories without any rights, changed in all ways by upper layers',
    layers: [
      [
        directory('c', { mode: 0, mtime: 1 }),
        directory('c/d', { mode: 0, mtime: 2 }),
        file('c/d/f', 'x', { mode: 0, mtime: 3 }),
        file('c/d/gone', 'x'),
        directory('c/d/deep', { mode: 0o100, mtime: 4 }),
        file('c/d/deep/x', 'x'),
        directory('c/d/emptied', { mode: 0, mtime: 5 }),
        file('c/d/emptied/x', 'x'),
        directory('c/d/removed', { mode: 0 }),
        file('c/d/removed/x', 'x'),
      ],
      [
        file('c/d/.wh.gone'),
        file('c/d/.wh.removed'),
        file('c/d/emptied/.wh..wh..opq'),
        file('c/d/deep/y', 'y'),
        hardLink('c/linked', 'c/d/f'),
        hardLink('c/d/deep/linked', 'c/d/f'),
      ],
      [
        directory('c/d', { mode: 0o300, mtime: 6 }),
        directory('c/d/new', { mode: 0 }),
        file('c/d/new/f', 'x'),
      ],
      [hardLink('again', 'c/linked'), file('c/d/new/.wh.f')],
    ],
    tree: {
      c: 'dir 0, at 1',
      'c/d': 'dir 300, at 6',
      'c/d/f': 'file 0 x, at 3',
      'c/linked': 'file 0 x, at 3',
      'c/d/deep': 'dir 100, at 4',
      'c/d/deep/x': 'file 644 x',
      'c/d/deep/y': 'file 644 y',
      'c/d/deep/linked': 'file 0 x, at 3',
      'c/d/emptied': 'dir 0, at 5',
      'c/d/new': 'dir 0',
      again: 'file 0 x, at 3',
    },
    same: [['c/d/f', 'c/linked', 'c/d/deep/linked', 'again']],
    sameInOverlay: [
      ['c/d/f', 'c/d/deep/linked'],
      ['again', 'c/linked'],
    ],
  },
  {
    name: 'a root and directories that may only be read',
    layers: [
      [
        directory('.', { mode: 0o555, mtime: 1 }),
        directory('d', { mode: 0o555, mtime: 2 }),
        file('d/f', 'x'),
        file('gone'),
      ],
      [file('.wh.gone'), file('d/g', 'y'), hardLink('l', 'd/f')],
      [file('d/h', 'z', { mode: 0o400 }), file('d/.wh.g')],
    ],
    tree: {
      '': 'dir 555, at 1',
      d: 'dir 555, at 2',
      'd/f': 'file 644 x',
      'd/h': 'file 400 z',
      l: 'file 644 x',
    },
    same: [['d/f', 'l']],
  },
];

export const ATTRIBUTE_CASES: readonly LayerCase[] = [...REPLACED, ...UNLISTED, ...SET, ...CLOSED];
