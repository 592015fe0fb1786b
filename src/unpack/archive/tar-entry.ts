import type { BytePath } from '../../system/index.js';

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

/** One entry of an archive, all its headers taken together. Names are bytes exactly as the archive has them. */
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
