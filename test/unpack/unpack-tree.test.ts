import { execFileSync } from 'node:child_process';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rmdir,
  stat,
  symlink as makeSymlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LandfallError } from '../../src/errors.js';
import { SharedOffset } from '../../src/system/index.js';
import type { JobResults, WorkerJob } from '../../src/unpack/jobs/apply-job.js';
import { type RunOptions, unpackTree, WorkerPool, type UnpackEvent } from '../../src/unpack/index.js';
import { isRoot } from '../support/needs-root.js';
import { archive, directory, file, hardLink, symlink } from '../support/tar-builder.js';
import { contents, TreeLister } from '../support/tree-lister.js';
import { layerInput, removeTree } from '../support/unpack-fixture.js';

let root: string;
let target: string;
let pool: WorkerPool;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-tree-'));
  target = join(root, 'deep', 'target');
  pool = new WorkerPool({ size: 2 });
});

afterEach(async () => {
  await pool.close();
  await removeTree(root);
});

const BASE = archive(
  directory('.', { mode: 0o751, uid: 3, mtime: 77 }),
  directory('etc', { mtime: 5 }),
  file('etc/a', 'one', { mtime: 6 }),
  file('etc/gone', 'x'),
  directory('old'),
  file('old/x', 'x'),
  symlink('s', 'etc'),
);
const TOP = archive(
  file('etc/.wh.gone'),
  file('etc/b', 'two'),
  hardLink('linked', 'etc/a'),
  file('old/.wh..wh..opq'),
  file('s/in', 'i'),
  file('.wh.absent'),
);

test('layers are merged in order, and the directory takes the attributes of the image’s root', async () => {
  await using lister = new TreeLister();
  const events: UnpackEvent[] = [];
  const onEvent = (event: UnpackEvent): unknown => events.push(event);
  await unpackTree([await layerInput(root, BASE), await layerInput(root, TOP)], target, { pool, onEvent });
  const listing = await lister.directory(target);
  expect(contents(listing)).toEqual({
    '': 'directory',
    etc: 'directory',
    'etc/a': 'one',
    'etc/b': 'two',
    linked: 'one',
    old: 'directory',
    s: 'directory',
    's/in': 'i',
  });
  expect(listing['']).toMatchObject({ mode: 0o751, owner: isRoot ? '3:0' : '0:0', mtime: 77 });
  expect(listing['etc']).toMatchObject({ mtime: 5 });
  expect(listing['etc/a']).toMatchObject({ nlink: 2, mtime: 6 });
  expect(events.filter(({ type }) => type === 'warning')).toMatchObject([
    { message: '"s" is a symlink in a lower layer and becomes a directory here' },
  ]);
  const states = (name: string): number =>
    events.filter((e) => e.type === 'layer' && e.state === name).length;
  expect([states('unpacked'), states('committed')]).toEqual([2, 2]);
});

test('an image without layers is an empty directory', async () => {
  await unpackTree([], target, { pool });
  expect(await readdir(target)).toEqual([]);
  expect((await stat(target)).mode & 0o7777).toBe(0o755);
});

test('an empty directory is filled, also through a symlink', async () => {
  await mkdir(target, { recursive: true });
  await makeSymlink(target, join(root, 'to-target'));
  await unpackTree([await layerInput(root, BASE)], join(root, 'to-target'), { pool });
  expect(await readFile(join(target, 'etc/a'), 'utf8')).toBe('one');
});

test.each([
  [
    'a directory with something in it',
    async () => {
      await mkdir(target, { recursive: true });
      await writeFile(join(target, 'mine'), '');
    },
  ],
  [
    'a file',
    async () => {
      await mkdir(join(target, '..'), { recursive: true });
      await writeFile(target, 'mine');
    },
  ],
])('%s is refused and left alone', async (_, make) => {
  await make();
  const before = await readdir(join(root, 'deep'));
  const unpacking = unpackTree([await layerInput(root, BASE)], target, { pool });
  await expect(unpacking).rejects.toMatchObject({
    code: 'INVALID_CONFIG',
    hint: expect.any(String) as string,
  });
  expect(await readdir(join(root, 'deep'))).toEqual(before);
});

const BAD = archive(file('x', 'x'), hardLink('l', 'nothing'));

