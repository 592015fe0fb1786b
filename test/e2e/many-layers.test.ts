import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Mount } from '../../src/unpack/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput } from '../support/landfall-command.js';
import { type ManyLayers, manyLayers } from '../support/many-layers.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const reason = needsPeer('docker-registry', 'skopeo', 'umoci');

/** mount(2) takes a page of options. */
const PAGE = 4096;
const LAYERS = 200;

/** More than any image on a public registry has, and more than one page of mount options can name. */
describe.skipIf(reason !== undefined)(`an image of ${LAYERS} layers`, () => {
  let work: string;
  let registry: DockerRegistry;
  let place: MountNamespace;
  let reference: string;
  let made: ManyLayers;
  let root: string;
  let mounts: Mount[];

  const json = async <T>(...args: string[]): Promise<T> => {
    const options = ['--root', root, '--progress', 'none', '--output', 'json'];
    const result = await landfallAt(place, [...options, ...args]);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    return JSON.parse(result.stdout) as T;
  };
  const emptyDirectory = async (name: string): Promise<string> => {
    const path = join(place.directory, name);
    await mkdir(place.reach(path));
    return path;
  };
  const treeAt = (path: string): Promise<Map<string, string>> => readTree(place.reach(path));

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-many-layers-'));
    registry = await startDockerRegistry();
    place = await MountNamespace.start();
    made = manyLayers(LAYERS);
    const { dir } = await makeTinyLayout(join(work, 'layout'), { layers: made.layers });
    reference = `${registry.address}/team/many:1`;
    await peerOutput('skopeo', [
      'copy', '-q', '--dest-tls-verify=false', `oci:${dir}:latest`, `docker://${reference}`,
    ]); // prettier-ignore
    // A path as long as the customary ones.
    root = join(place.directory, 'var/lib/landfall');
    await json('pull', reference);
    mounts = await json('mounts', reference);
  });

  afterAll(async () => {
    await place[Symbol.asyncDispose]();
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  it('is left by umoci as the tree that is expected here', async () => {
    const bundle = join(work, 'bundle');
    await peerOutput('umoci', ['unpack', '--image', `${join(work, 'layout')}:latest`, bundle]);
    expect(await readTree(join(bundle, 'rootfs'))).toEqual(made.tree);
  });

  it('is mounted by the kernel, and read right', async () => {
    const target = await emptyDirectory('mounted');
    await json('mount', reference, target);
    expect(await treeAt(target)).toEqual(made.tree);
    await json('umount', target);
    expect(await readdir(place.reach(target))).toEqual([]);
  });

  it('is mounted writable, with what is written on top', async () => {
    const target = await emptyDirectory('writable');
    await json('mount', '--rw', reference, target);
    const script = 'rm -r "$1/own-0" && echo -n mine > "$1/shared/top" && echo -n x > "$1/new"';
    await outputAt(place, 'sh', '-c', script, 'write', target);
    const expected = new Map(made.tree).set('shared/top', 'mine').set('new', 'x');
    for (const gone of ['own-0', 'own-0/file']) expected.delete(gone);
    expect(await treeAt(target)).toEqual(expected);
    await json('umount', target);
  });

  it('is unpacked, without mounts, as the same tree', async () => {
    const target = await emptyDirectory('unpacked');
    await json('unpack', reference, target);
    expect(await treeAt(target)).toEqual(made.tree);
  });

  it('has mounts that name its layers, topmost first, in more than a page', async () => {
    const [mount] = mounts;
    expect(mounts).toHaveLength(1);
    expect(mount).toMatchObject({ type: 'overlay', source: 'overlay' });
    expect(mount?.options.join(',').length).toBeGreaterThan(PAGE);
    const lower = lowerOf(mounts);
    expect(lower).toHaveLength(LAYERS);
    const owners = await Promise.all(
      lower.map((path) => readFile(place.reach(join(path, 'shared/top')), 'utf8')),
    );
    expect(owners).toEqual(made.layers.map((_, n) => `${LAYERS - 1 - n}`));
  });

  it('has mounts that the kernel takes by names relative to the store, as the manual says', async () => {
    const target = await emptyDirectory('by-hand');
    const snapshots = join(root, 'snapshots');
    const options = (mounts[0]?.options ?? []).join(',').replaceAll(`${snapshots}/`, '');
    expect(options.length).toBeLessThan(PAGE);
    const mount = 'cd "$1" && LIBMOUNT_FORCE_MOUNT2=always mount -t overlay -o "$2" overlay "$3"';
    await outputAt(place, 'sh', '-c', mount, 'mount', snapshots, options, target);
    expect(await treeAt(target)).toEqual(made.tree);
  });

  it('leaves nothing once it is removed', async () => {
    await json('rmi', reference);
    expect(await readdir(place.reach(join(root, 'snapshots')))).toEqual([]);
    expect(await readdir(place.reach(join(root, 'blobs/sha256')))).toEqual([]);
  });
});

function lowerOf(mounts: readonly Mount[]): string[] {
  const option = mounts.flatMap(({ options }) => options).find((one) => one.startsWith('lowerdir='));
  return option?.slice('lowerdir='.length).split(':') ?? [];
}

/** In the form of {@link ManyLayers}. */
async function readTree(root: string, below = '', tree = new Map<string, string>()): Promise<typeof tree> {
  for (const name of await readdir(join(root, below))) {
    const path = join(below, name);
    const at = join(root, path);
    const stat = await lstat(at);
    if (stat.isDirectory()) await readTree(root, path, tree.set(path, '/'));
    else if (stat.isSymbolicLink()) tree.set(path, `-> ${await readlink(at)}`);
    else tree.set(path, await readFile(at, 'utf8'));
  }
  return tree;
}
