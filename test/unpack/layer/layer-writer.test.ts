import { execFileSync } from 'node:child_process';
import { lstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createResolver, lgetxattr, llistxattr } from '../../../src/system/index.js';
import type { LayerChanges, LayerForm } from '../../../src/unpack/layer-snapshotter.js';
import { listing, Sandbox, type Extracted, type ExtractOptions } from '../../support/extract-layer.js';
import {
  archive,
  device,
  directory,
  entry,
  fifo,
  file,
  hardLink,
  pax,
  symlink,
} from '../../support/tar-builder.js';

// Devices, owners and trusted xattrs need root; the row on `caller` says what is left without.
const FORMS: readonly LayerForm[] = ['plain', 'overlay', 'userxattr'];
const RESOLVERS = [createResolver({ openat2: true }), createResolver({ openat2: false })];

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => {
  const damage = sandbox.damage();
  sandbox.remove();
  expect(damage).toEqual([]);
});

const extract = (parts: readonly Buffer[], o?: ExtractOptions): Extracted =>
  sandbox.extract(archive(...parts), o);

interface Row {
  readonly name: string;
  readonly parts: readonly Buffer[];
  /** Of the plain form; the others have a 0:0 device for each whiteout too. */
  readonly tree: Readonly<Record<string, string>>;
  /** The rest is empty, but for the root: it is implied unless the row says otherwise. */
  readonly changes?: Partial<LayerChanges>;
}

const OPQ = '.wh..wh..opq';

