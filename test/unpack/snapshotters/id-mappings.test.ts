import { chmod, chown, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Mount } from '../../../src/unpack/index.js';
import { idMappingsIn } from '../../../src/unpack/snapshotters/id-mappings.js';
import { writableDirectory } from '../../suites/snapshotter.js';
import { MountNamespace, outputAt } from '../../support/mount-namespace.js';
import { isRoot } from '../../support/needs-root.js';
import { createSnapshots, type SnapshotFixture } from '../../support/unpack-fixture.js';

const UID = 'containerd.io/snapshot/uidmapping';
const GID = 'containerd.io/snapshot/gidmapping';

/** The labels of a snapshot for a user namespace, with the same ranges for users and groups. */
function labelsFor(ranges: string): Record<string, string> {
  return { [UID]: ranges, [GID]: ranges };
}

describe('the labels of a user namespace', () => {
  test.each<[string, string, object[]]>([
    ['one range', '0:100000:65536', [{ container: 0, host: 100_000, size: 65_536 }]],
    [
      'several ranges',
      '0:666:1000,1000:6666:64536',
      [
        { container: 0, host: 666, size: 1000 },
        { container: 1000, host: 6666, size: 64_536 },
      ],
    ],
    [
      'root in the last range',
      '1:1000:9,0:100000:1',
      [
        { container: 1, host: 1000, size: 9 },
        { container: 0, host: 100_000, size: 1 },
      ],
    ],
    ['all IDs', '0:0:4294967295', [{ container: 0, host: 0, size: 4_294_967_295 }]],
  ])('%s', (_, text, ranges) => {
    expect(idMappingsIn(labelsFor(text))).toEqual({ uid: ranges, gid: ranges });
  });

  test.each<[string, Record<string, string>]>([
    ['none', {}],
    ['other ones', { a: '0:1:1' }],
    ['empty ones', labelsFor('')],
  ])('%s: no user namespace', (_, labels) => {
    expect(idMappingsIn(labels)).toBeUndefined();
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ['no group beside users', { [UID]: '0:1000:1' }, /gidmapping is missing/],
    ['no user beside groups', { [GID]: '0:1000:1' }, /uidmapping is missing/],
    ['a word', labelsFor('root'), /uidmapping is malformed: root/],
    ['two numbers', labelsFor('0:1000'), /malformed/],
    ['four numbers', labelsFor('0:1000:1:1'), /malformed/],
    ['a negative number', labelsFor('0:-1:1'), /malformed/],
    ['a space', labelsFor('0:1000:1, 1:1:1'), /malformed/],
    ['an end that is missing', labelsFor('0:1000:1,'), /malformed/],
    ['an option that is smuggled in', labelsFor('0:1000:1,lowerdir=/etc'), /malformed/],
    ['a range of nothing', labelsFor('0:1000:0'), /0:1000:0 is no range/],
    ['a range beyond 32 bits', labelsFor('0:4294967295:1'), /is no range/],
    ['a size beyond all numbers', labelsFor(`0:0:${'9'.repeat(400)}`), /is no range/],
    ['ranges that overlap inside', labelsFor('0:1000:10,5:2000:10'), /overlap at the container's ID 5/],
    ['ranges that overlap outside', labelsFor('0:1000:10,20:1005:10'), /overlap at the host's ID 1005/],
    ['no root', labelsFor('1:1000:10'), /maps no root: 1:1000:10/],
  ])('%s: refused', (_, labels, message) => {
    expect(() => idMappingsIn(labels)).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringMatching(message) as string }),
    );
  });
});

/** A committed snapshot whose root directory is `owner`'s. */
async function makeBase({ snapshotter }: SnapshotFixture, owner = 0): Promise<void> {
  const base = writableDirectory(await snapshotter.prepare('base-active'));
  await chmod(base, 0o1755);
  await chown(base, owner, owner);
  await snapshotter.commit('base-active', 'base');
}

async function ownerOf(mounts: readonly Mount[]): Promise<string> {
  const { uid, gid, mode } = await stat(writableDirectory(mounts));
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
}

let mounted = 0;

/**
 * Mounts an overlay as containerd does from 2.0 on (core/mount/mount_linux.go): where it names a user
 * namespace, each lower layer is mounted with its owners mapped before, by mount(8). @returns where
 */
async function mountAsContainerd(namespace: MountNamespace, mounts: readonly Mount[]): Promise<string> {
  const [{ type, options } = { type: '', options: [] }] = mounts;
  if (type !== 'overlay') throw new Error(`containerd maps no owners of a ${type} mount`);
  const valueOf = (key: string): string =>
    options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1) ?? '';
  const ranges = ['u', 'g'].flatMap((kind) =>
    valueOf(`${kind}idmap`)
      .split(',')
      .map((range) => `${kind}:${range}`),
  );
  mounted += 1;
  const at = join(namespace.directory, `mapped-${mounted}`);
  const lower: string[] = [];
  for (const [index, layer] of valueOf('lowerdir').split(':').entries()) {
    const target = join(at, `lower-${index}`);
    await outputAt(namespace, 'mkdir', '-p', target);
    await outputAt(
      namespace,
      ...['mount', '--bind', '-o', `X-mount.idmap=${ranges.join(' ')}`, layer, target],
    );
    lower.push(target);
  }
  const others = options.filter((option) => !/^(?:[ug]idmap|lowerdir)=/.test(option));
  const target = join(at, 'merged');
  await outputAt(namespace, 'mkdir', target);
  const all = [...others, `lowerdir=${lower.join(':')}`].join(',');
  await outputAt(namespace, 'mount', '-t', 'overlay', 'overlay', '-o', all, target);
  return target;
}

