import { describe, expect, it } from 'vitest';
import { deferred } from '../../src/concurrency/index.js';
import { ContentError, UnpackError } from '../../src/errors.js';
import { digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { SharedOffset } from '../../src/system/index.js';
import { applyOptions, extractLayer } from '../../src/unpack/unpacker.js';
import type { WorkerPool } from '../../src/unpack/workers/worker-pool.js';
import { failure } from '../support/registry-fixture.js';

const bytes = Buffer.from('a layer');
const digest = digestOf(bytes);

/** Extracts with a thread that fails like this, from a source of which the test says what becomes of it. */
function extracting(
  error: Error,
  sharedOffset: SharedOffset,
): { failed: ReturnType<typeof failure>; isOver: () => boolean; wrong: (error: Error) => void } {
  const verified = deferred<undefined>();
  const pool: Pick<WorkerPool, 'run'> = { run: () => Promise.reject(error) };
  let over = false;
  const failed = failure(
    extractLayer({
      layer: {
        descriptor: { mediaType: MEDIA_TYPES.ociLayer, digest, size: bytes.length },
        diffId: digest,
        open: () => Promise.reject(new Error('it is open')),
      },
      source: { path: '/nonexistent', shared: sharedOffset.buffer, verified: verified.promise },
      directory: { path: '/nonexistent' },
      pool,
      options: applyOptions({}),
    }),
  );
  void failed.then(() => (over = true));
  return { failed, isOver: () => over, wrong: verified.reject };
}

describe('a thread that fails', () => {
  it.each([
    ['since no more of the blob comes', new UnpackError('ABORTED', 'the download of the layer failed')],
    ['since the blob was thrown away', new UnpackError('FILESYSTEM', 'no such file')],
  ])('%s: what is wrong with the blob is told, also where that is known later', async (_name, error) => {
    const sharedOffset = new SharedOffset();
    sharedOffset.fail();
    const { failed, isOver, wrong } = extracting(error, sharedOffset);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver()).toBe(false);
    wrong(new ContentError('DIGEST_MISMATCH', 'other bytes'));
    expect((await failed).code).toBe('DIGEST_MISMATCH');
  });

  it('for a reason of its own while the blob still comes: that is told at once', async () => {
    const { failed } = extracting(new UnpackError('NO_SPACE', 'full'), new SharedOffset());
    expect((await failed).code).toBe('NO_SPACE');
  });
});
