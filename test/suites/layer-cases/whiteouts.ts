import { IMPLIED, type LayerCase } from '../../support/layer-case.js';
import { directory, file, hardLink, symlink } from '../../support/tar-builder.js';

const OPQ = '.wh..wh..opq';

/** A path of as many bytes as the kernel takes names in a directory of. */
const DEEP = Array.from({ length: 16 }, () => 'd'.repeat(248)).join('/');
const LAST = 'n'.repeat(4096 - DEEP.length - 1);

/**
 * A layer whose entries mean the same in every order, over a lower one; each order in a directory of its own.
 */
function inAnyOrder(
  name: string,
  o: {
    readonly lower: (at: string) => readonly Buffer[];
    readonly parts: (at: string) => readonly Buffer[];
    readonly tree: Readonly<Record<string, string>>;
  },
): LayerCase {
  const orders = permutations(o.parts('').map((_, i) => i));
  const places = orders.map((order) => ({ order, at: `in-order-${order.join('')}` }));
  return {
    name: `${name}, in any order`,
    layers: [
      places.flatMap(({ at }) => [directory(at), ...o.lower(at)]),
      places.flatMap(({ order, at }) => order.flatMap((i) => o.parts(at)[i] ?? [])),
    ],
    tree: Object.fromEntries(
      places.flatMap(({ at }) => [
        [at, 'dir 755'],
        ...Object.entries(o.tree).map(([path, line]) => [`${at}/${path}`, line]),
      ]),
    ) as Record<string, string>,
  };
}

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

