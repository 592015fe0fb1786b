import type { BytePath } from '../../src/system/index.js';

/*
 * Builds tar archives byte by byte, malformed ones too. Every builder returns whole blocks, so an archive is the
 * concatenation of its parts: `archive(directory('a'), file('a/f', 'content'))`.
 */

const BLOCK = 512;

export interface HeaderFields {
  /** Bytes (latin1); at most 100, and what goes into the prefix is given apart. */
  path: BytePath;
  prefix?: BytePath;
  /** One character; default `0`. */
  typeflag?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  /** Whole seconds. Default 1,000,000,000. */
  mtime?: number;
  linkPath?: BytePath;
  major?: number;
  minor?: number;
  /** `ustar` (the default), `gnu`, or `v7` without magic. */
  format?: 'ustar' | 'gnu' | 'v7';
  /** Bytes put over the finished header at offsets, before its checksum is made. */
  raw?: Readonly<Record<number, string | Buffer>>;
  /** How the checksum is made; `wrong` breaks it. Default `unsigned`. */
  checksum?: 'unsigned' | 'signed' | 'wrong';
}

export interface EntryOptions extends Omit<HeaderFields, 'path'> {
  /** Extended attributes, written as SCHILY.xattr records. */
  xattrs?: Readonly<Record<BytePath, string | Buffer>>;
  /** More pax records for this entry. */
  pax?: Readonly<Record<BytePath, string | Buffer>>;
}

/** The parts and the two blocks of zeros that end an archive. */
export function archive(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...parts, END]);
}

/** The end of an archive. */
export const END: Buffer = Buffer.alloc(2 * BLOCK);

/** One header block. Numbers too large or negative for octal digits are written in base 256. */
export function header(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  const { format = 'ustar' } = fields;
  block.write(fields.path, 0, 100, 'latin1');
  writeNumber(block, 100, 8, fields.mode ?? 0o644);
  writeNumber(block, 108, 8, fields.uid ?? 0);
  writeNumber(block, 116, 8, fields.gid ?? 0);
  writeNumber(block, 124, 12, fields.size ?? 0);
  writeNumber(block, 136, 12, fields.mtime ?? 1_000_000_000);
  block.write(fields.typeflag ?? '0', 156, 1, 'latin1');
  block.write(fields.linkPath ?? '', 157, 100, 'latin1');
  if (format !== 'v7') {
    block.write(format === 'gnu' ? 'ustar  \0' : 'ustar\x0000', 257, 8, 'latin1');
    writeNumber(block, 329, 8, fields.major ?? 0);
    writeNumber(block, 337, 8, fields.minor ?? 0);
    if (format === 'ustar') block.write(fields.prefix ?? '', 345, 155, 'latin1');
  }
  for (const [offset, bytes] of Object.entries(fields.raw ?? {})) {
    Buffer.from(bytes as string, 'latin1').copy(block, Number(offset));
  }
  writeChecksum(block, fields.checksum ?? 'unsigned');
  return block;
}

/** A header with the content after it, padded. */
export function entry(fields: HeaderFields, content: string | Buffer = ''): Buffer {
  const bytes = toBytes(content);
  return Buffer.concat([header({ size: bytes.length, ...fields }), padded(bytes)]);
}

export function file(path: BytePath, content: string | Buffer = '', options: EntryOptions = {}): Buffer {
  return withPax(path, options, content);
}

export function directory(path: BytePath, options: EntryOptions = {}): Buffer {
  return withPax(path, { typeflag: '5', mode: 0o755, ...options });
}

export function symlink(path: BytePath, linkPath: BytePath, options: EntryOptions = {}): Buffer {
  return withPax(path, { typeflag: '2', mode: 0o777, linkPath, ...options });
}

export function hardLink(path: BytePath, linkPath: BytePath, options: EntryOptions = {}): Buffer {
  return withPax(path, { typeflag: '1', linkPath, ...options });
}