describe.runIf(isRoot)('a snapshot for a user namespace (needs root)', () => {
  test.each<[string, number, string, string]>([
    ['root’s', 0, '0:100000:65536', '100000:100000 1755'],
    ['user 1000’s, in the second range', 1000, '0:666:1000,1000:6666:64536', '6666:6666 1755'],
    ['a user’s that it does not have', 70_000, '0:100000:65536', '100000:100000 1755'],
  ])(
    'has on the disk the host’s owner of a root directory that is %s',
    async (_, owner, ranges, expected) => {
      await using snapshots = await createSnapshots('overlay');
      await makeBase(snapshots, owner);
      const labels = labelsFor(ranges);
      const mounts = await snapshots.snapshotter.prepare('k', 'base', { labels });
      expect(mounts).toMatchObject([{ type: 'overlay' }]);
      expect(mounts[0]?.options.slice(0, 2)).toEqual([`uidmap=${ranges}`, `gidmap=${ranges}`]);
      expect(await snapshots.snapshotter.mounts('k')).toEqual(mounts);
      expect(await ownerOf(mounts)).toBe(expected);
    },
  );

  test('without a parent belongs to the host’s owner, and nothing of it is mapped', async () => {
    await using snapshots = await createSnapshots('overlay');
    const labels = labelsFor('0:100000:65536');
    const mounts = await snapshots.snapshotter.prepare('k', undefined, { labels });
    expect(mounts).toMatchObject([{ type: 'bind', options: ['rw', 'rbind'] }]);
    expect(await ownerOf(mounts)).toBe('100000:100000 755');
  });

  test('on a parent whose owners were changed already is as any other', async () => {
    await using snapshots = await createSnapshots('overlay');
    const { snapshotter } = snapshots;
    await makeBase(snapshots);
    const copy = await snapshotter.prepare('copy-active', 'base', { remapped: true });
    await chown(writableDirectory(copy), 100_000, 100_000);
    await snapshotter.commit('copy-active', 'copy');
    const labels = labelsFor('0:100000:65536');
    const mounts = await snapshotter.prepare('k', 'copy', { labels });
    expect(mounts[0]?.options.filter((option) => option.includes('map='))).toEqual([]);
    expect(await snapshotter.mounts('k')).toEqual(mounts);
    expect(await ownerOf(mounts)).toBe('100000:100000 1755');
    expect((await snapshotter.stat('copy'))?.labels).toEqual({});
  });

  test('is not made where a label is malformed', async () => {
    await using snapshots = await createSnapshots('overlay');
    await makeBase(snapshots);
    const labels = labelsFor('0:1');
    for (const made of [
      snapshots.snapshotter.prepare('k', 'base', { labels }),
      snapshots.snapshotter.view('k', 'base', { labels }),
      snapshots.snapshotter.prepare('k', undefined, { labels }),
    ])
      await expect(made).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    expect(await snapshots.snapshotter.stat('k')).toBeUndefined();
  });

  test('is refused by the native snapshotter, unless its parent’s owners were changed already', async () => {
    await using snapshots = await createSnapshots('native');
    const { snapshotter } = snapshots;
    await makeBase(snapshots);
    const labels = labelsFor('0:100000:65536');
    await expect(snapshotter.prepare('k', 'base', { labels })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      hint: expect.stringContaining('remap-ids') as string,
    });
    await expect(snapshotter.view('k', 'base', { labels })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await snapshotter.prepare('copy-active', 'base', { remapped: true });
    await snapshotter.commit('copy-active', 'copy');
    await snapshotter.prepare('k', 'copy', { labels });
  });

  test.each<[string, 'prepare' | 'view', number]>([
    ['active, on one layer', 'prepare', 1],
    ['active, on two layers', 'prepare', 2],
    ['a view of one layer', 'view', 1],
    ['a view of two layers', 'view', 2],
  ])('%s, shows what containerd mounts of it with the host’s owners', async (_, make, layers) => {
    await using namespace = await MountNamespace.start();
    await using snapshots = await createSnapshots('overlay');
    const { snapshotter } = snapshots;
    for (let layer = 0; layer < layers; layer += 1) {
      const parent = layer === 0 ? undefined : `layer-${layer - 1}`;
      const directory = writableDirectory(await snapshotter.prepare('k', parent));
      await outputAt(
        namespace,
        ...(['sh', '-euc', `cd "$0"; touch r${layer} u${layer}; chown 1000:1001 u${layer}`] as const),
        directory,
      );
      await snapshotter.commit('k', `layer-${layer}`);
    }
    const labels = labelsFor('0:100000:1000,1000:200000:1000');
    const mounts = await snapshotter[make]('c', `layer-${layers - 1}`, { labels });
    const at = await mountAsContainerd(namespace, mounts);
    const owners = async (): Promise<string[]> =>
      (await outputAt(namespace, 'sh', '-c', `cd ${at} && stat -c '%n %u:%g' . *`)).trim().split('\n');
    const expected = [
      '. 100000:100000',
      ...Array.from({ length: layers }, (_, layer) => `r${layer} 100000:100000`),
      ...Array.from({ length: layers }, (_, layer) => `u${layer} 200000:200001`),
    ];
    expect(await owners()).toEqual(expected);
    if (make === 'view') return;
    // What a container writes is the only thing that it has of its own, on the disk too.
    await outputAt(namespace, 'sh', '-euc', `cd ${at}; touch new; chown 200000:200001 new; echo >>u0`);
    expect(await owners()).toEqual([expected[0], 'new 200000:200001', ...expected.slice(1)]);
    expect(await snapshotter.usage('c')).toMatchObject({ inodes: 3 });
  });
});
