import { UnpackError } from '../../errors.js';
import { exactSize, formatSize, LIMITS } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { atEntry, badArchive, limitExceeded, printable } from '../terms/layer-fault.js';
import { parseSparsePairs } from './sparse-map.js';
import type { SparseSegment, TarEntry, TarEntryType, TarHeader, TarTime } from './tar-header.js';

/**
 * Collects the headers that stand before an entry and tell of it: pax (types `x` and `g`), GNU long name and
 * long link (`L` and `K`). Of two of one type before one entry the last counts.
 */
export class ExtendedHeaderReader implements ExtendedHeaders {
  readonly #global = new Map<BytePath, Buffer>();
  readonly #globalXattrs = new Map<BytePath, Buffer>();
  #globalBytes = 0;
  #pax: PaxRecords | undefined;
  #longName: BytePath | undefined;
  #longLink: BytePath | undefined;
  readonly #maxBytes: number;
  /** The one that is being read. */
  #typeflag = '';
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;

  /** @param maxBytes - of one header, and of all global records together */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  static isExtended(typeflag: string): boolean {
    return typeflag === 'x' || typeflag === 'g' || typeflag === 'L' || typeflag === 'K';
  }

  get global(): ReadonlyMap<BytePath, Buffer> {
    return this.#global;
  }
  get globalXattrs(): ReadonlyMap<BytePath, Buffer> {
    return this.#globalXattrs;
  }
  get pax(): PaxRecords | undefined {
    return this.#pax;
  }
  get longName(): BytePath | undefined {
    return this.#longName;
  }
  get longLink(): BytePath | undefined {
    return this.#longLink;
  }

  /** Whether there are some for an entry that has not come yet. */
  get pending(): boolean {
    return this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
  }

  /** The entry has come: forgets all but the global ones. */
  clear(): void {
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
  }

  /** An extended header begins; its content goes to {@link take}. */
  begin(header: TarHeader): void {
    const { size, typeflag } = header;
    if (size < 0) throw badArchive('an extended header has a negative size');
    if (size > this.#maxBytes) {
      throw limitExceeded(
        `an extended header has ${exactSize(size)}; the limit is ${formatSize(this.#maxBytes)}`,
      );
    }
    this.#typeflag = typeflag;
    this.#bytes = Buffer.allocUnsafe(size);
    this.#length = 0;
    if (size === 0) this.#end();
  }

  /** Takes what it needs of the chunk from `at` on; returns where the rest begins. */
  take(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#bytes.length - this.#length);
    chunk.copy(this.#bytes, this.#length, at, end);
    this.#length += end - at;
    if (this.isWhole) this.#end();
    return end;
  }

  get isWhole(): boolean {
    return this.#length === this.#bytes.length;
  }

  #end(): void {
    if (this.#typeflag === 'x') this.#pax = parsePax(this.#bytes);
    else if (this.#typeflag === 'g') this.#addGlobal(parsePax(this.#bytes));
    else if (this.#typeflag === 'L') this.#longName = untilNul(this.#bytes);
    else this.#longLink = untilNul(this.#bytes);
  }

  /** Global records add up over the archive, so their sum is bounded too. */
  #addGlobal(records: PaxRecords): void {
    for (const [key, value] of records.values) {
      // All records of extended attributes are gone through for every entry, so the others stand apart.
      const kept = isXattrRecord(key) ? this.#globalXattrs : this.#global;
      this.#globalBytes += value.length - (kept.get(key)?.length ?? -key.length);
      // A view would keep its whole header in memory.
      kept.set(key, Buffer.from(value));
    }
    if (this.#globalBytes > this.#maxBytes) {
      throw limitExceeded(`the global headers have more than ${formatSize(this.#maxBytes)}`);
    }
  }
}

function untilNul(bytes: Buffer): BytePath {
  const nul = bytes.indexOf(0);
  return bytes.toString('latin1', 0, nul < 0 ? bytes.length : nul);
}

/**
 * The records of one pax extended header (POSIX.1-2001 pax: pax Extended Header). Keys and values are bytes.
 */
interface PaxRecords {
  /** The last value of each key. */
  readonly values: ReadonlyMap<BytePath, Buffer>;
  /**
   * Values of GNU.sparse.offset and GNU.sparse.numbytes in their order, since sparse format 0.0 repeats these
   * keys.
   */
  readonly sparsePairs: readonly Buffer[];
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;

/**
 * Splits `LENGTH KEY=VALUE\n` records. The values are views of `bytes`.
 *
 * @throws {UnpackError} BAD_ARCHIVE for anything malformed, since what follows it could not be trusted
 */
export function parsePax(bytes: Buffer): PaxRecords {
  const values = new Map<BytePath, Buffer>();
  const sparsePairs: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const { key, value, end } = readRecord(bytes, at);
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') sparsePairs.push(value);
    else values.set(key, value);
    at = end;
  }
  return { values, sparsePairs };
}

function readRecord(bytes: Buffer, at: number): { key: BytePath; value: Buffer; end: number } {
  let length = 0;
  let i = at;
  for (; i < bytes.length && bytes[i] !== SPACE; i++) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9 || length > bytes.length) throw malformed();
    length = length * 10 + digit;
  }
  const end = at + length;
  if (i === at || i + 1 >= end || end > bytes.length || bytes[end - 1] !== NEWLINE) throw malformed();
  const equals = bytes.indexOf(EQUALS, i + 1);
  if (equals < 0 || equals >= end || equals === i + 1) throw malformed();
  return { key: bytes.toString('latin1', i + 1, equals), value: bytes.subarray(equals + 1, end - 1), end };
}

