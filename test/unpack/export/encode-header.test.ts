import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { encodeHeader } from '../../../src/unpack/files/encode-header.js';
import type { TarEntry } from '../../../src/unpack/tar/tar-header.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { rounds } from '../../support/rounds.js';

const PLAIN: TarEntry = {
  path: './a',
  type: 'file',
  linkPath: '',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 1_000_000_000, nanoseconds: 0 },
  major: 0,
  minor: 0,
  xattrs: new Map(),
};

/** The entry that a reader makes of a header. */
function read(header: Buffer): TarEntry {
  const entries: TarEntry[] = [];
  const handler = {
    entry: (entry: TarEntry) => entries.push(entry),
    data: () => undefined,
    endEntry: () => undefined,
  };
  const reader = new TarReader(handler, unpackLimits({ layerBytes: Number.MAX_SAFE_INTEGER }));
  reader.push(header);
  const [entry, ...more] = entries;
  if (entry === undefined || more.length > 0) throw new Error(`${entries.length} entries`);
  return entry;
}

describe('what the header block can say needs no pax header', () => {
  test.each<[name: string, change: Partial<TarEntry>]>([
    ['a name of 100 bytes', { path: `./${'n'.repeat(98)}` }],
    ['a name that has to be split', { path: `./${'d'.repeat(98)}/${'n'.repeat(98)}` }],
    ['the longest prefix and the longest name', { path: `./${'d'.repeat(153)}/${'n'.repeat(100)}` }],
    ['a name that is no UTF-8', { path: './\xff\xfe' }],
    ['a link target of 100 bytes', { type: 'symlink', linkPath: 'l'.repeat(100) }],
    ['no permissions at all', { mode: 0 }],
    ['setuid, setgid and sticky bit', { mode: 0o7777 }],
    ['the largest owner in octal', { uid: 0o7777777, gid: 0o7777777 }],
    ['the largest size in octal', { size: 0o77777777777 }],
    ['the epoch', { mtime: { seconds: 0, nanoseconds: 0 } }],
    ['the year 2242', { mtime: { seconds: 0o77777777777, nanoseconds: 0 } }],
    ['a device number that is too large for octal', { type: 'block', major: 259, minor: 0o10000000 }],
  ])('%s', (_, change) => {
    const member = { ...PLAIN, ...change };
    const header = encodeHeader(member);
    expect(header).toHaveLength(512);
    expect(read(header)).toEqual(member);
  });
});

describe('what it cannot say stands in a pax header', () => {
  test.each<[name: string, change: Partial<TarEntry>]>([
    ['a name of 101 bytes', { path: 'n'.repeat(101) }],
    [
      'a directory whose name ends where it would be split',
      { type: 'directory', path: `${'d'.repeat(100)}/` },
    ],
    ['a prefix of 156 bytes', { path: `${'d'.repeat(156)}/n` }],
    ['a long name that is no UTF-8', { path: '\xff'.repeat(300) }],
    ['a link target of 101 bytes', { type: 'link', linkPath: 'l'.repeat(101) }],
    ['a large owner', { uid: 0o10000000, gid: 2 ** 32 - 2 }],
    ['8 GiB', { size: 2 ** 33 }],
    ['a nanosecond', { mtime: { seconds: 5, nanoseconds: 1 } }],
    ['a tenth of a second', { mtime: { seconds: 5, nanoseconds: 100_000_000 } }],
    ['the year 1969', { mtime: { seconds: -2, nanoseconds: 0 } }],
    ['half a second before 1970', { mtime: { seconds: -1, nanoseconds: 500_000_000 } }],
    ['the far future', { mtime: { seconds: 2 ** 40, nanoseconds: 999_999_999 } }],
    ['an access time', { atime: { seconds: 7, nanoseconds: 8 } }],
    ['an attribute of any bytes', { xattrs: new Map([['user.\xff', Buffer.from('\x00\n=\xff', 'latin1')]]) }],
    ['an attribute without bytes', { xattrs: new Map([['user.a', Buffer.alloc(0)]]) }],
    ['an attribute of 64 KiB', { xattrs: new Map([['user.a', Buffer.alloc(65_536, 7)]]) }],
  ])('%s', (_, change) => {
    const member = { ...PLAIN, ...change };
    const header = encodeHeader(member);
    expect(header.length).toBeGreaterThan(1024);
    expect(header.length % 512).toBe(0);
    expect(read(header)).toEqual(member);
  });
});

describe('a sparse file', () => {
  test.each<[name: string, size: number, segments: [number, number][], read: [number, number][]]>([
    ['that is one hole', 2 ** 40, [], [[2 ** 40, 0]]],
    ['with a hole at its end', 100, [[10, 20]], [[10, 20], [100, 0]]], // prettier-ignore
    ['with a hole at its start', 100, [[60, 40]], [[60, 40]]],
    // prettier-ignore
    ['whose map is longer than a block', 2000, Array.from({ length: 200 }, (_, i) => [i * 10, 5]), [...Array.from({ length: 200 }, (_, i): [number, number] => [i * 10, 5]), [2000, 0]]],
  ])('%s', (_, size, given, wanted) => {
    const segments = (pairs: [number, number][]): { offset: number; length: number }[] =>
      pairs.map(([offset, length]) => ({ offset, length }));
    const member = { ...PLAIN, path: './d/a', size, sparse: segments(given) };
    const header = encodeHeader(member);
    expect(read(header)).toEqual({ ...member, sparse: segments(wanted) });
    expect(header.toString('latin1')).toContain('./d/GNUSparseFile.0/a');
  });
});

test('any member is read as it was written', () => {
  const text = (bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<string> =>
    bytes.map((some) => Buffer.from(some).toString('latin1').replaceAll('\0', '0'));
  const name = text(fc.uint8Array({ minLength: 1, maxLength: 300 }));
  const bytes = fc.uint8Array({ maxLength: 40 }).map((some) => Buffer.from(some));
  const xattrs = fc
    .array(
      fc.tuple(
        name.map((some) => `user.${some.replaceAll(/[=%]/g, '')}`),
        bytes,
      ),
      { maxLength: 3 },
    )
    .map((pairs) => new Map(pairs));
  const time = fc.record({
    seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    nanoseconds: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
  });
  const owner = fc.integer({ min: 0, max: 2 ** 32 - 2 });
  const common = {
    path: name,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: owner,
    gid: owner,
    mtime: time,
    xattrs,
  };
  const nothing = {
    linkPath: fc.constant(''),
    size: fc.constant(0),
    major: fc.constant(0),
    minor: fc.constant(0),
  };
  const member = fc.oneof(
    fc.record({ ...nothing, ...common, type: fc.constant('file'), size: fc.maxSafeNat() }),
    fc.record({ ...nothing, ...common, type: fc.constantFrom('directory', 'fifo') }),
    fc.record({ ...nothing, ...common, type: fc.constantFrom('symlink', 'link'), linkPath: name }),
    fc.record({
      ...nothing,
      ...common,
      type: fc.constantFrom('block', 'character'),
      major: fc.nat(),
      minor: fc.nat(),
    }),
  );
  fc.assert(
    fc.property(member, (one) => {
      expect(read(encodeHeader(one as TarEntry))).toEqual(one);
    }),
    { numRuns: rounds({ short: 1000, long: 50_000 }) },
  );
});
