import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { CheckedSnapshot, LayerInput, SnapshotCheckRun } from '../../../src/unpack/index.js';
import { archive, directory, file, hardLink } from '../../support/tar-builder.js';
import { createSnapshots, type SnapshotFixture } from '../../support/unpack-fixture.js';

/** A layer with directories of its own, one that leaves them to it, and one on top of both. */
async function unpackThree(snapshots: SnapshotFixture): Promise<LayerInput[]> {
  const layers = [
    await snapshots.layer(archive(directory('d', { mode: 0o750 }), file('d/old', 'old'), file('x/y', 'y'))),
    await snapshots.layer(archive(file('d/new', 'new'), hardLink('d/same', 'd/old'), file('d/.wh.none'))),
    await snapshots.layer(archive(file('d/.wh.old'), file('x/.wh..wh..opq'), file('x/z', 'z'))),
  ];
  await snapshots.unpacker.unpack(layers);
  return layers;
}

function inOrder(check: SnapshotCheckRun): CheckedSnapshot[] {
  return check.generations.flat();
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`there is nothing at ${index}`);
  return found;
}

async function holdAll(
  check: SnapshotCheckRun,
  layers: readonly LayerInput[],
): Promise<(readonly string[])[]> {
  const all: (readonly string[])[] = [];
  for (const [i, snapshot] of inOrder(check).entries()) {
    all.push(await check.hold(snapshot, at(layers, i)));
  }
  return all;
}

const NONE = [[], [], []];

describe.each(['overlay', 'native'] as const)('a check of %s snapshots', (kind) => {
  test('finds each equal to its layer unpacked again, and leaves nothing behind', async () => {
    await using snapshots = await createSnapshots(kind);
    const layers = await unpackThree(snapshots);
    const before = await snapshots.directories();
    await using check = await snapshots.snapshotter.check();
    expect(check.generations.map((generation) => generation.length)).toEqual([1, 1, 1]);
    for (const snapshot of inOrder(check)) expect(await check.inspect(snapshot)).toBeUndefined();
    expect(await holdAll(check, layers)).toEqual(NONE);
    expect(await snapshots.directories()).toEqual(before);
  });

  test('completes what stands on a damaged one on what that should be', async () => {
    await using snapshots = await createSnapshots(kind);
    const layers = await unpackThree(snapshots);
    const before = await snapshots.directories();
    {
      await using check = await snapshots.snapshotter.check();
      const lowest = at(inOrder(check), 0);
      await chmod(join(check.pathOf(lowest), 'fs/d'), 0o711);
      expect(await holdAll(check, layers)).toEqual([['/d has mode 0711, and should have 0750'], [], []]);
    }
    // What was kept for a repair goes with the check.
    expect(await snapshots.directories()).toEqual(before);
  });

  test('puts what it unpacked in the place of a damaged one, and of a lost one', async () => {
    await using snapshots = await createSnapshots(kind);
    const layers = await unpackThree(snapshots);
    const before = await snapshots.directories();
    const files = async (): Promise<string[]> =>
      Promise.all(
        before.map((name) => readFile(join(snapshots.root, 'snapshots', name, 'snapshot.json'), 'utf8')),
      );
    const described = await files();
    {
      await using check = await snapshots.snapshotter.check();
      const [lowest, middle, top] = inOrder(check);
      if (lowest === undefined || middle === undefined || top === undefined) throw new Error('lost');
      await writeFile(join(check.pathOf(lowest), 'fs/d/old'), 'bad');
      await rm(check.pathOf(middle), { recursive: true });
      expect(check.exists(middle)).toBe(false);
      expect(await check.inspect(middle)).toBe('its directory is missing');
      const [first, second, third] = await holdAll(check, layers);
      expect(first).toContain('/d/old has other content');
      expect(second).toEqual(['its directory is missing']);
      expect(third).toEqual([]);
      const away = await check.replace(lowest);
      expect(away).toMatch(
        new RegExp(`^${join(snapshots.root, 'quarantine')}/snapshot-${lowest.number}\\.\\d+$`),
      );
      expect(await readFile(join(away ?? '', 'fs/d/old'), 'utf8')).toBe('bad');
      expect(await check.replace(middle)).toBeUndefined();
      await expect(check.replace(top)).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
    }
    expect(await snapshots.directories()).toEqual(before);
    expect(await files()).toEqual(described);
    expect(await snapshots.database.all('SELECT id FROM snapshots')).toHaveLength(before.length);
    await using again = await snapshots.snapshotter.check();
    expect(await holdAll(again, layers)).toEqual(NONE);
    expect(await snapshots.snapshotter.removeOrphans({ dryRun: true })).toEqual({ removed: [], freed: 0 });
    expect(await readdir(join(snapshots.root, 'quarantine'))).toHaveLength(1);
  });

  test('looks at what other programs made from outside', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter } = snapshots;
    await snapshotter.prepare('work');
    await snapshotter.commit('work', 'theirs');
    await snapshotter.prepare('active', 'theirs');
    await snapshotter.view('seen', 'theirs');
    // What is being made is nobody's yet.
    await snapshotter.beginLayer();
    await using check = await snapshotter.check();
    const found = inOrder(check);
    expect(found.map(({ name, kind: is, parents, chain }) => [name, is, parents, chain])).toEqual([
      ['theirs', 'committed', [], undefined],
      ['active', 'active', ['theirs'], undefined],
      ['seen', 'view', ['theirs'], undefined],
    ]);
    for (const snapshot of found) expect(await check.inspect(snapshot)).toBeUndefined();
    await snapshotter.remove('seen');
    expect(await check.isKnown(at(found, 1))).toBe(true);
    expect(await check.isKnown(at(found, 2))).toBe(false);
    await rm(join(check.pathOf(at(found, 1)), 'fs'), { recursive: true });
    expect(await check.inspect(at(found, 1))).toBe('its directory is missing');
    await writeFile(join(check.pathOf(at(found, 0)), 'snapshot.json'), '{"name":"other","parent":null}');
    expect(await check.inspect(at(found, 0))).toBe('its snapshot.json says something else than the database');
    await check.describe(at(found, 0));
    expect(await check.inspect(at(found, 0))).toBeUndefined();
  });

  test('knows a layer by its chain where another program took the name', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter, unpacker } = snapshots;
    const layers = [await snapshots.layer(archive(file('a'))), await snapshots.layer(archive(file('b')))];
    const names = (await unpacker.unpack(layers)).map(({ chainId }) => chainId);
    for (const name of [...names].reverse()) await snapshotter.remove(name);
    await snapshotter.prepare('work');
    await snapshotter.commit('work', at(names, 0));
    await unpacker.unpack(layers);
    const inspect = async (): Promise<(string | undefined)[]> => {
      await using check = await snapshotter.check();
      return await Promise.all(inOrder(check).map((snapshot) => check.inspect(snapshot)));
    };
    expect(await inspect()).toEqual([undefined, undefined, undefined]);
    // And so it is when its directory is lost, and the next pull brings it back.
    {
      await using check = await snapshotter.check();
      const [, ...ours] = inOrder(check).sort((a, b) => a.number - b.number);
      expect(at(ours, 0).name).toMatch(/^sha256:.*\+\d+$/);
      for (const snapshot of ours) await rm(check.pathOf(snapshot), { recursive: true });
    }
    await unpacker.unpack(layers);
    expect(await inspect()).toEqual([undefined, undefined, undefined]);
  });
});