export function device(
  type: 'c' | 'b',
  path: BytePath,
  major: number,
  minor: number,
  options: EntryOptions = {},
): Buffer {
  return withPax(path, { typeflag: type === 'c' ? '3' : '4', major, minor, ...options });
}

export function fifo(path: BytePath, options: EntryOptions = {}): Buffer {
  return withPax(path, { typeflag: '6', ...options });
}

/**
 * A pax header: `x` for the next entry, `g` for all that follow. Pairs keep their order and may repeat a key.
 */
export function pax(
  records: Readonly<Record<BytePath, string | Buffer>> | readonly (readonly [BytePath, string | Buffer])[],
  typeflag: 'x' | 'g' = 'x',
): Buffer {
  const pairs: readonly (readonly [BytePath, string | Buffer])[] = isPairs(records)
    ? records
    : Object.entries(records);
  return entry({ path: 'pax', typeflag }, Buffer.concat(pairs.map(([key, value]) => paxRecord(key, value))));
}

/** GNU's long name (`L`) or long link (`K`) of the next entry. */
export function gnuLong(typeflag: 'L' | 'K', name: BytePath): Buffer {
  return entry({ path: '././@LongLink', typeflag, format: 'gnu' }, `${name}\0`);
}

/** Content with zeros up to the next whole block. */
export function padded(content: string | Buffer): Buffer {
  const bytes = toBytes(content);
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
export function paxRecord(key: BytePath, value: string | Buffer): Buffer {
  const bytes = toBytes(value);
  const rest = 1 + key.length + 1 + bytes.length + 1;
  let length = rest + 1;
  while (rest + String(length).length > length) length += 1;
  return Buffer.concat([toBytes(`${length} ${key}=`), bytes, toBytes('\n')]);
}

/** Offset and length pairs as GNU's old sparse headers hold them. */
export function oldSparseMap(segments: readonly (readonly [offset: number, length: number])[]): Buffer {
  const map = Buffer.alloc(24 * segments.length);
  for (const [i, [offset, length]] of segments.entries()) {
    writeNumber(map, i * 24, 12, offset);
    writeNumber(map, i * 24 + 12, 12, length);
  }
  return map;
}

function withPax(path: BytePath, options: EntryOptions, content: string | Buffer = ''): Buffer {
  const { xattrs = {}, pax: more = {}, ...fields } = options;
  const records = new Map<BytePath, string | Buffer>(Object.entries(more));
  for (const [name, value] of Object.entries(xattrs)) records.set(`SCHILY.xattr.${name}`, value);
  if (path.length > 100) records.set('path', path);
  if ((fields.linkPath?.length ?? 0) > 100) records.set('linkpath', fields.linkPath ?? '');
  const own = entry({ ...fields, path: path.slice(0, 100) }, content);
  return records.size === 0 ? own : Buffer.concat([pax([...records]), own]);
}

function isPairs<K, V>(records: Readonly<Record<string, V>> | readonly K[]): records is readonly K[] {
  return Array.isArray(records);
}

function toBytes(content: string | Buffer): Buffer {
  return typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
}

function writeNumber(block: Buffer, at: number, length: number, value: number): void {
  const octal = value >= 0 ? value.toString(8) : '';
  if (value >= 0 && octal.length < length) {
    block.write(`${octal.padStart(length - 1, '0')}\0`, at, length, 'latin1');
    return;
  }
  // Two's complement, big-endian; the first bit marks this form.
  let rest = BigInt(value);
  for (let i = at + length - 1; i >= at; i--) {
    block[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[at] = (block[at] ?? 0) | 0x80;
}

function writeChecksum(block: Buffer, how: 'unsigned' | 'signed' | 'wrong'): void {
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + (how === 'signed' && byte > 127 ? byte - 256 : byte), 0);
  block.write(`${(how === 'wrong' ? sum + 1 : sum).toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
}
