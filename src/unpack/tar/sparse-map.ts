import { LIMITS } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { badArchive, limitExceeded } from '../terms/layer-fault.js';
import { BLOCK_BYTES, type SparseSegment } from './tar-header.js';

/** One segment takes two numbers; so many bytes of map hold more segments than any honest file has. */
const MAX_SEGMENTS = LIMITS.paxBytes / 16;

/**
 * Holds a map against its file: in order, within the file, and as long in all as the content that follows.
 *
 * @throws {UnpackError} BAD_ARCHIVE
 */
export function checkSparseMap(
  segments: readonly SparseSegment[],
  packedSize: number,
  realSize: number,
  path: BytePath,
): void {
  let end = 0;
  let packed = 0;
  for (const { offset, length } of segments) {
    const valid =
      offset >= end && length >= 0 && Number.isSafeInteger(offset + length) && offset + length <= realSize;
    if (!valid) throw badArchive('the map of a sparse file is not in order, or leaves the file', path);
    end = offset + length;
    packed += length;
  }
  if (packed !== packedSize) throw badArchive('the map of a sparse file does not fit its content', path);
}

/** A map of GNU's formats 0.0 and 0.1: pairs of decimal numbers. */
export function parseSparsePairs(texts: readonly string[], path: BytePath): SparseSegment[] {
  if (texts.length % 2 !== 0) throw badArchive('the map of a sparse file has an odd count', path);
  const segments: SparseSegment[] = [];
  for (let i = 0; i < texts.length; i += 2) {
    segments.push({ offset: decimal(texts[i] ?? '', path), length: decimal(texts[i + 1] ?? '', path) });
  }
  checkCount(segments.length, path);
  return segments;
}

export function checkCount(segments: number, path: BytePath): void {
  if (segments > MAX_SEGMENTS)
    throw limitExceeded(`a sparse file has more than ${MAX_SEGMENTS} segments`, path);
}

function decimal(text: string, path: BytePath): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value))
    throw badArchive('the map of a sparse file has something other than a number', path);
  return value;
}

/**
 * The map of GNU's format 1.0, which stands before the content: decimal numbers, one a line, first their
 * pairs' count, then offset and length of each; padded to whole blocks.
 */
export class SparseMapReader {
  readonly #path: BytePath;
  readonly #numbers: string[] = [];
  #rest = '';
  /** Bytes of the map so far. */
  size = 0;

  constructor(path: BytePath) {
    this.#path = path;
  }

  /** Takes the next block; the map when it is whole, else undefined. */
  push(block: Buffer, at: number): SparseSegment[] | undefined {
    this.size += BLOCK_BYTES;
    const lines = (this.#rest + block.toString('latin1', at, at + BLOCK_BYTES)).split('\n');
    this.#rest = lines.pop() ?? '';
    if (lines.length === 0)
      throw badArchive('the map of a sparse file has something other than a number', this.#path);
    for (const line of lines) this.#numbers.push(line);
    const count = decimal(this.#numbers[0] ?? '', this.#path);
    checkCount(count, this.#path);
    const wanted = 1 + 2 * count;
    if (this.#numbers.length < wanted) return undefined;
    return parseSparsePairs(this.#numbers.slice(1, wanted), this.#path);
  }
}
