import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseDigest } from '../../../src/spec/index.js';
import { archive, file } from '../../support/tar-builder.js';
import { createSnapshots, type SnapshotFixture, type SnapshotterKind } from '../../support/unpack-fixture.js';

const BY = 'another';
const DIGEST = parseDigest(`sha256:${'1'.repeat(64)}`);
const OTHER = parseDigest(`sha256:${'2'.repeat(64)}`);

async function chain(snapshots: SnapshotFixture, ...names: readonly string[]): Promise<string[]> {
  const layers = await Promise.all(names.map((name) => snapshots.layer(archive(file(name, name)))));
  return (await snapshots.unpacker.unpack(layers)).map(({ chainId }) => chainId);
}

async function held(snapshots: SnapshotFixture, by = BY): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of snapshots.snapshotter.listRetained(by)) names.push(name);
  return names.sort();
}

const sweep = async ({ snapshotter, database }: SnapshotFixture): Promise<readonly string[]> => {
  const swept = await database.transaction((tx) => snapshotter.sweep(tx, { retained: new Set() }));
  await snapshotter.removeSwept(swept);
  return swept.names;
};

const hold = (
  snapshots: SnapshotFixture,
  chainId: string,
  parent?: string,
  labels: Record<string, string> = {},
): ReturnType<SnapshotFixture['snapshotter']['retainChain']> =>
  snapshots.snapshotter.retainChain(parseDigest(chainId), { by: BY, parent, labels });

describe.each<SnapshotterKind>(['overlay', 'native'])('%s snapshots that another program holds', (kind) => {
  test('are all that it prepared and committed, with the labels that it gave', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter } = snapshots;
    await snapshotter.prepare('own');
    await snapshotter.prepare('k', undefined, { labels: { a: '1' }, retainedBy: BY });
    expect(await snapshotter.stat('k')).toMatchObject({ labels: { a: '1' }, retainedBy: BY });
    await snapshotter.update('k', { labels: { b: '2' } });
    expect(await snapshotter.stat('k')).toMatchObject({ labels: { b: '2' }, retainedBy: BY });
    await snapshotter.commit('k', 'n', { labels: { c: '3' } });
    expect(await snapshotter.stat('n')).toMatchObject({ labels: { c: '3' }, retainedBy: BY });
    await snapshotter.view('v', 'n', { retainedBy: BY });
    expect(await held(snapshots)).toEqual(['n', 'v']);
    expect(await held(snapshots, 'nobody')).toEqual([]);
  });

  test('say which images end with them, whatever is committed or changed', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter } = snapshots;
    const image = { name: 'registry.example/app:1', path: [DIGEST, OTHER] };
    const other = { name: 'registry.example/app:2', path: [OTHER] };
    await snapshotter.prepare('k', undefined, { retainedBy: BY, image });
    await snapshotter.commit('k', 'n', { labels: { a: '1' } });
    await snapshotter.update('n', { labels: {} });
    expect(await snapshotter.stat('n')).toMatchObject({ labels: {}, images: [image] });
    const [chainId = ''] = await chain(snapshots, 'layer');
    const given = { by: BY, labels: {} };
    for (const one of [image, other, image])
      await snapshotter.retainChain(parseDigest(chainId), { ...given, image: one });
    const held = await snapshotter.retainChain(parseDigest(chainId), given);
    expect(held?.images).toEqual([image, other]);
    await snapshotter.release(held?.name ?? '', BY);
    expect((await snapshotter.retainChain(parseDigest(chainId), given))?.images).toBeUndefined();
    await expect(
      snapshotter.prepare('x', undefined, { labels: { 'landfall/image/registry.example/app:1': DIGEST } }),
    ).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  });

  test('stay in a collection until it lets go of them', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter } = snapshots;
    await snapshotter.prepare('k', undefined, { retainedBy: BY });
    await snapshotter.commit('k', 'n');
    expect(await sweep(snapshots)).toEqual([]);
    expect(await snapshotter.release('n', BY)).toEqual([]);
    expect(await snapshotter.stat('n')).toBeUndefined();
  });

  test('may be chains, which nothing is taken of but its hold', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter } = snapshots;
    const [base = '', top = ''] = await chain(snapshots, 'base', 'top');
    expect(await hold(snapshots, base, undefined, { ref: base })).toMatchObject({
      name: base,
      labels: { ref: base },
    });
    expect(await hold(snapshots, top, base)).toMatchObject({ parent: base });
    expect(await held(snapshots)).toEqual([base, top].sort());
    expect(await sweep(snapshots)).toEqual([]);

    await expect(snapshotter.release(base, BY)).rejects.toMatchObject({ code: 'IN_USE' });
    expect(await snapshotter.release(top, BY)).toEqual([top]);
    expect(await held(snapshots)).toEqual([base]);
    expect(await snapshotter.findChain(parseDigest(top))).toBeDefined();
    expect(await snapshotter.release(base, BY)).toEqual([base]);
    expect(await sweep(snapshots)).toEqual([top, base]);
  });

  test('are given on their own parent only, and where they are here', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter } = snapshots;
    const [base = '', top = ''] = await chain(snapshots, 'base', 'top');
    await snapshotter.prepare('k', undefined, { retainedBy: BY });
    await snapshotter.commit('k', 'other');
    expect(await hold(snapshots, top)).toBeUndefined();
    expect(await hold(snapshots, top, 'other')).toBeUndefined();
    expect(await hold(snapshots, base, 'other')).toBeUndefined();
    expect(await hold(snapshots, `sha256:${'0'.repeat(64)}`)).toBeUndefined();
    // What another program filled is no chain, whatever it calls it.
    await snapshotter.prepare('l', undefined, { retainedBy: BY });
    await snapshotter.commit('l', `sha256:${'1'.repeat(64)}`);
    expect(await hold(snapshots, `sha256:${'1'.repeat(64)}`)).toBeUndefined();
    expect(await held(snapshots)).not.toContain(top);
  });

  test('are not there for who does not hold them', async () => {
    await using snapshots = await createSnapshots(kind);
    const { snapshotter } = snapshots;
    const [base = ''] = await chain(snapshots, 'base');
    await snapshotter.prepare('k');
    for (const name of [base, 'k', 'none'])
      await expect(snapshotter.release(name, BY)).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
    await hold(snapshots, base);
    await expect(snapshotter.release(base, 'nobody')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
    const [path = ''] = await snapshotter.layerPaths(base);
    expect(existsSync(path)).toBe(true);
  });
});

test('nobody may say so by a label', async () => {
  await using snapshots = await createSnapshots('overlay');
  const labels = { 'landfall/held-by': 'me' };
  await expect(snapshots.snapshotter.prepare('k', undefined, { labels })).rejects.toMatchObject({
    code: 'INVALID_CONFIG',
  });
});
