import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { ContentError } from '../../../src/errors.js';
import { parseDigest } from '../../../src/spec/index.js';
import { NativeSnapshotter, type RemovedOrphans } from '../../../src/unpack/index.js';
import { Writeback } from '../../../src/unpack/snapshotters/commit-layers.js';
import { writableDirectory } from '../../suites/snapshotter.js';
import { archive, file } from '../../support/tar-builder.js';
import { createSnapshots, type SnapshotFixture, type SnapshotterKind } from '../../support/unpack-fixture.js';

interface Collected extends RemovedOrphans {
  readonly swept: readonly string[];
}

async function collect(
  snapshots: SnapshotFixture,
  retained: readonly string[],
  dryRun = false,
): Promise<Collected> {
  const { snapshotter, database } = snapshots;
  const swept = await database.transaction((tx) =>
    snapshotter.sweep(tx, { retained: new Set(retained), dryRun }),
  );
  return { swept: swept.names, ...(await snapshotter.removeOrphans({ dryRun, swept: swept.directories })) };
}

async function chain(snapshots: SnapshotFixture, ...names: readonly string[]): Promise<string[]> {
  const layers = await Promise.all(
    names.map((name) => snapshots.layer(archive(file(name, 'x'.repeat(10_000))))),
  );
  return (await snapshots.unpacker.unpack(layers)).map(({ chainId }) => chainId);
}

/** Once what closes by itself has closed. */
const openFiles = async (): Promise<number> => {
  await new Promise((resolve) => setImmediate(resolve));
  return (await readdir('/proc/self/fd')).length;
};

test('a layer that could not be given up on a full disk or a locked database is collected like any other', async () => {
  await using snapshots = await createSnapshots('native');
  const { snapshotter, database } = snapshots;
  await snapshotter.abandonLayer(await snapshotter.beginLayer());
  const before = await openFiles();
  const layer = await snapshotter.beginLayer();
  const locked = new ContentError('LOCKED', 'another process keeps the database locked', { retryable: true });
  vi.spyOn(database, 'transaction').mockRejectedValueOnce(locked);
  await expect(snapshotter.abandonLayer(layer)).rejects.toBe(locked);
  await expect.poll(openFiles).toBe(before);
  expect((await collect(snapshots, [])).swept).toHaveLength(1);
  expect(await names(snapshots)).toEqual([]);
});

test('a layer whose directory could not be opened for writeback leaves no lock behind', async () => {
  await using snapshots = await createSnapshots('native');
  const before = await openFiles();
  vi.spyOn(Writeback.prototype, 'begin').mockImplementationOnce(() => {
    throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
  });
  await expect(snapshots.snapshotter.beginLayer()).rejects.toThrow();
  await expect.poll(openFiles).toBe(before);
});

async function names(snapshots: SnapshotFixture): Promise<string[]> {
  const all: string[] = [];
  for await (const { name } of snapshots.snapshotter.list()) all.push(name);
  return all.sort();
}

describe.each<SnapshotterKind>(['overlay', 'native'])('a collection over %s snapshots', (kind) => {
  test('removes what is not retained, children first, and keeps ancestors of what is', async () => {
    await using snapshots = await createSnapshots(kind);
    const [base = '', left = '', leftTop = ''] = await chain(snapshots, 'base', 'left', 'left top');
    const [, right = ''] = await chain(snapshots, 'base', 'right');
    const collected = await collect(snapshots, [right]);
    expect(collected.swept).toEqual([leftTop, left]);
    expect(collected.freed).toBeGreaterThan(20_000);
    expect(await names(snapshots)).toEqual([base, right].sort());
    expect(await snapshots.directories()).toHaveLength(2);
    expect(await collect(snapshots, [right])).toEqual({ swept: [], removed: [], freed: 0 });
  });

  test('a dry run says the same and changes nothing', async () => {
    await using snapshots = await createSnapshots(kind);
    await chain(snapshots, 'a', 'b');
    await mkdir(join(snapshots.root, 'snapshots/4711/fs'), { recursive: true });
    const before = [await names(snapshots), await snapshots.directories()];
    const dry = await collect(snapshots, [], true);
    expect([await names(snapshots), await snapshots.directories()]).toEqual(before);
    expect(dry.freed).toBeGreaterThan(0);
    expect(await collect(snapshots, [])).toEqual(dry);
  });

  test('keeps active snapshots and views with their ancestors', async () => {
    await using snapshots = await createSnapshots(kind);
    const [base = '', top = ''] = await chain(snapshots, 'base', 'top');
    await snapshots.snapshotter.prepare('k', base);
    await snapshots.snapshotter.view('v', top);
    expect((await collect(snapshots, [])).swept).toEqual([]);
    await snapshots.snapshotter.remove('v');
    expect((await collect(snapshots, [])).swept).toEqual([top]);
    expect(await names(snapshots)).toEqual(['k', base].sort());
  });

  test('removes directories that no row names and rows without a directory, and nothing else', async () => {
    await using snapshots = await createSnapshots(kind);
    const [kept = '', lost = ''] = await chain(snapshots, 'kept', 'lost');
    const [lostPath = ''] = await snapshots.snapshotter.layerPaths(lost);
    await rm(join(lostPath, '..'), { recursive: true });
    for (const name of ['4711/fs', '.discarded-12-x', 'not-ours']) {
      await mkdir(join(snapshots.root, 'snapshots', name), { recursive: true });
    }
    // What is wanted and lost is damage, which is not for a collection to hide.
    const collected = await collect(snapshots, [kept, lost]);
    expect(collected).toMatchObject({ swept: [], removed: ['snapshots/4711'] });
    expect(await collect(snapshots, [kept])).toMatchObject({ swept: [lost], removed: [] });
    expect(await names(snapshots)).toEqual([kept]);
    expect(await snapshots.directories()).toEqual(
      ['1', 'not-ours'].map((name) => expect.stringMatching(name === '1' ? /^\d$/ : name) as unknown),
    );
  });

  test('among some chains takes those that are not retained and on which nothing stands, and looks at no others', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter, database } = snapshots;
    const [base = '', top = ''] = await chain(snapshots, 'base', 'top');
    const [, other = ''] = await chain(snapshots, 'base', 'other');
    const [unasked = ''] = await chain(snapshots, 'unasked');
    const sweep = async (
      retained: readonly string[],
      ...among: readonly string[]
    ): Promise<readonly string[]> => {
      const chains = among.map((name) => parseDigest(name));
      const swept = await database.transaction((tx) =>
        snapshotter.sweep(tx, { retained: new Set(retained), among: chains }),
      );
      expect(swept.directories).toHaveLength(swept.names.length);
      const freed = await snapshotter.removeSwept(swept);
      expect(freed > 10_000).toBe(swept.names.length > 0);
      return swept.names;
    };
    expect(await sweep([top], base, top)).toEqual([]);
    expect(await sweep([], base, top)).toEqual([top]);
    await snapshotter.view('v', other);
    expect(await sweep([], base, other)).toEqual([]);
    await snapshotter.remove('v');
    expect(await sweep([], base, other)).toEqual([other, base]);
    expect(await names(snapshots)).toEqual([unasked]);
    expect(await snapshots.directories()).toHaveLength(1);
  });

  test('a layer that is being unpacked stays while its process lives, and goes when it died', async () => {
    await using snapshots = await createSnapshots(kind);
    await using other = await snapshots.reopen();
    const mine = await snapshots.snapshotter.beginLayer();
    await writeFile(join(mine.path, 'f'), 'x');
    expect(await collect(other, [])).toMatchObject({ swept: [], removed: [] });
    const dead = await dieUnpacking(snapshots, kind);
    expect(await collect(other, [])).toMatchObject({ swept: [`snapshots/${dead}`], removed: [] });
    expect(await snapshots.directories()).toHaveLength(1);
    await snapshots.snapshotter.abandonLayer(mine);
  });
});