const ENTRIES: readonly Row[] = [
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

const REPLACED: readonly Row[] = [
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

const SYMLINKS: readonly Row[] = [
  {
    name: 'a symlink of the layer',
    parts: [directory('usr/lib'), symlink('lib', 'usr/lib'), file('lib/f', 'x')],
    tree: { usr: 'dir 755', 'usr/lib': 'dir 755', 'usr/lib/f': 'file 644 x', lib: 'symlink usr/lib' },
    changes: { implied: ['', 'usr'] },
  },
  {
    name: 'an absolute symlink, from the root of the layer',
    parts: [directory('usr'), symlink('s', '/usr'), file('s/f', 'x')],
    tree: { usr: 'dir 755', 'usr/f': 'file 644 x', s: 'symlink /usr' },
  },
  {
    name: 'an absolute symlink deeper down',
    parts: [directory('usr'), symlink('d/s', '/usr'), file('d/s/f', 'x')],
    tree: { usr: 'dir 755', 'usr/f': 'file 644 x', d: 'dir 755', 'd/s': 'symlink /usr' },
    changes: { implied: ['', 'd'] },
  },
  {
    name: 'a symlink with .. that stays within',
    parts: [directory('a/b'), directory('c'), symlink('a/b/s', '../../c'), file('a/b/s/f', 'x')],
    tree: { a: 'dir 755', 'a/b': 'dir 755', 'a/b/s': 'symlink ../../c', c: 'dir 755', 'c/f': 'file 644 x' },
    changes: { implied: ['', 'a'] },
  },
  {
    name: 'a dangling symlink, whose target is made',
    parts: [symlink('s', 'to/here'), file('s/d/f', 'x')],
    tree: {
      s: 'symlink to/here',
      to: 'dir 755',
      'to/here': 'dir 755',
      'to/here/d': 'dir 755',
      'to/here/d/f': 'file 644 x',
    },
    changes: { implied: ['', 'to', 'to/here', 'to/here/d'] },
  },
  {
    name: 'a chain of symlinks',
    parts: [symlink('a', 'b'), symlink('b', '/c'), symlink('c', 'd'), directory('d'), file('a/f', 'x')],
    tree: { a: 'symlink b', b: 'symlink /c', c: 'symlink d', d: 'dir 755', 'd/f': 'file 644 x' },
  },
  {
    name: 'a dangling symlink that goes back through another',
    parts: [directory('d'), symlink('t', 'd'), symlink('s', 'missing/../t/e'), file('s/f', 'x')],
    tree: {
      d: 'dir 755',
      t: 'symlink d',
      s: 'symlink missing/../t/e',
      missing: 'dir 755',
      'd/e': 'dir 755',
      'd/e/f': 'file 644 x',
    },
    changes: { implied: ['', 'd/e', 'missing'] },
  },
  {
    name: 'a symlink that leads elsewhere later',
    parts: [symlink('s', 'a'), file('s/f', '1'), symlink('s', 'b'), file('s/f', '2')],
    tree: { s: 'symlink b', a: 'dir 755', 'a/f': 'file 644 1', b: 'dir 755', 'b/f': 'file 644 2' },
    changes: { implied: ['', 'a', 'b'] },
  },
  {
    name: 'whiteouts through a symlink',
    parts: [directory('d'), symlink('s', 'd'), file('s/.wh.gone'), file(`s/${OPQ}`)],
    tree: { d: 'dir 755', s: 'symlink d' },
    changes: { whiteouts: ['d/gone'], opaques: ['d'] },
  },
];

const LINKS: readonly Row[] = [
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

const WHITEOUTS: readonly Row[] = [
  { name: 'of a name', parts: [file('.wh.gone')], tree: {}, changes: { whiteouts: ['gone'] } },
  {
    name: 'in a directory that is not listed',
    parts: [file('a/b/.wh.gone')],
    tree: { a: 'dir 755', 'a/b': 'dir 755' },
    changes: { implied: ['', 'a', 'a/b'], whiteouts: ['a/b/gone'] },
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
    name: 'of a directory that is only implied',
    parts: [file('.wh.d'), file('d/f', 'x')],
    tree: { d: 'dir 755', 'd/f': 'file 644 x' },
    changes: { implied: ['', 'd'], opaques: ['d'] },
  },
  {
    name: 'within a hidden directory',
    parts: [file('.wh.d'), file('d/.wh.x')],
    tree: { d: 'dir 755' },
    changes: { implied: ['', 'd'], opaques: ['d'], whiteouts: ['d/x'] },
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
    tree: { a: 'dir 755', 'a/b': 'dir 755' },
    changes: { implied: ['', 'a', 'a/b'], opaques: ['a/b'] },
  },
  {
    name: 'opaque root',
    parts: [file(OPQ), file('f', 'x')],
    tree: { f: 'file 644 x' },
    changes: { opaques: [''] },
  },
  {
    name: 'opaque and a name in it',
    parts: [file(`d/${OPQ}`), file('d/.wh.x')],
    tree: { d: 'dir 755' },
    changes: { implied: ['', 'd'], opaques: ['d'], whiteouts: ['d/x'] },
  },
  {
    name: 'below what is no directory here, where nothing of the lower layers shows anyway',
    parts: [file('f', 'x'), symlink('s', 'f'), file('f/.wh.x'), file(`s/y/${OPQ}`)],
    tree: { f: 'file 644 x', s: 'symlink f' },
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

function marksOf(found: Extracted, form: LayerForm): Record<string, string> {
  const xattr = form === 'overlay' ? 'trusted.overlay.opaque' : 'user.overlay.opaque';
  const opaque: Record<string, string> = {};
  for (const path of ['', ...Object.keys(listing(found.directory))]) {
    const value = lgetxattr(`${found.directory}/${path}`, xattr);
    if (value !== undefined) opaque[path] = value.toString();
  }
  return opaque;
}

function check({ parts, tree, changes }: Row, form: LayerForm, o: ExtractOptions): void {
  const found = extract(parts, { ...o, form });
  const expected = { implied: [''], whiteouts: [], opaques: [], pendingLinks: [], ...changes };
  expect(found.changes).toEqual(expected);
  expect(found.warnings).toEqual([]);
  const devices = form === 'plain' ? [] : expected.whiteouts.map((path) => [path, 'char 0:0 0'] as const);
  expect(listing(found.directory)).toEqual({ ...tree, ...Object.fromEntries(devices) });
  const opaque = form === 'plain' ? [] : expected.opaques.map((path) => [path, 'y'] as const);
  expect(marksOf(found, form)).toEqual(Object.fromEntries(opaque));
}

const GROUPS = {
  entries: ENTRIES,
  'something replaced': REPLACED,
  'the way through': SYMLINKS,
  'hard links to': LINKS,
  whiteouts: WHITEOUTS,
};

describe.each(FORMS)('LayerWriter, form %s', (form) => {
  for (const resolver of RESOLVERS) {
    for (const [group, rows] of Object.entries(GROUPS)) {
      it.each(rows)(`${group}: $name (${resolver.method})`, (row) => check(row, form, { resolver }));
    }
  }
});

describe('attributes', () => {
  const at = (found: Extracted, path: string): string => join(found.directory, path);

  it('gives every kind of entry its owner', () => {
    const options = { uid: 1234, gid: 3_000_000_000 };
    const found = extract([
      directory('.', options),
      directory('d', options),
      file('d/f', 'x', options),
      symlink('s', '/etc/passwd', options),
      device('c', 'c', 1, 3, options),
      fifo('p', options),
      hardLink('l', 'd/f', { uid: 9 }),
      file('implied/f'),
    ]);
    for (const path of ['', 'd', 'd/f', 's', 'c', 'p', 'l'])
      expect(lstatSync(at(found, path)), path).toMatchObject(options);
    expect(lstatSync(at(found, 'implied'))).toMatchObject({ uid: 0, gid: 0 });
  });

  it('leaves every owner to the caller where it is told to', () => {
    const found = extract([file('f', 'x', { uid: 7, gid: 8, mode: 0o4711 }), directory('d', { uid: 7 })], {
      ownership: 'caller',
    });
    const { uid, gid } = { uid: process.getuid?.(), gid: process.getgid?.() };
    for (const path of ['f', 'd']) expect(lstatSync(at(found, path))).toMatchObject({ uid, gid });
    expect(lstatSync(at(found, 'f')).mode & 0o7777).toBe(0o4711);
  });

  it('gives every kind of entry its times, directories after their content', () => {
    const times = { pax: { mtime: '1000000000.123456789', atime: '999999999.5' } };
    const found = extract(
      [
        directory('.', times),
        directory('d', times),
        file('d/f', 'x', times),
        symlink('d/s', 'x', times),
        fifo('d/p', times),
        file('d/.wh.x'),
        file(`d/${OPQ}`),
        hardLink('d/l', 'd/f', { mtime: 5 }),
        file('negative', '', { pax: { mtime: '-1.25' } }),
      ],
      { form: 'overlay' },
    );
    for (const path of ['', 'd', 'd/f', 'd/s', 'd/p', 'd/l']) {
      const stat = lstatSync(at(found, path), { bigint: true });
      expect([stat.mtimeNs, stat.atimeNs], path).toEqual([
        1_000_000_000_123_456_789n,
        999_999_999_500_000_000n,
      ]);
    }
    expect(lstatSync(at(found, 'negative'), { bigint: true }).mtimeNs).toBe(-1_250_000_000n);
    expect(lstatSync(at(found, 'negative'), { bigint: true }).atimeNs).toBe(-1_250_000_000n);
  });

  it('sets xattrs byte by byte, after the owner, on what takes them', () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const found = extract([
      file('f', 'x', {
        uid: 5,
        mode: 0o400,
        xattrs: { 'user.b': Buffer.from([0, 255, 10]), 'user.empty': '', 'security.capability': capability },
      }),
      directory('d', { mode: 0o500, xattrs: { 'user.d': '1', 'trusted.t': '2' } }),
      symlink('s', 'x', { xattrs: { 'trusted.t': '3' } }),
      fifo('p', { xattrs: { 'trusted.t': '4' } }),
    ]);
    expect(lgetxattr(at(found, 'f'), 'user.b')).toEqual(Buffer.from([0, 255, 10]));
    expect(lgetxattr(at(found, 'f'), 'user.empty')).toEqual(Buffer.alloc(0));
    expect(lgetxattr(at(found, 'f'), 'security.capability')).toEqual(capability);
    expect(lgetxattr(at(found, 'd'), 'user.d')?.toString()).toBe('1');
    expect(lgetxattr(at(found, 's'), 'trusted.t')?.toString()).toBe('3');
    expect(lgetxattr(at(found, 'p'), 'trusted.t')?.toString()).toBe('4');
    expect(found.warnings).toEqual([]);
  });

  it('replaces the attributes of a directory by those of a later entry, xattrs included', () => {
    const found = extract([
      directory('d', { uid: 1, mode: 0o700, mtime: 5, xattrs: { 'user.old': '1', 'user.both': '1' } }),
      file('d/f', 'x'),
      directory('d', { uid: 2, mode: 0o711, mtime: 6, xattrs: { 'user.both': '2' } }),
    ]);
    expect(lstatSync(at(found, 'd'))).toMatchObject({ uid: 2, mtimeMs: 6000 });
    expect(llistxattr(at(found, 'd'))).toEqual(['user.both']);
    expect(lgetxattr(at(found, 'd'), 'user.both')?.toString()).toBe('2');
  });

  it('drops the marks of overlay with one warning for each name space, in every form', () => {
    const xattrs = {
      'trusted.overlay.opaque': 'y',
      'user.overlay.opaque': 'y',
      'trusted.overlay.redirect': '/etc',
      'user.kept': '1',
    };
    const found = extract(
      [directory('a', { xattrs }), file('b', '', { xattrs }), directory('.', { xattrs })],
      { form: 'overlay' },
    );
    for (const path of ['', 'a', 'b']) expect(llistxattr(at(found, path))).toEqual(['user.kept']);
    expect(found.warnings).toEqual([
      expect.stringMatching(/trusted\.overlay\.\* are not kept.*first is of "a"/) as string,
      expect.stringMatching(/user\.overlay\.\* are not kept.*first is of "a"/) as string,
    ]);
  });

  it('warns once for each name space that the file system refuses', () => {
    const xattrs = { 'user.a': '1', 'user.b': '1', 'nonsense.x': '1' };
    const found = extract([symlink('s', 'x', { xattrs }), symlink('t', 'x', { xattrs })]);
    expect(found.warnings).toHaveLength(2);
    expect(found.warnings[0]).toMatch(/"user".*"s"/);
  });

  it('does not let a default ACL of the layer change what is still to come', () => {
    // user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::---
    const acl = Buffer.from(
      '0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000000ffffffff',
      'hex',
    );
    const found = extract([
      directory('d', { xattrs: { 'system.posix_acl_default': acl } }),
      file('d/f', 'x', { mode: 0o644 }),
      directory('d/e'),
    ]);
    expect(lgetxattr(at(found, 'd'), 'system.posix_acl_default')).toEqual(acl);
    for (const path of ['d/f', 'd/e']) expect(llistxattr(at(found, path))).toEqual([]);
    expect(statSync(at(found, 'd/f')).mode & 0o777).toBe(0o644);
  });

  it.each([0o000, 0o077, 0o777])('does not depend on the umask %i', (umask) => {
    const before = process.umask(umask);
    try {
      const found = extract([
        file('i/f', 'x', { mode: 0o666 }),
        fifo('p', { mode: 0o666 }),
        directory('d', { mode: 0o777 }),
      ]);
      expect(listing(found.directory)).toEqual({
        i: 'dir 755',
        'i/f': 'file 666 x',
        p: 'fifo 666',
        d: 'dir 777',
      });
    } finally {
      process.umask(before);
    }
  });

  it('keeps holes', () => {
    const records = {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'f',
      'GNU.sparse.realsize': '100000000',
    };
    const map = '2\n0\n3\n50000000\n2\n'.padEnd(512, '\0');
    const found = extract([pax(records), entry({ path: 'GNUSparseFile.0/f' }, `${map}ABCDE`)]);
    expect(statSync(at(found, 'f'))).toMatchObject({ size: 100_000_000 });
    expect(statSync(at(found, 'f')).blocks).toBeLessThan(100);
    const read = (skip: number, count: number): string =>
      execFileSync('dd', [
        `if=${at(found, 'f')}`,
        'bs=1',
        `skip=${skip}`,
        `count=${count}`,
        'status=none',
      ]).toString('latin1');
    expect([read(0, 4), read(49_999_999, 4)]).toEqual(['ABC\0', '\0DE\0']);
  });

  it('shares one inode among hard links', () => {
    const found = extract([file('a', 'x'), hardLink('b', 'a'), hardLink('c', 'b')]);
    expect(statSync(at(found, 'a')).nlink).toBe(3);
  });

  it('keeps more directories open than it may', () => {
    const parts = Array.from({ length: 200 }, (_, i) => file(`d${i % 100}/e/f${i}`, `${i}`));
    const found = extract(parts);
    expect(Object.values(listing(found.directory)).filter((line) => line.startsWith('file'))).toHaveLength(
      200,
    );
    expect(found.changes.implied).toHaveLength(201);
  });
});

describe('devices that are not made', () => {
  it('leaves them out with one warning for each kind, and hides what the lower layers have there', () => {
    const parts = [
      device('c', 'null', 1, 3),
      device('c', 'zero', 1, 5),
      device('b', 'sda', 8, 0),
      fifo('p'),
      file('f', 'x'),
    ];
    const found = extract(parts, { devices: false });
    expect(listing(found.directory)).toEqual({ p: 'fifo 644', f: 'file 644 x' });
    expect(found.changes.whiteouts).toEqual(['null', 'zero', 'sda']);
    expect(found.warnings).toEqual([
      expect.stringMatching(/character devices.*"null"/) as string,
      expect.stringMatching(/block devices.*"sda"/) as string,
    ]);
  });

  it('lets a later entry take the place', () => {
    const found = extract([file('n', 'x'), device('c', 'n', 1, 3), file('n', 'y')], { devices: false });
    expect(listing(found.directory)).toEqual({ n: 'file 644 y' });
    expect(found.changes.whiteouts).toEqual([]);
  });
});

const REFUSED: readonly { name: string; parts: readonly Buffer[]; code: string; entry?: string }[] = [
  { name: 'an entry without name', parts: [file('')], code: 'BAD_ARCHIVE' },
  { name: 'a whiteout of nothing', parts: [file('d/.wh.')], code: 'BAD_ARCHIVE', entry: 'd/.wh.' },
  { name: 'a whiteout of .', parts: [file('d/.wh..')], code: 'BAD_ARCHIVE' },
  { name: 'a whiteout of ..', parts: [file('d/.wh...')], code: 'BAD_ARCHIVE' },
  { name: 'an entry below a whiteout', parts: [file('.wh.d/f')], code: 'BAD_ARCHIVE' },
  { name: 'a root that is a file', parts: [file('.', 'x')], code: 'BAD_ARCHIVE' },
  { name: 'a root that is a symlink', parts: [symlink('/', '/etc')], code: 'BAD_ARCHIVE' },
  {
    name: 'an entry below a file',
    parts: [file('f', 'x'), file('f/g', 'y')],
    code: 'BAD_ARCHIVE',
    entry: 'f/g',
  },
  {
    name: 'an entry below a symlink to a file',
    parts: [file('f', 'x'), symlink('s', 'f'), file('s/g', 'y')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'an entry below a link that waits',
    parts: [hardLink('l', 'lower'), file('l/g', 'y')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'a loop of symlinks',
    parts: [symlink('a', 'b'), symlink('b', 'a'), file('a/f', 'x')],
    code: 'BAD_ARCHIVE',
  },
  { name: 'a symlink to itself', parts: [symlink('a', 'a'), file('a/f', 'x')], code: 'BAD_ARCHIVE' },
  { name: 'a symlink without target', parts: [symlink('s', '')], code: 'BAD_ARCHIVE' },
  { name: 'a hard link to itself', parts: [file('f', 'x'), hardLink('f', './f')], code: 'BAD_ARCHIVE' },
  { name: 'a hard link to itself, not there', parts: [hardLink('f', 'f')], code: 'BAD_ARCHIVE' },
  {
    name: 'a hard link to what it would replace',
    parts: [file('d/f', 'x'), hardLink('d', 'd/f')],
    code: 'BAD_ARCHIVE',
  },
  { name: 'a hard link to a directory', parts: [directory('d'), hardLink('l', 'd')], code: 'BAD_ARCHIVE' },
  { name: 'a hard link to the root', parts: [hardLink('l', '/')], code: 'BAD_ARCHIVE' },
  {
    name: 'a hard link to what the layer deletes',
    parts: [hardLink('l', 'd/f'), file('d/.wh.f')],
    code: 'BAD_ARCHIVE',
    entry: 'l',
  },
  {
    name: 'a hard link to what the layer deletes with its directory',
    parts: [file('.wh.d'), hardLink('l', 'd/e/f')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'a hard link into an opaque directory',
    parts: [file(`d/${OPQ}`), hardLink('l', 'd/e/f')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'a device 0:0, which overlay takes for a whiteout',
    parts: [device('c', 'c', 0, 0)],
    code: 'UNSUPPORTED_ENTRY',
    entry: 'c',
  },
  { name: 'a name of 256 bytes', parts: [file('n'.repeat(256))], code: 'LIMIT_EXCEEDED' },
  { name: 'a path of 4097 bytes', parts: [file('n/'.repeat(2048) + 'f')], code: 'LIMIT_EXCEEDED' },
  { name: 'a path of too many components', parts: [file('n/'.repeat(1024) + 'f')], code: 'LIMIT_EXCEEDED' },
  {
    name: 'a path that symlinks make too long',
    parts: [
      ...Array.from({ length: 10 }, (_, i) => [
        directory(`${'s/'.repeat(i > 0 ? 1 : 0)}${'d'.repeat(250)}/${'e'.repeat(250)}`),
        symlink(
          's',
          Array.from({ length: 2 * (i + 1) }, (_, j) => (j % 2 === 0 ? 'd' : 'e').repeat(250)).join('/'),
        ),
      ]).flat(),
    ],
    code: 'LIMIT_EXCEEDED',
  },
  { name: 'a symlink of 4096 bytes', parts: [symlink('s', 't'.repeat(4096))], code: 'LIMIT_EXCEEDED' },
  {
    name: 'symlinks that multiply the way',
    parts: [symlink('a', 'x/../'.repeat(800) + 'y'), symlink('y', 'a'), directory('x'), file('a/f')],
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'the name of an xattr of 256 bytes',
    parts: [file('f', '', { xattrs: { [`user.${'n'.repeat(251)}`]: '1' } })],
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'an xattr of 64 KiB and a byte',
    parts: [file('f', '', { xattrs: { 'user.a': Buffer.alloc(65_537) } })],
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'default ACLs that fill the memory',
    parts: Array.from({ length: 30 }, (_, i) =>
      directory(`d${i}`, { xattrs: { 'system.posix_acl_default': Buffer.alloc(60_000) } }),
    ),
    code: 'LIMIT_EXCEEDED',
  },
];

describe('refuses', () => {
  it.each(REFUSED)('$name', ({ parts, code, entry: path }) => {
    for (const form of FORMS) {
      const fresh = new Sandbox();
      const attempt = (): unknown => fresh.extract(archive(...parts), { form });
      const details =
        path === undefined ? {} : { details: expect.objectContaining({ entry: path }) as unknown };
      expect(attempt).toThrow(
        expect.objectContaining({ code, ...details, hint: expect.any(String) as string }),
      );
      const damage = fresh.damage();
      fresh.remove();
      expect(damage).toEqual([]);
    }
  });
});
