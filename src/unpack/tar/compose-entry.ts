import { UnpackError } from '../../errors.js';
import type { BytePath } from '../../system/index.js';
import { atEntry, badArchive, printable } from '../terms/archive-error.js';
import { paxName, paxNumber, type PaxRecords, paxTime, xattrsOf } from './extended-headers.js';
import { parseSparsePairs } from './sparse-map.js';
import type { SparseSegment, TarEntry, TarEntryType, TarHeader } from './tar-header.js';

/** What stands before an entry and tells of it. */
export interface ExtendedHeaders {
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
 * One entry from its header and the extended headers before it. A pax record goes before a GNU long name, that before
 * the header; an empty pax value means the header's own.
 *
 * @throws {UnpackError} BAD_ARCHIVE, LIMIT_EXCEEDED, and UNSUPPORTED_ENTRY for a type that only its vendor knows
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
      // libarchive and star keep a number here that is larger than octal digits can say; the header's is cut off then.
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
  // GNU tar would take it for a file; containerd and umoci refuse it, and a layer that they refuse has no right reading.
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
