import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BytePath } from '../../../src/system/index.js';
import type { TarEntry } from '../../../src/unpack/archive/tar-entry.js';
import { TarReader, type TarLimits } from '../../../src/unpack/archive/tar-reader.js';
import {
  archive,
  device,
  directory,
  END,
  entry,
  fifo,
  file,
  gnuLong,
  hardLink,
  header,
  oldSparseMap,
  padded,
  pax,
  symlink,
} from '../../support/tar-builder.js';

interface Found {
  readonly entry: TarEntry;
  /** With the holes of a sparse file filled. */
  readonly content: string;
}

function read(bytes: Buffer, chunkBytes: number = bytes.length, limits?: TarLimits): Found[] {
  const found: Found[] = [];
  let chunks: Buffer[] = [];
  let current: TarEntry | undefined;
  const reader = new TarReader(
    {
      entry: (next) => (current = next),
      data: (chunk) => chunks.push(Buffer.from(chunk)),
      endEntry: () => {
        if (current === undefined) throw new Error('an entry ended that had not begun');
        found.push({ entry: current, content: unpacked(current, Buffer.concat(chunks)) });
        current = undefined;
        chunks = [];
      },
    },
    limits,
  );
  // Each chunk is overwritten after its turn, as a decoder does with its memory.
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
    reader.push(chunk);
    chunk.fill(0xaa);
  }
  reader.end();
  expect(reader.entries).toBe(found.length);
  return found;
}

function unpacked(of: TarEntry, packed: Buffer): string {
  if (of.sparse === undefined) return packed.toString('latin1');
  const whole = Buffer.alloc(of.size);
  let at = 0;
  for (const { offset, length } of of.sparse) {
    packed.copy(whole, offset, at, at + length);
    at += length;
  }
  return whole.toString('latin1');
}

/** What a row says of the only entry; the rest is not looked at. */
type Expected = Partial<Omit<TarEntry, 'xattrs'>> & { content?: string; xattrs?: Record<BytePath, string> };

function summary({ entry: found, content }: Found, like: Expected): unknown {
  const xattrs = Object.fromEntries(
    [...found.xattrs].map(([name, value]) => [name, value.toString('latin1')]),
  );
  const all: Record<string, unknown> = { ...found, content, xattrs };
  return Object.fromEntries(Object.keys(like).map((key) => [key, all[key]]));
}

const LONG = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;
const NOT_UTF8 = 'caf\xe9/\xff\xfe\x80';