const EXPLICIT: readonly LayerCase[] = [
  {
    name: 'the example of layer.md',
    layers: [
      [file('file1'), directory('a'), file('a/file2'), directory('b'), directory('c'), file('c/file3')],
      [file('.wh.file1'), file('a/.wh.file2'), file('.wh.b'), file('file4')],
    ],
    tree: { a: 'dir 755', c: 'dir 755', 'c/file3': 'file 644 ', file4: 'file 644 ' },
  },
  {
    name: 'of a directory takes all that is in it',
    layers: [[file('d/e/f'), symlink('d/s', '/'), file('kept')], [file('.wh.d')]],
    tree: { kept: 'file 644 ' },
  },
  {
    name: 'of what does not exist does nothing, in a directory that exists and in one that does not',
    layers: [
      [directory('d', { mode: 0o700, mtime: 1 }), file('d/f')],
      [file('.wh.x'), file('d/.wh.x'), file('e/.wh.x')],
    ],
    tree: { d: 'dir 700, at 1', 'd/f': 'file 644 ' },
  },
  {
    name: 'in the bottom layer does nothing',
    layers: [[file('.wh.x'), file('d/.wh.y'), file('f', 'x')]],
    tree: { f: 'file 644 x' },
  },
  {
    name: 'of a name of the same layer hides the lower one alone, before it and behind it',
    layers: [
      [file('before', 'lower'), file('behind', 'lower')],
      [file('.wh.before'), file('before', 'upper'), file('behind', 'upper'), file('.wh.behind')],
    ],
    tree: { before: 'file 644 upper', behind: 'file 644 upper' },
  },
  {
    name: 'of a directory of the same layer hides what the lower one has, before it and behind it',
    layers: [
      [directory('before', { mode: 0o700 }), file('before/old'), directory('behind'), file('behind/old')],
      [
        file('.wh.before'),
        directory('before'),
        file('before/new'),
        directory('behind'),
        file('behind/new'),
        file('.wh.behind'),
      ],
    ],
    tree: { before: 'dir 755', 'before/new': 'file 644 ', behind: 'dir 755', 'behind/new': 'file 644 ' },
  },
  {
    name: 'of a directory that the same layer needs and does not list',
    layers: [
      [directory('d', { mode: 0o700 }), file('d/old')],
      [file('.wh.d'), file('d/new')],
    ],
    tree: { d: IMPLIED, 'd/new': 'file 644 ' },
  },
  {
    name: 'of all that is in a directory, which the layer replaces by a file, as umoci writes it',
    layers: [
      [directory('d'), file('d/f'), directory('d/e'), file('d/e/g')],
      [file('d', 'x'), file('d/.wh.f'), file('d/.wh.e'), file('d/e/.wh.g')],
    ],
    tree: { d: 'file 644 x' },
  },
  {
    name: 'does not bring back what lies below: a directory deleted and made anew by two layers',
    layers: [[directory('d'), file('d/old')], [file('.wh.d')], [directory('d'), file('d/new')]],
    tree: { d: 'dir 755', 'd/new': 'file 644 ' },
  },
  {
    name: 'of a file that a layer between has replaced',
    layers: [[directory('f'), file('f/old')], [file('f', 'x')], [file('.wh.f')]],
    tree: {},
  },
  {
    name: 'a file replaces a directory, and a directory that: the first one’s content is gone',
    layers: [[directory('d'), file('d/old')], [file('d', 'x')], [directory('d'), file('d/new')]],
    tree: { d: 'dir 755', 'd/new': 'file 644 ' },
  },
  {
    name: 'twice, and of a name that is deleted already',
    layers: [[file('f')], [file('.wh.f'), file('.wh.f')], [file('.wh.f')]],
    tree: {},
  },
  {
    name: 'deleted, made anew, deleted again',
    layers: [[file('f', '1')], [file('.wh.f')], [file('f', '2')], [file('.wh.f')], [file('f', '3')]],
    tree: { f: 'file 644 3' },
  },
  {
    name: 'is of any type and may have content',
    layers: [
      [file('a'), file('b'), file('c'), file('d')],
      [directory('.wh.a'), symlink('.wh.b', '/etc/passwd'), hardLink('.wh.c', 'b'), file('.wh.d', 'content')],
    ],
    tree: {},
  },
  {
    name: 'of names with line breaks, and of bytes that are no text',
    layers: [
      [file('a\nb'), file('\xff\xfe'), file('d/\xe9')],
      [file('.wh.a\nb'), file('.wh.\xff\xfe'), file('d/.wh.\xe9')],
    ],
    tree: { d: IMPLIED },
  },
  ...[251, 252, 255].map((bytes): LayerCase => ({
    name: `of a name of ${bytes} bytes, at the root, in a directory and as one`,
    layers: [
      [file('n'.repeat(bytes)), file(`d/${'n'.repeat(bytes)}`), file(`${'m'.repeat(bytes)}/f`)],
      [
        file(`.wh.${'n'.repeat(bytes)}`),
        file(`d/.wh.${'n'.repeat(bytes)}`),
        file(`.wh.${'m'.repeat(bytes)}`),
      ],
    ],
    tree: { d: IMPLIED },
  })),
  {
    name: 'of the longest path',
    layers: [[file(`${DEEP}/${LAST}`)], [file(`${DEEP}/.wh.${LAST}`)]],
    tree: Object.fromEntries(DEEP.split('/').map((_, i, all) => [all.slice(0, i + 1).join('/'), IMPLIED])),
  },
  { name: 'of a longer name is refused', layers: [[file(`.wh.${'n'.repeat(256)}`)]], code: 'LIMIT_EXCEEDED' },
  { name: 'of a longer path is refused', layers: [[file(`${DEEP}/.wh.${LAST}n`)]], code: 'LIMIT_EXCEEDED' },
  {
    name: 'of a longer name is no target of a hard link',
    layers: [[hardLink('l', `.wh.${'n'.repeat(255)}`)]],
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'of one name of a hard link leaves the others',
    layers: [[file('f', 'x'), hardLink('l', 'f'), hardLink('m', 'f')], [file('.wh.f')]],
    tree: { l: 'file 644 x', m: 'file 644 x' },
    same: [['l', 'm']],
  },
  {
    name: 'below a symlink of the same layer, which it does not follow',
    layers: [
      [directory('d'), file('d/f', 'x'), file('d/e/g', 'y')],
      [symlink('s', 'd'), file('s/.wh.f'), file(`s/e/${OPQ}`)],
    ],
    tree: { d: 'dir 755', 'd/f': 'file 644 x', 'd/e': IMPLIED, 'd/e/g': 'file 644 y', s: 'symlink d' },
  },
  {
    name: 'below a symlink of a lower layer, which it does not follow either',
    layers: [[directory('d', { mtime: 1 }), file('d/f', 'x'), symlink('s', 'd')], [file('s/.wh.f')]],
    tree: { d: 'dir 755, at 1', 'd/f': 'file 644 x', s: 'symlink d' },
  },
  inAnyOrder('of a directory and of what is in it', {
    lower: (at) => [directory(`${at}/d`), file(`${at}/d/x`), file(`${at}/d/e/y`), file(`${at}/kept`)],
    parts: (at) => [
      file(`${at}/.wh.d`),
      file(`${at}/d/.wh.x`),
      file(`${at}/d/e/.wh.y`),
      file(`${at}/d/e/${OPQ}`),
    ],
    tree: { kept: 'file 644 ' },
  }),
  inAnyOrder('of what is in a directory, which becomes a symlink to another one, as umoci writes it', {
    lower: (at) => [
      directory(`${at}/d`),
      file(`${at}/d/f`, 'd'),
      file(`${at}/d/e/g`),
      directory(`${at}/o`),
      file(`${at}/o/f`, 'o'),
      file(`${at}/o/e/g`),
    ],
    parts: (at) => [
      symlink(`${at}/d`, 'o'),
      file(`${at}/d/.wh.f`),
      file(`${at}/d/.wh.e`),
      file(`${at}/d/e/.wh.g`),
    ],
    tree: { d: 'symlink o', o: 'dir 755', 'o/f': 'file 644 o', 'o/e': IMPLIED, 'o/e/g': 'file 644 ' },
  }),
  inAnyOrder('of a directory that the layer makes anew, and of what was in it', {
    lower: (at) => [directory(`${at}/d`, { mode: 0o700 }), file(`${at}/d/x`), file(`${at}/d/y`)],
    parts: (at) => [file(`${at}/.wh.d`), file(`${at}/d/.wh.x`), file(`${at}/d/z`, 'new')],
    tree: { d: IMPLIED, 'd/z': 'file 644 new' },
  }),
  inAnyOrder('in a directory that the layer does not list, and in one that it does', {
    lower: (at) => [
      directory(`${at}/d`, { mode: 0o711, mtime: 1 }),
      file(`${at}/d/x`),
      file(`${at}/d/y`),
      file(`${at}/d/e/z`),
      file(`${at}/d/e/w`),
    ],
    parts: (at) => [
      file(`${at}/d/.wh.x`),
      directory(`${at}/d/e`, { mode: 0o700 }),
      file(`${at}/d/e/.wh.z`),
      file(`${at}/d/f/.wh.v`),
    ],
    tree: { d: 'dir 711, at 1', 'd/y': 'file 644 ', 'd/e': 'dir 700', 'd/e/w': 'file 644 ' },
  }),
  {
    name: 'deep in directories that the layer does not have, which keep what they are',
    layers: [
      [
        directory('a', { mode: 0o711, mtime: 1 }),
        directory('a/b', { mode: 0o700, uid: 5, mtime: 2 }),
        file('a/b/f'),
      ],
      [file('other')],
      [file('a/b/.wh.f')],
      [file('a/b/g', 'x')],
    ],
    tree: { a: 'dir 711, at 1', 'a/b': 'dir 700, 5:0, at 2', 'a/b/g': 'file 644 x', other: 'file 644 ' },
  },
];

