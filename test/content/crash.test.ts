import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { type BlobInfo, expirePartials, removeOrphanBlobs } from '../../src/content/index.js';
import { encodedOf } from '../../src/spec/index.js';
import { MOUNT_NAMESPACE } from '../support/needs-root.js';
import { begin, describing, digestIn } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';
import { StoreProcess } from './start-store-process.js';

const MiB = 1024 * 1024;
const SIZE = 4 * MiB;

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

  /** On a file system of 4 MiB, in a mount namespace of its own, so that it goes with the process. */
  const startSmall = async (command: string, ...files: string[]): Promise<StoreProcess> => {
    const root = join(scratch.root, '..', 'small');
    await mkdir(root);
    const process = new StoreProcess([command, root, ...files], ['unshare', MOUNT_NAMESPACE]);
    running.push(process);
    return process;
  };

  const ingestDirectory = async (): Promise<string> => {
    const [name = ''] = await readdir(join(scratch.root, 'ingest'));
    return join(scratch.root, 'ingest', name);
  };

  const listed = async (): Promise<BlobInfo[]> => {
    const blobs: BlobInfo[] = [];
    for await (const info of scratch.store.list()) blobs.push(info);
    return blobs;
  };

  /** Collects, and expects that nothing is left in `ingest/`, and in `blobs/` just what has a row. */
  const clean = async (): Promise<void> => {
    await expirePartials(scratch.root, { olderThanMs: 0 });
    await removeOrphanBlobs(scratch.root, scratch.database);
    expect(await readdir(join(scratch.root, 'ingest'))).toEqual([]);
    const rows = (await listed()).map(({ digest }) => encodedOf(digest));
    const files = await readdir(join(scratch.root, 'blobs', 'sha256'));
    // A deletion that died may leave a file that the collection takes; never a row without a file.
    expect(files.sort()).toEqual(rows.sort());
  };

  it.each([
    ['in order: all that was written', 'half', SIZE / 2],
    ['out of order: what was recorded', 'islands', SIZE / 4],
  ])('leaves a partial that another resumes, written %s', async (_, command, offset) => {
    const process = start(command, scratch.root, file);
    expect(await process.said()).toEqual({ offset });
    await process.kill();
    const descriptor = describing(bytes);
    expect(await scratch.store.info(descriptor.digest)).toBeUndefined();
    await using writer = await begin(scratch.store, descriptor);
    expect(writer.offset).toBe(offset);
    await writer.write(offset, bytes.subarray(offset));
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
      'what it says of its bytes makes no sense',
      'islands',
      async (path: string): Promise<void> => {
        const state = JSON.parse(await readFile(join(path, 'state.json'), 'utf8')) as object;
        await writeFile(
          join(path, 'state.json'),
          JSON.stringify({ ...state, spans: [{ start: 0, end: -1 }] }),
        );
      },
    ],
  ])('does not trust a partial when %s', async (_, command, damage) => {
    const process = start(command, scratch.root, file);
    await process.said();
    await process.kill();
    await damage(await ingestDirectory());
    await using writer = await begin(scratch.store, describing(bytes));
    expect(writer.offset).toBe(0);
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
    await writer.write(writer.offset, bytes.subarray(writer.offset));
    await expect(writer.commit()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', retryable: true });
    await using again = await begin(scratch.store, descriptor);
    expect(again.offset).toBe(0);
    await again.write(0, bytes);
    await again.commit();
  });

  it('leaves of what it wrote in no order all but the last 2 MiB, of which nothing comes again', async () => {
    const large = randomBytes(48 * MiB);
    await writeFile(file, large);
    const process = start('scattered', scratch.root, file);
    const written = (await process.said()) as number[];
    await process.kill();
    const descriptor = describing(large);
    await using writer = await begin(scratch.store, descriptor);
    const missing = writer.missing();
    const kept = large.length - missing.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(written.length * MiB - kept).toBeLessThanOrEqual(2 * MiB);
    const isMissing = (at: number): boolean => missing.some(({ start, end }) => at >= start && at < end);
    for (let at = 0; at < large.length; at += MiB)
      expect(written.includes(at) || isMissing(at), `${at}`).toBe(true);
    // The file may have anything where nothing is recorded, and what is recorded is not written again.
    for (const { start, end } of missing) await writer.write(start, large.subarray(start, end));
    await writer.commit();
    expect(await digestIn(scratch.store, descriptor)).toBe(descriptor.digest);
  });

  it('leaves of what came in eight parts at once all but the last 2 MiB', async () => {
    const large = randomBytes(48 * MiB);
    await writeFile(file, large);
    const process = start('parts', scratch.root, file);
    const written = (await process.said()) as number;
    await process.kill();
    const descriptor = describing(large);
    await using writer = await begin(scratch.store, descriptor);
    const missing = writer.missing();
    const kept = large.length - missing.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(written - kept).toBeLessThanOrEqual(2 * MiB);
    for (const { start, end } of missing) await writer.write(start, large.subarray(start, end));
    await writer.commit();
    expect(await digestIn(scratch.store, descriptor)).toBe(descriptor.digest);
  });

  it.each([
    ['half', SIZE / 2],
    ['islands', SIZE / 4],
  ])(
    'lets who waits see how far it is, and take over at once when it dies, with the %s',
    async (command, bytesHere) => {
      const process = start(command, scratch.root, file);
      await process.said();
      const reported: unknown[] = [];
      const options = { onWait: (progress: unknown): unknown => reported.push(progress) };
      const waiting = scratch.store.ingest(describing(bytes), options);
      // One who waits in this process for the one who waits for the other process sees the same.
      const reportedBeside: unknown[] = [];
      const beside = scratch.store.ingest(describing(bytes), {
        onWait: (progress) => reportedBeside.push(progress),
      });
      const progress = { bytes: bytesHere, size: SIZE };
      // prettier-ignore
      await vi.waitFor(() => expect([reported, reportedBeside]).toEqual([expect.arrayContaining([progress]), expect.arrayContaining([progress])]), { timeout: 30_000 });
      await process.kill();
      await using writer = await waiting;
      expect(writer?.offset).toBe(bytesHere);
      await writer?.write(0, bytes);
      await writer?.commit();
      expect(await beside).toBeUndefined();
    },
  );

  it.each([
    ['verified', 'committed'],
    ['synced', 'committed'],
    ['renamed', 'present'],
    ['directory-synced', 'present'],
    ['recorded', 'present'],
  ])('dies in a commit, when it has %s: nothing comes again', async (point, outcome) => {
    const process = new StoreProcess(
      ['bring', scratch.root, file],
      ['env', `LANDFALL_FAULT_POINT=blob-commit:${point}`],
    );
    running.push(process);
    await process.said();
    process.go();
    expect(await process.ended()).toBeNull();
    const descriptor = describing(bytes);
    // Visible only where the row is, and then whole.
    const visible = await scratch.store.info(descriptor.digest);
    expect(visible !== undefined).toBe(point === 'recorded');
    const next = start('bring', scratch.root, file);
    await next.said();
    next.go();
    expect(await next.said()).toMatchObject({ outcome, ...(outcome === 'committed' ? { missing: [] } : {}) });
    expect(await digestIn(scratch.store, descriptor)).toBe(descriptor.digest);
    await clean();
  });

  it.each(['verified', 'synced', 'renamed', 'directory-synced', 'recorded'])(
    'dies in a commit, when it has %s: a collection leaves nothing of it that has no row',
    async (point) => {
      const process = new StoreProcess(
        ['bring', scratch.root, file],
        ['env', `LANDFALL_FAULT_POINT=blob-commit:${point}`],
      );
      running.push(process);
      await process.said();
      process.go();
      await process.ended();
      await clean();
    },
  );

  it('dies anywhere while it brings in, deletes and discards: a collection leaves nothing of it', async () => {
    const small = join(scratch.root, '..', 'small-content');
    await writeFile(small, randomBytes(100_000));
    for (let round = 0; round < 8; round += 1) {
      const processes = [start('churn', scratch.root, small), start('churn', scratch.root, small)];
      for (const process of processes) await process.said();
      await sleep(20 + Math.random() * 100);
      await Promise.all(processes.map((process) => process.kill()));
      for (const info of await listed()) {
        const descriptor = { mediaType: 'application/octet-stream', digest: info.digest, size: info.size };
        if ((await scratch.store.info(info.digest)) !== undefined)
          expect(await digestIn(scratch.store, descriptor)).toBe(info.digest);
      }
      await clean();
    }
  });

  it('dies in a commit, and somebody who may not write what is read-only goes on', async () => {
    const writer = await begin(scratch.store, describing(bytes));
    await writer.write(0, bytes.subarray(0, SIZE / 2));
    await writer[Symbol.asyncDispose]();
    await chmod(join(await ingestDirectory(), 'data'), 0o444);
    await chmod(join(scratch.root, '..'), 0o711);
    const other = join(scratch.root, '..', 'other');
    await writeFile(other, 'other');
    const process = start('unprivileged', scratch.root, file, other);
    expect(await process.said()).toMatchObject({ outcome: 'committed', from: SIZE / 2 });
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
      files.map(() => expect.objectContaining({ outcome: 'committed', from: 0 }) as unknown),
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
    expect(names.sort()).toEqual([
      'blobs',
      'index.json',
      'ingest',
      'metadata.db',
      'oci-layout',
      'reserve',
      'snapshots',
    ]);
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
    const process = await startSmall('fill', file);
    const report = (await process.said()) as { offset: number; next: { from: number } };
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
    expect(report.offset).toBeGreaterThan(0);
    // The last write may have brought a part of its bytes in before it failed.
    expect(report.next.from).toBeGreaterThanOrEqual(report.offset);
    expect(await process.ended()).toBe(0);
  });

  it('finds no space for bytes in no order: what arrived does not come again', async () => {
    const process = await startSmall('fillScattered', file);
    const report = (await process.said()) as {
      written: number;
      next: { missing: { start: number; end: number }[] };
    };
    expect(report).toMatchObject({
      write: { code: 'NO_SPACE' },
      next: { outcome: 'committed' },
      integrity: { integrity_check: 'ok' },
    });
    expect(report.written).toBeGreaterThan(1_000_000);
    const missing = report.next.missing.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(SIZE - missing).toBe(report.written);
    expect(await process.ended()).toBe(0);
  });

  it('finds no space for its records, and loses nothing', async () => {
    const whole = join(scratch.root, '..', 'whole');
    await writeFile(whole, bytes.subarray(0, 500_000));
    const begun = join(scratch.root, '..', 'begun');
    await writeFile(begun, randomBytes(100_000));
    const process = await startSmall('fillAround', whole, begun);
    expect(await process.said()).toMatchObject({
      begin: 'NO_SPACE',
      whole: 'NO_SPACE',
      outOfOrder: 'NO_SPACE',
      offset: 1000,
      commit: 'NO_SPACE',
      info: null,
      // What came in one piece needs no record, for which there would be no space either.
      ingest: ['data', 'data', 'lock', 'lock', 'state.json'],
      blobs: [],
      next: [
        { outcome: 'committed', from: 500_000, missing: [] },
        { outcome: 'committed', from: 1000, missing: [{ start: 1000, end: 100_000 }] },
      ],
      integrity: { integrity_check: 'ok' },
    });
    expect(await process.ended()).toBe(0);
  });
});
