import { describe, expect, it } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { oldSparse, sparse00, sparse01, sparse10, type SparseMap } from '../../support/sparse-builder.js';
import { archive, entry, header, padded, pax, symlink } from '../../support/tar-builder.js';
import { itReads, itRefuses, readArchive, type EntryRow, type RefusedRow } from '../../support/tar-rows.js';

const packed = 'AAABBBB';
const CONTENT = `AAA${'\0'.repeat(7)}BBBB${'\0'.repeat(6)}`;
const MAP: SparseMap = [
  [0, 3],
  [10, 4],
  [20, 0],
];
const manySegments: SparseMap = Array.from({ length: 30 }, (_, i) => [i * 2, 1] as const);
const is = { path: 'a', type: 'file', size: 20, content: CONTENT } as const;

const SPARSE_FILES: readonly EntryRow[] = [
  { name: "GNU's old format", bytes: oldSparse(MAP, 20, packed), is },
  {
    name: "GNU's old format with blocks that continue the map",
    bytes: oldSparse(manySegments, 60, 'x'.repeat(30)),
    is: { path: 'a', size: 60, content: 'x\0'.repeat(30) },
  },
  {
    name: "GNU's old format, a hole all over",
    bytes: oldSparse([[20, 0]], 20, ''),
    is: { size: 20, content: '\0'.repeat(20) },
  },
  { name: 'pax 0.0', bytes: sparse00(MAP, 20, packed), is },
  { name: 'pax 0.1', bytes: sparse01(MAP.flat().join(','), 20, packed), is },
  { name: 'pax 1.0', bytes: sparse10(`3\n${MAP.flat().join('\n')}\n`, 20, packed), is },
  {
    name: 'pax 1.0 with a map of two blocks',
    bytes: sparse10(
      `200\n${Array.from({ length: 200 }, (_, i) => `${i * 1000}\n1\n`).join('')}`,
      200_000,
      'x'.repeat(200),
    ),
    is: { size: 200_000, content: `x${'\0'.repeat(999)}`.repeat(200) },
  },
  {
    name: 'pax 1.0, a hole all over',
    bytes: sparse10('0\n', 20, ''),
    is: { size: 20, content: '\0'.repeat(20) },
  },
  {
    name: 'pax 1.0 of which the packed size is in a record, as for more than 8 GiB',
    bytes: Buffer.concat([
      pax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'a',
        'GNU.sparse.realsize': '20',
        size: '519',
      }),
      header({ path: 'GNUSparseFile.1/a', size: 0 }),
      padded(`3\n${MAP.flat().join('\n')}\n`),
      padded(packed),
    ]),
    is,
  },
  {
    name: 'records of a sparse file before what is no file',
    bytes: symlink('a', 't', { pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' } }),
    is: { path: 'a', type: 'symlink', linkPath: 't', size: 0 },
  },
];

const BAD: readonly RefusedRow[] = [
  {
    name: 'a sparse map out of order',
    bytes: archive(
      oldSparse(
        [
          [10, 3],
          [0, 4],
        ],
        20,
        packed,
      ),
    ),
    message: /not in order/,
  },
  {
    name: 'a sparse map that leaves its file',
    bytes: archive(
      oldSparse(
        [
          [0, 3],
          [18, 4],
        ],
        20,
        packed,
      ),
    ),
    message: /leaves the file/,
  },
  {
    name: 'a sparse map of negative length',
    bytes: archive(
      oldSparse(
        [
          [5, -2],
          [5, 9],
        ],
        20,
        packed,
      ),
    ),
    message: /not in order/,
  },
  {
    name: "a file of negative size in GNU's old format",
    bytes: archive(oldSparse([], -1, '')),
    message: /a negative size/,
  },
  {
    name: 'a sparse map shorter than its content',
    bytes: archive(oldSparse([[0, 3]], 20, packed)),
    message: /does not fit/,
  },
  {
    name: 'a sparse map with an odd count',
    bytes: archive(
      Buffer.concat([pax({ 'GNU.sparse.size': '9', 'GNU.sparse.map': '1,2,3' }), entry({ path: 'a' })]),
    ),
    message: /odd count/,
  },
  {
    name: 'a sparse map with a word',
    bytes: archive(sparse10('1\n0\nabc\n', 20, packed)),
    message: /other than a number/,
  },
  {
    name: 'a sparse map without lines',
    bytes: archive(sparse10('1'.repeat(600), 20, packed)),
    message: /other than a number/,
  },
  {
    name: 'a sparse map longer than its content',
    bytes: archive(sparse10(`200\n${'1\n'.repeat(254)}`, 20, '')),
    message: /longer than its content/,
  },
  {
    name: 'a sparse file without size',
    bytes: archive(Buffer.concat([pax({ 'GNU.sparse.map': '0,1' }), entry({ path: 'a' }, 'x')])),
    message: /no size/,
  },
  {
    name: 'a sparse file of a format to come',
    bytes: archive(sparse10('0\n', 20, '', { 'GNU.sparse.major': '2' })),
    message: /unknown format "2.0"/,
  },
  {
    name: 'a sparse file of a format that is not fit to print',
    bytes: archive(sparse10('0\n', 20, '', { 'GNU.sparse.minor': '\x1b[2J' })),
    message: /unknown format "1\.\\u001b\[2J"/,
  },
  {
    name: 'a sparse map with too many segments',
    bytes: archive(sparse10('99999999\n', 20, '')),
    message: /segments/,
    code: 'LIMIT_EXCEEDED',
  },
];

/** GNU tar manual: Storing Sparse Files. */
describe('a sparse file', () => {
  itReads(SPARSE_FILES);
  itRefuses(BAD);

  it('counts against the limit with the size that it is extracted to', () => {
    const bytes = archive(sparse10('0\n', 1_000_000_000_000, ''));
    expect(() =>
      readArchive(bytes, bytes.length, unpackLimits({ entriesPerLayer: 9, layerBytes: 1e9 })),
    ).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  });
});
