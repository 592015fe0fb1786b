import { isUtf8 } from 'node:buffer';
import type { BytePath } from '../../system/index.js';
import {
  BLOCK_BYTES,
  type SparseSegment,
  type TarEntry,
  type TarEntryType,
  type TarTime,
} from '../tar/tar-header.js';

/*
 * Headers of the pax format (POSIX.1-2001 pax: ustar Interchange Format, pax Extended Header). tar-stream would write them
 * from strings as UTF-8, a mode of 0 as 0644 and a time after 2038 as one before 1970: names and extended attributes are
 * bytes here, and what is written is what is read.
 */

const TYPEFLAGS: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

const NAME_BYTES = 100;
const PREFIX_BYTES = 155;

type PaxRecord = readonly [key: BytePath, value: Buffer];

/**
 * All that stands before the content: the header block, with a pax header before it where that cannot say
 * everything.
 */
export function encodeHeader(member: TarEntry): Buffer {
  if (member.sparse === undefined) return encodePlain(member, member.size, []);
  const { path, size, sparse } = member;
  const map = encodeSparseMap(sparse, size);
  const packed = map.length + bytesOf(sparse);
  const records: readonly PaxRecord[] = [
    ['GNU.sparse.major', bytes('1')],
    ['GNU.sparse.minor', bytes('0')],
    ['GNU.sparse.name', bytes(path)],
    ['GNU.sparse.realsize', bytes(String(size))],
  ];
  // A program that knows no sparse files makes one of this name, and not a wrong one of the file's.
  const slash = path.lastIndexOf('/') + 1;
  const packedPath = `${path.slice(0, slash)}GNUSparseFile.0/${path.slice(slash)}`;
  return Buffer.concat([encodePlain({ ...member, path: packedPath }, packed, records), map]);
}

function encodePlain(member: TarEntry, size: number, more: readonly PaxRecord[]): Buffer {
  const records = [...more, ...recordsOf(member, size)];
  const header = headerBlock(member, size);
  return records.length === 0 ? header : Buffer.concat([paxHeader(records), header]);
}

/** What the header block cannot say. */
function recordsOf(member: TarEntry, size: number): PaxRecord[] {
  const { path, linkPath, uid, gid, mtime, atime, xattrs } = member;
  const records: PaxRecord[] = [];
  const names: PaxRecord[] = [];
  if (splitName(path) === undefined) names.push(['path', bytes(path)]);
  if (linkPath.length > NAME_BYTES) names.push(['linkpath', bytes(linkPath)]);
  if (names.some(([, name]) => !isUtf8(name))) records.push(['hdrcharset', bytes('BINARY')]);
  records.push(...names);
  if (!fitsOctal(size, 12)) records.push(['size', bytes(String(size))]);
  if (!fitsOctal(uid, 8)) records.push(['uid', bytes(String(uid))]);
  if (!fitsOctal(gid, 8)) records.push(['gid', bytes(String(gid))]);
  if (mtime.nanoseconds !== 0 || !fitsOctal(mtime.seconds, 12))
    records.push(['mtime', bytes(decimal(mtime))]);
  if (atime !== undefined) records.push(['atime', bytes(decimal(atime))]);
  for (const [name, value] of xattrs) records.push([`SCHILY.xattr.${xattrKeyword(name)}`, value]);
  return records;
}

/** A `=` would end the keyword; GNU tar writes it so, and reads `%3D` and `%25` back. */
function xattrKeyword(name: BytePath): BytePath {
  return /=|%3D|%25/.test(name) ? name.replaceAll('%', '%25').replaceAll('=', '%3D') : name;
}

/**
 * GNU tar manual: Storing Sparse Files, PAX Format, Version 1.0. A segment without bytes at the end says how
 * far the hole goes.
 */
function encodeSparseMap(segments: readonly SparseSegment[], size: number): Buffer {
  const last = segments.at(-1);
  const closed = last !== undefined && last.offset + last.length === size;
  const all = closed ? segments : [...segments, { offset: size, length: 0 }];
  const lines = [all.length, ...all.flatMap(({ offset, length }) => [offset, length])];
  return padded(bytes(`${lines.join('\n')}\n`));
}

function paxHeader(records: readonly PaxRecord[]): Buffer {
  const content = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  const block = headerBlock({ ...PAX_HEADER, size: content.length }, content.length, 'x');
  return Buffer.concat([block, padded(content)]);
}