const ENTRIES: readonly { name: string; bytes: Buffer; is: Expected }[] = [
  {
    name: 'a ustar file',
    bytes: file('a', 'content', { mode: 0o4755, uid: 7, gid: 8, mtime: 9 }),
    is: {
      path: 'a',
      type: 'file',
      mode: 0o4755,
      uid: 7,
      gid: 8,
      size: 7,
      mtime: { seconds: 9, nanoseconds: 0 },
      content: 'content',
    },
  },
  {
    name: 'a v7 file',
    bytes: entry({ path: 'a', typeflag: '\0', format: 'v7' }, 'x'),
    is: { path: 'a', type: 'file', content: 'x' },
  },
  {
    name: 'a v7 directory',
    bytes: entry({ path: 'a/', typeflag: '\0', format: 'v7' }),
    is: { path: 'a/', type: 'directory' },
  },
  {
    name: 'a v7 header has no prefix',
    bytes: entry({ path: 'a', format: 'v7', raw: { 345: 'prefix' } }),
    is: { path: 'a' },
  },
  {
    name: 'a ustar prefix',
    bytes: entry({ path: 'name', prefix: 'some/prefix' }),
    is: { path: 'some/prefix/name' },
  },
  {
    name: 'a name and a prefix that fill their fields',
    bytes: entry({ path: 'n'.repeat(100), prefix: 'p'.repeat(155) }),
    is: { path: `${'p'.repeat(155)}/${'n'.repeat(100)}` },
  },
  {
    name: 'what GNU headers keep in place of a prefix',
    bytes: entry({ path: 'a', format: 'gnu', raw: { 345: '14716040000' } }),
    is: { path: 'a' },
  },
  {
    name: 'a star header',
    bytes: entry({ path: 'a', prefix: 'p', raw: { 476: '00000000017\0', 508: 'tar\0' } }),
    is: { path: 'p/a', atime: { seconds: 15, nanoseconds: 0 } },
  },
  {
    name: 'a directory',
    bytes: directory('d/', { mode: 0o1777 }),
    is: { path: 'd/', type: 'directory', mode: 0o1777, size: 0 },
  },
  {
    name: 'a directory with a size has no content',
    bytes: header({ path: 'd', typeflag: '5', size: 4096 }),
    is: { type: 'directory', size: 0, content: '' },
  },
  { name: 'a symlink', bytes: symlink('s', '../t'), is: { path: 's', type: 'symlink', linkPath: '../t' } },
  { name: 'a hard link', bytes: hardLink('h', 't'), is: { type: 'link', linkPath: 't' } },
  {
    name: 'a hard link with a size has no content',
    bytes: header({ path: 'h', typeflag: '1', linkPath: 't', size: 5000 }),
    is: { type: 'link', size: 0, content: '' },
  },
  {
    name: 'a character device',
    bytes: device('c', 'tty', 4, 64),
    is: { type: 'character', major: 4, minor: 64 },
  },
  {
    name: 'a block device with large numbers',
    bytes: device('b', 'sd', 300, 0o17777777),
    is: { type: 'block', major: 300, minor: 0o17777777 },
  },
  { name: 'a fifo', bytes: fifo('p'), is: { type: 'fifo' } },
  {
    name: 'a contiguous file',
    bytes: entry({ path: 'a', typeflag: '7' }, 'x'),
    is: { type: 'file', content: 'x' },
  },
  {
    name: 'a file of exactly one block',
    bytes: file('a', 'x'.repeat(512)),
    is: { size: 512, content: 'x'.repeat(512) },
  },
  {
    name: 'a checksum of signed bytes',
    bytes: entry({ path: '\xe9\xff', checksum: 'signed' }),
    is: { path: '\xe9\xff' },
  },
  {
    name: 'numbers padded with spaces',
    bytes: entry({ path: 'a', raw: { 100: '   644 \0', 108: '     7 \0' } }),
    is: { mode: 0o644, uid: 7 },
  },
  {
    name: 'blank numbers',
    bytes: entry({ path: 'a', raw: { 108: '\0\0\0\0\0\0\0\0', 116: '        ' } }),
    is: { uid: 0, gid: 0 },
  },
  {
    name: 'a mode with the bits of a file type',
    bytes: entry({ path: 'a', raw: { 100: '0100644\0' } }),
    is: { mode: 0o644 },
  },
  {
    name: 'owners in base 256',
    bytes: entry({ path: 'a', uid: 3_000_000_000, gid: 2 ** 32 - 2 }),
    is: { uid: 3_000_000_000, gid: 2 ** 32 - 2 },
  },
  {
    name: 'a negative time in base 256',
    bytes: entry({ path: 'a', mtime: -5 }),
    is: { mtime: { seconds: -5, nanoseconds: 0 } },
  },
  {
    name: 'a time after 2242 in base 256',
    bytes: entry({ path: 'a', mtime: 2 ** 40 }),
    is: { mtime: { seconds: 2 ** 40, nanoseconds: 0 } },
  },
  {
    name: 'names that are not UTF-8',
    bytes: symlink(NOT_UTF8, NOT_UTF8),
    is: { path: NOT_UTF8, linkPath: NOT_UTF8 },
  },
  { name: 'pax names', bytes: symlink(LONG, LONG), is: { path: LONG, linkPath: LONG } },
  {
    name: 'pax names that are not UTF-8',
    bytes: symlink('x', 'y', { pax: { path: NOT_UTF8, linkpath: NOT_UTF8 } }),
    is: { path: NOT_UTF8, linkPath: NOT_UTF8 },
  },
  {
    name: 'pax numbers',
    bytes: file('a', 'xyz', { size: 0, pax: { size: '3', uid: '4000000000', gid: '12' } }),
    is: { size: 3, uid: 4_000_000_000, gid: 12, content: 'xyz' },
  },
  {
    name: 'pax times',
    bytes: file('a', '', { pax: { mtime: '1700000000.123456789', atime: '5' } }),
    is: {
      mtime: { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
      atime: { seconds: 5, nanoseconds: 0 },
    },
  },
  {
    name: 'a pax time with few digits',
    bytes: file('a', '', { pax: { mtime: '1.5' } }),
    is: { mtime: { seconds: 1, nanoseconds: 500_000_000 } },
  },
  {
    name: 'a pax time with more digits than a clock has',
    bytes: file('a', '', { pax: { mtime: '1.1234567899' } }),
    is: { mtime: { seconds: 1, nanoseconds: 123_456_789 } },
  },
  {
    name: 'a negative pax time',
    bytes: file('a', '', { pax: { mtime: '-1.25' } }),
    is: { mtime: { seconds: -2, nanoseconds: 750_000_000 } },
  },
  {
    name: 'a negative pax time in whole seconds',
    bytes: file('a', '', { pax: { mtime: '-3' } }),
    is: { mtime: { seconds: -3, nanoseconds: 0 } },
  },
  {
    name: 'a pax time just before the epoch',
    bytes: file('a', '', { pax: { mtime: '-0.000000001' } }),
    is: { mtime: { seconds: -1, nanoseconds: 999_999_999 } },
  },
  {
    name: 'an empty pax value leaves the header alone',
    bytes: file('a', '', { uid: 3, pax: { uid: '', path: '' } }),
    is: { path: 'a', uid: 3 },
  },
  {
    name: 'unknown pax records',
    bytes: file('a', '', { pax: { comment: 'c', 'VENDOR.x': 'y', hdrcharset: 'BINARY' } }),
    is: { path: 'a' },
  },
  {
    name: 'xattrs are bytes',
    bytes: file('a', '', { xattrs: { 'user.b': Buffer.from([0, 255, 10, 61]), 'user.empty': '' } }),
    is: { xattrs: { 'user.b': '\x00\xff\n=', 'user.empty': '' } },
  },
  {
    name: 'the xattrs of libarchive',
    bytes: file('a', '', { pax: { 'LIBARCHIVE.xattr.user.a%3Db': 'AP8K' } }),
    is: { xattrs: { 'user.a=b': '\x00\xff\n' } },
  },
  {
    name: 'both forms of an xattr',
    bytes: file('a', '', { pax: { 'SCHILY.xattr.user.a': 'exact', 'LIBARCHIVE.xattr.user.a': 'AAAA' } }),
    is: { xattrs: { 'user.a': 'exact' } },
  },
  {
    name: 'global records',
    bytes: Buffer.concat([pax({ uid: '5', mtime: '1.5' }, 'g'), file('a')]),
    is: { uid: 5, mtime: { seconds: 1, nanoseconds: 500_000_000 } },
  },
  {
    name: 'own records before global ones',
    bytes: Buffer.concat([pax({ uid: '5', gid: '6' }, 'g'), file('a', '', { pax: { uid: '7' } })]),
    is: { uid: 7, gid: 6 },
  },
  {
    name: 'the last of two global headers',
    bytes: Buffer.concat([pax({ uid: '5' }, 'g'), pax({ uid: '6' }, 'g'), file('a')]),
    is: { uid: 6 },
  },
  {
    name: 'the last of two records with one key',
    bytes: Buffer.concat([
      pax([
        ['uid', '5'],
        ['uid', '6'],
      ]),
      entry({ path: 'a' }),
    ]),
    is: { uid: 6 },
  },
  {
    name: 'an empty pax header',
    bytes: Buffer.concat([entry({ path: 'pax', typeflag: 'x' }), entry({ path: 'a' })]),
    is: { path: 'a' },
  },
  {
    name: 'GNU long names',
    bytes: Buffer.concat([
      gnuLong('K', `${LONG}k`),
      gnuLong('L', `${LONG}l`),
      entry({ path: 'x', typeflag: '2', format: 'gnu' }),
    ]),
    is: { path: `${LONG}l`, linkPath: `${LONG}k` },
  },
  {
    name: 'a GNU long name without NUL',
    bytes: Buffer.concat([entry({ path: '././@LongLink', typeflag: 'L' }, LONG), entry({ path: 'x' })]),
    is: { path: LONG },
  },
];

const SPARSE = { 0: 'AAA', 10: 'BBBB' };
const SPARSE_CONTENT = `AAA${'\0'.repeat(7)}BBBB${'\0'.repeat(6)}`;
const MAP = [
  [0, 3],
  [10, 4],
  [20, 0],
] as const;
const manySegments = Array.from({ length: 30 }, (_, i) => [i * 2, 1] as const);

function oldSparse(
  segments: readonly (readonly [number, number])[],
  realSize: number,
  packed: string,
): Buffer {
  const rest = segments.slice(4);
  const blocks: Buffer[] = [];
  for (let i = 0; i < rest.length; i += 21) {
    const block = Buffer.alloc(512);
    oldSparseMap(rest.slice(i, i + 21)).copy(block);
    block[504] = i + 21 < rest.length ? 1 : 0;
    blocks.push(block);
  }
  const real = oldSparseMap([[realSize, 0]]).subarray(0, 12);
  const raw = { 386: oldSparseMap(segments.slice(0, 4)), 482: rest.length > 0 ? '\x01' : '\0', 483: real };
  return Buffer.concat([
    header({ path: 'a', typeflag: 'S', format: 'gnu', size: packed.length, raw }),
    ...blocks,
    padded(packed),
  ]);
}

function sparse10(map: string, packed: string, more: Record<string, string> = {}): Buffer {
  const content = Buffer.concat([padded(map), Buffer.from(packed)]);
  const records = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'a',
    'GNU.sparse.realsize': '20',
    ...more,
  };
  return Buffer.concat([pax(records), entry({ path: 'GNUSparseFile.1/a' }, content)]);
}

