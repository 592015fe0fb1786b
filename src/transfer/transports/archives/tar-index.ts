import { posix } from 'node:path';

import { type Abortable, throwIfAborted, UnpackError } from '../../../errors.js';
import { exactSize, LIMITS } from '../../../spec/index.js';
import {
  archiveBytes,
  BLOCK_BYTES,
  composeEntry,
  type ComposedEntry,
  ExtendedHeaderReader,
  isZero,
  paddingOf,
  readTarHeader,
  type TarHeader,
} from '../../../unpack/index.js';
import { type ArchiveFile, archiveTooLarge, brokenArchive } from './archive-file.js';

/** Where the content of a file lies in an archive. */
export interface TarMember {
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

export interface ArchiveLimits {
  /** Files, directories and links. */
  readonly entries: number;
  /** Of an archive that is spooled, in bytes uncompressed. */
  readonly spooledBytes: number;
}

export const ARCHIVE_LIMITS: ArchiveLimits = {
  // Those of some 100,000 images.
  entries: 1_000_000,
  spooledBytes: 4 * LIMITS.imageBytes,
};

/** Links that lead to links: Docker writes one. */
const MAX_LINKS = 8;
/** Headers lie close together where files are small, and far apart where they are not. */
const WINDOW_BYTES = 16 * 1024;
/** As every program writes it today: six octal digits, NUL, space. */
const USUAL_CHECKSUM = /^[0-7]{6}\0 $/;

/**
 * What lies where in a tar archive. It is found by going from header to header; no content is read. Nothing
 * is ever extracted, so that a name can lead nowhere: one that points out of the archive only is not found.
 */
export class TarIndex {
  readonly #files: ReadonlyMap<string, TarMember>;
  readonly #links: ReadonlyMap<string, string>;
  /**
   * Whether each bit of the headers means something and the end is marked as the format has it, so that no
   * alteration and no truncation would go unseen.
   */
  readonly isStrict: boolean;

  /** Made by {@link indexTar}. */
  constructor(
    files: ReadonlyMap<string, TarMember>,
    links: ReadonlyMap<string, string>,
    o: { readonly isStrict: boolean },
  ) {
    this.#files = files;
    this.#links = links;
    this.isStrict = o.isStrict;
  }

  /** Where the content of the last file ends. */
  get end(): number {
    let end = 0;
    for (const { offset, size } of this.#files.values()) end = Math.max(end, offset + size);
    return end;
  }

  /** A file by its path, through links. */
  find(path: string): TarMember | undefined {
    let name = normalize(path);
    for (let links = 0; links <= MAX_LINKS; links += 1) {
      const file = this.#files.get(name);
      if (file !== undefined) return file;
      const target = this.#links.get(name);
      if (target === undefined) return undefined;
      name = target;
    }
    return undefined;
  }
}

/**
 * Goes through the headers of an archive that can be read at any place.
 *
 * Errors: BAD_ARCHIVE for what is no tar archive, is cut short, has a file twice or a sparse one;
 * LIMIT_EXCEEDED; FILESYSTEM; ABORTED.
 */
export async function indexTar(
  file: ArchiveFile,
  o: Abortable & { readonly limits?: ArchiveLimits | undefined } = {},
): Promise<TarIndex> {
  return await new TarWalk(file, o.limits ?? ARCHIVE_LIMITS).run(o.signal);
}

/**
 * The same of an archive that was not written to its end. The last file may go on behind it.
 *
 * Errors: FILESYSTEM, ABORTED
 */
export async function indexCutTar(file: ArchiveFile, o: Abortable = {}): Promise<TarIndex> {
  const walk = new TarWalk(file, ARCHIVE_LIMITS);
  try {
    return await walk.run(o.signal);
  } catch (error) {
    // Whatever ends it, and be it damage, what was found before has digests.
    if (error instanceof UnpackError) return walk.found;
    throw error;
  }
}

class TarWalk {
  readonly #file: ArchiveFile;
  readonly #limits: ArchiveLimits;
  readonly #extended = new ExtendedHeaderReader(LIMITS.paxBytes);
  readonly #files = new Map<string, TarMember>();
  readonly #links = new Map<string, string>();
  readonly #window: Buffer = Buffer.alloc(WINDOW_BYTES);
  #windowAt = 0;
  #windowLength = 0;
  #entries = 0;
  #usual = true;

  constructor(file: ArchiveFile, limits: ArchiveLimits) {
    this.#file = file;
    this.#limits = limits;
  }

