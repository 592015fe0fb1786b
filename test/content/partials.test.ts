import { mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { expirePartials, listPartials } from '../../src/content/index.js';
import { partialProgress } from '../../src/content/store/ingest-directory.js';
import { encodedOf } from '../../src/spec/index.js';
import { begin, describing } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

const HOUR = 3_600_000;
const bytes = Buffer.from('some content');
const descriptor = describing(bytes);

describe('partials', () => {
  let scratch: ScratchRoot;
  let ingest: string;
  beforeEach(async () => {
    scratch = await scratchRoot();
    ingest = join(scratch.root, 'ingest');
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  const name = `sha256-${encodedOf(descriptor.digest)}`;
  const leave = async (): Promise<void> => {
    await using writer = await scratch.store.ingest(descriptor, { source: 'quay.io/a/b' });
    await writer?.write(0, bytes.subarray(0, 4));
  };
  const age = async (path: string): Promise<void> => {
    const time = new Date(Date.now() - 2 * HOUR);
    await utimes(path, time, time);
  };

  it('that are links are neither followed nor emptied, and make room for an ingest', async () => {
    const elsewhere = join(scratch.root, '..', `${name}-elsewhere`);
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, 'data'), bytes);
    await age(join(elsewhere, 'data'));
    await symlink(elsewhere, join(ingest, name));
    expect(await expirePartials(scratch.root, { olderThanMs: HOUR })).toEqual([]);
    expect(await readdir(elsewhere)).toEqual(['data']);
    await using writer = await begin(scratch.store, descriptor);
    await writer.write(0, bytes);
    await writer.commit();
    expect(await readdir(elsewhere)).toEqual(['data']);
  });

  it('are listed with what is known of them', async () => {
    await leave();
    expect(await listPartials(scratch.root)).toEqual([
      {
        digest: descriptor.digest,
        bytes: 4,
        size: bytes.length,
        source: 'quay.io/a/b',
        updatedAt: expect.any(Date) as Date,
        inFlight: false,
      },
    ]);
    // To look is not to touch.
    expect((await readdir(join(ingest, name))).sort()).toEqual(['data', 'lock', 'state.json']);
  });

  it('are told apart from what is in flight', async () => {
    await using writer = await begin(scratch.store, descriptor);
    await writer.write(0, bytes);
    expect(await listPartials(scratch.root)).toMatchObject([{ bytes: bytes.length, inFlight: true }]);
    await writer.commit();
    expect(await listPartials(scratch.root)).toEqual([]);
  });

  it('are listed though their state is lost', async () => {
    await leave();
    await writeFile(join(ingest, name, 'state.json'), '');
    expect(await listPartials(scratch.root)).toMatchObject([{ digest: descriptor.digest, bytes: 4 }]);
  });

  it('expire when nothing came for long enough', async () => {
    await leave();
    expect(await expirePartials(scratch.root, { olderThanMs: HOUR })).toEqual([]);
    await age(join(ingest, name, 'data'));
    expect(await expirePartials(scratch.root, { olderThanMs: HOUR, dryRun: true })).toMatchObject([
      { bytes: 4 },
    ]);
    expect(await readdir(ingest)).toEqual([name]);
    expect(await expirePartials(scratch.root, { olderThanMs: HOUR })).toMatchObject([
      { digest: descriptor.digest, bytes: 4 },
    ]);
    expect(await readdir(ingest)).toEqual([]);
  });

  it('never expire while they are being written', async () => {
    await using writer = await begin(scratch.store, descriptor);
    await writer.write(0, bytes.subarray(0, 4));
    await age(join(ingest, name, 'data'));
    expect(await expirePartials(scratch.root, { olderThanMs: 0 })).toEqual([]);
    await writer.write(4, bytes.subarray(4));
    await writer.commit();
  });

  it('expire with what a process that died left beside them, and with nothing else', async () => {
    const names = ['index.json.1234.tmp', name, 'notes', 'sha256-short'];
    await writeFile(join(ingest, 'index.json.1234.tmp'), '');
    await writeFile(join(ingest, 'notes'), '');
    await mkdir(join(ingest, name));
    await mkdir(join(ingest, 'sha256-short'));
    for (const each of names) await age(join(ingest, each));
    await writeFile(join(ingest, 'index.json.young.tmp'), '');
    await expirePartials(scratch.root, { olderThanMs: HOUR });
    expect((await readdir(ingest)).sort()).toEqual(['index.json.young.tmp', 'notes', 'sha256-short']);
  });

  it('lose what a process that died left within them, but not when it is only asked what would go', async () => {
    await leave();
    await writeFile(join(ingest, name, 'state.json.1234'), '{');
    await expirePartials(scratch.root, { olderThanMs: HOUR, dryRun: true });
    expect(await readdir(join(ingest, name))).toContain('state.json.1234');
    await expirePartials(scratch.root, { olderThanMs: HOUR });
    expect((await readdir(join(ingest, name))).sort()).toEqual(['data', 'lock', 'state.json']);
  });

  it('say how much is here of one that came in no order', async () => {
    await (async () => {
      await using writer = await begin(scratch.store, descriptor);
      await writer.write(0, bytes.subarray(0, 2));
      await writer.write(6, bytes.subarray(6, 9));
    })();
    expect(await listPartials(scratch.root)).toMatchObject([{ bytes: 5, size: bytes.length }]);
  });

  it('have no progress to tell of once they became a blob', async () => {
    const path = join(ingest, name);
    const writer = await begin(scratch.store, descriptor);
    await writer.write(0, bytes);
    expect((await partialProgress(path))?.bytes).toBe(bytes.length);
    await writer.commit();
    // Its directory is there until the writer is closed.
    expect(await partialProgress(path)).toBeUndefined();
    await writer[Symbol.asyncDispose]();
    expect(await partialProgress(path)).toBeUndefined();
  });

  it('stop expiring when they are told to', async () => {
    await leave();
    const signal = AbortSignal.abort();
    await expect(expirePartials(scratch.root, { olderThanMs: 0, signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(await readdir(ingest)).toEqual([name]);
  });
});