const packed = Object.values(SPARSE).join('');
const SPARSE_FILES: readonly { name: string; bytes: Buffer; content?: string }[] = [
  { name: "GNU's old format", bytes: oldSparse(MAP, 20, packed) },
  {
    name: "GNU's old format with extension blocks",
    bytes: oldSparse(manySegments, 60, 'x'.repeat(30)),
    content: 'x\0'.repeat(30),
  },
  {
    name: 'pax 0.0',
    bytes: Buffer.concat([
      pax([
        ['GNU.sparse.size', '20'],
        ['GNU.sparse.numblocks', '3'],
        ...MAP.flatMap(([offset, length]) => [
          ['GNU.sparse.offset', `${offset}`] as const,
          ['GNU.sparse.numbytes', `${length}`] as const,
        ]),
      ]),
      entry({ path: 'a' }, packed),
    ]),
  },
  {
    name: 'pax 0.1',
    bytes: Buffer.concat([
      pax({
        'GNU.sparse.size': '20',
        'GNU.sparse.numblocks': '3',
        'GNU.sparse.map': MAP.flat().join(','),
        'GNU.sparse.name': 'a',
      }),
      entry({ path: 'GNUSparseFile.1/a' }, packed),
    ]),
  },
  { name: 'pax 1.0', bytes: sparse10(`3\n${MAP.flat().join('\n')}\n`, packed) },
  {
    name: 'pax 1.0 with a map of two blocks',
    bytes: sparse10(
      `200\n${Array.from({ length: 200 }, (_, i) => `${i * 1000}\n1\n`).join('')}`,
      'x'.repeat(200),
      { 'GNU.sparse.realsize': '200000' },
    ),
    content: `x${'\0'.repeat(999)}`.repeat(200),
  },
  { name: 'pax 1.0, a hole all over', bytes: sparse10('0\n', ''), content: '\0'.repeat(20) },
];

