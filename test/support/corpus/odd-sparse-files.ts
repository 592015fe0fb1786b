import { oldSparse, sparse00, sparse01, sparse10, type SparseMap } from '../sparse-builder.js';
import { archive, entry, file, pax } from '../tar-builder.js';
import type { OddArchive } from './odd-archive.js';

/**
 * GNU tar reads content by blocks, so all stretches but the last are whole blocks here, as it writes them;
 * and it lets a file end with its last stretch, so there is an empty one at the end.
 */
const CONTENT = 'x'.repeat(512) + 'y'.repeat(1024) + 'last';
const MAP: SparseMap = [
  [512, 512],
  [4096, 1024],
  [10_000, 4],
  [20_000, 0],
];
const SIZE = 20_000;
const NUMBERS = MAP.flat();
const DAMAGED = 'its content is not where it belongs';

export const ODD_SPARSE_FILES: readonly OddArchive[] = [
  {
    name: "GNU's old format",
    bytes: archive(oldSparse(MAP, SIZE, CONTENT)),
    unlike: { umoci: 'refuses' },
    because: 'containerd reads it, and so does every tar',
  },
  { name: 'pax 0.0', bytes: archive(sparse00(MAP, SIZE, CONTENT)) },
  { name: 'pax 0.1', bytes: archive(sparse01(NUMBERS.join(','), SIZE, CONTENT)) },
  { name: 'pax 1.0', bytes: archive(sparse10(`${MAP.length}\n${NUMBERS.join('\n')}\n`, SIZE, CONTENT)) },
  {
    name: 'a map without the empty stretch at its end',
    bytes: archive(sparse01('0,3', SIZE, 'abc')),
    unlike: { 'GNU tar': 'reads otherwise' },
    because: 'the size says where the file ends',
  },
  {
    name: 'a stretch that is not a whole block',
    bytes: archive(sparse01('0,3,600,3,20000,0', SIZE, 'abcdef')),
    unlike: { 'GNU tar': 'reads otherwise' },
    because: 'the manual says bytes; Go and libarchive read it so',
  },
  {
    name: "GNU's old format in a header of star",
    bytes: archive(file('f'), oldSparse([[0, 3]], 20, 'abc', 'ustar')),
    refusal: 'UNSUPPORTED_ENTRY',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: 'what is the map to one is the name to the other; Go refuses it',
  },
  {
    name: 'a map out of order',
    bytes: archive(
      file('f'),
      oldSparse(
        [
          [1024, 512],
          [0, 512],
        ],
        SIZE,
        'x'.repeat(1024),
      ),
    ),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: DAMAGED,
  },
  {
    name: 'a map that leaves its file',
    bytes: archive(file('f'), oldSparse([[0, 512]], 20, 'x'.repeat(512))),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'a map shorter than its content',
    bytes: archive(file('f'), oldSparse([[0, 3]], 20, 'AAABBBB')),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: DAMAGED,
  },
  {
    name: 'a map longer than its content',
    bytes: archive(file('f'), sparse10('1\n0\n9\n', 20, 'AAABBBB')),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: DAMAGED,
  },
  {
    name: 'a map with an odd count',
    bytes: archive(file('f'), sparse01('0,3,10', 20, 'AAABBBB')),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: DAMAGED,
  },
  {
    name: 'a map with a word',
    bytes: archive(file('f'), sparse10('1\n0\nabc\n', 20, 'AAABBBB')),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'no size',
    bytes: archive(file('f'), pax({ 'GNU.sparse.map': '0,1' }), entry({ path: 'a' }, 'x')),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: DAMAGED,
  },
  {
    name: 'a format to come',
    bytes: archive(file('f'), sparse10('0\n', 20, '', { 'GNU.sparse.major': '2' })),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', umoci: 'reads' },
    because: DAMAGED,
  },
];
