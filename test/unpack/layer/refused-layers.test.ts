import { describe, expect, it } from 'vitest';
import { Sandbox } from '../../support/extract-layer.js';
import { archive, device, directory, file, hardLink, symlink } from '../../support/tar-builder.js';
import { OPQ } from './written-layer.js';

interface RefusedLayer {
  readonly name: string;
  readonly parts: readonly Buffer[];
  readonly code: string;
  /** The path that the error names. */
  readonly entry?: string;
}

const REFUSED: readonly RefusedLayer[] = [
  { name: 'an entry without name', parts: [file('')], code: 'BAD_ARCHIVE' },
  { name: 'a whiteout of nothing', parts: [file('d/.wh.')], code: 'BAD_ARCHIVE', entry: 'd/.wh.' },
  { name: 'a whiteout of .', parts: [file('d/.wh..')], code: 'BAD_ARCHIVE' },
  { name: 'a whiteout of ..', parts: [file('d/.wh...')], code: 'BAD_ARCHIVE' },
  { name: 'an entry below a whiteout', parts: [file('.wh.d/f')], code: 'BAD_ARCHIVE' },
  { name: 'a root that is a file', parts: [file('.', 'x')], code: 'BAD_ARCHIVE' },
  { name: 'a root that is a symlink', parts: [symlink('/', '/etc')], code: 'BAD_ARCHIVE' },
  {
    name: 'an entry below a file',
    parts: [file('f', 'x'), file('f/g', 'y')],
    code: 'BAD_ARCHIVE',
    entry: 'f/g',
  },
  {
    name: 'an entry below a symlink to a file',
    parts: [file('f', 'x'), symlink('s', 'f'), file('s/g', 'y')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'an entry below a link that waits',
    parts: [hardLink('l', 'lower'), file('l/g', 'y')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'a loop of symlinks',
    parts: [symlink('a', 'b'), symlink('b', 'a'), file('a/f', 'x')],
    code: 'BAD_ARCHIVE',
  },
  { name: 'a symlink to itself', parts: [symlink('a', 'a'), file('a/f', 'x')], code: 'BAD_ARCHIVE' },
  { name: 'a symlink without target', parts: [symlink('s', '')], code: 'BAD_ARCHIVE' },
  { name: 'a hard link to itself', parts: [file('f', 'x'), hardLink('f', './f')], code: 'BAD_ARCHIVE' },
  { name: 'a hard link to itself, not there', parts: [hardLink('f', 'f')], code: 'BAD_ARCHIVE' },
  {
    name: 'a hard link to what it would replace',
    parts: [file('d/f', 'x'), hardLink('d', 'd/f')],
    code: 'BAD_ARCHIVE',
  },
  { name: 'a hard link to a directory', parts: [directory('d'), hardLink('l', 'd')], code: 'BAD_ARCHIVE' },
  { name: 'a hard link to the root', parts: [hardLink('l', '/')], code: 'BAD_ARCHIVE' },
  {
    name: 'a hard link to what the layer deletes',
    parts: [hardLink('l', 'd/f'), file('d/.wh.f')],
    code: 'BAD_ARCHIVE',
    entry: 'l',
  },
  {
    name: 'a hard link to what the layer deletes with its directory',
    parts: [file('.wh.d'), hardLink('l', 'd/e/f')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'a hard link into an opaque directory',
    parts: [file(`d/${OPQ}`), hardLink('l', 'd/e/f')],
    code: 'BAD_ARCHIVE',
  },
  {
    name: 'a device 0:0, which overlay takes for a whiteout',
    parts: [device('c', 'c', 0, 0)],
    code: 'UNSUPPORTED_ENTRY',
    entry: 'c',
  },
  {
    name: 'a character device that would be 0:0 where its numbers are cut off',
    parts: [device('c', 'c', 4096, 0)],
    code: 'UNSUPPORTED_ENTRY',
    entry: 'c',
  },
  {
    name: 'a block device of a minor number that Linux does not have',
    parts: [device('b', 'b', 8, 1_048_576)],
    code: 'UNSUPPORTED_ENTRY',
  },
  { name: 'a name of 256 bytes', parts: [file('n'.repeat(256))], code: 'LIMIT_EXCEEDED' },
  { name: 'a path of 4097 bytes', parts: [file('n/'.repeat(2048) + 'f')], code: 'LIMIT_EXCEEDED' },
  { name: 'a path of too many components', parts: [file('n/'.repeat(1024) + 'f')], code: 'LIMIT_EXCEEDED' },
  {
    name: 'a path that symlinks make too long',
    parts: [
      ...Array.from({ length: 10 }, (_, i) => [
        directory(`${'s/'.repeat(i > 0 ? 1 : 0)}${'d'.repeat(250)}/${'e'.repeat(250)}`),
        symlink(
          's',
          Array.from({ length: 2 * (i + 1) }, (_, j) => (j % 2 === 0 ? 'd' : 'e').repeat(250)).join('/'),
        ),
      ]).flat(),
    ],
    code: 'LIMIT_EXCEEDED',
  },
  { name: 'a symlink of 4096 bytes', parts: [symlink('s', 't'.repeat(4096))], code: 'LIMIT_EXCEEDED' },
  {
    name: 'symlinks that multiply the way',
    parts: [symlink('a', 'x/../'.repeat(800) + 'y'), symlink('y', 'a'), directory('x'), file('a/f')],
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'the name of an xattr of 256 bytes',
    parts: [file('f', '', { xattrs: { [`user.${'n'.repeat(251)}`]: '1' } })],
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'an xattr of 64 KiB and a byte',
    parts: [file('f', '', { xattrs: { 'user.a': Buffer.alloc(65_537) } })],
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'default ACLs that fill the memory',
    parts: Array.from({ length: 30 }, (_, i) =>
      directory(`d${i}`, { xattrs: { 'system.posix_acl_default': Buffer.alloc(60_000) } }),
    ),
    code: 'LIMIT_EXCEEDED',
  },
];

describe('refuses', () => {
  it.each(REFUSED)('$name', ({ parts, code, entry: path }) => {
    const sandbox = new Sandbox();
    const attempt = (): unknown => sandbox.extract(archive(...parts));
    const details =
      path === undefined ? {} : { details: expect.objectContaining({ entry: path }) as unknown };
    expect(attempt).toThrow(
      expect.objectContaining({ code, ...details, hint: expect.any(String) as string }),
    );
    const damage = sandbox.damage();
    sandbox.remove();
    expect(damage).toEqual([]);
  });
});
