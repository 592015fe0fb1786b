import { mkdir, symlink, writeFile, link, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { microsecondsNow } from '../../src/system/index.js';
import type { Mount, SnapshotInfo, Snapshotter } from '../../src/unpack/index.js';
import { makeDeep } from '../support/deep-tree.js';
import { contents, TreeLister } from '../support/tree-lister.js';
import { snapshotContentTests } from './snapshotter-content.js';

export interface SnapshotterUnderTest extends AsyncDisposable {
  readonly snapshotter: Snapshotter;
  /** The same snapshots as a program that starts later finds them. */
  reopen(): Promise<SnapshotterUnderTest>;
}

/**
 * What every snapshotter promises (src/unpack/snapshotter.ts), run over one. Each test gets a new, empty one.
 */
export function snapshotterSuite(name: string, create: CreateSnapshotter): void {
  describe(`${name} as a snapshotter`, () => {
    lifecycleTests(create);
    refusalTests(create);
    recordTests(create);
    usageTests(create);
    snapshotContentTests(create);
  });
}

/**
 * The directory that an active snapshot is written through: of the mounts seen here, the one that takes
 * changes.
 */
export function writableDirectory(mounts: readonly Mount[]): string {
  const [mount] = mounts;
  if (mount === undefined) throw new Error('an active snapshot has no mount');
  const upper = mount.options.find((option) => option.startsWith('upperdir='));
  return upper?.slice('upperdir='.length) ?? mount.source;
}

async function committed(snapshotter: Snapshotter, name: string, parent?: string): Promise<void> {
  const mounts = await snapshotter.prepare(`making ${name}`, parent);
  await writeFile(join(writableDirectory(mounts), name), `content of ${name}`);
  await snapshotter.commit(`making ${name}`, name);
}

async function listed(snapshotter: Snapshotter): Promise<SnapshotInfo[]> {
  const all: SnapshotInfo[] = [];
  for await (const info of snapshotter.list()) all.push(info);
  return all;
}

function code(expected: string): object {
  return expect.objectContaining({ code: expected }) as object;
}

export type CreateSnapshotter = () => Promise<SnapshotterUnderTest>;

function lifecycleTests(create: CreateSnapshotter): void {
  test('what is written to an active snapshot is in what it becomes, and in its children', async () => {
    await using under = await create();
    await using lister = new TreeLister();
    const { snapshotter } = under;
    await committed(snapshotter, 'one');
    await committed(snapshotter, 'two', 'one');
    const mounts = await snapshotter.view('v', 'two');
    expect(contents(await lister.mounted(mounts))).toEqual({
      '': 'directory',
      one: 'content of one',
      two: 'content of two',
    });
  });

  test('siblings do not see one another', async () => {
    await using under = await create();
    await using lister = new TreeLister();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    await committed(snapshotter, 'left', 'base');
    await committed(snapshotter, 'right', 'base');
    expect(Object.keys(contents(await lister.mounted(await snapshotter.view('v', 'left'))))).toEqual([
      '',
      'base',
      'left',
    ]);
  });

  test('a committed snapshot does not change when a child is written to', async () => {
    await using under = await create();
    await using lister = new TreeLister();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    const mounts = await snapshotter.prepare('child', 'base');
    await writeFile(join(writableDirectory(mounts), 'base'), 'changed by the child');
    expect(contents(await lister.mounted(await snapshotter.view('v', 'base')))['base']).toBe(
      'content of base',
    );
    expect(contents(await lister.mounted(mounts))['base']).toBe('changed by the child');
  });

  test('the root of an active snapshot has the mode of its parent', async () => {
    await using under = await create();
    await using lister = new TreeLister();
    const { snapshotter } = under;
    await chmod(writableDirectory(await snapshotter.prepare('k')), 0o1777);
    await snapshotter.commit('k', 'open to all');
    const mounts = await snapshotter.prepare('child', 'open to all');
    expect((await lister.mounted(mounts))['']?.mode).toBe(0o1777);
  });

  test('mounts are the same each time they are asked for', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    expect(await snapshotter.mounts('v').catch(() => undefined)).toBeUndefined();
    expect(await snapshotter.view('v', 'base')).toEqual(await snapshotter.mounts('v'));
    expect(await snapshotter.prepare('k', 'base')).toEqual(await snapshotter.mounts('k'));
  });

  test('a view is read-only, an active snapshot is not', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    const readOnly = (mounts: readonly Mount[]): boolean =>
      mounts.every(({ type, options }) =>
        type === 'overlay' ? !options.some((o) => o.startsWith('upperdir=')) : options.includes('ro'),
      );
    expect(readOnly(await snapshotter.view('empty'))).toBe(true);
    expect(readOnly(await snapshotter.view('v', 'base'))).toBe(true);
    expect(readOnly(await snapshotter.prepare('bottom'))).toBe(false);
    expect(readOnly(await snapshotter.prepare('k', 'base'))).toBe(false);
  });

  test('what was there is there when it is opened again', async () => {
    await using under = await create();
    await using lister = new TreeLister();
    await committed(under.snapshotter, 'one');
    await under.snapshotter.prepare('k', 'one', { labels: { a: 'b' } });
    const before = await listed(under.snapshotter);
    await using again = await under.reopen();
    expect(await listed(again.snapshotter)).toEqual(before);
    expect(contents(await lister.mounted(await again.snapshotter.mounts('k')))).toEqual({
      '': 'directory',
      one: 'content of one',
    });
  });
}

