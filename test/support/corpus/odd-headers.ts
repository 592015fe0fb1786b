import { archive, entry, file, gnuLong, header, padded, pax, symlink, hardLink } from '../tar-builder.js';
import type { OddArchive } from './odd-archive.js';

/** Whether a program says so or not, what it read is not all that the archive has. */
const LOST = 'what follows is lost without an error, or what is there is not what was archived';

export const ODD_ENDS: readonly OddArchive[] = [
  { name: 'no end', bytes: file('a', 'x') },
  { name: 'one block of zeros as its end', bytes: Buffer.concat([file('a', 'x'), Buffer.alloc(512)]) },
  {
    name: 'an end cut short',
    bytes: Buffer.concat([file('a', 'x'), Buffer.alloc(700)]),
    unlike: { umoci: 'refuses' },
    because: 'every entry is whole, and so it is without any end',
  },
  {
    name: 'a last entry without padding',
    bytes: Buffer.concat([header({ path: 'a', size: 1 }), Buffer.from('x')]),
    unlike: { 'GNU tar': 'refuses', bsdtar: 'refuses' },
    because: 'umoci writes such layers; the entry is whole',
  },
  {
    name: 'content cut short',
    bytes: Buffer.concat([header({ path: 'a', size: 700 }), Buffer.alloc(600, 'x')]),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'a header cut short',
    bytes: Buffer.concat([file('a', 'x'), file('b').subarray(0, 300)]),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads' },
    because: LOST,
  },
  {
    name: 'a pax header cut short',
    bytes: Buffer.concat([file('a', 'x'), pax({ path: 'b' }).subarray(0, 516)]),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'a pax header without its entry',
    bytes: archive(file('a'), pax({ path: 'b' })),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', umoci: 'reads' },
    because: LOST,
  },
  { name: 'a text after the end', bytes: Buffer.concat([archive(file('a', 'x')), padded('some text')]) },
  { name: 'an archive after the end', bytes: Buffer.concat([archive(file('a', 'x')), archive(file('b'))]) },
  {
    name: 'a lone block of zeros',
    bytes: Buffer.concat([file('a', 'x'), Buffer.alloc(512), archive(file('b'))]),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: LOST,
  },
  {
    name: 'a text where a header should be',
    bytes: archive(file('a', 'x'), padded('some text')),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: LOST,
  },
  { name: 'a text', bytes: padded('some text'.repeat(200)), refusal: 'BAD_ARCHIVE' },
];

const NUMBERS: readonly OddArchive[] = [
  {
    name: 'letters in a number',
    bytes: archive(file('f'), entry({ path: 'a', raw: { 108: '00000z7\0' } })),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: LOST,
  },
  {
    name: 'digits after a number',
    bytes: archive(file('f'), entry({ path: 'a', raw: { 108: '7 00007\0' } })),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' },
    because: 'one of two numbers would have to be right',
  },
  {
    name: 'something behind the NUL of a number',
    bytes: archive(file('f'), entry({ path: 'a', raw: { 108: '07\0zzzzz' } })),
  },
  {
    name: 'numbers padded with spaces',
    bytes: archive(entry({ path: 'a', raw: { 100: '   644 \0', 108: '     7 \0', 116: '     7  ' } })),
  },
  {
    name: 'blank numbers',
    bytes: archive(entry({ path: 'a', raw: { 108: '\0\0\0\0\0\0\0\0', 116: '        ' } })),
    unlike: { 'GNU tar': 'refuses' },
    because: 'old programs leave fields blank that they do not use',
  },
  { name: 'a negative time', bytes: archive(file('a', '', { mtime: -5 })) },
  {
    name: 'a negative size',
    bytes: archive(file('f'), header({ path: 'a', size: -1 })),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'a size beyond 64 bits',
    bytes: archive(
      file('f'),
      header({ path: 'a', raw: { 124: Buffer.from('80ffffffffffffffffffffff', 'hex') } }),
    ),
    refusal: 'BAD_ARCHIVE',
  },
  {
    name: 'a negative owner',
    bytes: archive(file('f'), entry({ path: 'a', uid: -2 })),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads', umoci: 'reads' },
    because: 'it would become the owner 4294967294',
  },
  {
    name: 'the owner 4294967295',
    bytes: archive(file('f'), entry({ path: 'a', uid: 2 ** 32 - 1 })),
    refusal: 'BAD_ARCHIVE',
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads', umoci: 'reads' },
    because: 'to chown(2) it means to leave the owner as it is, which is root',
  },
  {
    name: 'an owner beyond 32 bits',
    bytes: archive(file('f'), entry({ path: 'a', gid: 2 ** 32 + 5 })),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads', umoci: 'reads' },
    because: 'it would become the owner 5; so 4294967296 would become root',
  },
];

const UNKNOWN_TYPE = 'its content has a meaning that is not known; umoci and containerd refuse it too';