function malformed(): Error {
  return badArchive('a pax header is malformed');
}

/** A non-negative decimal number, for sizes and owners. */
export function paxNumber(value: Buffer, key: string): number {
  const digits = value.toString('latin1');
  const parsed = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : NaN;
  if (!Number.isSafeInteger(parsed)) throw badArchive(`the pax record ${key} is not a number`);
  return parsed;
}

/**
 * Seconds with an optional fraction, possibly negative: `-1.5` is half a second after the second -2. What is
 * finer than a nanosecond goes to the earlier one (POSIX.1-2001 pax: pax Extended Header File Times), so away
 * from zero before 1970.
 */
export function paxTime(value: Buffer, key: string): TarTime {
  const match = /^(-?)([0-9]{1,16})(?:\.([0-9]*))?$/.exec(value.toString('latin1'));
  const [, sign, whole = '', fraction = ''] = match ?? [];
  const time = sign === '-' ? timeBefore(Number(whole), fraction) : timeAfter(Number(whole), fraction);
  if (match === null || !Number.isSafeInteger(time.seconds)) {
    throw badArchive(`the pax record ${key} is not a time`);
  }
  return time;
}

function timeAfter(seconds: number, fraction: string): TarTime {
  return { seconds, nanoseconds: Number(fraction.slice(0, 9).padEnd(9, '0')) };
}

function timeBefore(seconds: number, fraction: string): TarTime {
  const away = timeAfter(0, fraction).nanoseconds + (/[1-9]/.test(fraction.slice(9)) ? 1 : 0);
  // `0 -` avoids minus zero, which no comparison of times expects.
  if (away === 0) return { seconds: 0 - seconds, nanoseconds: 0 };
  return { seconds: 0 - seconds - 1, nanoseconds: 1e9 - away };
}

/** A name; a NUL cannot be part of one. */
export function paxName(value: Buffer, key: string): BytePath {
  const name = value.toString('latin1');
  if (name.includes('\0')) throw badArchive(`the pax record ${key} holds a NUL`);
  return name;
}

const SCHILY = 'SCHILY.xattr.';
const LIBARCHIVE = 'LIBARCHIVE.xattr.';

const NO_XATTRS: ReadonlyMap<BytePath, Buffer> = new Map();

/** Whether a pax record holds an extended attribute. */
function isXattrRecord(key: BytePath): boolean {
  return key.startsWith(SCHILY) || key.startsWith(LIBARCHIVE);
}

/**
 * The extended attributes that pax records hold; of two of one name the later counts. libarchive writes both
 * forms; star's is the exact one, since its values are the bytes themselves.
 *
 * @param records - of the global headers, and of the entry's own
 * @throws {UnpackError} BAD_ARCHIVE; LIMIT_EXCEEDED for more names than the kernel could list of one file
 */
