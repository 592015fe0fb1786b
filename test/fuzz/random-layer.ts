import {
  device,
  directory,
  END,
  entry,
  type EntryOptions,
  fifo,
  file,
  gnuLong,
  hardLink,
  header,
  oldSparseMap,
  padded,
  pax,
  symlink,
} from '../support/tar-builder.js';
import { component, number, path, target } from './nasty.js';
import { paxPair } from './pax-words.js';
import type { Random } from './random.js';

/** An archive with a few entries of every kind over a small name space, so that they meet one another. */
export function randomLayer(random: Random): Buffer {
  const parts: Buffer[] = [];
  for (let count = random.between(1, 12); count > 0; count--) parts.push(randomEntry(random));
  if (random.chance(0.9)) parts.push(END);
  return Buffer.concat(parts);
}

/** One entry with the extended headers that belong to it. */
export function randomEntry(random: Random): Buffer {
  const name = path(random);
  switch (random.below(14)) {
    case 0:
    case 1:
    case 2:
      return file(name, content(random), options(random));
    case 3:
    case 4:
      return directory(name, options(random));
    case 5:
    case 6:
      return symlink(name, target(random), options(random));
    case 7:
      return hardLink(name, random.chance(0.7) ? path(random) : target(random), options(random));
    case 8:
      return whiteout(random);
    case 9:
      return special(random);
    case 10:
      return sparseFile(random);
    case 11:
      return longNamed(random);
    case 12:
      return pax(
        Array.from({ length: random.between(1, 3) }, () => paxPair(random)),
        'g',
      );
    default:
      return Buffer.concat([
        pax(Array.from({ length: random.between(1, 4) }, () => paxPair(random))),
        file(name.slice(0, 100), content(random)),
      ]);
  }
}

function options(random: Random): EntryOptions {
  if (random.chance(0.5)) return {};
  return {
    mode: random.chance(0.8) ? random.below(0o10000) : Math.abs(number(random)),
    uid: random.chance(0.8) ? random.below(70_000) : number(random),
    gid: random.below(70_000),
    mtime: number(random),
    format: random.pick(['ustar', 'gnu', 'v7'] as const),
    ...(random.chance(0.1) ? { prefix: path(random) } : {}),
    ...(random.chance(0.2) ? { pax: Object.fromEntries([paxPair(random)]) } : {}),
  };
}

function content(random: Random): Buffer {
  return random.bytes(random.pick([0, 1, 5, 40, 511, 512, 513, 1500]));
}

function whiteout(random: Random): Buffer {
  const parent = random.chance(0.5) ? '' : `${path(random)}/`;
  return file(`${parent}${random.pick(['.wh..wh..opq', `.wh.${component(random)}`])}`);
}

function special(random: Random): Buffer {
  if (random.chance(0.3)) return fifo(path(random), options(random));
  const small = random.chance(0.7);
  const [major, minor] = small ? [random.below(3), random.below(3)] : [number(random), number(random)];
  return device(random.pick(['c', 'b'] as const), path(random), major, minor, options(random));
}

function longNamed(random: Random): Buffer {
  const parts: Buffer[] = [];
  if (random.chance(0.7)) parts.push(gnuLong('L', path(random)));
  if (random.chance(0.4)) parts.push(gnuLong('K', target(random)));
  parts.push(random.chance(0.5) ? file('short', content(random)) : symlink('short', 'target'));
  return Buffer.concat(parts);
}

/** A file with holes in one of the four ways that GNU tar has had to store it. */
function sparseFile(random: Random): Buffer {
  const segments: (readonly [number, number])[] = [];
  let end = 0;
  for (let count = random.below(8); count > 0; count--) {
    const offset = end + random.below(2000);
    const length = random.below(700);
    segments.push([offset, length]);
    end = offset + length;
  }
  const size = end + random.below(1000);
  const bytes = random.bytes(segments.reduce((sum, [, length]) => sum + length, 0));
  const name = path(random).slice(0, 100);
  switch (random.below(4)) {
    case 0:
      return oldSparse(name, segments, size, bytes);
    case 1: {
      const pairs = segments.flatMap(([offset, length]) => [
        ['GNU.sparse.offset', String(offset)] as const,
        ['GNU.sparse.numbytes', String(length)] as const,
      ]);
      const count = ['GNU.sparse.numblocks', String(segments.length)] as const;
      return Buffer.concat([pax([['GNU.sparse.size', String(size)], count, ...pairs]), file(name, bytes)]);
    }
    case 2: {
      const map = segments.flat().join(',');
      const records = { 'GNU.sparse.size': String(size), 'GNU.sparse.map': map, 'GNU.sparse.name': name };
      return Buffer.concat([pax(records), file('GNUSparseFile.0', bytes)]);
    }
    default:
      return sparse10(name, segments, size, bytes);
  }
}

type Segments = readonly (readonly [offset: number, length: number])[];

function sparse10(name: string, segments: Segments, size: number, bytes: Buffer): Buffer {
  const map = padded([segments.length, ...segments.flat()].map((value) => `${value}\n`).join(''));
  const records = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': name,
    'GNU.sparse.realsize': String(size),
  };
  return Buffer.concat([pax(records), file('GNUSparseFile.0', Buffer.concat([map, bytes]))]);
}

/** Four segments stand in the header, and 21 in each block after it. */
function oldSparse(name: string, segments: Segments, size: number, bytes: Buffer): Buffer {
  const rest = segments.slice(4);
  const head = header({
    path: name,
    typeflag: 'S',
    size: bytes.length,
    format: 'gnu',
    raw: {
      386: oldSparseMap(segments.slice(0, 4)),
      482: rest.length > 0 ? '\x01' : '\0',
      483: `${size.toString(8).padStart(11, '0')}\0`,
    },
  });
  if (rest.length === 0) return Buffer.concat([head, padded(bytes)]);
  return Buffer.concat([head, padded(oldSparseMap(rest)), padded(bytes)]);
}

/** An entry whose header says what no archive should. */
export function lyingEntry(random: Random): Buffer {
  return entry(
    {
      path: path(random).slice(0, 100),
      typeflag: random.pick([
        '0',
        '1',
        '2',
        '5',
        'x',
        'g',
        'L',
        'K',
        'S',
        'D',
        'V',
        'M',
        'N',
        'A',
        '\0',
        '9',
      ]),
      size: number(random),
      mtime: number(random),
    },
    content(random),
  );
}