const OPAQUE: readonly LayerCase[] = [
  {
    name: 'below a symlink of a lower layer, which stays one, and of which what it leads to takes no notice',
    layers: [
      [file('d/e/f', 'x'), file('d/e/g', 'y'), symlink('s', 'd'), symlink('t', 'd')],
      [file('s/e/.wh.f'), file(`t/e/${OPQ}`)],
    ],
    tree: {
      d: IMPLIED,
      'd/e': IMPLIED,
      'd/e/f': 'file 644 x',
      'd/e/g': 'file 644 y',
      s: 'symlink d',
      t: 'symlink d',
    },
  },
  {
    name: 'the example of layer.md',
    layers: [
      [
        directory('etc'),
        file('etc/my-app-config'),
        directory('bin'),
        file('bin/my-app-binary'),
        file('bin/tools/my-app-tool-one'),
      ],
      [directory('bin'), file(`bin/${OPQ}`)],
    ],
    tree: { etc: 'dir 755', 'etc/my-app-config': 'file 644 ', bin: 'dir 755' },
  },
  ...(['first', 'last'] as const).map((place): LayerCase => {
    const entries = [directory('a/b'), directory('a/b/c'), file('a/b/c/foo')];
    const opaque = file(`a/${OPQ}`);
    return {
      name: `the second example of layer.md, the opaque entry ${place}`,
      layers: [
        [directory('a'), directory('a/b', { mode: 0o700 }), directory('a/b/c'), file('a/b/c/bar')],
        [directory('a'), ...(place === 'first' ? [opaque, ...entries] : [...entries, opaque])],
      ],
      tree: { a: 'dir 755', 'a/b': 'dir 755', 'a/b/c': 'dir 755', 'a/b/c/foo': 'file 644 ' },
    };
  }),
  {
    name: 'together with explicit ones of what it hides and of what does not exist',
    layers: [
      [file('d/a'), file('d/b')],
      [file('d/.wh.a'), file(`d/${OPQ}`), file('d/.wh.x'), file('d/b', 'new')],
    ],
    tree: { d: IMPLIED, 'd/b': 'file 644 new' },
  },
  {
    name: 'of the root hides every lower layer',
    layers: [
      [directory('.', { mode: 0o711, mtime: 1 }), file('old'), directory('d'), file('d/old')],
      [file('older')],
      [file(OPQ), directory('d', { mode: 0o700 }), file('d/new')],
      [file('newest')],
    ],
    tree: { '': 'dir 711, at 1', d: 'dir 700', 'd/new': 'file 644 ', newest: 'file 644 ' },
  },
  {
    name: 'in the only layer, which a mount shows without a trace of it',
    layers: [[file(OPQ), directory('d'), file(`d/${OPQ}`), file('d/f', 'x'), file('e/f'), file('.wh.e')]],
    tree: { d: 'dir 755', 'd/f': 'file 644 x', e: IMPLIED, 'e/f': 'file 644 ' },
  },
  {
    name: 'of the root in the topmost layer, which is shown alone',
    layers: [
      [file('old'), file('d/old')],
      [file(OPQ), file('d/f', 'x'), file(`d/${OPQ}`)],
    ],
    tree: { d: IMPLIED, 'd/f': 'file 644 x' },
  },
  {
    name: 'of a directory that no layer has, or that is a file below',
    layers: [[file('f', 'x')], [file(`d/${OPQ}`), file(`f/${OPQ}`), file('f/g')]],
    tree: { f: IMPLIED, 'f/g': 'file 644 ' },
    warnings: [/^"f" is not a directory in a lower layer/],
  },
  {
    name: 'of a symlink of a lower layer, which stays one',
    layers: [[directory('d'), file('d/f', 'x'), symlink('s', 'd')], [file(`s/${OPQ}`)]],
    tree: { d: 'dir 755', 'd/f': 'file 644 x', s: 'symlink d' },
  },
  {
    name: 'of a file of a lower layer, which stays one',
    layers: [[file('f', 'x')], [file(`f/${OPQ}`), file('f/.wh.g')]],
    tree: { f: 'file 644 x' },
  },
  {
    name: 'of directories that the layer does not list, which keep what they are',
    layers: [
      [directory('d', { mode: 0o711, mtime: 1 }), file('d/f'), directory('e', { mode: 0o700, mtime: 2 })],
      [file(`d/${OPQ}`), file(`e/${OPQ}`), file(`e/f/${OPQ}`)],
      [file('d/g', 'x')],
    ],
    tree: { d: 'dir 711, at 1', 'd/g': 'file 644 x', e: 'dir 700, at 2' },
  },
  {
    name: 'hides for all layers above, which add to the directory and take from it',
    layers: [
      [directory('d'), file('d/old'), file('d/e/old')],
      [file(`d/${OPQ}`), file('d/a'), file('d/b')],
      [file('d/.wh.a'), file('d/.wh.old'), file('d/c')],
      [file('d/e/new')],
    ],
    tree: { d: 'dir 755', 'd/b': 'file 644 ', 'd/c': 'file 644 ', 'd/e': IMPLIED, 'd/e/new': 'file 644 ' },
  },
  {
    name: 'within an opaque directory, and within one that is hidden',
    layers: [
      [file('d/e/old'), file('h/e/old')],
      [file(`d/${OPQ}`), file(`d/e/${OPQ}`), file('.wh.h'), file(`h/e/${OPQ}`), file('h/e/new')],
    ],
    tree: { d: IMPLIED, h: IMPLIED, 'h/e': IMPLIED, 'h/e/new': 'file 644 ' },
  },
  {
    name: 'as a directory, and twice',
    layers: [[file('d/old')], [directory(`d/${OPQ}`), file(`d/${OPQ}`)]],
    tree: { d: IMPLIED },
  },
];