function xattrsOf(
  records: readonly (ReadonlyMap<BytePath, Buffer> | undefined)[],
  path: BytePath,
): ReadonlyMap<BytePath, Buffer> {
  let xattrs: Map<BytePath, Buffer> | undefined;
  for (const prefix of [LIBARCHIVE, SCHILY]) {
    for (const some of records) {
      for (const [key, value] of some ?? []) {
        if (!key.startsWith(prefix)) continue;
        xattrs ??= new Map();
        const name = key.slice(prefix.length);
        if (prefix === SCHILY) xattrs.set(xattrName(name, path), value);
        else xattrs.set(xattrName(percentDecoded(name), path), fromBase64(value));
      }
    }
  }
  if (xattrs === undefined) return NO_XATTRS;
  checkList(xattrs, path);
  return xattrs;
}

function xattrName(name: BytePath, path: BytePath): BytePath {
  if (name === '' || name.includes('\0')) {
    throw badArchive('the name of an extended attribute is empty or holds a NUL', path);
  }
  return name;
}

function checkList(xattrs: ReadonlyMap<BytePath, Buffer>, path: BytePath): void {
  let bytes = 0;
  for (const name of xattrs.keys()) bytes += name.length + 1;
  if (bytes <= LIMITS.xattrListBytes) return;
  throw limitExceeded(
    `the names of the extended attributes have ${exactSize(bytes)}; the limit is ${formatSize(LIMITS.xattrListBytes)}`,
    path,
  );
}

function fromBase64(value: Buffer): Buffer {
  return Buffer.from(value.toString('latin1'), 'base64');
}

