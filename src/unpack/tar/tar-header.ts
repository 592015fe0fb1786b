import type { BytePath } from '../../system/index.js';
import { badArchive } from '../terms/layer-fault.js';

/** Everything in a tar archive is a multiple of this many bytes. */
export const BLOCK_BYTES = 512;

/**
 * Some bytes of an archive, twice: through a DataView four of them are read at once, which a Buffer does byte
 * by byte.
 */
export interface ArchiveBytes {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export function archiveBytes(bytes: Buffer): ArchiveBytes {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
}

/** One header block as it stands, before extended headers are applied. */
export interface TarHeader {
  /** One character; NUL for old regular files. */
  readonly typeflag: string;
  readonly path: BytePath;
  readonly linkPath: BytePath;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes that the header claims to follow it. */
  readonly size: number;
  readonly mtime: TarTime;
  readonly atime: TarTime | undefined;
  readonly major: number;
  readonly minor: number;
  /** Of type `S` in GNU's headers only: star keeps something else there. */
  readonly sparse: OldSparse | undefined;
}

/** GNU's old sparse format keeps the map in the header and in the blocks after it. */
export interface OldSparse {
  readonly realSize: number;
  readonly segments: readonly SparseSegment[];
  /** Another block of the map follows. */
  readonly continues: boolean;
}

const NUL = 0;
const SPACE = 0x20;
/**
 * The magic, `ustar \0` or `ustar\0`, in parts that a DataView reads at once; and star's `tar\0` at the end.
 */
const USTA = 0x75737461;
const R_OF_GNU = 0x72202000;
const R_OF_POSIX = 0x7200;
const STAR = 0x74617200;
const EPOCH: TarTime = { seconds: 0, nanoseconds: 0 };

/**
 * Reads the header block at `at`; undefined for a block of zeros, which is part of the end of an archive. v7,
 * ustar, GNU and star headers (POSIX.1-2001 pax: ustar Interchange Format; GNU tar manual: Basic Tar Format).
 *
 * @throws {UnpackError} BAD_ARCHIVE
 */
export function readTarHeader(archive: ArchiveBytes, at: number): TarHeader | undefined {
  const block = archive.bytes;
  if (block[at] === NUL && isZero(block, at)) return undefined;
  if (!checksumHolds(archive, at)) throw badArchive('a header has a wrong checksum');
  const typeflag = String.fromCharCode(block[at + 156] ?? 0);
  const isDevice = typeflag === '3' || typeflag === '4';
  const format = formatOf(archive, at);
  const name = text(block, at, 100);
  const prefix =
    format === 'ustar' ? text(block, at + 345, 155) : format === 'star' ? text(block, at + 345, 131) : '';
  return {
    typeflag,
    path: prefix === '' ? name : `${prefix}/${name}`,
    linkPath: text(block, at + 157, 100),
    mode: number(block, at + 100, 8, 'mode') % 0o10000,
    uid: number(block, at + 108, 8, 'user ID'),
    gid: number(block, at + 116, 8, 'group ID'),
    size: number(block, at + 124, 12, 'size'),
    mtime: wholeSeconds(number(block, at + 136, 12, 'modification time')),
    atime: format === 'star' ? wholeSeconds(number(block, at + 476, 12, 'access time')) : undefined,
    major: isDevice ? number(block, at + 329, 8, 'major device number') : 0,
    minor: isDevice ? number(block, at + 337, 8, 'minor device number') : 0,
    sparse: typeflag === 'S' && format === 'gnu' ? readOldSparse(block, at) : undefined,
  };
}

function readOldSparse(block: Buffer, at: number): OldSparse {
  return {
    realSize: number(block, at + 483, 12, 'size of a sparse file'),
    segments: readSegments(block, at + 386, 4),
    continues: block[at + 482] !== NUL,
  };
}

/** A block that continues the map of GNU's old sparse format. */
export function readSparseExtension(
  block: Buffer,
  at: number,
): { segments: SparseSegment[]; continues: boolean } {
  return { segments: readSegments(block, at, 21), continues: block[at + 504] !== NUL };
}

/** The map ends at the first slot that is not used. */
function readSegments(block: Buffer, at: number, slots: number): SparseSegment[] {
  const segments: SparseSegment[] = [];
  for (let slot = at; slot < at + slots * 24 && block[slot] !== NUL; slot += 24) {
    segments.push({
      offset: number(block, slot, 12, 'offset in a sparse file'),
      length: number(block, slot + 12, 12, 'length in a sparse file'),
    });
  }
  return segments;
}

function formatOf({ view }: ArchiveBytes, at: number): 'v7' | 'ustar' | 'gnu' | 'star' {
  if (view.getUint32(at + 257) !== USTA) return 'v7';
  if (view.getUint32(at + 261) === R_OF_GNU) return 'gnu';
  if (view.getUint16(at + 261) !== R_OF_POSIX) return 'v7';
  return view.getUint32(at + 508) === STAR ? 'star' : 'ustar';
}

export function isZero(block: Buffer, at: number, length: number = BLOCK_BYTES): boolean {
  for (let i = at; i < at + length; i++) {
    if (block[i] !== NUL) return false;
  }
  return true;
}

/** The sum of all bytes with the checksum's own as spaces; some old programs took bytes as signed. */
function checksumHolds(archive: ArchiveBytes, at: number): boolean {
  const stored = storedChecksum(archive.bytes, at + 148);
  if (stored === undefined) return false;
  const own = sumOf(archive.bytes, at + 148, 8);
  if (stored === sumOfBlock(archive.view, at) - own + 8 * SPACE) return true;
  return stored === signedSum(archive.bytes, at);
}

/** Octal digits, with spaces before them and, up to the first NUL, after them. */
function storedChecksum(block: Buffer, at: number): number | undefined {
  const end = at + 8;
  let i = at;
  while (i < end && block[i] === SPACE) i++;
  const first = i;
  let value = 0;
  for (; i < end; i++) {
    const digit = (block[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  if (i === first) return undefined;
  while (i < end && block[i] === SPACE) i++;
  return i === end || block[i] === NUL ? value : undefined;
}

/** Eight bytes at a time; two sums side by side, of 256 bytes each, which 16 bits can hold. */
function sumOfBlock(view: DataView, at: number): number {
  let sums = 0;
  for (let i = at; i < at + BLOCK_BYTES; i += 8) {
    const one = view.getInt32(i, true);
    const two = view.getInt32(i + 4, true);
    const even = (one & 0xff00ff) + (two & 0xff00ff);
    const odd = ((one >>> 8) & 0xff00ff) + ((two >>> 8) & 0xff00ff);
    // As an integer of 32 bits, with whatever sign: a number of any other kind would be slow.
    sums = (sums + even + odd) | 0;
  }
  return (sums & 0xffff) + (sums >>> 16);
}

function sumOf(block: Buffer, at: number, length: number): number {
  let sum = 0;
  for (let i = at; i < at + length; i++) sum += block[i] ?? 0;
  return sum;
}

function signedSum(block: Buffer, at: number): number {
  let sum = 8 * SPACE;
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const byte = block[at + i] ?? 0;
    if (i < 148 || i >= 156) sum += byte < 0x80 ? byte : byte - 0x100;
  }
  return sum;
}

/** Up to the first NUL. */
function text(block: Buffer, at: number, length: number): BytePath {
  let end = at;
  while (end < at + length && block[end] !== NUL) end++;
  return end === at ? '' : block.toString('latin1', at, end);
}

function wholeSeconds(seconds: number): TarTime {
  return seconds === 0 ? EPOCH : { seconds, nanoseconds: 0 };
}

/**
 * Octal digits padded with spaces or NULs, or base-256 when the first bit is set. Blank is zero. After the
 * digits a NUL ends the field, whatever an old program left behind it; all readers take it so.
 */
function number(block: Buffer, at: number, length: number, what: string): number {
  if (((block[at] ?? 0) & 0x80) !== 0) return base256(block, at, length, what);
  let i = at;
  const end = at + length;
  while (i < end && (block[i] === SPACE || block[i] === NUL)) i++;
  let value = 0;
  for (; i < end; i++) {
    const byte = block[i] ?? 0;
    if (byte === SPACE || byte === NUL) break;
    if (byte < 0x30 || byte > 0x37) throw badArchive(`the ${what} in a header is not a number`);
    value = value * 8 + (byte - 0x30);
  }
  while (i < end && block[i] === SPACE) i++;
  if (i < end && block[i] !== NUL) throw badArchive(`the ${what} in a header is not a number`);
  return value;
}

/**
 * Two's complement, big-endian, of which the first bit is only the mark of this form and the second the sign.
 */
function base256(block: Buffer, at: number, length: number, what: string): number {
  const first = block[at] ?? 0;
  let value = (first & 0x40) === 0 ? first & 0x7f : (first & 0x7f) - 0x80;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0);
  if (!Number.isSafeInteger(value)) throw badArchive(`the ${what} in a header is out of range`);
  return value;
}

/** What an entry makes. */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'link' | 'character' | 'block' | 'fifo';

/** A point in time; `nanoseconds` counts forwards from `seconds`, which may be negative. */
export interface TarTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** A stretch of a sparse file that has content; the rest reads as zeros. */
export interface SparseSegment {
  /** Bytes from the file's start. */
  readonly offset: number;
  readonly length: number;
}

/**
 * One entry of an archive, all its headers taken together. Names are bytes exactly as the archive has them.
 */
export interface TarEntry {
  readonly path: BytePath;
  readonly type: TarEntryType;
  /** The target of a symlink or hard link, else empty. */
  readonly linkPath: BytePath;
  /** Permissions with setuid, setgid and sticky bit; no type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file once it is extracted; 0 for all that is not a file. */
  readonly size: number;
  readonly mtime: TarTime;
  readonly atime?: TarTime | undefined;
  /** Of a device, else 0. */
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<BytePath, Buffer>;
  /** Where the content goes, in order, when the archive leaves holes out. */
  readonly sparse?: readonly SparseSegment[] | undefined;
}