const TYPES: readonly OddArchive[] = [
  ...(['D', 'N', 'V', 'Z'] as const).map((typeflag) => ({
    name: `the type ${typeflag}`,
    bytes: archive(file('f'), entry({ path: 'a', typeflag })),
    refusal: 'UNSUPPORTED_ENTRY' as const,
    unlike: { 'GNU tar': 'reads', bsdtar: 'reads' } as const,
    because: UNKNOWN_TYPE,
  })),
  ...(['A', 'X'] as const).map((typeflag) => ({
    name: `the type ${typeflag}`,
    bytes: archive(file('f'), entry({ path: 'a', typeflag })),
    refusal: 'UNSUPPORTED_ENTRY' as const,
    unlike: { 'GNU tar': 'reads' } as const,
    because: UNKNOWN_TYPE,
  })),
  {
    name: 'the type M',
    bytes: archive(file('f'), entry({ path: 'a', typeflag: 'M' })),
    refusal: 'UNSUPPORTED_ENTRY',
    unlike: { bsdtar: 'reads' },
    because: UNKNOWN_TYPE,
  },
  {
    name: 'the type 7',
    bytes: archive(entry({ path: 'a', typeflag: '7' }, 'x')),
    unlike: { umoci: 'refuses' },
    because: 'POSIX says to take it for a regular file',
  },
  { name: 'an old directory', bytes: archive(entry({ path: 'a/', typeflag: '\0', format: 'v7' })) },
  { name: 'an old file', bytes: archive(entry({ path: 'a', typeflag: '\0', format: 'v7' }, 'x')) },
  {
    name: 'a file with a slash at its end',
    bytes: archive(file('a/')),
    unlike: { 'GNU tar': 'reads otherwise', bsdtar: 'reads otherwise' },
    because: 'they make it a directory; its type says that it is a file, and umoci and containerd make one',
  },
  {
    name: 'a hard link with a size',
    bytes: archive(
      file('f', 'x'.repeat(600)),
      header({ path: 'a', typeflag: '1', linkPath: 'f', size: 600 }),
      file('b'),
    ),
  },
  {
    name: 'a hard link with a pax size',
    bytes: archive(
      file('f', 'x'.repeat(600)),
      pax({ size: '600' }),
      header({ path: 'a', typeflag: '1', linkPath: 'f', size: 600 }),
      file('b'),
    ),
    unlike: { bsdtar: 'reads otherwise' },
    because:
      'POSIX lets cpio-minded writers put the content there again; those of layers never do, nor would GNU tar read it',
  },
  {
    name: 'a hard link with content',
    bytes: archive(file('f', 'x'), entry({ path: 'a', typeflag: '1', linkPath: 'f' }, 'content'), file('b')),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: 'as above',
  },
  {
    name: 'a directory with a size',
    bytes: archive(header({ path: 'a', typeflag: '5', size: 600, mode: 0o755 }), file('b')),
  },
  {
    name: 'a symbolic link with a size',
    bytes: archive(header({ path: 'a', typeflag: '2', linkPath: 'f', size: 600 }), file('b')),
  },
  { name: 'a fifo with a size', bytes: archive(header({ path: 'a', typeflag: '6', size: 600 }), file('b')) },
];

const NAMES: readonly OddArchive[] = [
  { name: 'no name', bytes: archive(file('f'), file('')), refusal: 'BAD_ARCHIVE' },
  {
    name: 'a name of 256 bytes',
    bytes: archive(file('f'), file('n'.repeat(256))),
    refusal: 'LIMIT_EXCEEDED',
  },
  {
    name: 'a symbolic link to nothing',
    bytes: archive(file('f'), symlink('a', '')),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: LOST,
  },
  {
    name: 'a symbolic link to 4096 bytes',
    bytes: archive(file('f'), symlink('a', 't'.repeat(4096))),
    refusal: 'LIMIT_EXCEEDED',
  },
  {
    name: 'a hard link to nothing',
    bytes: archive(file('f'), hardLink('a', '')),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: LOST,
  },
  {
    name: 'an empty GNU long name',
    bytes: archive(file('f'), gnuLong('L', ''), entry({ path: 'a' })),
    refusal: 'BAD_ARCHIVE',
    unlike: { umoci: 'reads' },
    because: 'it names nothing',
  },
  {
    name: 'a GNU long name without NUL',
    bytes: archive(entry({ path: '././@LongLink', typeflag: 'L' }, 'l'.repeat(150)), entry({ path: 'x' })),
  },
];

export const ODD_HEADERS: readonly OddArchive[] = [
  {
    name: 'a wrong checksum',
    bytes: archive(file('a', 'x'), entry({ path: 'b', checksum: 'wrong' })),
    refusal: 'BAD_ARCHIVE',
    unlike: { bsdtar: 'reads' },
    because: LOST,
  },
  { name: 'a checksum of signed bytes', bytes: archive(entry({ path: '\xe9\xff', checksum: 'signed' })) },
  {
    name: 'a star header',
    bytes: archive(entry({ path: 'a', prefix: 'p', raw: { 476: '00000000017\0', 508: 'tar\0' } })),
  },
  ...NUMBERS,
  ...TYPES,
  ...NAMES,
];
