import { UnpackError } from '../../errors.js';
import { exactSize, formatSize, type UnpackLimits, unpackLimits } from '../../spec/index.js';
import { badArchive, limitExceeded } from '../terms/layer-fault.js';
import { type ComposedEntry, composeEntry, ExtendedHeaderReader } from './extended-headers.js';
import { checkCount, checkSparseMap, SparseMapReader } from './sparse-map.js';
import {
  type ArchiveBytes,
  archiveBytes,
  BLOCK_BYTES,
  isZero,
  readSparseExtension,
  readTarHeader,
  type SparseSegment,
  type TarEntry,
  type TarHeader,
} from './tar-header.js';

/**
 * Takes what a {@link TarReader} finds, in the archive's order. Each `entry` is followed by its data and one
 * `endEntry`.
 */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /**
   * Content as the archive has it: for a sparse file the segments one after another. The chunk is a view;
   * copy what has to last.
   */
  data(chunk: Buffer): void;
  endEntry(): void;
}

export type TarLimits = Pick<UnpackLimits, 'entriesPerLayer' | 'layerBytes' | 'paxBytes'>;

/** What is expected next. */
type State =
  | 'header'
  | 'extended'
  | { readonly sparseBlocksOf: ComposedEntry; readonly segments: SparseSegment[] }
  | { readonly sparseMapOf: ComposedEntry; readonly reader: SparseMapReader }
  | 'content'
  | 'padding'
  | 'end';

/**
 * Reads a tar archive from chunks of any size, in place: content is handed on as views, and only headers that
 * straddle two chunks and extended headers are copied.
 *
 * An archive ends with two blocks of zeros; what follows them is not looked at, as GNU tar does it. It may
 * end without them, and without the padding of its last entry, as some builders write it, if the last entry
 * is whole. No bytes at all are an archive without entries.
 *
 * Every method throws UnpackError: BAD_ARCHIVE, LIMIT_EXCEEDED, UNSUPPORTED_ENTRY, or what the handler
 * throws.
 */
export class TarReader {
  readonly #handler: TarHandler;
  readonly #limits: TarLimits;
  readonly #extended: ExtendedHeaderReader;
  #state: State = 'header';
  /** Bytes of the archive that are done with, for messages. */
  #offset = 0;
  #entries = 0;
  /** Extended attributes but for one of each entry. */
  #moreXattrs = 0;
  #zeroBlocks = 0;
  /** A block of which the chunks so far held only a part. */
  readonly #partial = archiveBytes(Buffer.alloc(BLOCK_BYTES));
  #partialLength = 0;
  /** Bytes of content still to come, and of padding after it. */
  #remaining = 0;
  #padding = 0;

  /** @param limits - `layerBytes` bounds each file once it is extracted, holes included */
  constructor(handler: TarHandler, limits: TarLimits = unpackLimits()) {
    this.#handler = handler;
    this.#limits = limits;
    this.#extended = new ExtendedHeaderReader(limits.paxBytes);
  }

  /** Entries so far, without extended headers. */
  get entries(): number {
    return this.#entries;
  }

  push(chunk: Buffer): void {
    const archive = archiveBytes(chunk);
    for (let at = 0; at < chunk.length && this.#state !== 'end';) {
      const end = this.#take(archive, at);
      this.#offset += end - at;
      at = end;
    }
  }

  /** The archive has no more bytes. */
  end(): void {
    if (this.#state === 'header' && !isZero(this.#partial.bytes, 0, this.#partialLength)) {
      throw this.#entries === 0 && !this.#extended.pending ? notTar() : this.#cutShort();
    }
    const atEnd = this.#state === 'header' || this.#state === 'padding' || this.#state === 'end';
    if (!atEnd) throw this.#cutShort();
    this.#checkNothingPending();
  }

