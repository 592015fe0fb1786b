import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { errno, libc, systemError, SystemError } from './libc.js';

/** The same on x86_64 and arm64 (linux/fs.h: `_IOW(0x94, 9, int)`). */
const FICLONE = 0x40049409;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

const EIO = 5;
const ENXIO = 6;
/** EPERM, EBADF, EXDEV, EINVAL, ENOTTY, ENOSYS, ENOTSUP: this way is not open here, try the next. */
const CANNOT: ReadonlySet<number> = new Set([1, 9, 18, 22, 25, 38, 95]);

/** Bounds what one system call does, so that a copy of a large file never blocks the thread for long. */
const COPY_CHUNK = 64 * 1024 * 1024;
const READ_CHUNK = 1024 * 1024;

const fromOffset = Buffer.alloc(8);
const toOffset = Buffer.alloc(8);

/**
 * Makes an empty, writable file equal to the first `size` bytes of another: as a reflink where the file
 * system has them, else by copying within the kernel, else through a buffer. Holes stay holes. The source
 * must not be written to meanwhile.
 *
 * @throws SystemError; EIO where the source is shorter than `size`
 */
export function cloneOrCopyFile(srcFd: number, dstFd: number, size: number): 'cloned' | 'copied' {
  const available = fstatSync(srcFd).size;
  if (available < size) throw new SystemError(EIO, 'copy');
  if (libc().ioctl(dstFd, FICLONE, srcFd) >= 0) {
    if (available > size) ftruncateSync(dstFd, size);
    return 'cloned';
  }
  if (!CANNOT.has(errno())) throw systemError('ioctl FICLONE');
  for (let at = 0; at < size;) {
    const data = dataRange(srcFd, at, size);
    if (data === undefined) break;
    copyRange(srcFd, dstFd, data.start, data.end);
    at = data.end;
  }
  ftruncateSync(dstFd, size);
  return 'copied';
}

/** The next stretch that is not a hole; where the file system cannot tell, all the rest. */
function dataRange(fd: number, at: number, size: number): { start: number; end: number } | undefined {
  const start = libc().lseek(fd, at, SEEK_DATA);
  if (start < 0) return errno() === ENXIO ? undefined : { start: at, end: size };
  if (start >= size) return undefined;
  const end = libc().lseek(fd, start, SEEK_HOLE);
  return { start, end: end <= start || end > size ? size : end };
}

function copyRange(srcFd: number, dstFd: number, start: number, end: number): void {
  const copied = copyInKernel(srcFd, dstFd, start, end);
  if (copied < end) copyThroughBuffer(srcFd, dstFd, copied, end);
}

/** Returns how far it came: less than `end` where the kernel cannot copy between these files. */
function copyInKernel(srcFd: number, dstFd: number, start: number, end: number): number {
  const call = libc().copy_file_range;
  if (call === undefined) return start;
  let at = start;
  while (at < end) {
    fromOffset.writeBigInt64LE(BigInt(at));
    toOffset.writeBigInt64LE(BigInt(at));
    const copied = call(srcFd, fromOffset, dstFd, toOffset, Math.min(end - at, COPY_CHUNK), 0);
    if (copied < 0 && !CANNOT.has(errno())) throw systemError('copy_file_range');
    // Some file systems answer 0 for what they cannot copy, so 0 need not be the end of the file.
    if (copied <= 0) break;
    at += copied;
  }
  return at;
}

function copyThroughBuffer(srcFd: number, dstFd: number, start: number, end: number): void {
  const buffer = Buffer.allocUnsafe(Math.min(end - start, READ_CHUNK));
  for (let at = start; at < end;) {
    const read = readSync(srcFd, buffer, 0, Math.min(buffer.length, end - at), at);
    if (read === 0) throw new SystemError(EIO, 'read');
    for (let written = 0; written < read;) {
      written += writeSync(dstFd, buffer, written, read - written, at + written);
    }
    at += read;
  }
}