const HINTED = { code: 'BAD_ARCHIVE', hint: expect.any(String) as string };

const BAD: readonly { name: string; bytes: Buffer; message: RegExp; code?: string }[] = [
  {
    name: 'random bytes',
    bytes: Buffer.from(Array.from({ length: 2048 }, (_, i) => (i * 7919 + 13) % 251)),
    message: /not a tar archive/,
  },
  { name: 'a short text', bytes: Buffer.from('hello\n'), message: /not a tar archive/ },
  {
    name: 'a wrong checksum in the first header',
    bytes: archive(entry({ path: 'a', checksum: 'wrong' })),
    message: /not a tar archive/,
  },
  {
    name: 'a wrong checksum later',
    bytes: archive(file('a'), entry({ path: 'b', checksum: 'wrong' })),
    message: /checksum, at offset 512$/,
  },
  {
    name: 'a lone block of zeros',
    bytes: Buffer.concat([file('a'), Buffer.alloc(512), file('b'), END]),
    message: /lone block/,
  },
  {
    name: 'a header with letters for a number',
    bytes: archive(file('a'), entry({ path: 'b', raw: { 108: '00000z7\0' } })),
    message: /user ID/,
  },
  {
    name: 'a header with digits after the end of a number',
    bytes: archive(file('a'), entry({ path: 'b', raw: { 108: '7 00007\0' } })),
    message: /user ID/,
  },
  {
    name: 'a negative size',
    bytes: archive(file('a'), header({ path: 'b', size: -1 })),
    message: /negative size/,
  },
  {
    name: 'a size out of range',
    bytes: archive(
      file('a'),
      header({ path: 'b', raw: { 124: Buffer.from('80ffffffffffffffffffffff', 'hex') } }),
    ),
    message: /out of range/,
  },
  {
    name: 'an owner that no system has',
    bytes: archive(entry({ path: 'a', uid: 2 ** 32 - 1 })),
    message: /owner 4294967295/,
  },
  { name: 'a negative owner', bytes: archive(entry({ path: 'a', gid: -2 })), message: /owner -2/ },
  {
    name: 'an extended header of negative size',
    bytes: archive(header({ path: 'a', typeflag: 'x', size: -1 })),
    message: /negative size/,
  },
  ...[
    '5 a=',
    '0 a=b\n',
    '99 a=b\n',
    'x a=b\n',
    '6 a=b\nxx',
    '6 a=bX',
    '5 ab\n',
    '4 =\n',
    '6 =ab\n',
    '7\n',
    ' a=b\n',
    '99999999999999999999 a=b\n',
  ].map((record) => ({
    name: `the pax record ${JSON.stringify(record)}`,
    bytes: archive(entry({ path: 'pax', typeflag: 'x' }, record), file('a')),
    message: /pax header is malformed/,
  })),
  {
    name: 'a malformed global header',
    bytes: archive(entry({ path: 'pax', typeflag: 'g' }, 'zzz'), file('a')),
    message: /pax header is malformed/,
  },
  { name: 'a pax path with a NUL', bytes: archive(file('a', '', { pax: { path: 'a\0b' } })), message: /NUL/ },
  {
    name: 'a pax size that is none',
    bytes: archive(file('a', '', { pax: { size: '-1' } })),
    message: /size is not a number/,
  },
  {
    name: 'a pax time that is none',
    bytes: archive(file('a', '', { pax: { mtime: '1e9' } })),
    message: /mtime is not a time/,
  },
  {
    name: 'an extended header at the end',
    bytes: archive(pax({ path: 'x' })),
    message: /where its entry should be/,
  },
  {
    name: 'an extended header at the end of the bytes',
    bytes: pax({ path: 'x' }),
    message: /where its entry should be/,
  },
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
    bytes: archive(sparse10('1\n0\nabc\n', packed)),
    message: /not a number/,
  },
  {
    name: 'a sparse map without lines',
    bytes: archive(sparse10('1'.repeat(600), packed)),
    message: /not a number/,
  },
  {
    name: 'a sparse map longer than its content',
    bytes: archive(sparse10(`200\n${'1\n'.repeat(254)}`, '')),
    message: /longer than its content/,
  },
  {
    name: 'a sparse file without size',
    bytes: archive(Buffer.concat([pax({ 'GNU.sparse.map': '0,1' }), entry({ path: 'a' }, 'x')])),
    message: /no size/,
  },
  {
    name: 'a sparse file of a format to come',
    bytes: archive(sparse10('0\n', '', { 'GNU.sparse.major': '2' })),
    message: /unknown format 2.0/,
  },
  ...['V', 'M', 'D', 'N', 'X', 'A'].map((typeflag) => ({
    name: `the type ${typeflag}`,
    bytes: archive(entry({ path: 'a', typeflag })),
    message: /type .* is unknown/,
    code: 'UNSUPPORTED_ENTRY',
  })),
  {
    name: 'an extended header larger than the limit',
    bytes: archive(header({ path: 'a', typeflag: 'x', size: 2 ** 30 })),
    message: /limit/,
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'a long name larger than the limit',
    bytes: archive(header({ path: 'a', typeflag: 'L', size: 2 ** 40 })),
    message: /limit/,
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'global headers larger than the limit together',
    bytes: archive(
      ...Array.from({ length: 9 }, (_, i) => pax({ [`k${i}`]: Buffer.alloc(130_000) }, 'g')),
      file('a'),
    ),
    message: /global headers/,
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'a sparse map with too many segments',
    bytes: archive(sparse10('99999999\n', '')),
    message: /segments/,
    code: 'LIMIT_EXCEEDED',
  },
];

