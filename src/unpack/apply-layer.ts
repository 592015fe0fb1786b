import { setImmediate } from 'node:timers/promises';
import { throwIfAborted, type Abortable } from '../errors.js';
import { Digester } from '../spec/index.js';
import type { ApplyJob, ApplyResult } from './worker/apply-job.js';
import { readBlob } from './blob-reader.js';
import { decompress } from './compression/decompress.js';
import { LayerBytes } from './image-budget.js';
import { layerError } from './layer-error.js';
import { LayerWriter } from './layer/layer-writer.js';
import { TarReader } from './archive/tar-reader.js';
import { warnOfCompression } from './compression/warn-of-compression.js';
import { Warnings } from './warnings.js';
import type { ThreadActivity } from './worker/thread-activity.js';

export interface ApplyLayerOptions extends Abortable {
  /** Compressed bytes consumed so far. */
  onProgress?: ((bytes: number) => void) | undefined;
  /** Of the thread that this runs in; absent where nothing is known of others. */
  readonly activity?: ThreadActivity | undefined;
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
  const writer = new LayerWriter(job.directory, { ...options, warnings });
  try {
    const { limits } = options;
    const reader = new TarReader(writer, limits);
    const budget = new LayerBytes(limits.imageBytes, job.budget);
    const { compression, decompressor, chunks } = await decompress(blob, {
      limits,
      compressedSize: job.blobSize,
      inflate: options.inflate,
      overlap: () => o.activity?.coresIdle ?? false,
    });
    warnOfCompression(compression, job, warnings);
    const digester = new Digester(job.diffIdAlgorithm ?? 'sha256');
    let uncompressedSize = 0;
    for await (const chunk of chunks) {
      throwIfAborted(o.signal);
      budget.add(chunk.length);
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
      decompressor,
      omitted: writer.omitted,
      warnings: warnings.list(),
    };
  } finally {
    writer.close();
    stop.abort();
    await blob.return();
  }
}