describe.skipIf(!isRoot)('a directory that belongs to another user', () => {
  const NOBODY = 65_534;
  const asNobody = (...command: string[]): string =>
    execFileSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--', ...command], {
      encoding: 'utf8',
      stdio: 'pipe',
    });

  beforeEach(async () => {
    await chmod(root, 0o777);
    await mkdir(target, { recursive: true });
    for (const path of [join(root, 'deep'), target]) await chown(path, NOBODY, NOBODY);
    await chmod(target, 0o777);
  });

  test('is closed to it while it is filled', async () => {
    const layer = await layerInput(root, BASE);
    const open: typeof layer.open = async (o) => {
      expect(await stat(target)).toMatchObject({ uid: 0, mode: 0o40_700 });
      expect(() => asNobody('touch', join(target, 'x'))).toThrow(/Permission denied/);
      return await layer.open(o);
    };
    await unpackTree([{ ...layer, open }], target, { pool });
    expect(await readFile(join(target, 'etc/a'), 'utf8')).toBe('one');
  });

  test('is filled where it is, also when a link to elsewhere takes its name', async () => {
    const victim = join(root, 'victim');
    await mkdir(join(victim, 'etc'), { recursive: true, mode: 0o700 });
    await writeFile(join(victim, 'etc/a'), 'of root');
    const layer = await layerInput(root, BASE);
    const open: typeof layer.open = async (o) => {
      asNobody('mv', target, `${target}.moved`);
      asNobody('ln', '-s', victim, target);
      return await layer.open(o);
    };
    await unpackTree([{ ...layer, open }], target, { pool });
    expect(await readFile(join(`${target}.moved`, 'etc/a'), 'utf8')).toBe('one');
    expect(await readdir(victim)).toEqual(['etc']);
    expect(await readFile(join(victim, 'etc/a'), 'utf8')).toBe('of root');
  });

  test('is its own again after a failure', async () => {
    await expect(
      unpackTree([await layerInput(root, Buffer.alloc(700, 1))], target, { pool }),
    ).rejects.toThrow();
    expect(await stat(target)).toMatchObject({ uid: NOBODY, gid: NOBODY, mode: 0o40_777 });
    expect(await readdir(target)).toEqual([]);
  });
});

test('a directory that is made is closed to others where that is asked, and one that is there is told of', async () => {
  const layers = [await layerInput(root, archive(directory('.', { mode: 0o755 }), file('a', 'x')))];
  expect(await unpackTree(layers, target, { pool, closed: true })).toEqual({ warnings: [] });
  expect((await stat(target)).mode & 0o7777).toBe(0o700);
  const there = join(root, 'there');
  await mkdir(there, { mode: 0o700 });
  const { warnings } = await unpackTree(layers, there, { pool, closed: true });
  expect((await stat(there)).mode & 0o7777).toBe(0o755);
  expect(warnings).toEqual([expect.stringContaining('was there and is open to other users (mode 0755)')]);
});

test('after a failure a directory that was absent is absent again, parents included', async () => {
  const layers = [await layerInput(root, BASE), await layerInput(root, BAD)];
  await expect(unpackTree(layers, target, { pool })).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
  await expect(stat(join(root, 'deep'))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('after a failure a directory that was empty is empty again, with its mode and time', async () => {
  await mkdir(target, { recursive: true });
  await chmod(target, 0o2700);
  await utimes(target, 4, 5);
  const layers = [await layerInput(root, BASE), await layerInput(root, BAD)];
  await expect(unpackTree(layers, target, { pool })).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
  expect(await readdir(target)).toEqual([]);
  const { mode, mtimeMs } = await stat(target);
  expect([mode & 0o7777, mtimeMs]).toEqual([0o2700, 5000]);
  await rmdir(target);
});

test('an abort leaves the directory as it was', async () => {
  const controller = new AbortController();
  const whole = await layerInput(root, BASE);
  const stuck = {
    ...whole,
    open: async (o: { signal?: AbortSignal | undefined }) => ({
      ...(await whole.open(o)),
      shared: new SharedOffset().buffer,
    }),
  };
  const unpacking = unpackTree([whole, stuck], target, {
    pool,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type === 'layer' && event.state === 'committed') controller.abort();
    },
  });
  await expect(unpacking).rejects.toMatchObject({ code: 'ABORTED' });
  await expect(stat(target)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a layer whose diffId is another one is refused', async () => {
  const layer = await layerInput(root, BASE);
  const other = await layerInput(root, TOP);
  const unpacking = unpackTree([{ ...layer, diffId: other.diffId }], target, { pool });
  await expect(unpacking).rejects.toMatchObject({ code: 'DIFF_ID_MISMATCH' });
  await expect(stat(target)).rejects.toMatchObject({ code: 'ENOENT' });
});

/** One whose merges end some time after they were told to stop. */
class SlowToStop extends WorkerPool {
  merging = 0;
  readonly begun: Promise<void>;
  #begin: () => void = () => undefined;

  constructor() {
    super({ size: 2 });
    this.begun = new Promise((resolve) => (this.#begin = resolve));
  }

  override async run<K extends WorkerJob['kind']>(
    job: Extract<WorkerJob, { kind: K }>,
    o?: RunOptions,
  ): Promise<JobResults[K]> {
    if (job.kind !== 'merge') return super.run<K>(job, o);
    this.merging += 1;
    this.#begin();
    await new Promise((resolve) => o?.signal?.addEventListener('abort', resolve));
    await setTimeout(50);
    this.merging -= 1;
    throw new LandfallError('ABORTED', 'stopped');
  }
}

test('a failure is told only when no merge is at work any more', async () => {
  await using slow = new SlowToStop();
  const layers = [
    await layerInput(root, BASE),
    await layerInput(root, TOP, {
      open: async () => {
        await slow.begun;
        throw new LandfallError('BLOB_NOT_FOUND', 'the blob is gone');
      },
    }),
  ];
  await expect(unpackTree(layers, target, { pool: slow })).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  expect(slow.merging).toBe(0);
});
