import { setImmediate } from 'node:timers/promises';
import { LandfallError, throwIfAborted, UnpackError, type Abortable } from '../errors.js';
import { compressionOf, Digester, type Digest } from '../spec/index.js';
import type { ApplyJob, ApplyResult } from './worker/apply-job.js';
import { readBlob } from './blob-reader.js';
import { decompress, type Compression } from './compression/decompress.js';
import { filesystemError } from './filesystem-error.js';
import { LayerWriter } from './layer/layer-writer.js';
import { TarReader } from './archive/tar-reader.js';
import { Warnings } from './warnings.js';

export interface ApplyLayerOptions extends Abortable {
  /** Compressed bytes consumed so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * One layer becomes one directory, in one pass: read, inflate, digest, untar. The blob's own digest and the diffId are
 * for the caller to verify before the directory is used; on an error the directory is left as it is.
 *
 * @throws {UnpackError} UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED, NO_SPACE, FILESYSTEM, UNSUPPORTED, ABORTED; each
 *   names the layer, and the entry where it is about one
 */
export async function applyLayer(job: ApplyJob, o: ApplyLayerOptions = {}): Promise<ApplyResult> {
  try {
    return await apply(job, o);
  } catch (error) {
    throw layerError(error, job.digest);
  }
}

async function apply(job: ApplyJob, o: ApplyLayerOptions): Promise<ApplyResult> {
  const { options } = job;
  const warnings = new Warnings();
  // A decoder may be waiting for bytes that are still to be downloaded when the archive turns out bad.
  const stop = new AbortController();
  const signal = o.signal === undefined ? stop.signal : AbortSignal.any([o.signal, stop.signal]);
  const { blobSize: size, committedPath, frontier } = job;
  const blob = readBlob(job.blobPath, { ...o, signal, size, committedPath, frontier });
  const writer = new LayerWriter(job.directory, { ...options, form: job.form, warnings });
  try {
    const reader = new TarReader(writer, { maxEntries: options.maxEntries, maxFileBytes: options.maxBytes });
    const { compression, chunks } = await decompress(blob, {
      maxBytes: options.maxBytes,
      compressedSize: job.blobSize,
    });
    warnIfUnexpected(compression, job, warnings);
    const digester = new Digester(job.diffIdAlgorithm ?? 'sha256');
    let uncompressedSize = 0;
    for await (const chunk of chunks) {
      throwIfAborted(o.signal);
      digester.update(chunk);
      reader.push(chunk);
      uncompressedSize += chunk.length;
      // Where nothing is waited for, an abort would not be heard.
      await setImmediate();
    }
    reader.end();
    const changes = writer.finish();
    return {
      diffId: digester.digest(),
      changes,
      entries: reader.entries,
      uncompressedSize,
      compression,
      warnings: warnings.list(),
    };
  } finally {
    writer.close();
    stop.abort();
    await blob.return();
  }
}

function warnIfUnexpected(found: Compression, job: ApplyJob, warnings: Warnings): void {
  const said = compressionOf(job.mediaType);
  if (said === undefined || said === found) return;
  const words = { none: 'not compressed', gzip: 'compressed with gzip', zstd: 'compressed with zstd' };
  warnings.once(
    'compression',
    `layer ${job.digest} is ${words[found]}, though its media type says ${job.mediaType}`,
  );
}

/** The same error, naming the layer. */
function layerError(error: unknown, digest: Digest): unknown {
  const known = filesystemError(error, 'unpacking the layer');
  if (known.code === 'ABORTED') return known;
  const options = {
    cause: known.cause ?? known,
    retryable: known.retryable,
    hint: known.hint,
  };
  const message = `layer ${digest}: ${known.message}`;
  if (!(known instanceof UnpackError))
    return new LandfallError(known.code, message, { ...options, details: known.details });
  return new UnpackError(known.code, message, { ...options, details: { ...known.details, layer: digest } });
}