/** A file of nobody in particular, without a name or a time. */
export const PLAIN_FILE: TarEntry = {
  path: '',
  type: 'file',
  linkPath: '',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  major: 0,
  minor: 0,
  xattrs: new Map(),
};

const PAX_HEADER: TarEntry = { ...PLAIN_FILE, path: './PaxHeaders/0' };

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function paxRecord(key: BytePath, value: Buffer): Buffer {
  const rest = ' '.length + key.length + '='.length + value.length + '\n'.length;
  let length = rest + 1;
  while (rest + String(length).length > length) length += 1;
  return Buffer.concat([bytes(`${length} ${key}=`), value, bytes('\n')]);
}

function headerBlock(member: TarEntry, size: number, typeflag: string = TYPEFLAGS[member.type]): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const { prefix, name } = splitName(member.path) ?? { prefix: '', name: member.path };
  block.write(name, 0, NAME_BYTES, 'latin1');
  writeNumber(block, 100, 8, member.mode);
  writeNumber(block, 108, 8, orRecord(member.uid, 8));
  writeNumber(block, 116, 8, orRecord(member.gid, 8));
  writeNumber(block, 124, 12, orRecord(size, 12));
  writeNumber(block, 136, 12, orRecord(member.mtime.seconds, 12));
  block.write(typeflag, 156, 1, 'latin1');
  block.write(member.linkPath, 157, NAME_BYTES, 'latin1');
  block.write('ustar\x0000', 257, 8, 'latin1');
  writeNumber(block, 329, 8, member.major);
  writeNumber(block, 337, 8, member.minor);
  block.write(prefix, 345, PREFIX_BYTES, 'latin1');
  block.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${octal(sum, 7)}\0 `, 148, 8, 'latin1');
  return block;
}

/** What does not fit stands in the pax header, and 0 here. */
function orRecord(value: number, length: number): number {
  return fitsOctal(value, length) ? value : 0;
}

/**
 * Octal digits and a NUL, or base 256 where they do not fit, as GNU tar has it: device numbers have no pax
 * record.
 */
function writeNumber(block: Buffer, at: number, length: number, value: number): void {
  if (fitsOctal(value, length)) {
    block.write(octal(value, length), at, length - 1, 'latin1');
    return;
  }
  let rest = BigInt(value);
  for (let i = at + length - 1; i >= at; i--) {
    block[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[at] = (block[at] ?? 0) | 0x80;
}

function fitsOctal(value: number, length: number): boolean {
  return value >= 0 && value < 8 ** (length - 1);
}

function octal(value: number, length: number): string {
  return value.toString(8).padStart(length - 1, '0');
}

/** A path as name and prefix, which a reader joins with a slash; undefined for one that has no such parts. */
function splitName(path: BytePath): { readonly prefix: BytePath; readonly name: BytePath } | undefined {
  if (path.length <= NAME_BYTES) return { prefix: '', name: path };
  const slash = path.indexOf('/', path.length - NAME_BYTES - 1);
  if (slash < 1 || slash > PREFIX_BYTES || slash === path.length - 1) return undefined;
  return { prefix: path.slice(0, slash), name: path.slice(slash + 1) };
}

/** Seconds with a fraction: half a second after the second -2 is `-1.5`. */
function decimal({ seconds, nanoseconds }: TarTime): string {
  if (nanoseconds === 0) return String(seconds);
  const negative = seconds < 0;
  const whole = negative ? -(seconds + 1) : seconds;
  const fraction = String(negative ? 1e9 - nanoseconds : nanoseconds).padStart(9, '0');
  return `${negative ? '-' : ''}${whole}.${fraction.replace(/0+$/, '')}`;
}

/** With zeros up to the next whole block. */
function padded(content: Buffer): Buffer {
  const padding = paddingOf(content.length);
  return padding === 0 ? content : Buffer.concat([content, Buffer.alloc(padding)]);
}

/** How much of a sparse file is content. */
export function bytesOf(segments: readonly SparseSegment[]): number {
  return segments.reduce((sum, { length }) => sum + length, 0);
}

/** Bytes that are missing to a whole block. */
export function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

function bytes(text: BytePath): Buffer {
  return Buffer.from(text, 'latin1');
}