function refusalTests(create: CreateSnapshotter): void {
  const rows: readonly (readonly [string, (s: Snapshotter) => Promise<unknown>, string])[] = [
    ['prepare on a parent that is not there', (s) => s.prepare('x', 'nowhere'), 'SNAPSHOT_NOT_FOUND'],
    ['view of a parent that is not there', (s) => s.view('x', 'nowhere'), 'SNAPSHOT_NOT_FOUND'],
    ['prepare on an active parent', (s) => s.prepare('x', 'active'), 'INVALID_CONFIG'],
    ['prepare on a view', (s) => s.prepare('x', 'view'), 'INVALID_CONFIG'],
    ['prepare with the key of an active snapshot', (s) => s.prepare('active'), 'ALREADY_EXISTS'],
    ['prepare with the key of a view', (s) => s.prepare('view'), 'ALREADY_EXISTS'],
    ['prepare with the name of a committed snapshot', (s) => s.prepare('base'), 'ALREADY_EXISTS'],
    ['view with the name of a committed snapshot', (s) => s.view('base'), 'ALREADY_EXISTS'],
    ['commit to a name that is taken', (s) => s.commit('active', 'base'), 'ALREADY_EXISTS'],
    ['commit to the key of a view', (s) => s.commit('active', 'view'), 'ALREADY_EXISTS'],
    ['commit of a view', (s) => s.commit('view', 'x'), 'INVALID_CONFIG'],
    ['commit of a committed snapshot', (s) => s.commit('base', 'x'), 'INVALID_CONFIG'],
    ['commit of what is not there', (s) => s.commit('nowhere', 'x'), 'SNAPSHOT_NOT_FOUND'],
    ['mounts of a committed snapshot', (s) => s.mounts('base'), 'INVALID_CONFIG'],
    ['mounts of what is not there', (s) => s.mounts('nowhere'), 'SNAPSHOT_NOT_FOUND'],
    ['usage of what is not there', (s) => s.usage('nowhere'), 'SNAPSHOT_NOT_FOUND'],
    ['update of what is not there', (s) => s.update('nowhere', { labels: {} }), 'SNAPSHOT_NOT_FOUND'],
    ['remove of what is not there', (s) => s.remove('nowhere'), 'SNAPSHOT_NOT_FOUND'],
    ['remove of a parent', (s) => s.remove('base'), 'IN_USE'],
    ['a reserved label', (s) => s.prepare('x', 'base', { labels: { 'landfall/x': '' } }), 'INVALID_CONFIG'],
  ];
  test.each(rows)('refused: %s', async (_, act, expected) => {
    await using under = await create();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    await snapshotter.prepare('active', 'base');
    await snapshotter.view('view', 'base');
    const before = await listed(snapshotter);
    await expect(act(snapshotter)).rejects.toEqual(code(expected));
    expect(await listed(snapshotter)).toEqual(before);
  });

  test('a parent can be removed when its last child is gone', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    await snapshotter.prepare('k', 'base');
    await snapshotter.view('v', 'base');
    await snapshotter.remove('k');
    await expect(snapshotter.remove('base')).rejects.toEqual(code('IN_USE'));
    await snapshotter.remove('v');
    await snapshotter.remove('base');
    expect(await listed(snapshotter)).toEqual([]);
  });

  test('a key or name is free again after its snapshot was removed or committed', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    await snapshotter.prepare('making base');
    await snapshotter.remove('base');
    await snapshotter.prepare('base');
    expect((await snapshotter.stat('base'))?.kind).toBe('active');
  });

  test.each([
    ['an active one that is committed twice', (s: Snapshotter) => s.commit('active', 'again')],
    ['an active one that is removed', (s: Snapshotter) => s.remove('active')],
    ['the mounts of an active one', (s: Snapshotter) => s.mounts('active')],
  ])('refused once it is committed: %s', async (_, act) => {
    await using under = await create();
    const { snapshotter } = under;
    await snapshotter.prepare('active');
    await snapshotter.commit('active', 'base');
    await expect(act(snapshotter)).rejects.toEqual(code('SNAPSHOT_NOT_FOUND'));
    expect((await listed(snapshotter)).map(({ name }) => name)).toEqual(['base']);
  });

  test('a snapshot between others cannot be removed, and all of them can from the top', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await committed(snapshotter, 'bottom');
    await committed(snapshotter, 'middle', 'bottom');
    await snapshotter.prepare('top', 'middle');
    await expect(snapshotter.remove('middle')).rejects.toEqual(code('IN_USE'));
    for (const name of ['top', 'middle', 'bottom']) await snapshotter.remove(name);
    expect(await listed(snapshotter)).toEqual([]);
  });

  test('what is deeper than any path can say is measured, copied and removed', async () => {
    await using under = await create();
    const { snapshotter } = under;
    makeDeep(join(writableDirectory(await snapshotter.prepare('k')), 'deep'), 60);
    expect((await snapshotter.usage('k')).inodes).toBe(2 + 2 * 60);
    await snapshotter.commit('k', 'deep');
    await snapshotter.prepare('child', 'deep');
    await snapshotter.remove('child');
    await snapshotter.remove('deep');
    expect(await listed(snapshotter)).toEqual([]);
  });

  test('directories without any rights can be removed', async () => {
    await using under = await create();
    const { snapshotter } = under;
    const directory = join(writableDirectory(await snapshotter.prepare('k')), 'closed');
    await mkdir(directory);
    await writeFile(join(directory, 'f'), '');
    await chmod(directory, 0);
    await snapshotter.remove('k');
    expect(await snapshotter.stat('k')).toBeUndefined();
  });
}

