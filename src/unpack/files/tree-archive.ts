import type { BytePath } from '../../system/index.js';
import { type ImageAttributes, type ImageDirectory, UNLISTED } from './image-tree.js';
import type { SparseSegment } from '../tar/tar-header.js';
import { DirectoryOrder, type FileName, type PlannedEnd, type PlannedFile } from './export-plan.js';
import { encodeHeader } from './encode-header.js';

/** The end of an archive. */
const END = Buffer.alloc(1024);

const S_ISGID = 0o2000;
const OWNER_ALL = 0o700;

/** What only some members have. */
const NOTHING = { linkPath: '', size: 0, major: 0, minor: 0, xattrs: new Map<BytePath, Buffer>() } as const;

/**
 * The headers of one archive: parents before what is in them, and a file before its further names. Each
 * method makes its headers while what it returns is iterated, which has to happen in the order of the calls.
 */
export class TreeArchive {
  readonly #order = new DirectoryOrder();
  readonly #end: readonly PlannedEnd[];
  /** Directories that are to be written once more. */
  readonly #unfinished: ReadonlySet<ImageDirectory>;

  constructor(end: readonly PlannedEnd[]) {
    this.#end = end;
    this.#unfinished = new Set(end.map(({ directory }) => directory));
  }

  /** A directory, with those above it, where they are not written yet. */
  *directory(directory: ImageDirectory): Generator<Buffer, void, undefined> {
    yield* this.#headers(this.#order.write(directory));
  }

  /** A file by its first name. Its content follows, in the length that the header says. */
  *file(member: PlannedFile, sparse?: readonly SparseSegment[]): Generator<Buffer, void, undefined> {
    yield* this.#headers(this.#order.enter(member.directory));
    yield encodeHeader({ ...member.file, path: memberPath(member), sparse });
  }

  /** The further names of a file that was written. */
  *links(member: PlannedFile): Generator<Buffer, void, undefined> {
    const linkPath = memberPath(member);
    const { mode, uid, gid, mtime } = member.file;
    for (const name of member.links) {
      yield* this.#headers(this.#order.enter(name.directory));
      // What else the file has stands with its first name.
      yield encodeHeader({
        ...NOTHING,
        mode,
        uid,
        gid,
        mtime,
        type: 'link',
        path: memberPath(name),
        linkPath,
      });
    }
  }

  *end(): Generator<Buffer, void, undefined> {
    for (const { directory, symlinks } of this.#end) {
      yield directoryHeader(directory, directory.attributes);
      for (const symlink of symlinks) yield* this.file(symlink);
    }
    yield END;
  }

  *#headers(directories: readonly ImageDirectory[]): Generator<Buffer, void, undefined> {
    for (const directory of directories) {
      const { attributes } = directory;
      yield directoryHeader(directory, this.#unfinished.has(directory) ? forNow(attributes) : attributes);
    }
  }
}

function directoryHeader({ path }: ImageDirectory, attributes: ImageAttributes = UNLISTED): Buffer {
  const name = path === '' ? './' : `./${path}/`;
  return encodeHeader({ ...NOTHING, ...attributes, type: 'directory', path: name });
}

/**
 * What a directory has until it is written once more: something may be put into it by whoever extracts the
 * archive, and that takes neither a group nor an ACL from it.
 */
function forNow(attributes: ImageAttributes = UNLISTED): ImageAttributes {
  return { ...attributes, mode: (attributes.mode & ~S_ISGID) | OWNER_ALL, xattrs: new Map() };
}

function memberPath({ directory, name }: FileName): BytePath {
  return `./${directory.pathOf(name)}`;
}