function percentDecoded(name: BytePath): BytePath {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** What stands before an entry and tells of it. */
interface ExtendedHeaders {
  /** Records of the global headers so far (type `g`), those of extended attributes apart. */
  readonly global: ReadonlyMap<BytePath, Buffer>;
  readonly globalXattrs: ReadonlyMap<BytePath, Buffer>;
  /** The pax header of this entry (type `x`). */
  readonly pax?: PaxRecords | undefined;
  /** GNU's long name and long link (types `L` and `K`). */
  readonly longName?: BytePath | undefined;
  readonly longLink?: BytePath | undefined;
}

/** An entry, and what follows its header in the archive. */
export interface ComposedEntry {
  readonly entry: TarEntry;
  /** Bytes of content in the archive, the map of a sparse file included where it stands there. */
  readonly packedSize: number;
  /** Where the map of a sparse file still has to be read from. */
  readonly mapFollows: 'no' | 'in-header-blocks' | 'in-content';
}

const TYPES: ReadonlyMap<string, TarEntryType> = new Map([
  ['\0', 'file'],
  ['0', 'file'],
  ['1', 'link'],
  ['2', 'symlink'],
  ['3', 'character'],
  ['4', 'block'],
  ['5', 'directory'],
  ['6', 'fifo'],
  // "Contiguous file" of systems long gone: POSIX says to take it as a regular one.
  ['7', 'file'],
  ['S', 'file'],
]);

/** -1 means "leave as it is" to chown(2). */
const MAX_OWNER = 2 ** 32 - 2;

/**
 * One entry from its header and the extended headers before it. A pax record goes before a GNU long name,
 * that before the header; an empty pax value means the header's own.
 *
 * @throws {UnpackError} BAD_ARCHIVE, LIMIT_EXCEEDED, and UNSUPPORTED_ENTRY for a type that only its vendor
 *   knows
 */
export function composeEntry(header: TarHeader, extended: ExtendedHeaders): ComposedEntry {
  const record = (key: string): Buffer | undefined => {
    const value = extended.pax?.values.get(key) ?? extended.global.get(key);
    return value === undefined || value.length === 0 ? undefined : value;
  };
  const name = <T>(key: string, parse: (value: Buffer, key: string) => T): T | undefined => {
    const value = record(key);
    return value === undefined ? undefined : parse(value, key);
  };
  const path = sparseName(extended.pax) ?? name('path', paxName) ?? extended.longName ?? header.path;
  const type = typeOf(header, path);
  const packedSize = type === 'file' ? (name('size', paxNumber) ?? header.size) : 0;
  if (packedSize < 0) throw badArchive('a negative size', path);
  const sparse = type === 'file' ? sparseOf(header, extended.pax, path) : undefined;
  const atime = name('atime', paxTime) ?? header.atime;
  const isLink = type === 'link' || type === 'symlink';
  const isDevice = type === 'character' || type === 'block';
  return {
    entry: {
      path,
      type,
      linkPath: isLink ? (name('linkpath', paxName) ?? extended.longLink ?? header.linkPath) : '',
      mode: header.mode < 0 ? 0 : header.mode,
      uid: owner(name('uid', paxNumber) ?? header.uid, path),
      gid: owner(name('gid', paxNumber) ?? header.gid, path),
      size: sparse?.realSize ?? packedSize,
      mtime: name('mtime', paxTime) ?? header.mtime,
      atime,
      // libarchive and star keep a number here that is larger than octal digits can say; the header's is cut
      // off then.
      major: isDevice ? (name('SCHILY.devmajor', paxNumber) ?? header.major) : 0,
      minor: isDevice ? (name('SCHILY.devminor', paxNumber) ?? header.minor) : 0,
      xattrs: xattrsOf([extended.globalXattrs, extended.pax?.values], path),
      sparse: sparse?.segments,
    },
    packedSize,
    mapFollows: sparse?.mapFollows ?? 'no',
  };
}

function typeOf({ typeflag, sparse }: TarHeader, path: BytePath): TarEntryType {
  // Before there was a type for it, a directory was an entry whose name ends in a slash.
  if (typeflag === '\0' && path.endsWith('/')) return 'directory';
  const type = TYPES.get(typeflag);
  if (type !== undefined && (typeflag !== 'S' || sparse !== undefined)) return type;
  // GNU tar would take it for a file; containerd and umoci refuse it, and a layer that they refuse has no
  // right reading.
  const error = new UnpackError('UNSUPPORTED_ENTRY', `the type ${printable(typeflag)} is unknown`, {
    hint: 'Build the layer in the pax format.',
  });
  throw atEntry(error, path);
}

function owner(value: number, path: BytePath): number {
  if (value < 0 || value > MAX_OWNER) throw badArchive(`the owner ${value}, which no system has`, path);
  return value;
}

function sparseName(pax: PaxRecords | undefined): BytePath | undefined {
  const value = pax?.values.get('GNU.sparse.name');
  return value === undefined || value.length === 0 ? undefined : paxName(value, 'GNU.sparse.name');
}

interface Sparse {
  readonly realSize: number;
  readonly segments: readonly SparseSegment[];
  readonly mapFollows: ComposedEntry['mapFollows'];
}

/** GNU tar manual: Storing Sparse Files. */
function sparseOf(header: TarHeader, pax: PaxRecords | undefined, path: BytePath): Sparse | undefined {
  if (header.sparse !== undefined) {
    const { realSize, segments, continues } = header.sparse;
    if (realSize < 0) throw badArchive('a negative size', path);
    return { realSize, segments, mapFollows: continues ? 'in-header-blocks' : 'no' };
  }
  if (pax === undefined) return undefined;
  const { values, sparsePairs } = pax;
  const major = values.get('GNU.sparse.major')?.toString('latin1');
  const minor = values.get('GNU.sparse.minor')?.toString('latin1');
  if (major !== undefined && minor !== undefined) {
    if (major === '1' && minor === '0') {
      return { realSize: sparseSize(values, path), segments: [], mapFollows: 'in-content' };
    }
    if (major !== '0')
      throw badArchive(`a sparse file has the unknown format ${printable(`${major}.${minor}`)}`, path);
  }
  const map = values.get('GNU.sparse.map');
  if (map !== undefined) {
    const texts = map.length === 0 ? [] : map.toString('latin1').split(',');
    return { realSize: sparseSize(values, path), segments: parseSparsePairs(texts, path), mapFollows: 'no' };
  }
  if (sparsePairs.length === 0 && !values.has('GNU.sparse.size')) return undefined;
  const texts = sparsePairs.map((value) => value.toString('latin1'));
  return { realSize: sparseSize(values, path), segments: parseSparsePairs(texts, path), mapFollows: 'no' };
}

function sparseSize(values: ReadonlyMap<BytePath, Buffer>, path: BytePath): number {
  for (const key of ['GNU.sparse.realsize', 'GNU.sparse.size']) {
    const value = values.get(key);
    if (value !== undefined) return paxNumber(value, key);
  }
  throw badArchive('a sparse file has no size', path);
}