  get found(): TarIndex {
    return new TarIndex(this.#files, this.#links, { isStrict: false });
  }

  async run(signal: AbortSignal | undefined): Promise<TarIndex> {
    const { size } = this.#file;
    let at = 0;
    let isEnded = false;
    while (at < size) {
      throwIfAborted(signal);
      const header = await this.#headerAt(at);
      if (header === undefined) {
        await this.#checkEnd(at, signal);
        isEnded = size - at >= 2 * BLOCK_BYTES;
        break;
      }
      at = await this.#take(header, at + BLOCK_BYTES);
    }
    if (this.#extended.pending) throw this.#broken('it ends after an extended header');
    if (this.#entries === 0) throw this.#broken('it is not a tar archive, or an empty one');
    return new TarIndex(this.#files, this.#links, { isStrict: isEnded && this.#usual });
  }

  /** Undefined for a block of zeros. */
  async #headerAt(at: number): Promise<TarHeader | undefined> {
    const block = await this.#read(at, BLOCK_BYTES);
    try {
      const header = readTarHeader(archiveBytes(block), 0);
      if (header !== undefined) this.#usual &&= USUAL_CHECKSUM.test(block.toString('latin1', 148, 156));
      return header;
    } catch (error) {
      if (!(error instanceof UnpackError)) throw error;
      throw this.#broken(at === 0 ? 'it is not a tar archive' : `${error.message}, at offset ${at}`);
    }
  }

  /** Where the next header stands. */
  async #take(header: TarHeader, content: number): Promise<number> {
    if (ExtendedHeaderReader.isExtended(header.typeflag)) {
      this.#extended.begin(header);
      if (header.size > 0) this.#extended.take(await this.#read(content, header.size), 0);
      return await this.#after(content, header.size);
    }
    this.#entries += 1;
    if (this.#entries > this.#limits.entries) {
      throw archiveTooLarge(this.#file.location, `it has more than ${this.#limits.entries} entries`);
    }
    const composed = composeEntry(header, this.#extended);
    this.#extended.clear();
    this.#add(composed, content);
    return await this.#after(content, composed.packedSize);
  }

  #add({ entry, packedSize }: ComposedEntry, offset: number): void {
    if (entry.sparse !== undefined)
      throw this.#broken('it has a sparse file, which no archive of images has');
    if (entry.path.length > LIMITS.pathBytes) {
      throw archiveTooLarge(
        this.#file.location,
        `it has a name of ${entry.path.length} bytes; the limit is ${LIMITS.pathBytes}`,
      );
    }
    const path = normalize(textOf(entry.path));
    switch (entry.type) {
      case 'file':
        this.#addFile(path, { offset, size: packedSize });
        return;
      case 'symlink':
        this.#addLink(path, posix.join(posix.dirname(path), textOf(entry.linkPath)));
        return;
      case 'link':
        this.#addLink(path, normalize(textOf(entry.linkPath)));
        return;
      case 'directory':
      case 'character':
      case 'block':
      case 'fifo':
        return;
    }
  }

  #addFile(path: string, member: TarMember): void {
    const before = this.#files.get(path);
    // Whatever holds a blob is held against its digest, so it does not matter which of two is taken.
    if (before?.size === member.size && path.startsWith('blobs/')) return;
    if (before !== undefined || this.#links.has(path)) throw this.#twice(path);
    this.#files.set(path, member);
  }

  #addLink(path: string, target: string): void {
    if (this.#files.has(path) || (this.#links.get(path) ?? target) !== target) throw this.#twice(path);
    this.#links.set(path, target);
  }

  #twice(path: string): UnpackError {
    return this.#broken(
      `${JSON.stringify(path)} stands in it twice, and programs differ in which of the two they take`,
    );
  }

  /** What follows content up to the next block has to be zeros: it belongs to nothing that has a digest. */
  async #after(content: number, size: number): Promise<number> {
    const end = content + size;
    if (end > this.#file.size) throw this.#cutShort();
    const padding = Math.min(paddingOf(size), this.#file.size - end);
    if (padding > 0 && !isZero(await this.#read(end, padding), 0, padding)) {
      throw this.#broken(`there is something where nothing should be, at offset ${end}`);
    }
    return end + paddingOf(size);
  }

  /** After a block of zeros there is nothing but zeros. */
  async #checkEnd(at: number, signal: AbortSignal | undefined): Promise<void> {
    const { size } = this.#file;
    for (let next = at; next < size; next += WINDOW_BYTES) {
      throwIfAborted(signal);
      const length = Math.min(WINDOW_BYTES, size - next);
      if (isZero(await this.#read(next, length), 0, length)) continue;
      throw this.#broken(`something follows the end that is marked at offset ${at}`);
    }
  }

  /** A view that is valid until the next. */
  async #read(at: number, length: number): Promise<Buffer> {
    if (at + length > this.#file.size) throw this.#cutShort();
    if (length > WINDOW_BYTES) {
      const own = Buffer.alloc(length);
      if ((await this.#file.read(own, at)) < length) throw this.#cutShort();
      return own;
    }
    if (at < this.#windowAt || at + length > this.#windowAt + this.#windowLength) {
      this.#windowLength = await this.#file.read(this.#window, at);
      this.#windowAt = at;
      if (this.#windowLength < length) throw this.#cutShort();
    }
    return this.#window.subarray(at - this.#windowAt, at - this.#windowAt + length);
  }

  #cutShort(): UnpackError {
    return this.#broken(`it is cut short: it has ${exactSize(this.#file.size)}, and lacks the rest`);
  }

  #broken(fault: string): UnpackError {
    return brokenArchive(this.#file.location, fault);
  }
}

function normalize(path: string): string {
  const name = posix.normalize(path).replace(/^\/+|\/$/g, '');
  return name === '' ? '.' : name;
}

/** Names of an archive are bytes; those that mean something here are UTF-8. */
function textOf(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8');
}