  #cutShort(): Error {
    return badArchive(`the archive is cut short after ${exactSize(this.#offset)}`);
  }

  #checkNothingPending(): void {
    if (this.#extended.pending) {
      throw badArchive('the archive ends after an extended header, where its entry should be');
    }
  }

  /** Takes some of the chunk from `at` on; returns where the rest begins. */
  #take(archive: ArchiveBytes, at: number): number {
    const chunk = archive.bytes;
    switch (this.#state) {
      case 'extended':
        return this.#takeExtended(chunk, at);
      case 'content':
        return this.#takeContent(chunk, at);
      case 'padding': {
        const end = Math.min(chunk.length, at + this.#padding);
        this.#padding -= end - at;
        if (this.#padding === 0) this.#state = 'header';
        return end;
      }
      case 'end':
        return chunk.length;
      default:
        return this.#takeBlock(archive, at);
    }
  }

  #takeBlock(archive: ArchiveBytes, at: number): number {
    const chunk = archive.bytes;
    if (this.#partialLength === 0 && chunk.length - at >= BLOCK_BYTES) {
      this.#block(archive, at, this.#offset);
      return at + BLOCK_BYTES;
    }
    const offset = this.#offset - this.#partialLength;
    const end = Math.min(chunk.length, at + BLOCK_BYTES - this.#partialLength);
    chunk.copy(this.#partial.bytes, this.#partialLength, at, end);
    this.#partialLength += end - at;
    if (this.#partialLength === BLOCK_BYTES) {
      this.#partialLength = 0;
      this.#block(this.#partial, 0, offset);
    }
    return end;
  }

  /** `offset` is where the block stands in the archive. */
  #block(archive: ArchiveBytes, at: number, offset: number): void {
    if (typeof this.#state === 'string') this.#header(archive, at, offset);
    else if ('reader' in this.#state) this.#sparseMapBlock(this.#state, archive.bytes, at);
    else this.#sparseBlock(this.#state, archive.bytes, at);
  }

  #header(archive: ArchiveBytes, at: number, offset: number): void {
    const header = readHeader(archive, at, offset);
    if (header === undefined) {
      if (++this.#zeroBlocks < 2) return;
      this.#checkNothingPending();
      this.#state = 'end';
      return;
    }
    if (this.#zeroBlocks > 0) throw badArchive(`a lone block of zeros stands before offset ${offset}`);
    if (ExtendedHeaderReader.isExtended(header.typeflag)) this.#beginExtended(header);
    else this.#begin(header);
  }

  #beginExtended(header: TarHeader): void {
    this.#extended.begin(header);
    this.#padding = paddingOf(header.size);
    this.#state = this.#extended.isWhole ? 'header' : 'extended';
  }

  #takeExtended(chunk: Buffer, at: number): number {
    const end = this.#extended.take(chunk, at);
    if (this.#extended.isWhole) this.#state = this.#afterContent();
    return end;
  }

  #begin(header: TarHeader): void {
    const { entriesPerLayer, layerBytes } = this.#limits;
    if (++this.#entries > entriesPerLayer) {
      throw limitExceeded(`the layer has more than ${entriesPerLayer} entries`);
    }
    const composed = composeEntry(header, this.#extended);
    this.#extended.clear();
    const { entry, packedSize, mapFollows } = composed;
    this.#countXattrs(entry.xattrs.size);
    if (entry.size > layerBytes) {
      throw limitExceeded(
        `the file has ${exactSize(entry.size)}; the limit is ${formatSize(layerBytes)}`,
        entry.path,
      );
    }
    this.#padding = paddingOf(packedSize);
    switch (mapFollows) {
      case 'no':
        this.#emit(entry, packedSize);
        return;
      case 'in-header-blocks':
        this.#state = { sparseBlocksOf: composed, segments: [...(entry.sparse ?? [])] };
        return;
      case 'in-content':
        this.#state = { sparseMapOf: composed, reader: new SparseMapReader(entry.path) };
    }
  }

  /** A global header gives its attributes to every entry, so few bytes could ask for any number of them. */
  #countXattrs(count: number): void {
    this.#moreXattrs += Math.max(0, count - 1);
    const { entriesPerLayer } = this.#limits;
    if (this.#entries + this.#moreXattrs <= entriesPerLayer) return;
    throw limitExceeded(`the layer has more than ${entriesPerLayer} entries and extended attributes`);
  }

  #sparseBlock(state: Extract<State, { segments: unknown }>, block: Buffer, at: number): void {
    const { entry, packedSize } = state.sparseBlocksOf;
    const extension = readSparseExtension(block, at);
    for (const segment of extension.segments) state.segments.push(segment);
    checkCount(state.segments.length, entry.path);
    if (!extension.continues) this.#emit({ ...entry, sparse: state.segments }, packedSize);
  }

  #sparseMapBlock(state: Extract<State, { reader: unknown }>, block: Buffer, at: number): void {
    const { entry, packedSize } = state.sparseMapOf;
    if (state.reader.size + BLOCK_BYTES > packedSize) {
      throw badArchive('the map of a sparse file is longer than its content', entry.path);
    }
    const segments = state.reader.push(block, at);
    if (segments !== undefined) this.#emit({ ...entry, sparse: segments }, packedSize - state.reader.size);
  }

  #emit(entry: TarEntry, contentSize: number): void {
    if (entry.sparse !== undefined) checkSparseMap(entry.sparse, contentSize, entry.size, entry.path);
    this.#remaining = contentSize;
    this.#state = 'content';
    this.#handler.entry(entry);
    if (contentSize === 0) this.#endContent();
  }

  #takeContent(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#remaining);
    this.#handler.data(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end));
    this.#remaining -= end - at;
    if (this.#remaining === 0) this.#endContent();
    return end;
  }

  #endContent(): void {
    this.#state = this.#afterContent();
    this.#handler.endEntry();
  }

  #afterContent(): State {
    return this.#padding > 0 ? 'padding' : 'header';
  }
}

function readHeader(archive: ArchiveBytes, at: number, offset: number): TarHeader | undefined {
  try {
    return readTarHeader(archive, at);
  } catch (error) {
    if (offset === 0) throw notTar();
    throw error instanceof UnpackError ? badArchive(`${error.message}, at offset ${offset}`) : error;
  }
}

function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

function notTar(): Error {
  return badArchive('the layer is not a tar archive');
}