function recordTests(create: CreateSnapshotter): void {
  test('stat and list say what a snapshot is', async () => {
    await using under = await create();
    const { snapshotter } = under;
    const start = microsecondsNow();
    await committed(snapshotter, 'base');
    await snapshotter.prepare('k', 'base', { labels: { colour: 'red' } });
    await snapshotter.view('v', 'base');
    expect(await snapshotter.stat('nowhere')).toBeUndefined();
    const infos = await listed(snapshotter);
    expect(infos.map(({ name, kind, parent, labels }) => ({ name, kind, parent, labels }))).toEqual([
      { name: 'base', kind: 'committed', parent: undefined, labels: {} },
      { name: 'k', kind: 'active', parent: 'base', labels: { colour: 'red' } },
      { name: 'v', kind: 'view', parent: 'base', labels: {} },
    ]);
    for (const info of infos) {
      expect(await snapshotter.stat(info.name)).toEqual(info);
      expect(info.createdAt).toBeGreaterThanOrEqual(start);
      expect(info.updatedAt).toBeGreaterThanOrEqual(info.createdAt);
      expect(info.updatedAt).toBeLessThanOrEqual(microsecondsNow());
    }
  });

  test('labels are those of the last update, and of the commit', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await snapshotter.prepare('k', undefined, { labels: { a: '1', b: '2' } });
    expect((await snapshotter.update('k', { labels: { b: '3' } })).labels).toEqual({ b: '3' });
    await snapshotter.commit('k', 'name', { labels: { c: '4' } });
    expect((await snapshotter.stat('name'))?.labels).toEqual({ c: '4' });
    expect((await snapshotter.update('name', { labels: {} })).labels).toEqual({});
  });

  test('an update changes the labels and its own time alone', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await committed(snapshotter, 'base');
    await snapshotter.prepare('active', 'base');
    await snapshotter.view('view', 'base');
    for (const before of await listed(snapshotter)) {
      const start = microsecondsNow();
      const after = await snapshotter.update(before.name, { labels: { a: 'b' } });
      expect(after).toEqual({ ...before, labels: { a: 'b' }, updatedAt: after.updatedAt });
      expect(after.updatedAt).toBeGreaterThanOrEqual(start);
      expect(await snapshotter.stat(before.name)).toEqual(after);
    }
  });

  test.each([
    '../../../outside',
    '/tmp/absolute',
    'a/b/c',
    '.',
    'ключ 鍵 🔑',
    'with\nline breaks\0and NULs',
    `'); DROP TABLE snapshots; --`,
    '%s %d',
    'n'.repeat(4000),
  ])('keys and names are opaque: %j', async (name) => {
    await using under = await create();
    await using lister = new TreeLister();
    const { snapshotter } = under;
    await snapshotter.prepare(`${name} active`);
    await snapshotter.commit(`${name} active`, name, { labels: { [name]: name } });
    expect(await snapshotter.stat(name)).toMatchObject({ name, labels: { [name]: name } });
    await snapshotter.view(`${name} view`, name);
    expect(Object.keys(await lister.mounted(await snapshotter.mounts(`${name} view`)))).toEqual(['']);
    expect((await listed(snapshotter)).map((info) => [info.name, info.parent])).toEqual([
      [name, undefined],
      [`${name} view`, name],
    ]);
    await snapshotter.remove(`${name} view`);
    await snapshotter.remove(name);
  });

  test('others may be asked about and removed while all are listed', async () => {
    await using under = await create();
    const { snapshotter } = under;
    for (const name of ['a', 'b', 'c', 'd']) await snapshotter.prepare(name);
    const seen: string[] = [];
    for await (const info of snapshotter.list()) {
      expect(await snapshotter.stat(info.name)).toEqual(info);
      await snapshotter.remove(info.name);
      seen.push(info.name);
    }
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
    expect(await listed(snapshotter)).toEqual([]);
  });

  test('only one of many that commit to the same name gets it', async () => {
    await using under = await create();
    const { snapshotter } = under;
    const keys = ['a', 'b', 'c', 'd'];
    for (const key of keys) await snapshotter.prepare(key);
    const outcomes = await Promise.allSettled(keys.map((key) => snapshotter.commit(key, 'name')));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const infos = await listed(snapshotter);
    expect(infos.filter(({ kind }) => kind === 'committed').map(({ name }) => name)).toEqual(['name']);
    expect(infos.filter(({ kind }) => kind === 'active')).toHaveLength(3);
  });

  test('only one of many commits of the same snapshot makes it', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await snapshotter.prepare('k');
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((name) => snapshotter.commit('k', name)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await listed(snapshotter)).toHaveLength(1);
  });

  test('only one of many that take the same key gets it', async () => {
    await using under = await create();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5 }, () => under.snapshotter.prepare('k')),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await listed(under.snapshotter)).map(({ name }) => name)).toEqual(['k']);
  });
}

function usageTests(create: CreateSnapshotter): void {
  test('usage counts each file once, however many links it has', async () => {
    await using under = await create();
    const { snapshotter } = under;
    const directory = writableDirectory(await snapshotter.prepare('k'));
    const empty = await snapshotter.usage('k');
    await writeFile(join(directory, 'f'), Buffer.alloc(64 * 1024, 1));
    const one = await snapshotter.usage('k');
    await link(join(directory, 'f'), join(directory, 'g'));
    await symlink('f', join(directory, 's'));
    expect(empty.inodes).toBe(1);
    expect(one).toEqual({ inodes: 2, size: empty.size + 64 * 1024 });
    expect(await snapshotter.usage('k')).toEqual({ inodes: 3, size: one.size });
  });

  test('usage of a committed snapshot is that of its content', async () => {
    await using under = await create();
    const { snapshotter } = under;
    await writeFile(join(writableDirectory(await snapshotter.prepare('k')), 'f'), Buffer.alloc(8192, 1));
    const before = await snapshotter.usage('k');
    await snapshotter.commit('k', 'name');
    expect(await snapshotter.usage('name')).toEqual(before);
    expect(await snapshotter.usage('name')).toEqual(before);
  });
}