describe('TarReader', () => {
  for (const { name, bytes, is } of ENTRIES) {
    it.each([1 << 20, 512, 100, 7, 1])(`reads ${name} (chunks of %i bytes)`, (chunkBytes) => {
      const [found, next, ...rest] = read(archive(bytes, file('next', 'after')), chunkBytes);
      expect(rest).toEqual([]);
      expect(found && summary(found, is)).toEqual(is);
      // What belongs to one entry does not spill over to the next.
      expect(next?.entry).toMatchObject({ path: 'next', size: 5, linkPath: '' });
      expect(next?.content).toBe('after');
    });
  }

  for (const { name, bytes, content = SPARSE_CONTENT } of SPARSE_FILES) {
    it.each([1 << 20, 512, 100, 1])(`reads a sparse file, ${name} (chunks of %i bytes)`, (chunkBytes) => {
      const [found, next] = read(archive(bytes, file('next', 'after')), chunkBytes);
      expect(found?.entry).toMatchObject({ path: 'a', type: 'file', size: content.length });
      expect(found?.content).toBe(content);
      expect(next).toMatchObject({ entry: { path: 'next' }, content: 'after' });
      expect(next?.entry).not.toHaveProperty('sparse');
    });
  }

  it.each(BAD)('refuses $name', ({ bytes, message, code = 'BAD_ARCHIVE' }) => {
    for (const chunkBytes of [bytes.length, 100]) {
      expect(() => read(bytes, chunkBytes)).toThrow(
        expect.objectContaining({ ...HINTED, code, message: expect.stringMatching(message) as string }),
      );
    }
  });

  it.each([
    { name: 'no bytes', bytes: Buffer.alloc(0), entries: 0 },
    { name: 'only the end', bytes: END, entries: 0 },
    { name: 'one block of zeros', bytes: Buffer.alloc(512), entries: 0 },
    { name: 'an end of many blocks', bytes: archive(file('a', 'x'), Buffer.alloc(10_000)), entries: 1 },
    { name: 'no end', bytes: file('a', 'x'), entries: 1 },
    { name: 'half an end', bytes: Buffer.concat([file('a', 'x'), Buffer.alloc(512)]), entries: 1 },
    {
      name: 'an end that is cut short',
      bytes: Buffer.concat([file('a', 'x'), Buffer.alloc(700)]),
      entries: 1,
    },
    {
      name: 'a last entry without padding',
      bytes: Buffer.concat([header({ path: 'a', size: 1 }), Buffer.from('x')]),
      entries: 1,
    },
    {
      name: 'something after the end',
      bytes: Buffer.concat([archive(file('a', 'x')), Buffer.from('garbage'), file('b')]),
      entries: 1,
    },
  ])('accepts $name', ({ bytes, entries }) => {
    for (const chunkBytes of [Math.max(1, bytes.length), 100])
      expect(read(bytes, chunkBytes)).toHaveLength(entries);
  });

  it('accepts an archive cut at the end of an entry, and refuses it cut anywhere else', () => {
    const parts = [directory('d'), file('d/f', 'x'.repeat(700)), symlink(LONG, LONG), file('d/g', 'y')];
    const bytes = archive(...parts);
    const paddings = [0, 324, 0, 511];
    const accepted = new Set([0]);
    let end = 0;
    for (const [i, part] of parts.entries()) {
      end += part.length;
      for (let missing = 0; missing <= (paddings[i] ?? 0); missing++) accepted.add(end - missing);
    }
    for (let cut = 0; cut < end; cut++) {
      const attempt = (): unknown => read(bytes.subarray(0, cut), Math.max(1, cut));
      if (accepted.has(cut)) expect(attempt, `cut at ${cut}`).not.toThrow();
      else expect(attempt, `cut at ${cut}`).toThrow(expect.objectContaining({ code: 'BAD_ARCHIVE' }));
    }
  });

  it('counts entries against the limit, extended headers not', () => {
    const bytes = archive(file(LONG), file(`${LONG}2`));
    expect(read(bytes, bytes.length, { maxEntries: 2, maxFileBytes: 10 })).toHaveLength(2);
    expect(() => read(bytes, bytes.length, { maxEntries: 1, maxFileBytes: 10 })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
  });

  it('holds the extracted size of a sparse file against the limit', () => {
    const bytes = archive(sparse10('0\n', '', { 'GNU.sparse.realsize': '1000000000000' }));
    expect(() => read(bytes, bytes.length, { maxEntries: 9, maxFileBytes: 1e9 })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
  });

  it('names the entry in the error', () => {
    expect(() => read(archive(entry({ path: 'caf\xc3\xa9', uid: -1 })))).toThrow(
      expect.objectContaining({ details: { entry: 'café' } }),
    );
  });
});

describe('TarReader on archives of other programs', () => {
  let root = '';
  let source = '';

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'landfall-tar-'));
    source = join(root, 'source');
    mkdirSync(join(source, 'd', 'x'.repeat(200)), { recursive: true });
    writeFileSync(join(source, 'd', 'f'), 'content');
    writeFileSync(join(source, 'd', 'x'.repeat(200), 'y'.repeat(200)), 'deep');
    writeFileSync(
      Buffer.concat([Buffer.from(join(source, 'not-utf8-')), Buffer.from([0xff, 0xe9])]),
      'bytes',
    );
    symlinkSync('t'.repeat(300), join(source, 'long-link'));
    utimesSync(join(source, 'd', 'f'), 1.5, 1_700_000_000.25);
    writeFileSync(join(source, 'holes'), 'begin');
    truncateSync(join(source, 'holes'), 1 << 20);
    execFileSync('sh', [
      '-c',
      'printf end >> "$1/holes" && ln "$1/d/f" "$1/hard" && mkfifo "$1/fifo" && setfattr -n user.b -v 0x00ff0a3d "$1/d/f"',
      'sh',
      source,
    ]);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const PYTHON =
    'import sys, tarfile\nwith tarfile.open(sys.argv[1], "w", format=getattr(tarfile, sys.argv[3])) as t: t.add(sys.argv[2], ".")';
  const gnu = (...options: string[]) => ['tar', '-cf', 'OUT', '-C', 'SOURCE', ...options, '.'];
  const WRITERS: readonly { name: string; command: string[]; fractions: boolean; xattrs: boolean }[] = [
    { name: 'GNU tar, gnu', command: gnu('--format=gnu'), fractions: false, xattrs: false },
    { name: 'GNU tar, gnu and sparse', command: gnu('--format=gnu', '-S'), fractions: false, xattrs: false },
    { name: 'GNU tar, pax', command: gnu('--format=pax', '--xattrs'), fractions: true, xattrs: true },
    ...['0.0', '0.1', '1.0'].map((version) => ({
      name: `GNU tar, pax and sparse ${version}`,
      command: gnu('--format=pax', '--xattrs', '-S', `--sparse-version=${version}`),
      fractions: true,
      xattrs: true,
    })),
    {
      name: 'bsdtar, pax',
      command: ['bsdtar', '-cf', 'OUT', '-C', 'SOURCE', '--format=pax', '--xattrs', '.'],
      fractions: true,
      xattrs: true,
    },
    {
      name: 'bsdtar, gnutar',
      command: ['bsdtar', '-cf', 'OUT', '-C', 'SOURCE', '--format=gnutar', '.'],
      fractions: false,
      xattrs: false,
    },
    {
      name: 'Python, pax',
      command: ['python3', '-c', PYTHON, 'OUT', 'SOURCE', 'PAX_FORMAT'],
      fractions: true,
      xattrs: false,
    },
    {
      name: 'Python, gnu',
      command: ['python3', '-c', PYTHON, 'OUT', 'SOURCE', 'GNU_FORMAT'],
      fractions: false,
      xattrs: false,
    },
  ];

  it.each(WRITERS)('reads $name', ({ command, fractions, xattrs }) => {
    const out = join(root, 'out.tar');
    const [program = '', ...args] = command.map((word) =>
      word === 'OUT' ? out : word === 'SOURCE' ? source : word,
    );
    execFileSync(program, args, {
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const found = new Map(
      read(execFileSync('cat', [out], { maxBuffer: 1 << 26 }), 10_000).map((f) => [
        f.entry.path.replace(/^\.\/|^\.$|\/$/g, ''),
        f,
      ]),
    );
    const paths = [
      '',
      'd',
      'd/f',
      `d/${'x'.repeat(200)}`,
      `d/${'x'.repeat(200)}/${'y'.repeat(200)}`,
      'fifo',
      'hard',
      'holes',
      'long-link',
      'not-utf8-\xff\xe9',
    ];
    expect([...found.keys()].sort()).toEqual(paths.sort());
    const [first, second] = [found.get('d/f'), found.get('hard')].sort(
      (a, b) => Number(a?.entry.type === 'link') - Number(b?.entry.type === 'link'),
    );
    expect(first).toMatchObject({
      content: 'content',
      entry: { type: 'file', mtime: { seconds: 1_700_000_000, nanoseconds: fractions ? 250_000_000 : 0 } },
    });
    expect(second?.entry).toMatchObject({ type: 'link' });
    expect(first?.entry.xattrs.get('user.b')?.toString('latin1')).toBe(xattrs ? '\x00\xff\n=' : undefined);
    expect(found.get('long-link')?.entry).toMatchObject({ type: 'symlink', linkPath: 't'.repeat(300) });
    expect(found.get('fifo')?.entry.type).toBe('fifo');
    expect(found.get('not-utf8-\xff\xe9')?.content).toBe('bytes');
    expect(found.get(`d/${'x'.repeat(200)}/${'y'.repeat(200)}`)?.content).toBe('deep');
    expect(found.get('holes')?.content === `begin${'\0'.repeat((1 << 20) - 5)}end`).toBe(true);
  });

  it('reads what tar-stream writes', async () => {
    const writer = pack();
    writer.entry({ name: LONG, mode: 0o640, uid: 1, gid: 2, mtime: new Date(1e12) }, 'content');
    writer.entry({ name: 'link', type: 'symlink', linkname: LONG });
    writer.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of writer as AsyncIterable<Buffer>) chunks.push(chunk);
    const found = read(Buffer.concat(chunks));
    expect(found).toMatchObject([
      { content: 'content', entry: { path: LONG, mode: 0o640, uid: 1, gid: 2, mtime: { seconds: 1e9 } } },
      { entry: { path: 'link', type: 'symlink', linkPath: LONG } },
    ]);
  });
});
