import { describe } from 'vitest';
import { oldSparse } from '../../support/sparse-builder.js';
import {
  archive,
  device,
  directory,
  entry,
  fifo,
  file,
  hardLink,
  header,
  symlink,
} from '../../support/tar-builder.js';
import { itReads, itRefuses, type EntryRow, type RefusedRow } from '../../support/tar-rows.js';

const NOT_UTF8 = 'caf\xe9/\xff\xfe\x80';

/** So that the header's checksum has five digits. */
const LONG_NAME = 'a'.repeat(100);

/** Ways to write a checksum of five digits into its eight bytes. */
const CHECKSUMS: readonly { readonly name: string; readonly write: (digits: string) => string }[] = [
  { name: 'as POSIX has it', write: (digits) => `0${digits}\0 ` },
  { name: 'that fills its field', write: (digits) => `000${digits}` },
  { name: 'between spaces', write: (digits) => ` ${digits}  ` },
  { name: 'with something left behind its NUL', write: (digits) => `${digits}\0xy` },
];
const BAD_CHECKSUMS: typeof CHECKSUMS = [
  { name: 'with a digit too many', write: (digits) => `${digits}0\0\0` },
  { name: 'with a letter at its end', write: (digits) => `0${digits}x\0` },
  { name: 'with a letter after a space', write: (digits) => `${digits} x\0` },
  { name: 'with a digit that is not octal', write: (digits) => `0${digits}8\0` },
  { name: 'behind a NUL', write: (digits) => `\0${digits}\0 ` },
  { name: 'of spaces', write: () => '        ' },
  { name: 'of NULs', write: () => '\0'.repeat(8) },
];

/** A header with another form of its checksum, which is no part of what it is the sum of. */
function withChecksum(write: (digits: string) => string): Buffer {
  const block = header({ path: LONG_NAME });
  const digits = /[1-7][0-7]{4}/.exec(block.toString('latin1', 148, 156))?.[0] ?? '';
  block.write(write(digits).padEnd(8, '\0'), 148, 8, 'latin1');
  return block;
}

const HEADERS: readonly EntryRow[] = [
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
    name: 'a checksum of the largest bytes that names have',
    bytes: hardLink('\xff'.repeat(100), '\xff'.repeat(100), { prefix: '\xff'.repeat(155) }),
    is: { path: `${'\xff'.repeat(155)}/${'\xff'.repeat(100)}`, linkPath: '\xff'.repeat(100) },
  },
  ...CHECKSUMS.map(({ name, write }) => ({
    name: `a checksum ${name}`,
    bytes: withChecksum(write),
    is: { path: LONG_NAME, size: 0 },
  })),
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
  {
    name: 'what is behind the NUL of a number',
    bytes: entry({ path: 'a', raw: { 100: '0644\0zzz', 124: '00000000000\0' } }),
    is: { mode: 0o644 },
  },
  {
    name: 'a number that fills its field',
    bytes: entry({ path: 'a', raw: { 108: '00000017' } }),
    is: { uid: 15 },
  },
  {
    name: 'a mode below zero, as one without bits',
    bytes: entry({ path: 'a', mode: -1 }),
    is: { mode: 0 },
  },
  {
    name: 'a file with a slash at its end, of a format that has a type for directories',
    bytes: entry({ path: 'a/' }),
    is: { path: 'a/', type: 'file' },
  },
  {
    name: 'no device number where there is no device',
    bytes: entry({ path: 'a', major: 5, minor: 6 }),
    is: { major: 0, minor: 0 },
  },
];

const BAD_HEADERS: readonly RefusedRow[] = [
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
  ...BAD_CHECKSUMS.map(({ name, write }) => ({
    name: `a checksum ${name}`,
    bytes: archive(file('first'), withChecksum(write)),
    message: /wrong checksum/,
  })),
  {
    name: 'an owner that no system has',
    bytes: archive(entry({ path: 'a', uid: 2 ** 32 - 1 })),
    message: /owner 4294967295/,
  },
  { name: 'a negative owner', bytes: archive(entry({ path: 'a', gid: -2 })), message: /owner -2/ },
  {
    name: 'a map of GNU in a header of star',
    bytes: archive(oldSparse([[0, 1]], 1, 'x', 'ustar')),
    message: /type "S" is unknown/,
    code: 'UNSUPPORTED_ENTRY',
  },
  ...['V', 'M', 'D', 'N', 'X', 'A'].map((typeflag) => ({
    name: `the type ${typeflag}`,
    bytes: archive(entry({ path: 'a', typeflag })),
    message: /type .* is unknown/,
    code: 'UNSUPPORTED_ENTRY',
  })),
];

/** POSIX.1-2001 pax: ustar Interchange Format; GNU tar manual: Basic Tar Format. */
describe('a header', () => {
  itReads(HEADERS);
  itRefuses(BAD_HEADERS);
});
