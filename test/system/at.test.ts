import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  fstat,
  fstatat,
  fstatatIfPresent,
  futimens,
  linkat,
  mkdirat,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
  openat2,
  readlinkat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  renameat,
  renameat2,
  RESOLVE_BENEATH,
  S_IFCHR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  symlinkat,
  SystemError,
  toBytePath,
  unlinkat,
  unlinkatIfPresent,
  utimensat,
  UTIME_OMIT,
  write,
} from '../../src/system/index.js';
import { libc } from '../../src/system/calls/libc.js';
import { codeOf, isRoot, scratchDirectory } from './scratch.js';

const scratch = scratchDirectory();
let directory = '';
let dirfd = -1;
let umask = 0;
let count = 0;

beforeAll(() => {
  umask = process.umask(0);
});
afterAll(() => process.umask(umask));

beforeEach(() => {
  directory = join(scratch, String(count++));
  mkdirSync(directory);
  dirfd = openSync(directory, O_RDONLY | O_DIRECTORY);
  return (): void => closeSync(dirfd);
});

const at = (name: string): string => join(directory, name);
const touch = (name: string, content = ''): void => writeFileSync(at(name), content);
const kind = (mode: number): number => mode & S_IFMT;

describe('names', () => {
  it('are bytes: one that is not UTF-8 is made, listed and read back', () => {
    const name = '\xff\xfe caf\xe9';
    mkdirat(dirfd, name, 0o755);
    expect(readdirSync(directory, 'latin1')).toEqual([name]);
    symlinkat(name, dirfd, 'link');
    expect(readlinkat(dirfd, 'link')).toBe(name);
  });

  it('of UTF-8 text are what Node makes of it', () => {
    mkdirat(dirfd, toBytePath('naïve–日本'), 0o755);
    expect(readdirSync(directory)).toEqual(['naïve–日本']);
  });

  it.each([
    ['a NUL', 'a\0b'],
    ['a char code above 255', 'aĀb'],
    ['a lone surrogate', '\ud800'],
  ])('with %s are EINVAL before the kernel sees them', (_, name) => {
    expect(codeOf(() => mkdirat(dirfd, name, 0o755))).toBe('EINVAL');
    expect(codeOf(() => symlinkat(name, dirfd, 'x'))).toBe('EINVAL');
    expect(codeOf(() => renameat(dirfd, 'x', dirfd, name))).toBe('EINVAL');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('of 255 bytes work, and of 256 are ENAMETOOLONG', () => {
    mkdirat(dirfd, 'n'.repeat(255), 0o755);
    expect(codeOf(() => mkdirat(dirfd, 'n'.repeat(256), 0o755))).toBe('ENAMETOOLONG');
  });

  it('longer than a system call takes are ENAMETOOLONG, and a later short one is not disturbed', () => {
    expect(codeOf(() => openat(dirfd, 'a/'.repeat(2048), O_RDONLY))).toBe('ENAMETOOLONG');
    mkdirat(dirfd, 'short', 0o755);
    mkdirat(dirfd, 'sh', 0o755);
    expect(readdirSync(directory).sort()).toEqual(['sh', 'short']);
  });
});

describe('errors', () => {
  it('have the shape of Node’s own', () => {
    const call = (): unknown => openat(dirfd, toBytePath('fehlt–hier'), O_RDONLY);
    expect(call).toThrow(SystemError);
    expect(call).toThrow(
      expect.objectContaining({
        code: 'ENOENT',
        errno: 2,
        syscall: 'openat',
        path: 'fehlt–hier',
      }) as SystemError,
    );
    expect(call).toThrow('ENOENT: openat ‘fehlt–hier’ failed'.replace(/[‘’]/g, "'"));
  });

  it.each([
    ['mkdirat over a file', 'EEXIST', (): void => mkdirat(dirfd, 'file', 0o755)],
    ['openat below a file', 'ENOTDIR', (): unknown => openat(dirfd, 'file/x', O_RDONLY)],
    [
      'openat of a symlink with O_NOFOLLOW',
      'ELOOP',
      (): unknown => openat(dirfd, 'link', O_RDONLY | O_NOFOLLOW),
    ],
    ['unlinkat of a directory', 'EISDIR', (): void => unlinkat(dirfd, 'full')],
    [
      'unlinkat of a directory that is not empty',
      'ENOTEMPTY',
      (): void => unlinkat(dirfd, 'full', AT_REMOVEDIR),
    ],
    ['readlinkat of a file', 'EINVAL', (): unknown => readlinkat(dirfd, 'file')],
    [
      'renameat2 onto a name with RENAME_NOREPLACE',
      'EEXIST',
      (): void => renameat2(dirfd, 'file', dirfd, 'full', RENAME_NOREPLACE),
    ],
    [
      'openat2 that leaves its root',
      'EXDEV',
      (): unknown => openat2(dirfd, '..', O_PATH, 0, RESOLVE_BENEATH),
    ],
    [
      'openat2 with a mode and no O_CREAT',
      'EINVAL',
      (): unknown => openat2(dirfd, 'file', O_RDONLY, 0o644, 0),
    ],
    ['anything below a descriptor that is closed', 'EBADF', (): unknown => fstatat(9999, 'file')],
    ['mode of a symlink itself', 'ENOTSUP', (): void => fchmodat(dirfd, 'link', 0o600, AT_SYMLINK_NOFOLLOW)],
  ])('%s is %s', (_, code, call) => {
    touch('file');
    mkdirSync(at('full/inner'), { recursive: true });
    symlinkat('file', dirfd, 'link');
    expect(codeOf(call)).toBe(code);
  });
});

describe('making and removing', () => {
  it('opens close-on-exec, with the mode given', () => {
    const fd = openat(dirfd, 'new', O_CREAT | O_EXCL | O_WRONLY, 0o640);
    const flags = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    closeSync(fd);
    expect(parseInt(/flags:\s+(\d+)/.exec(flags)?.[1] ?? '', 8) & 0o2000000).not.toBe(0);
    expect(statSync(at('new')).mode & 0o7777).toBe(0o640);
  });

  it('links, renames, exchanges and unlinks', () => {
    touch('a', 'A');
    touch('b', 'B');
    linkat(dirfd, 'a', dirfd, 'hard');
    expect(fstatat(dirfd, 'hard').nlink).toBe(2);
    renameat2(dirfd, 'a', dirfd, 'b', RENAME_EXCHANGE);
    expect(readFileSync(at('a'), 'utf8')).toBe('B');
    renameat(dirfd, 'a', dirfd, 'c');
    unlinkat(dirfd, 'b');
    expect(readdirSync(directory).sort()).toEqual(['c', 'hard']);
  });

  it('links a symlink itself, not what it leads to', () => {
    symlinkat('nowhere', dirfd, 'link');
    linkat(dirfd, 'link', dirfd, 'same');
    expect(readlinkat(dirfd, 'same')).toBe('nowhere');
  });

  it('answers without an exception for what is not there', () => {
    expect(unlinkatIfPresent(dirfd, 'nothing')).toBe(false);
    expect(fstatatIfPresent(dirfd, 'nothing')).toBeUndefined();
    touch('something');
    expect(fstatatIfPresent(dirfd, 'something')?.size).toBe(0);
    expect(unlinkatIfPresent(dirfd, 'something')).toBe(true);
    expect(readdirSync(directory)).toEqual([]);
    expect(codeOf(() => fstatatIfPresent(9999, 'x'))).toBe('EBADF');
    mkdirat(dirfd, 'dir', 0o755);
    expect(codeOf(() => unlinkatIfPresent(dirfd, 'dir'))).toBe('EISDIR');
  });

  it('reads a target of the greatest length', () => {
    const target = 'x'.repeat(4095);
    symlinkat(target, dirfd, 'long');
    expect(readlinkat(dirfd, 'long')).toBe(target);
  });

  it.each([
    ['a fifo', S_IFIFO, 0, 0, false],
    ['a whiteout', S_IFCHR, 0, 0, false],
    ['a small device', S_IFCHR, 1, 3, true],
    ['the largest minor', S_IFCHR, 7, 2 ** 20 - 1, true],
    ['the largest major', S_IFCHR, 4095, 255, true],
  ])('makes %s', (what, type, major, minor, privileged) => {
    if (privileged && !isRoot) {
      expect(
        codeOf(() => mknodat(dirfd, 'node', type | 0o600, major, minor)),
        `${what} needs root`,
      ).toBe('EPERM');
      return;
    }
    mknodat(dirfd, 'node', type | 0o604, major, minor);
    const stat = fstatat(dirfd, 'node');
    expect([kind(stat.mode), stat.mode & 0o7777, stat.rdevMajor, stat.rdevMinor]).toEqual([
      type,
      0o604,
      major,
      minor,
    ]);
  });
});

describe('writing', () => {
  const EINTR = constants.errno.EINTR;
  const koffi = createRequire(import.meta.url)('koffi') as { errno(value: number): void };

  /** Writes to a new file and returns its content. */
  function written(bytes: Buffer): string {
    const fd = openat(dirfd, 'file', O_WRONLY | O_CREAT, 0o600);
    try {
      write(fd, bytes);
    } finally {
      closeSync(fd);
    }
    return readFileSync(at('file'), 'latin1');
  }

  it.each(['', 'some bytes'])('writes "%s"', (content) => {
    expect(written(Buffer.from(content))).toBe(content);
  });

  it('goes on where the kernel stopped, and where a signal came between', () => {
    const calls = vi.spyOn(libc(), 'write').mockImplementation((fd, bytes, size) => {
      if (calls.mock.calls.length !== 2)
        return writeSync(fd, bytes ?? new Uint8Array(), 0, Math.min(size, 4));
      koffi.errno(EINTR);
      return -1;
    });
    try {
      expect(written(Buffer.from('some bytes'))).toBe('some bytes');
      expect(calls.mock.calls.map(([, , size]) => size)).toEqual([10, 6, 6, 2]);
    } finally {
      calls.mockRestore();
    }
  });

  it('says why it cannot', () => {
    expect(codeOf(() => write(dirfd, Buffer.from('x')))).toBe('EBADF');
  });
});

describe('attributes', () => {
  it('stats what Node stats', () => {
    touch('file', 'twelve bytes');
    const ours = fstatat(dirfd, 'file');
    const theirs = statSync(at('file'), { bigint: true });
    expect(ours).toMatchObject({
      ino: theirs.ino,
      mode: Number(theirs.mode),
      nlink: 1,
      uid: Number(theirs.uid),
      gid: Number(theirs.gid),
      size: 12,
      blocks: Number(theirs.blocks),
      rdevMajor: 0,
      rdevMinor: 0,
    });
    expect(BigInt(ours.mtime.seconds) * 1_000_000_000n + BigInt(ours.mtime.nanoseconds)).toBe(theirs.mtimeNs);
    expect(BigInt(ours.ctime.seconds) * 1_000_000_000n + BigInt(ours.ctime.nanoseconds)).toBe(theirs.ctimeNs);
  });

  it('stats a symlink itself by default, what it leads to with 0, and a descriptor by its own', () => {
    touch('file', 'xy');
    symlinkat('file', dirfd, 'link');
    expect(kind(fstatat(dirfd, 'link').mode)).toBe(S_IFLNK);
    expect(fstatat(dirfd, 'link', 0).size).toBe(2);
    const fd = openat(dirfd, 'link', O_PATH | O_NOFOLLOW);
    expect(kind(fstat(fd).mode)).toBe(S_IFLNK);
    expect(readlinkat(fd, '')).toBe('file');
    expect(fstatat(fd, '', AT_EMPTY_PATH).ino).toBe(lstatSync(at('link'), { bigint: true }).ino);
    closeSync(fd);
  });

  it('reads a size beyond 32 bits', () => {
    const fd = openat(dirfd, 'large', O_CREAT | O_WRONLY, 0o600);
    const size = 5 * 2 ** 30 + 7;
    writeSync(fd, 'x', size - 1);
    closeSync(fd);
    expect(fstatat(dirfd, 'large').size).toBe(size);
  });

  it.each([
    ['nanoseconds', 1_700_000_000, 123_456_789],
    ['before 1970', -1, 999_999_999],
    ['long before 1970', -2_000_000_000, 1],
    ['beyond 2038', 2 ** 32 + 5, 0],
    ['beyond 2106', 2 ** 33 + 5, 999_999_999],
  ])('sets times: %s', (_, seconds, nanoseconds) => {
    touch('file');
    symlinkat('file', dirfd, 'link');
    const time = { seconds, nanoseconds };
    utimensat(dirfd, 'file', time, time);
    expect(fstatat(dirfd, 'file')).toMatchObject({ atime: time, mtime: time });
    utimensat(dirfd, 'link', time, time);
    expect(fstatat(dirfd, 'link').mtime).toEqual(time);
  });

  it('leaves out a time, and sets those of an open file', () => {
    touch('file');
    const fd = openSync(at('file'), O_WRONLY);
    futimens(fd, { seconds: 10, nanoseconds: 1 }, { seconds: 20, nanoseconds: 2 });
    futimens(fd, { seconds: 0, nanoseconds: UTIME_OMIT }, { seconds: 30, nanoseconds: 3 });
    closeSync(fd);
    expect(fstatat(dirfd, 'file')).toMatchObject({
      atime: { seconds: 10, nanoseconds: 1 },
      mtime: { seconds: 30, nanoseconds: 3 },
    });
  });

  it('sets modes, setuid and sticky bits too', () => {
    touch('file');
    fchmodat(dirfd, 'file', 0o4751);
    expect(fstatat(dirfd, 'file').mode & 0o7777).toBe(0o4751);
    const fd = openSync(at('file'), O_WRONLY);
    fchmod(fd, 0o1700);
    closeSync(fd);
    expect(fstatat(dirfd, 'file').mode & 0o7777).toBe(0o1700);
  });

  it.runIf(isRoot)('sets owners up to the largest id (needs root)', () => {
    touch('file');
    symlinkat('file', dirfd, 'link');
    fchownat(dirfd, 'link', 4_294_967_294, 3_000_000_000);
    expect(fstatat(dirfd, 'link')).toMatchObject({ uid: 4_294_967_294, gid: 3_000_000_000 });
    expect(fstatat(dirfd, 'file')).toMatchObject({ uid: 0 });
    const fd = openSync(at('file'), O_WRONLY);
    fchown(fd, 7, 8);
    closeSync(fd);
    expect(fstatat(dirfd, 'file')).toMatchObject({ uid: 7, gid: 8 });
  });
});
