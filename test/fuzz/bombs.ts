import {
  END,
  directory,
  entry,
  file,
  gnuLong,
  hardLink,
  header,
  padded,
  pax,
  symlink,
} from '../support/tar-builder.js';
import type { Random } from './random.js';

/*
 * Archives that claim much and hold little, or make a reader work hard for every byte: what must not cost more memory or
 * time than the bytes are worth. Each is some MiB at most.
 */

type Bomb = (random: Random) => Buffer;

const many = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));

const SIZES: readonly number[] = [2 ** 33, 2 ** 39, 2 ** 39 + 1, 2 ** 52, 2 ** 60];

export const BOMBS: Readonly<Record<string, Bomb>> = {
  'a file of a size that nobody has': (random) => header({ path: 'a', size: random.pick(SIZES) }),
  'an extended header of such a size': (random) =>
    header({ path: 'a', size: random.pick(SIZES), typeflag: random.pick(['x', 'g', 'L', 'K']) }),
  'a pax header as large as the limit': () => pax({ comment: Buffer.alloc(2 ** 20 - 20, 'c') }),
  'many small records': () => Buffer.concat([manyRecords('x', 'k', 80_000), file('a')]),
  'many global records before many entries': () =>
    Buffer.concat([manyRecords('g', 'SCHILY.xattr.nonsense.', 20_000), many(1500, (i) => file(`f${i}`))]),
  'many global records that are none of attributes': () =>
    Buffer.concat([manyRecords('g', 'k', 60_000), many(1500, (i) => file(`f${i}`))]),
  'as many global attributes as a file may have': () =>
    Buffer.concat([manyRecords('g', 'SCHILY.xattr.user.', 200), many(300, (i) => file(`f${i}`))]),
  'many attributes that no file system has': () =>
    Buffer.concat([
      pax(Array.from({ length: 6000 }, (_, i) => [`SCHILY.xattr.space${i}.a`, 'x'] as const)),
      file('a'),
    ]),
  'many long names of one entry': () => many(16, () => gnuLong('L', 'n'.repeat(2 ** 18))),
  'a sparse file of many segments that overlap': () => sparseMap(60_000, () => '1\n1\n'),
  'a sparse file of many empty segments': () => sparseMap(60_000, () => '0\n0\n'),
  'a sparse file of more segments than any': () => sparseMap(250_000, (i) => `${i * 2}\n1\n`),
  'a sparse file that is one hole': () => holeOf(2 ** 39),
  'many sparse files that are holes': () => many(200, (i) => holeOf(2 ** 38 - i)),
  'a sparse map without an end': () =>
    Buffer.concat([pax(SPARSE_10), header({ path: 'a', size: 2 ** 32 }), Buffer.alloc(2 ** 20, '1\n')]),
  'a map of old blocks that each promise another': () =>
    Buffer.concat([
      header({ path: 'a', typeflag: 'S', format: 'gnu', raw: { 482: '\x01', 483: '77777777777\0' } }),
      many(4000, () => padded(`${'00000000001\0'.repeat(42)}\x01`)),
    ]),
  'directories that are only implied': () => many(80, (i) => file(`${i}/${'d/'.repeat(1000)}f`)),
  'many paths through symlinks that go round': () =>
    Buffer.concat([
      directory('x'),
      symlink('s', '.'),
      symlink('t', '.'),
      many(1500, (i) => file(`${turns(i)}f${i}`)),
    ]),
  'symlinks that double the way at each step': () =>
    Buffer.concat([
      many(39, (i) => symlink(`l${i}`, i === 0 ? 'a' : `l${i - 1}/l${i - 1}`)),
      file('l38/f'),
      hardLink('h', 'l38/l38/l37/f'),
    ]),
  'links that wait for a lower layer': () => many(800, (i) => hardLink(`l${i}`, `${'d/'.repeat(900)}${i}`)),
  'many links to one file': () => Buffer.concat([file('a', 'x'), many(3000, (i) => hardLink(`l${i}`, 'a'))]),
  'a directory that is replaced again and again': () =>
    many(30, () => Buffer.concat([many(40, (i) => file(`a/b/c/d${i}`)), file('a')])),
  'many whiteouts': () => many(4000, (i) => file(`d/.wh.${i}`)),
};

const SPARSE_10 = {
  'GNU.sparse.major': '1',
  'GNU.sparse.minor': '0',
  'GNU.sparse.name': 'a',
  'GNU.sparse.realsize': String(2 ** 39),
};

export function bomb(random: Random): Buffer {
  const make = BOMBS[random.pick(Object.keys(BOMBS))];
  if (make === undefined) throw new Error('no such bomb');
  return Buffer.concat([make(random), END]);
}

function manyRecords(typeflag: 'x' | 'g', prefix: string, count: number): Buffer {
  const records = Array.from({ length: count }, (_, i) => [`${prefix}${i}`, ''] as const);
  return pax(records, typeflag);
}

function sparseMap(count: number, line: (i: number) => string): Buffer {
  const map = padded(`${count}\n${Array.from({ length: count }, (_, i) => line(i)).join('')}`);
  return Buffer.concat([pax(SPARSE_10), entry({ path: 'a' }, map)]);
}

function holeOf(size: number): Buffer {
  const records = {
    'GNU.sparse.size': String(size),
    'GNU.sparse.map': '',
    'GNU.sparse.name': `hole-${size}`,
  };
  return Buffer.concat([pax(records), file('a')]);
}

/** One of many ways to the same directory. */
function turns(i: number): string {
  return Array.from({ length: 12 }, (_, bit) => ((i >> bit) & 1 ? 's/' : 't/')).join('');
}
