import { closeSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  fgetxattr,
  flistxattr,
  fremovexattr,
  fsetxattr,
  lgetxattr,
  listxattr,
  llistxattr,
  lremovexattr,
  lsetxattr,
  procFdPath,
  toBytePath,
  XATTR_CREATE,
  XATTR_REPLACE,
} from '../../src/system/index.js';
import { codeOf, isRoot, scratchDirectory } from './scratch.js';

const directory = scratchDirectory();
let file = '';
let count = 0;

beforeEach(() => {
  file = toBytePath(join(directory, String(count++)));
  writeFileSync(file, '');
});

const BINARY = Buffer.from([0, 255, 128, 0, 10, 0]);

describe('extended attributes', () => {
  it('keep every byte of a value, by path and by descriptor', () => {
    const fd = openSync(file, 'r');
    lsetxattr(file, 'user.path', BINARY);
    fsetxattr(fd, 'user.fd', BINARY);
    expect(lgetxattr(file, 'user.fd')).toEqual(BINARY);
    expect(fgetxattr(fd, 'user.path')).toEqual(BINARY);
    const names = ['user.fd', 'user.path'];
    expect(
      [flistxattr(fd), llistxattr(file), listxattr(fd), listxattr(file)].map((list) => list.sort()),
    ).toEqual([names, names, names, names]);
    fremovexattr(fd, 'user.path');
    lremovexattr(file, 'user.fd');
    expect(listxattr(fd)).toEqual([]);
    closeSync(fd);
  });

  it('keep every byte of a name', () => {
    lsetxattr(file, 'user.\xff\xe9', Buffer.from('v'));
    expect(llistxattr(file)).toEqual(['user.\xff\xe9']);
  });

  it('may be empty, which is not absent', () => {
    lsetxattr(file, 'user.empty', new Uint8Array(0));
    expect(lgetxattr(file, 'user.empty')).toEqual(Buffer.alloc(0));
    expect(lgetxattr(file, 'user.absent')).toBeUndefined();
  });

  it('give values that a later call leaves alone', () => {
    lsetxattr(file, 'user.a', Buffer.from('first'));
    lsetxattr(file, 'user.b', Buffer.from('other'));
    const value = lgetxattr(file, 'user.a');
    lgetxattr(file, 'user.b');
    expect(value?.toString()).toBe('first');
  });

  it('are found below a descriptor, also one of O_PATH’s kind', () => {
    const dirfd = openSync(directory, 0o10000000);
    const path = procFdPath(dirfd, String(count - 1));
    lsetxattr(path, 'user.below', BINARY);
    closeSync(dirfd);
    expect(lgetxattr(file, 'user.below')).toEqual(BINARY);
  });

  it.runIf(isRoot)('are those of a symlink itself (trusted.*, needs root)', () => {
    symlinkSync(file, `${file}-link`);
    lsetxattr(`${file}-link`, 'trusted.landfall', BINARY);
    expect(llistxattr(file)).toEqual([]);
    expect(lgetxattr(`${file}-link`, 'trusted.landfall')).toEqual(BINARY);
  });

  it.each([
    [
      'XATTR_CREATE over one that is there',
      'EEXIST',
      (): void => lsetxattr(file, 'user.a', BINARY, XATTR_CREATE),
    ],
    [
      'XATTR_REPLACE of one that is not',
      'ENODATA',
      (): void => lsetxattr(file, 'user.b', BINARY, XATTR_REPLACE),
    ],
    ['removal of one that is not there', 'ENODATA', (): void => lremovexattr(file, 'user.b')],
    ['a name space that nobody knows', 'ENOTSUP', (): void => lsetxattr(file, 'nobody.a', BINARY)],
    [
      'a value beyond the kernel’s limit',
      'E2BIG',
      (): void => lsetxattr(file, 'user.c', Buffer.alloc(65_537)),
    ],
    ['a file that is not there', 'ENOENT', (): unknown => llistxattr(`${file}-gone`)],
    ['a value of a file that is not there', 'ENOENT', (): unknown => lgetxattr(`${file}-gone`, 'user.a')],
    ['a name with a NUL', 'EINVAL', (): void => lsetxattr(file, 'user.\0', BINARY)],
  ])('refuse %s with %s', (_, code, call) => {
    lsetxattr(file, 'user.a', BINARY);
    expect(codeOf(call)).toBe(code);
  });
});
