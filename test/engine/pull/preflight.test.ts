import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requireSpace } from '../../../src/engine/pull/require-space.js';
import { type Descriptor, digestOf } from '../../../src/spec/index.js';
import { put } from '../../content/blobs.js';
import { type ScratchRoot, scratchRoot } from '../../content/scratch-root.js';
import { StoreProcess } from '../../content/start-store-process.js';
import { MOUNT_NAMESPACE } from '../../support/needs-root.js';

/** More than any disk has. */
const HUGE = 2 ** 52;
const descriptor = (name: string, size: number): Descriptor => ({
  mediaType: 'application/octet-stream',
  digest: digestOf(Buffer.from(name)),
  size,
});

describe('requireSpace', () => {
  let scratch: ScratchRoot;
  beforeEach(async () => {
    scratch = await scratchRoot();
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  const require = (descriptors: readonly Descriptor[], signal?: AbortSignal): Promise<void> =>
    requireSpace({
      root: scratch.root,
      content: scratch.store,
      descriptors,
      ...(signal === undefined ? {} : { signal }),
    });

  it('lets pass what fits, and nothing at all', async () => {
    await require([]);
    await require([descriptor('a', 1), descriptor('b', 0)]);
  });

  it('refuses what cannot fit, and says how much is needed and free', async () => {
    await expect(require([descriptor('a', HUGE), descriptor('b', 7)])).rejects.toMatchObject({
      code: 'NO_SPACE',
      retryable: false,
      details: { path: scratch.root, needed: HUGE + 7, available: expect.any(Number) as number },
      hint: expect.stringContaining('landfall gc') as string,
    });
  });

  it('does not count what is here', async () => {
    const here = await put(scratch.store, Buffer.from('here'));
    await require([{ ...here, size: HUGE }]);
  });

  it('counts each digest once', async () => {
    const refused = require([descriptor('a', HUGE), descriptor('a', HUGE)]);
    await expect(refused).rejects.toMatchObject({ details: { needed: HUGE } });
  });

  it('does not count what partials have, wherever that lies in them', async () => {
    const bytes = Buffer.alloc(1_000_000, 7);
    const partial = { ...descriptor('partial', HUGE), digest: digestOf(bytes) };
    await (async () => {
      await using writer = await scratch.store.ingest(partial);
      await writer?.write(0, bytes.subarray(0, 1000));
      await writer?.write(500_000, bytes.subarray(500_000, 502_000));
    })();
    await expect(require([partial, descriptor('a', 10)])).rejects.toMatchObject({
      details: { needed: HUGE - 3000 + 10 },
    });
    // One that has more than the blob has gives nothing to the others.
    await expect(require([{ ...partial, size: 5 }, descriptor('a', HUGE)])).rejects.toMatchObject({
      details: { needed: HUGE },
    });
  });

  it('can be told to stop', async () => {
    await expect(require([descriptor('a', 1)], AbortSignal.abort())).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });

  it('keeps nobody from trying where the file system does not say', async () => {
    await requireSpace({
      root: join(scratch.root, 'missing'),
      content: scratch.store,
      descriptors: [descriptor('a', HUGE)],
    });
  });

  it('knows to the byte what is free on a small file system', async () => {
    const root = join(scratch.root, '..', 'small');
    await mkdir(root);
    const process = new StoreProcess(['fillPreflight', root], ['unshare', MOUNT_NAMESPACE]);
    const { available, exact, more } = (await process.said()) as Record<string, unknown>;
    expect(available).toBeGreaterThan(1_000_000);
    expect(available).toBeLessThan(4 * 1024 * 1024);
    expect([exact, more]).toEqual([null, { code: 'NO_SPACE', needed: Number(available) + 1, available }]);
    expect(await process.ended()).toBe(0);
  });
});
