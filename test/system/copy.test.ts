import { randomBytes } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cloneOrCopyFile, syncfs } from '../../src/system/index.js';
import { codeOf, scratchDirectory } from './scratch.js';

const directory = scratchDirectory();
const source = join(directory, 'source');
const target = join(directory, 'target');

function copy(size: number, from = source, to = target): string {
  writeFileSync(to, '');
  const [src, dst] = [openSync(from, 'r'), openSync(to, 'r+')];
  try {
    return cloneOrCopyFile(src, dst, size);
  } finally {
    closeSync(src);
    closeSync(dst);
  }
}

describe('cloneOrCopyFile', () => {
  it.each([0, 1, 4095, 4096, 3 * 2 ** 20 + 17])('makes an equal file of %i bytes', (size) => {
    const content = randomBytes(size);
    writeFileSync(source, content);
    expect(['cloned', 'copied']).toContain(copy(size));
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  it('takes the first bytes only where fewer are asked for', () => {
    writeFileSync(source, 'abcdefgh');
    copy(3);
    expect(readFileSync(target, 'utf8')).toBe('abc');
  });

  it('keeps holes', () => {
    const size = 64 * 2 ** 20;
    const fd = openSync(source, 'w');
    writeSync(fd, 'middle', 32 * 2 ** 20);
    ftruncateSync(fd, size);
    closeSync(fd);
    copy(size);
    expect(statSync(target).size).toBe(size);
    expect(statSync(target).blocks * 512).toBeLessThan(2 ** 20);
    expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
  });

  it('copies to another file system', () => {
    const content = randomBytes(2 ** 20 + 3);
    const elsewhere = `/dev/shm/landfall-copy-${process.pid}`;
    writeFileSync(elsewhere, content);
    try {
      copy(content.length, elsewhere, target);
      expect(readFileSync(target).equals(content)).toBe(true);
    } finally {
      rmSync(elsewhere);
    }
  });

  it.each([
    ['a source that is shorter', 'EIO', (): unknown => copy(9)],
    [
      'a target that is not writable',
      'EBADF',
      (): void => {
        const fd = openSync(source, 'r');
        try {
          cloneOrCopyFile(fd, fd, 8);
        } finally {
          closeSync(fd);
        }
      },
    ],
  ])('refuses %s with %s', (_, code, call) => {
    writeFileSync(source, 'abcdefgh');
    expect(codeOf(call)).toBe(code);
  });
});

describe('syncfs', () => {
  it('syncs the file system of a descriptor, and refuses one that is closed', () => {
    const fd = openSync(directory, 'r');
    syncfs(fd);
    closeSync(fd);
    expect(codeOf(() => syncfs(9999))).toBe('EBADF');
  });
});
