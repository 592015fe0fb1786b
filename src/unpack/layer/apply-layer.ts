import { constants, readSync, statfsSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { type Abortable, systemCode, throwIfAborted, UnpackError } from '../../errors.js';
import { Digester, exactSize, LIMITS } from '../../spec/index.js';
import { SharedOffset } from '../../system/index.js';
import { TarReader } from '../tar/tar-reader.js';
import { decompress, warnOfCompression } from '../compression/decompress.js';
import { LayerBytes, type ThreadActivity } from '../jobs/shared-memory.js';
import { layerError, limitExceeded, Warnings } from '../terms/layer-fault.js';
import { LayerWriter } from './layer-writer.js';
import type { ApplyJob, ApplyResult } from '../jobs/apply-job.js';

export interface ApplyLayerOptions extends Abortable {
  /** Compressed bytes consumed so far. */
  onProgress?: ((bytes: number) => void) | undefined;
  /** Of the thread that this runs in; absent where nothing is known of others. */
  readonly activity?: ThreadActivity | undefined;
}

/**
 * One layer becomes one directory, in one pass: read, inflate, digest, untar. The blob's own digest and the
 * diffId are for the caller to verify before the directory is used; on an error the directory is left as it
 * is.
 *
 * @throws {UnpackError} UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED, NO_SPACE, FILESYSTEM,
 *   UNSUPPORTED, ABORTED; each names the layer, and the entry where it is about one
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
  const { blobSize: size, committedPath, sharedOffset } = job;
  const begun = performance.now();
  let waited = 0;
  const onWaited = (milliseconds: number): void => void (waited += milliseconds);
  const blob = readBlob(job.blobPath, { ...o, signal, size, committedPath, sharedOffset, onWaited });
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
      const imageBytes = budget.add(chunk.length);
      digester.update(chunk);
      reader.push(chunk);
      uncompressedSize += chunk.length;
      if (imageBytes > LIMITS.compressionRatioFrom && uncompressedSize > size * limits.lowSpaceRatio) {
        refuseLowSpace(job.directory, limits.lowSpaceRatio);
      }
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
      workMs: performance.now() - begun - waited,
    };
  } finally {
    writer.close();
    stop.abort();
    await blob.return();
  }
}

/**
 * Keeps a small layer from filling up a disk.
 *
 * @throws {UnpackError} LIMIT_EXCEEDED
 */
function refuseLowSpace(directory: string, ratio: number): void {
  const { bavail, blocks } = statfsSync(directory);
  // Some file systems do not say how large they are.
  if (blocks === 0 || bavail >= (blocks * LIMITS.lowSpacePercent) / 100) return;
  throw limitExceeded(
    `the layer is more than ${ratio} times as large as it was compressed, and less than ${LIMITS.lowSpacePercent} % of the disk is free`,
  );
}

/** Large enough that a system call is cheap, small enough that a growing blob is taken up soon. */
const CHUNK_BYTES = 256 * 1024;

export interface BlobReaderOptions extends Abortable {
  /** Bytes of the whole blob. */
  readonly size: number;
  /** Where the file is when it is not at its path any more, since the download ended before this began. */
  readonly committedPath?: string | undefined;
  /** The shared memory of the blob's {@link SharedOffset} while it grows; absent when it is whole. */
  readonly sharedOffset?: SharedArrayBuffer | undefined;
  /** Told while the reader waits at the offset. */
  readonly activity?: ThreadActivity | undefined;
  /** Milliseconds, after each wait at the offset. */
  readonly onWaited?: ((milliseconds: number) => void) | undefined;
  /** Bytes read so far, after each chunk. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Reads a blob's file from its start to its end, waiting at its offset while it grows. A chunk is valid until
 * the next is asked for. What is behind the offset was written just now, so it is read from memory, without a
 * turn of the thread pool.
 *
 * Errors: ABORTED by the signal, or (retryable) when the download that fills the file fails, whose own error
 * says why; FILESYSTEM when the file is shorter than it should be, and the kernel's own errors.
 */
export async function* readBlob(path: string, o: BlobReaderOptions): AsyncGenerator<Buffer, void, undefined> {
  const sharedOffset = o.sharedOffset === undefined ? undefined : new SharedOffset(o.sharedOffset);
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const file = await openBlob(path, o.committedPath);
  try {
    for (let at = 0; at < o.size;) {
      throwIfAborted(o.signal);
      const until = sharedOffset === undefined ? o.size : await readableUntil(sharedOffset, at, o);
      const bytesRead = readSync(file.fd, buffer, 0, Math.min(CHUNK_BYTES, until - at), at);
      if (bytesRead === 0) throw tooShort(path, at, o.size);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
      o.onProgress?.(at);
    }
  } finally {
    await file.close();
  }
}

/**
 * Neither a link is followed nor a pipe waited for: the blob may be one of a layout that another user wrote.
 */
const BLOB_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

async function openBlob(path: string, committedPath: string | undefined): Promise<FileHandle> {
  try {
    return await open(path, BLOB_FLAGS);
  } catch (error) {
    if (committedPath === undefined || systemCode(error) !== 'ENOENT') throw error;
    return open(committedPath, BLOB_FLAGS);
  }
}

/** Waits for bytes after `at`; how far the file can be read. */
async function readableUntil(sharedOffset: SharedOffset, at: number, o: BlobReaderOptions): Promise<number> {
  for (;;) {
    // The state is read first: bytes that were advanced before it changed are then seen.
    const state = sharedOffset.state;
    const bytes = Math.min(sharedOffset.bytes, o.size);
    if (state === 'failed')
      throw new UnpackError('ABORTED', 'the download of the layer failed', { retryable: true });
    if (state === 'complete') return o.size;
    if (bytes > at) return bytes;
    const since = performance.now();
    const more = sharedOffset.wait(at, { signal: o.signal });
    await (o.activity?.pausedFor(more) ?? more);
    o.onWaited?.(performance.now() - since);
  }
}

function tooShort(path: string, bytes: number, size: number): UnpackError {
  return new UnpackError(
    'FILESYSTEM',
    `the blob ${path} has ${exactSize(bytes)} instead of ${exactSize(size)}`,
    {
      details: { path, expected: String(size), actual: String(bytes) },
      hint: 'The store is damaged; remove the image and pull it again.',
    },
  );
}
