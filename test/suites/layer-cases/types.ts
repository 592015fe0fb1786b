import type { LayerCase } from '../../support/layer-case.js';
import { device, directory, fifo, file, hardLink, symlink } from '../../support/tar-builder.js';

/**
 * What makes a path something of a kind, marked so that one maker's is told from another's, and what it is
 * then.
 */
interface Kind {
  parts(path: string, mark: string): readonly Buffer[];
  tree(path: string, mark: string): Record<string, string>;
}

/** What hard links lead to; each layer has its own. */
const TARGETS = ['target-old', 'target-new'];

const KINDS: Readonly<Record<string, Kind>> = {
  file: {
    parts: (path, mark) => [file(path, mark, { mode: 0o640, uid: 3 })],
    tree: (path, mark) => ({ [path]: `file 640 ${mark}, 3:0` }),
  },
  directory: {
    parts: (path, mark) => [
      directory(path, { mode: mark === 'old' ? 0o700 : 0o711 }),
      file(`${path}/${mark}`),
    ],
    tree: (path, mark) => ({
      [path]: `dir ${mark === 'old' ? '700' : '711'}`,
      [`${path}/${mark}`]: 'file 644 ',
    }),
  },
  symlink: {
    parts: (path, mark) => [symlink(path, `/to/${mark}`)],
    tree: (path, mark) => ({ [path]: `symlink /to/${mark}` }),
  },
  link: {
    parts: (path, mark) => [hardLink(path, `target-${mark}`)],
    tree: (path, mark) => ({ [path]: `file 600 ${mark}` }),
  },
  fifo: {
    parts: (path, mark) => [fifo(path, { mode: mark === 'old' ? 0o600 : 0o622 })],
    tree: (path, mark) => ({ [path]: `fifo ${mark === 'old' ? '600' : '622'}` }),
  },
  character: {
    parts: (path, mark) => [device('c', path, 1, mark === 'old' ? 3 : 5)],
    tree: (path, mark) => ({ [path]: `char 1:${mark === 'old' ? 3 : 5} 644` }),
  },
  block: {
    parts: (path, mark) => [device('b', path, 8, mark === 'old' ? 1 : 2)],
    tree: (path, mark) => ({ [path]: `block 8:${mark === 'old' ? 1 : 2} 644` }),
  },
};

const PAIRS = Object.keys(KINDS).flatMap((under) => Object.keys(KINDS).map((over) => ({ under, over })));

function build(make: (kind: Kind, path: string) => readonly Buffer[], which: 'under' | 'over'): Buffer[] {
  return PAIRS.flatMap(({ under, over }) => {
    const kind = KINDS[which === 'under' ? under : over];
    return kind === undefined ? [] : make(kind, `${over}-over-${under}`);
  });
}

const OLD = [
  file('target-old', 'old', { mode: 0o600 }),
  ...build((kind, path) => kind.parts(path, 'old'), 'under'),
];
const NEW = [
  file('target-new', 'new', { mode: 0o600 }),
  ...build((kind, path) => kind.parts(path, 'new'), 'over'),
];

function expected(): Record<string, string> {
  const tree: Record<string, string> = { 'target-old': 'file 600 old', 'target-new': 'file 600 new' };
  for (const { under, over } of PAIRS) {
    const path = `${over}-over-${under}`;
    if (under === 'directory' && over === 'directory') Object.assign(tree, { [`${path}/old`]: 'file 644 ' });
    Object.assign(tree, KINDS[over]?.tree(path, 'new'));
  }
  return tree;
}

const SAME = [['target-new', ...Object.keys(KINDS).map((under) => `link-over-${under}`)]];

/**
 * Each kind in the place of each kind: a directory over a directory keeps what is in it, all else is made
 * anew.
 */
export const TYPE_CASES: readonly LayerCase[] = [
  { name: 'each over each, in one layer', layers: [[...OLD, ...NEW]], tree: expected(), same: SAME },
  { name: 'each over each of a lower layer', layers: [OLD, NEW], tree: expected(), same: SAME },
  {
    name: 'each over each, two layers below',
    layers: [OLD, [file('between')], NEW],
    tree: { ...expected(), between: 'file 644 ' },
    same: SAME,
  },
  {
    name: 'each in the place of each that a whiteout hides, whiteouts last',
    layers: [OLD, [...NEW, ...PAIRS.map(({ under, over }) => file(`.wh.${over}-over-${under}`))]],
    tree: Object.fromEntries(
      Object.entries(expected()).filter(([path]) => path !== 'directory-over-directory/old'),
    ),
    same: SAME,
  },
  {
    name: 'each hidden by a whiteout',
    layers: [OLD, PAIRS.map(({ under, over }) => file(`.wh.${over}-over-${under}`))],
    tree: { 'target-old': 'file 600 old' },
  },
  {
    name: 'each hidden by an opaque directory',
    layers: [
      [
        ...TARGETS.map((path) => file(path)),
        directory('d'),
        ...build((kind, path) => kind.parts(`d/${path}`, 'old'), 'under'),
      ],
      [file('d/.wh..wh..opq')],
    ],
    tree: { d: 'dir 755', ...Object.fromEntries(TARGETS.map((path) => [path, 'file 644 '])) },
  },
];
