import { archive, device, entry, file, gnuLong, pax } from '../tar-builder.js';
import type { OddArchive } from './odd-archive.js';

const MALFORMED: readonly OddArchive[] = [
  '5 a=',
  '0 a=b\n',
  '99 a=b\n',
  'x a=b\n',
  '6 a=b\nxx',
  '6 a=bX',
  '5 ab\n',
  '7\n',
  ' a=b\n',
  '  6 a=b\n',
  '06 a=b\n',
  '99999999999999999999 a=b\n',
].map((text) => ({
  name: `the record ${JSON.stringify(text)}`,
  bytes: archive(file('f'), entry({ path: 'pax', typeflag: 'x' }, text), file('a')),
  refusal: 'BAD_ARCHIVE' as const,
}));

const ALMOST: readonly OddArchive[] = ['6 =ab\n', '6 a=b\n\0\0\0'].map((text) => ({
  name: `the record ${JSON.stringify(text)}`,
  bytes: archive(file('f'), entry({ path: 'pax', typeflag: 'x' }, text), file('a')),
  refusal: 'BAD_ARCHIVE' as const,
  unlike: { 'GNU tar': 'reads' } as const,
  because: 'what is malformed in one place is not to be trusted in another',
}));

const VALUES: readonly OddArchive[] = [
  {
    name: 'a NUL in a path',
    bytes: archive(file('f'), file('a', '', { pax: { path: 'a\0b' } })),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: 'they read half of the name',
  },
  {
    name: 'a size that is none',
    bytes: archive(file('f'), file('a', '', { pax: { size: '-1' } })),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'a negative owner',
    bytes: archive(file('f'), file('a', '', { pax: { uid: '-2' } })),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads', umoci: 'reads' },
    because: 'it would become the owner 4294967294',
  },
  {
    name: 'a time with an exponent, as Python writes one of less than 0.1 ms',
    bytes: archive(file('f'), file('a', '', { pax: { mtime: '1e-09' } })),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: 'it reads one second',
  },
  {
    name: 'a time without whole seconds',
    bytes: archive(file('f'), file('a', '', { pax: { mtime: '.5' } })),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: 'POSIX wants a decimal number',
  },
  {
    name: 'a time finer than a nanosecond',
    bytes: archive(file('a', '', { pax: { mtime: '1.9999999999' } })),
  },
  {
    name: 'a negative time finer than a nanosecond',
    bytes: archive(file('a', '', { pax: { mtime: '-1.0000000001' } })),
    unlike: { bsdtar: 'reads otherwise', umoci: 'reads otherwise' },
    because: 'POSIX rounds to the earlier time, they to the one nearer to 1970',
  },
  {
    name: 'a device number in a record of star',
    bytes: archive(device('b', 'a', 259, 4, { pax: { 'SCHILY.devminor': '1048575' } })),
    unlike: { 'GNU tar': 'reads otherwise', umoci: 'reads otherwise' },
    because: 'star and libarchive write it where the header has no room',
  },
  {
    name: 'names that are not UTF-8',
    bytes: archive(file('a', '', { pax: { path: 'caf\xe9' } })),
    unlike: { bsdtar: 'refuses' },
    because: 'names are bytes; it makes the file, and then complains',
  },
  {
    name: 'names that are said not to be UTF-8',
    bytes: archive(file('a', '', { pax: { hdrcharset: 'BINARY', path: 'caf\xe9' } })),
  },
];

const XATTRS: readonly OddArchive[] = [
  {
    name: 'a NUL in the name of an xattr',
    bytes: archive(file('f'), file('a', '', { xattrs: { 'user.a\0b': 'x' } })),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'an xattr without name',
    bytes: archive(file('f'), file('a', '', { xattrs: { '': 'x' } })),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: 'it cannot be kept, and no program means it',
  },
  {
    name: 'an xattr of no name space',
    bytes: archive(file('a', '', { xattrs: { alien: 'x' } })),
    unlike: { bsdtar: 'refuses' },
    because: 'what a file system refuses is left out with a warning',
  },
  {
    name: 'an empty xattr',
    bytes: archive(file('a', '', { xattrs: { 'user.a': '' } })),
    unlike: { umoci: 'reads otherwise' },
    because: 'Go takes an empty value for none, though an xattr may be empty',
  },
  {
    name: 'an xattr in the form of libarchive alone',
    bytes: archive(file('a', '', { pax: { 'LIBARCHIVE.xattr.user.a%3Db': 'AP8K' } })),
    unlike: { 'GNU tar': 'reads otherwise', umoci: 'reads otherwise' },
    because: 'they do not know the form',
  },
];

const SEVERAL: readonly OddArchive[] = [
  {
    name: 'an empty value',
    bytes: archive(file('a', '', { uid: 3, pax: { uid: '', path: '' } })),
    unlike: { 'GNU tar': 'refuses', bsdtar: 'reads otherwise' },
    because: 'POSIX says that it stands for what the header has',
  },
  {
    name: 'a global comment, as git writes it',
    bytes: archive(pax({ comment: 'x' }, 'g'), file('a')),
    unlike: { umoci: 'refuses' },
    because: 'POSIX has global headers',
  },
  {
    name: 'a global record',
    bytes: archive(pax({ uid: '5' }, 'g'), file('a')),
    unlike: { bsdtar: 'reads otherwise', umoci: 'refuses' },
    because: 'POSIX has global headers',
  },
  {
    name: 'a global record that the entry takes back',
    bytes: archive(pax({ uid: '5' }, 'g'), file('a', '', { uid: 3, pax: { uid: '' } })),
    unlike: { 'GNU tar': 'refuses', bsdtar: 'reads otherwise', umoci: 'refuses' },
    because: 'POSIX says that an empty value deletes a global one',
  },
  {
    name: 'a global record that a later one takes back',
    bytes: archive(pax({ uid: '5' }, 'g'), pax({ uid: '' }, 'g'), file('a', '', { uid: 3 })),
    unlike: { 'GNU tar': 'refuses', umoci: 'refuses' },
    because: 'POSIX says that an empty value deletes a global one',
  },
  {
    name: 'two headers before one entry',
    bytes: archive(pax({ uid: '5' }), pax({ gid: '6' }), entry({ path: 'a' })),
    unlike: { bsdtar: 'refuses' },
    because: 'the last counts, as for GNU tar and Go',
  },
  {
    name: 'a path before a GNU long name',
    bytes: archive(pax({ path: 'pax' }), gnuLong('L', 'gnu'), entry({ path: 'a' })),
    unlike: { umoci: 'reads otherwise' },
    because: 'the standard goes before the extension, as for GNU tar',
  },
  {
    name: 'a GNU long name before a path',
    bytes: archive(gnuLong('L', 'gnu'), pax({ path: 'pax' }), entry({ path: 'a' })),
    unlike: { bsdtar: 'reads otherwise', umoci: 'reads otherwise' },
    because: 'the standard goes before the extension, as for GNU tar',
  },
];

export const ODD_PAX_HEADERS: readonly OddArchive[] = [
  ...MALFORMED,
  ...ALMOST,
  ...VALUES,
  ...XATTRS,
  ...SEVERAL,
];
