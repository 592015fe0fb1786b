import { compressionOf, type Digest, formatSize, LIMITS, type UnpackLimits } from '../../spec/index.js';
import { createInflater } from '../../system/index.js';
import { limitExceeded, type Warnings } from '../terms/layer-fault.js';
import { gunzip, gunzipByStream, type GunzipOptions } from './gunzip.js';
import { type GzipDecompressor, gzipDecompressor, type InflateChoice } from './inflate-choice.js';
import { unzstd } from './unzstd.js';

export type Compression = 'none' | 'gzip' | 'zstd';

/** What decompressed a layer. */
export type Decompressor = GzipDecompressor | 'zstd' | 'none';

export interface DecompressOptions extends GunzipOptions {
  readonly limits: Pick<UnpackLimits, 'layerBytes' | 'compressionRatio'>;
  /** Bytes of the compressed layer, for the ratio. */
  readonly compressedSize: number;
  /** Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
}

export interface Decompressed {
  readonly compression: Compression;
  readonly decompressor: Decompressor;
  /** Each chunk is valid until the next is asked for. */
  readonly chunks: AsyncIterable<Buffer>;
}

/** The longest of the magic numbers below. */
const MAGIC_BYTES = 4;

/**
 * Decompresses a layer by what its bytes say, whatever its media type says. Trailing padding of zeros is
 * accepted. The source is not ended when whoever reads the chunks stops early.
 *
 * Errors, some of them while the chunks are read: BAD_ARCHIVE for damage, truncation or anything but zeros
 * behind the compressed data; LIMIT_EXCEEDED as soon as there are more bytes than allowed, or more than any
 * honest compression gives; UNSUPPORTED where what has to decompress it is not here; and what the source
 * throws.
 */
export async function decompress(
  source: AsyncIterable<Buffer>,
  options: DecompressOptions,
): Promise<Decompressed> {
  const iterator = source[Symbol.asyncIterator]();
  const head = await readHead(iterator);
  const compression = compressionOfBytes(head);
  const decompressor = compression === 'gzip' ? gzipDecompressor(options.inflate ?? 'auto') : compression;
  const chunks = decode(prepend(head, iterator), decompressor, options);
  return { compression, decompressor, chunks: limited(chunks, options) };
}

/**
 * What the first bytes say (RFC 1952 section 2.3.1; RFC 8878 sections 3.1.1 and 3.1.2); four of them are
 * enough.
 */
export function compressionOfBytes(head: Buffer): Compression {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head.length < 4) return 'none';
  const magic = head.readUInt32LE(0);
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? 'zstd' : 'none';
}

function decode(
  input: AsyncIterableIterator<Buffer>,
  decompressor: Decompressor,
  o: GunzipOptions,
): AsyncIterable<Buffer> {
  switch (decompressor) {
    case 'isa-l':
    case 'zlib':
      return gunzip(input, createInflater(decompressor), o);
    case 'zlib-stream':
      return gunzipByStream(input);
    case 'zstd':
      return unzstd(input);
    case 'none':
      return input;
  }
}

/** The first chunk, or several of them joined until a magic number fits. */
async function readHead(iterator: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const next = await iterator.next();
    if (next.done === true) return head;
    // A copy where there is more to come, since the source may use the memory again.
    head =
      head.length === 0 && next.value.length >= MAGIC_BYTES ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

async function* prepend(
  head: Buffer,
  iterator: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  if (head.length > 0) yield head;
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
}

async function* limited(
  chunks: AsyncIterable<Buffer>,
  { limits, compressedSize }: DecompressOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const byRatio = Math.max(LIMITS.compressionRatioFrom, compressedSize * limits.compressionRatio);
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > limits.layerBytes) {
      throw limitExceeded(`the layer has more than ${formatSize(limits.layerBytes)} uncompressed`);
    }
    if (bytes > byRatio) {
      throw limitExceeded(
        `the layer is more than ${limits.compressionRatio} times as large as it was compressed`,
      );
    }
    yield chunk;
  }
}

const WORDS: Readonly<Record<Compression, string>> = {
  none: 'not compressed',
  gzip: 'compressed with gzip',
  zstd: 'compressed with zstd',
};

/** Warns where a layer's bytes are not what its media type says; they are what counts. */
export function warnOfCompression(
  found: Compression,
  layer: { readonly digest: Digest; readonly mediaType: string },
  warnings: Warnings,
): void {
  const said = compressionOf(layer.mediaType);
  if (said === undefined || said === found) return;
  warnings.once(
    'compression',
    `layer ${layer.digest} is ${WORDS[found]}, though its media type says ${layer.mediaType}`,
  );
}