const SPECIAL: readonly LayerCase[] = [
  {
    name: 'aufs’ book-keeping is skipped',
    layers: [
      [file('f', 'x')],
      [
        file('.wh..wh.aufs'),
        directory('.wh..wh.orph'),
        file('.wh..wh.orph/x', 'x'),
        directory('.wh..wh.plnk'),
        file('d/.wh..wh.tmp/e/.wh.f', 'x'),
        file('.wh..wh.'),
        file('.wh..wh..opq/x'),
      ],
    ],
    tree: { f: 'file 644 x' },
  },
  {
    name: 'files that aufs kept under names of its own are there for the links to them, and for nothing else',
    layers: [
      [
        directory('.wh..wh.plnk', { mode: 0o700 }),
        file('.wh..wh.plnk/12.34', 'x', { mode: 0o4755, uid: 5, xattrs: { 'user.a': '1' } }),
        file('.wh..wh.plnk/unused', 'y'),
        directory('bin'),
        hardLink('bin/a', '.wh..wh.plnk/12.34'),
        hardLink('bin/b', '/.wh..wh.plnk/12.34'),
      ],
      [file('other')],
    ],
    tree: {
      bin: 'dir 755',
      'bin/a': 'file 4755 x, 5:0, user.a=1',
      'bin/b': 'file 4755 x, 5:0, user.a=1',
      other: 'file 644 ',
    },
    same: [['bin/a', 'bin/b']],
  },
  {
    name: 'names that only look like whiteouts',
    layers: [[file('.whx'), file('.wh'), file('x.wh.y'), file('.WH.z'), directory('.w')], [file('.wh..whx')]],
    tree: { '.wh': 'file 644 ', 'x.wh.y': 'file 644 ', '.WH.z': 'file 644 ', '.w': 'dir 755' },
  },
  { name: 'of nothing is refused', layers: [[file('.wh.')]], code: 'BAD_ARCHIVE' },
  {
    name: 'of nothing is refused, in a directory',
    layers: [[directory('d'), file('d/.wh.')]],
    code: 'BAD_ARCHIVE',
  },
  { name: 'of . is refused', layers: [[file('.wh..')]], code: 'BAD_ARCHIVE' },
  { name: 'of .. is refused', layers: [[file('d/.wh...')]], code: 'BAD_ARCHIVE' },
  {
    name: 'with entries in it is refused',
    layers: [[file('x/f')], [directory('.wh.x'), file('.wh.x/f')]],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'of aufs is nothing to link to in another layer',
    layers: [[file('.wh..wh.plnk/1.2', 'x')], [hardLink('l', '.wh..wh.plnk/1.2')]],
    code: 'BAD_ARCHIVE',
  },
];

export const WHITEOUT_CASES: readonly LayerCase[] = [
  ...EXPLICIT.map((row) => ({ ...row, name: `explicit, ${row.name}` })),
  ...OPAQUE.map((row) => ({ ...row, name: `opaque, ${row.name}` })),
  ...SPECIAL.map((row) => ({ ...row, name: `special, ${row.name}` })),
];