test.skipIf(process.getuid?.() !== 0)(
  'a collection leaves a snapshot in which something is mounted',
  async () => {
    await using snapshots = await createSnapshots('overlay');
    const [only = ''] = await chain(snapshots, 'only');
    const [path = ''] = await snapshots.snapshotter.layerPaths(only);
    const dist = new URL('../../../dist/src/', import.meta.url).href;
    const script = `
    import { execFileSync } from 'node:child_process';
    import { existsSync } from 'node:fs';
    import { MetadataDatabase } from '${dist}metadata/index.js';
    import { OverlaySnapshotter, WorkerPool } from '${dist}unpack/index.js';
    const [root, path] = process.argv.slice(1);
    execFileSync('mount', ['-t', 'tmpfs', 'none', path]);
    const database = await MetadataDatabase.open(root + '/metadata.db');
    const snapshotter = new OverlaySnapshotter({ root, database, pool: new WorkerPool() });
    const retained = new Set();
    const swept = await database.transaction((tx) => snapshotter.sweep(tx, { retained }));
    await database.run('DELETE FROM snapshots');
    const { removed } = await snapshotter.removeOrphans();
    console.log(JSON.stringify({ swept: swept.names, removed, there: existsSync(path) }));
    execFileSync('umount', [path]);
    process.exit(0);
  `;
    const node = [process.execPath, '--input-type=module', '-e', script, snapshots.root, path];
    const { stdout } = await promisify(execFile)('unshare', ['-m', ...node]);
    expect(JSON.parse(stdout)).toEqual({ swept: [], removed: [], there: true });
  },
);

/** Another process begins a layer and is killed; returns the number of its directory. */
async function dieUnpacking(snapshots: SnapshotFixture, kind: SnapshotterKind): Promise<number> {
  const dist = new URL('../../../dist/src/', import.meta.url).href;
  const script = `
    import { MetadataDatabase } from '${dist}metadata/index.js';
    import { OverlaySnapshotter, NativeSnapshotter, WorkerPool } from '${dist}unpack/index.js';
    const root = ${JSON.stringify(snapshots.root)};
    const database = await MetadataDatabase.open(root + '/metadata.db');
    const Kind = ${kind === 'overlay' ? 'OverlaySnapshotter' : 'NativeSnapshotter'};
    const layer = await new Kind({ root, database, pool: new WorkerPool() }).beginLayer();
    console.log(layer.path);
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const [path] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  child.kill('SIGKILL');
  await exited;
  return Number(/snapshots\/(\d+)\//.exec(path)?.[1]);
}

test('one collection covers the snapshots of both kinds below a root', async () => {
  await using overlay = await createSnapshots('overlay');
  await chain(overlay, 'a');
  await overlay.snapshotter.prepare('k');
  await writeFile(join(writableDirectory(await overlay.snapshotter.mounts('k')), 'f'), 'x');
  const native = new NativeSnapshotter(overlay);
  await native.prepare('k');
  await native.commit('k', 'unneeded');
  expect((await collect(overlay, [])).swept.toSorted()).toContain('unneeded');
  expect(await names(overlay)).toEqual(['k']);
  expect(await overlay.directories()).toHaveLength(1);
});
