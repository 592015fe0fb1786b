import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Mount } from '../../src/unpack/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput } from '../support/landfall-command.js';
import { type DiskType, mountLoopDisk } from '../support/loop-disk.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const reason = needsPeer('docker-registry', 'skopeo', 'mkfs.btrfs', 'mkfs.xfs', 'mkfs.ext4', 'filefrag');

const BIG = randomBytes(16 << 20);
const SMALL = ['one', 'two', 'three'];

/** Each native snapshot is a whole tree; whether that takes its space again is for the file system to say. */
describe.skipIf(reason !== undefined)('native snapshots', () => {
  let work: string;
  let registry: DockerRegistry;
  let place: MountNamespace;
  let reference: string;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-reflink-'));
    registry = await startDockerRegistry();
    place = await MountNamespace.start();
    const layers = SMALL.map((text, n) => [
      ...(n === 0 ? [{ path: 'data/' }, { path: 'data/big', content: BIG }] : []),
      { path: 'small', content: text },
      { path: `of-${text}`, content: text },
    ]);
    const { dir } = await makeTinyLayout(join(work, 'layout'), { layers, compression: 'zstd' });
    reference = `${registry.address}/team/app:1`;
    await peerOutput('skopeo', [
      'copy', '-q', '--dest-tls-verify=false', `oci:${dir}:latest`, `docker://${reference}`,
    ]); // prettier-ignore
  });

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** The stretches of the disk that hold a file, and whether each is shared with another. */
  const extentsOf = async (path: string): Promise<{ physical: string; isShared: boolean }[]> => {
    const text = await outputAt(place, 'filefrag', '-v', path);
    const rows = [...text.matchAll(/^ *\d+: +\d+\.\. +\d+: +(\d+)\.\. +(\d+): +\d+:(.*)$/gm)];
    return rows.map(([, from, to, rest]) => {
      return { physical: `${from}-${to}`, isShared: rest?.includes('shared') === true };
    });
  };

  it.each<[DiskType, { isShared: boolean }]>([
    ['btrfs', { isShared: true }],
    ['xfs', { isShared: true }],
    ['ext4', { isShared: false }],
  ])('on %s share the blocks of what is equal: %o', async (type, { isShared }) => {
    const disk = await mountLoopDisk(place, type);
    const run = async (...args: string[]): Promise<string> => {
      const options = ['--root', join(disk, 'root'), '--snapshots', 'native', '--progress', 'none'];
      const result = await landfallAt(place, [...options, ...args]);
      expect(result, result.stderr).toMatchObject({ code: 0 });
      return result.stdout;
    };
    await run('pull', reference);
    const [mount] = JSON.parse(await run('mounts', reference)) as Mount[];
    expect(mount).toMatchObject({ type: 'bind', options: ['ro', 'rbind'] });

    // Three layers make the snapshots 1, 2 and 3, however their commits went.
    const trees = [1, 2, 3].map((n) => join(disk, 'root/snapshots', `${n}`, 'fs'));
    expect(trees).toContain(mount?.source);
    await outputAt(place, 'sync', '-f', disk);
    const extents = await Promise.all(trees.map((tree) => extentsOf(join(tree, 'data/big'))));
    for (const each of extents) {
      expect(each.length).toBeGreaterThan(0);
      expect(each.map((extent) => extent.isShared)).toEqual(each.map(() => isShared));
    }
    expect(new Set(extents.map((each) => JSON.stringify(each))).size).toBe(isShared ? 1 : 3);
    for (const tree of trees) {
      expect((await readFile(place.reach(join(tree, 'data/big')))).equals(BIG)).toBe(true);
    }

    const target = join(place.directory, 'writable');
    await mkdir(place.reach(target));
    await run('mount', '--rw', reference, target);
    await outputAt(place, 'sh', '-c', 'echo changed > "$1/data/big" && cat "$1/small"', 'write', target);
    expect(await readFile(place.reach(join(target, 'small')), 'utf8')).toBe('three');
    await run('umount', target);
    for (const tree of trees) {
      expect((await readFile(place.reach(join(tree, 'data/big')))).equals(BIG)).toBe(true);
    }
    await run('fsck');
  });
});
