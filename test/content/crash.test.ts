import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { begin, describing, digestIn } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';
import { StoreProcess } from './start-store-process.js';

const SIZE = 4 * 1024 * 1024;

describe('a process that dies, or is not alone', () => {
  let scratch: ScratchRoot;
  let file: string;
  let bytes: Buffer;
  const running: StoreProcess[] = [];
  const start = (...args: string[]): StoreProcess => {
    const process = new StoreProcess(args);
    running.push(process);
    return process;
  };

  beforeEach(async () => {
    scratch = await scratchRoot();
    bytes = randomBytes(SIZE);
    file = join(scratch.root, '..', 'content');
    await writeFile(file, bytes);
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((process) => process.kill()));
    await scratch[Symbol.asyncDispose]();
  });

  const ingestDirectory = async (): Promise<string> => {
    const [name = ''] = await readdir(join(scratch.root, 'ingest'));
    return join(scratch.root, 'ingest', name);
  };

  it.each([
    ['in order: all that was written', 'half', SIZE / 2],
    ['out of order: what is contiguous', 'islands', SIZE / 4],
  ])('leaves a partial that another resumes, written %s', async (_, command, frontier) => {
    const process = start(command, scratch.root, file);
    expect(await process.said()).toEqual({ frontier });
    await process.kill();
    const descriptor = describing(bytes);
    expect(await scratch.store.info(descriptor.digest)).toBeUndefined();
    await using writer = await begin(scratch.store, descriptor);
    expect(writer.frontier).toBe(frontier);
    await writer.write(frontier, bytes.subarray(frontier));
    await writer.commit();
    expect(await digestIn(scratch.store, descriptor)).toBe(descriptor.digest);
    expect(await readdir(join(scratch.root, 'ingest'))).toEqual([]);
  });

  it.each([
    ['its state is lost', 'half', async (path: string) => writeFile(join(path, 'state.json'), '')],
    [
      'its state is not JSON',
      'half',
      async (path: string) => writeFile(join(path, 'state.json'), '{"size":'),
    ],
    ['its file is lost', 'half', async (path: string) => truncate(join(path, 'data'), 0)],
    [
      'its frontier makes no sense',
      'islands',
      async (path: string): Promise<void> => {
        const state = JSON.parse(await readFile(join(path, 'state.json'), 'utf8')) as object;
        await writeFile(join(path, 'state.json'), JSON.stringify({ ...state, frontier: -1 }));
      },
    ],
  ])('does not trust a partial when %s', async (_, command, damage) => {
    const process = start(command, scratch.root, file);
    await process.said();
    await process.kill();
    await damage(await ingestDirectory());
    await using writer = await begin(scratch.store, describing(bytes));
    expect(writer.frontier).toBe(0);
  });

  it('never takes the zeros for content that a power cut puts in place of it', async () => {
    const process = start('half', scratch.root, file);
    await process.said();
    await process.kill();
    const data = join(await ingestDirectory(), 'data');
    await truncate(data, 1000);
    await truncate(data, SIZE / 2);
    const descriptor = describing(bytes);
    const writer = await begin(scratch.store, descriptor);
    await writer.write(writer.frontier, bytes.subarray(writer.frontier));
    await expect(writer.commit()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', retryable: true });
    await using again = await begin(scratch.store, descriptor);
    expect(again.frontier).toBe(0);
    await again.write(0, bytes);
    await again.commit();
  });

  it('lets who waits take over at once when it dies', async () => {
    const process = start('half', scratch.root, file);
    await process.said();
    const waiting = begin(scratch.store, describing(bytes));
    await process.kill();
    await using writer = await waiting;
    expect(writer.frontier).toBe(SIZE / 2);
  });

  it('is waited for: an abort ends the wait, and the blob is in use', async () => {
    const process = start('half', scratch.root, file);
    await process.said();
    const descriptor = describing(bytes);
    const controller = new AbortController();
    const waiting = scratch.store.ingest(descriptor, { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(scratch.store.delete(descriptor.digest)).rejects.toMatchObject({ code: 'IN_USE' });
  });

  it('races with five others for the same blobs: each is written once', async () => {
    const files = [file];
    for (const name of ['second', 'third']) {
      files.push(join(scratch.root, '..', name));
      await writeFile(files.at(-1) ?? '', randomBytes(SIZE / 4));
    }
    const processes = Array.from({ length: 6 }, () => start('bring', scratch.root, ...files));
    for (const process of processes) expect(await process.said()).toBe('ready');
    for (const process of processes) process.go();
    const outcomes: unknown[] = [];
    for (const process of processes.flatMap((each) => files.map(() => each)))
      outcomes.push(await process.said());
    expect(await Promise.all(processes.map((process) => process.ended()))).toEqual([0, 0, 0, 0, 0, 0]);
    expect(outcomes.filter((outcome) => (outcome as { outcome: string }).outcome === 'committed')).toEqual(
      files.map(() => ({ outcome: 'committed', from: 0 })),
    );
    for (const each of files) {
      const descriptor = describing(await readFile(each));
      expect(await digestIn(scratch.store, descriptor)).toBe(descriptor.digest);
    }
    expect(await readdir(join(scratch.root, 'ingest'))).toEqual([]);
  });

  it('makes one store of an empty directory, when eight do so at once', async () => {
    const root = join(scratch.root, '..', 'new', 'store');
    const processes = Array.from({ length: 8 }, () => start('open', root));
    for (const process of processes) expect(await process.said()).toBe('ready');
    for (const process of processes) process.go();
    for (const process of processes) expect(await process.said()).toBe('opened');
    expect(await Promise.all(processes.map((process) => process.ended()))).toEqual(Array(8).fill(0));
    // Two that close at the same moment may each leave SQLite's own files to the other.
    const names = (await readdir(root)).filter((name) => !/-(?:wal|shm)$/.test(name));
    expect(names.sort()).toEqual(['blobs', 'index.json', 'ingest', 'metadata.db', 'oci-layout', 'snapshots']);
  });

  it('puts images beside others that do so: the index has all of them', async () => {
    const processes = Array.from({ length: 4 }, () => start('images', scratch.root, file, file, file));
    for (const process of processes) expect(await process.said()).toBe('put');
    const index = JSON.parse(await readFile(join(scratch.root, 'index.json'), 'utf8')) as {
      manifests: unknown[];
    };
    expect(index.manifests).toHaveLength(12);
    expect(await scratch.database.all('SELECT * FROM pending')).toEqual([]);
    expect(await readdir(join(scratch.root, 'ingest'))).toEqual([]);
  });

  it('finds no space, leaves a sound store and a partial, and goes on when there is some', async () => {
    const root = join(scratch.root, '..', 'small');
    await mkdir(root);
    // In a mount namespace of its own, so the small file system goes with the process.
    const process = new StoreProcess(['fill', root, file], ['unshare', '-m']);
    running.push(process);
    const report = (await process.said()) as { frontier: number; next: { from: number } };
    expect(report).toMatchObject({
      write: {
        name: 'ContentError',
        code: 'NO_SPACE',
        hint: expect.stringContaining('Free some space') as string,
      },
      info: null,
      next: { outcome: 'committed' },
      integrity: { integrity_check: 'ok' },
    });
    expect(report.frontier).toBeGreaterThan(0);
    // The last write may have brought a part of its bytes in before it failed.
    expect(report.next.from).toBeGreaterThanOrEqual(report.frontier);
    expect(await process.ended()).toBe(0);
  });
});
