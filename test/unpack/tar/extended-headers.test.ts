import { describe, expect, it } from 'vitest';
import { archive, device, entry, file, gnuLong, header, pax, symlink } from '../../support/tar-builder.js';
import { itReads, itRefuses, readArchive, type EntryRow, type RefusedRow } from '../../support/tar-rows.js';

const LONG = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;
const NOT_UTF8 = 'caf\xe9/\xff\xfe\x80';

const RECORDS: readonly EntryRow[] = [
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
    name: 'names that are said to be bytes',
    bytes: file('a', '', { pax: { hdrcharset: 'BINARY', path: NOT_UTF8 } }),
    is: { path: NOT_UTF8 },
  },
  {
    name: 'names that are said to be UTF-8',
    bytes: file('a', '', { pax: { hdrcharset: 'ISO-IR 10646 2000 UTF-8', path: 'caf\xc3\xa9' } }),
    is: { path: 'caf\xc3\xa9' },
  },
  {
    name: 'a name of 255 bytes',
    bytes: file('n'.repeat(255)),
    is: { path: 'n'.repeat(255) },
  },
  {
    name: 'a negative time finer than a nanosecond, as the earlier one',
    bytes: file('a', '', { pax: { mtime: '-1.0000000001' } }),
    is: { mtime: { seconds: -2, nanoseconds: 999_999_999 } },
  },
  {
    name: 'a negative time finer than a nanosecond, next to a whole second',
    bytes: file('a', '', { pax: { mtime: '-0.9999999999' } }),
    is: { mtime: { seconds: -1, nanoseconds: 0 } },
  },
  {
    name: 'a negative time with zeros behind its nanoseconds',
    bytes: file('a', '', { pax: { mtime: '-1.2500000000000' } }),
    is: { mtime: { seconds: -2, nanoseconds: 750_000_000 } },
  },
  {
    name: 'a time with a point and no fraction',
    bytes: file('a', '', { pax: { mtime: '7.' } }),
    is: { mtime: { seconds: 7, nanoseconds: 0 } },
  },
  {
    name: 'device numbers of star',
    bytes: device('b', 'a', 1, 2, { pax: { 'SCHILY.devmajor': '259', 'SCHILY.devminor': '1048575' } }),
    is: { major: 259, minor: 1_048_575 },
  },
  {
    name: 'device numbers of star, but not of what is no device',
    bytes: file('a', '', { pax: { 'SCHILY.devmajor': '259' } }),
    is: { major: 0 },
  },
  {
    name: 'a path that goes before a GNU long name, whichever comes first',
    bytes: Buffer.concat([
      gnuLong('L', 'gnu'),
      pax({ path: 'pax' }),
      gnuLong('K', 'gnu'),
      entry({ path: 'a' }),
    ]),
    is: { path: 'pax' },
  },
  {
    name: 'only the last of two headers before one entry',
    bytes: Buffer.concat([pax({ uid: '5' }), pax({ gid: '6' }), entry({ path: 'a' })]),
    is: { uid: 0, gid: 6 },
  },
];

const GNU: readonly EntryRow[] = [
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

const BAD: readonly RefusedRow[] = [
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
  ...['.5', '-', '+1', '1.5.5', '1,5', '0x5', ' 5', '1e-09', '9'.repeat(16)].map((time) => ({
    name: `the time ${JSON.stringify(time)}`,
    bytes: archive(file('a', '', { pax: { mtime: time } })),
    message: /mtime is not a time/,
  })),
  ...['-2', '1.0', '0x5', ' 5', '9'.repeat(17), '9007199254740993'].map((uid) => ({
    name: `the owner ${JSON.stringify(uid)}`,
    bytes: archive(file('a', '', { pax: { uid } })),
    message: /uid is not a number/,
  })),
  ...['SCHILY.xattr.', 'SCHILY.xattr.user.a\0b', 'LIBARCHIVE.xattr.', 'LIBARCHIVE.xattr.user.%00'].map(
    (key) => ({
      name: `the attribute ${JSON.stringify(key)}`,
      bytes: archive(file('a', '', { pax: { [key]: 'AAAA' } })),
      message: /"a": the name of an extended attribute is empty or holds a NUL/,
    }),
  ),
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
];

/**
 * POSIX.1-2001 pax: pax Extended Header; GNU tar manual: long names; star and libarchive for their records.
 */
describe('an extended header', () => {
  itReads(RECORDS);
  itReads(GNU);
  itRefuses(BAD);

  it('is of one entry only', () => {
    const plain = entry({ path: 'plain', typeflag: '2', linkPath: 'target' });
    for (const long of [
      [gnuLong('K', LONG), gnuLong('L', LONG)],
      [pax({ path: LONG, linkpath: LONG, uid: '5' })],
    ]) {
      const [first, second] = readArchive(archive(...long, plain, plain));
      expect(first?.entry).toMatchObject({ path: LONG, linkPath: LONG });
      expect(second?.entry).toMatchObject({ path: 'plain', linkPath: 'target', uid: 0 });
    }
  });
});
