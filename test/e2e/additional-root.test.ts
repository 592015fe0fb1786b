import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GarbageReport } from '../../src/engine/upkeep/collect-garbage.js';
import type { ImageSummary } from '../../src/engine/images/images.js';
import type { PullResult } from '../../src/engine/pull/pull-report.js';
import type { Mount } from '../../src/unpack/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { LIST_FILES } from '../support/files-below.js';
import { type CommandResult, peerOutput } from '../support/landfall-command.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout, type TinyEntry, type TinyLayout } from '../support/tiny-image.js';

const reason = needsPeer('docker-registry', 'skopeo');

const LOWER: readonly (readonly TinyEntry[])[] = [
  [{ path: 'etc/' }, { path: 'etc/release', content: 'one' }, { path: 'etc/old', content: 'old' }],
  [
    { path: 'etc/' },
    { path: 'etc/.wh.old' },
    { path: 'bin/' },
    { path: 'bin/sh', content: 'sh', mode: 0o4755 },
  ],
];
const UPPER: readonly TinyEntry[] = [{ path: 'srv/' }, { path: 'srv/app', content: 'the application' }];

/**
 * `baked` is written by an ordinary store, and seen by all others at a place where the kernel refuses every
 * write.
 */
describe.skipIf(reason !== undefined)('a store on a read-only file system, as an additional one', () => {
  let work: string;
  let registry: DockerRegistry;
  let place: MountNamespace;
  let base: { reference: string; layout: TinyLayout };
  let app: { reference: string; layout: TinyLayout };
  let baked: string;
  let before: string;

  const under = (name: string): string => join(place.directory, name);

  const publish = async (name: string, layers: readonly (readonly TinyEntry[])[]): Promise<typeof base> => {
    const layout = await makeTinyLayout(join(work, name), { layers });
    const reference = `${registry.address}/team/${name}:1`;
    await peerOutput('skopeo', [
      'copy', '-q', '--dest-tls-verify=false', `oci:${layout.dir}:latest`, `docker://${reference}`,
    ]); // prettier-ignore
    return { reference, layout };
  };

  const run = (args: readonly string[]): Promise<CommandResult> =>
    landfallAt(place, ['--progress', 'none', ...args]);

  const json = async <T>(args: readonly string[]): Promise<T> => {
    const result = await run([...args, '--output', 'json']);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    return JSON.parse(result.stdout) as T;
  };

  /** Options of a store that has the baked one beside it. */
  const beside = (name: string, ...others: string[]): string[] => [
    '--root', under(name), ...[baked, ...others].flatMap((root) => ['--additional-root', root]),
  ]; // prettier-ignore

  /** What was asked of the registry while something ran. */
  const requests = async (during: () => Promise<unknown>): Promise<string[]> => {
    const known = (await registry.accessLog()).length;
    await during();
    return (await registry.accessLog()).slice(known).map((line) => /"(\S+ \S+) HTTP/.exec(line)?.[1] ?? line);
  };

  const treeOf = async (directory: string): Promise<string> =>
    // prettier-ignore
    outputAt(place, 'sh', '-c', 'cd "$1" && find . -printf "%P %y %m %U %l\\n" | sort && find . -type f | sort | xargs sha256sum', 'tree', directory);

  /** In a directory that is there, which gets the mode of the image's root. */
  const unpackedTree = async (
    options: readonly string[],
    reference: string,
    directory: string,
  ): Promise<string> => {
    await outputAt(place, 'mkdir', directory);
    await json([...options, 'unpack', reference, directory]);
    return await treeOf(directory);
  };

  /** The tree of an image as a store of its own has it, that is without any additional one. */
  const expectedTree = async (reference: string, name: string): Promise<string> => {
    await json(['--root', under(`plain-${name}`), '--plain-http', 'pull', reference]);
    return await unpackedTree(['--root', under(`plain-${name}`)], reference, under(`expected-${name}`));
  };

  const mountedTree = async (options: readonly string[], reference: string): Promise<string> => {
    const target = under('mounted');
    await outputAt(place, 'mkdir', '-p', target);
    await json([...options, 'mount', reference, target]);
    try {
      return await treeOf(target);
    } finally {
      await json([...options, 'umount', target]);
    }
  };

  const mountReadOnly = async (from: string, at: string): Promise<void> => {
    await outputAt(place, 'mount', '--bind', from, at);
    await outputAt(place, 'mount', '-o', 'remount,bind,ro', at);
  };

  const filesOf = async (root: string): Promise<string> =>
    (await outputAt(place, 'find', root, ...LIST_FILES)).split('\n').sort().join('\n');

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-additional-root-'));
    registry = await startDockerRegistry();
    place = await MountNamespace.start();
    base = await publish('base', LOWER);
    app = await publish('app', [...LOWER, UPPER]);
    await json(['--root', under('written'), '--plain-http', 'pull', base.reference]);
    baked = under('baked');
    await outputAt(place, 'mkdir', baked);
    await mountReadOnly(under('written'), baked);
    before = await filesOf(baked);
  });

  afterAll(async () => {
    expect(await filesOf(baked)).toEqual(before);
    await place[Symbol.asyncDispose]();
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  it('is one to which nothing can be written', async () => {
    expect(await place.run('touch', [join(baked, 'x')])).toMatchObject({ code: 1 });
  });

  it('gives a pull its layers: only the rest is downloaded and unpacked', async () => {
    const options = beside('a');
    let pulled: PullResult | undefined;
    const asked = await requests(async () => {
      pulled = await json<[PullResult]>([...options, '--plain-http', 'pull', app.reference]).then(
        ([one]) => one,
      );
    });
    const own = app.layout.manifests[0].layers[2]?.digest ?? '';
    const blobs = asked.filter((line) => line.includes('/blobs/')).map((line) => line.split('/').at(-1));
    expect(blobs.sort()).toEqual([own, app.layout.manifests[0].config.digest].sort());
    expect(pulled?.layers.map(({ reused }) => reused)).toEqual([true, true, false]);
    const here = await readdir(place.reach(join(under('a'), 'blobs/sha256')));
    for (const { digest } of base.layout.manifests[0].layers) expect(here).not.toContain(digest.slice(7));
    expect(await mountedTree(options, app.reference)).toBe(await expectedTree(app.reference, 'app'));
    const mounts = await json<Mount[]>([...options, 'mounts', app.reference]);
    const lower = mounts[0]?.options
      .find((option) => option.startsWith('lowerdir='))
      ?.slice(9)
      .split(':');
    expect(lower?.map((path) => path.replace(/\d+\/fs$/, ''))).toEqual([
      `${under('a')}/snapshots/`,
      `${baked}/snapshots/`,
      `${baked}/snapshots/`,
    ]);
    const unpacked = await unpackedTree(options, app.reference, under('unpacked-app'));
    expect(unpacked).toBe(await treeOf(under('expected-app')));
  });

  it('gives a pull of what it has all of it, and a name in the store that skopeo can look at', async () => {
    const options = beside('b');
    let pulled: PullResult | undefined;
    const asked = await requests(async () => {
      pulled = await json<[PullResult]>([...options, '--plain-http', 'pull', base.reference]).then(
        ([one]) => one,
      );
    });
    expect(asked.filter((line) => !line.startsWith('HEAD ') && !line.endsWith('/v2/'))).toEqual([]);
    expect(pulled).toMatchObject({ bytesDownloaded: 0 });
    const { manifest, config } = base.layout.manifests[0];
    expect(await readdir(place.reach(join(under('b'), 'blobs/sha256')))).toEqual(
      [manifest.digest, config.digest].map((digest) => digest.slice(7)).sort(),
    );
    const inspected = await outputAt(
      place,
      'skopeo',
      'inspect',
      '--raw',
      `oci:${under('b')}:${base.reference}`,
    );
    expect(JSON.parse(inspected)).toMatchObject({ config: { digest: config.digest } });
    expect(await mountedTree(options, base.reference)).toBe(await expectedTree(base.reference, 'base'));
    const [image] = await json<ImageSummary[]>([...options, 'images']);
    expect(image).toMatchObject({ name: base.reference, platforms: ['linux/amd64'] });
    expect(image).not.toHaveProperty('additionalRoot');
    // By digest not even the registry is asked, also where only the additional store has the name.
    await json([...options, 'rmi', base.reference]);
    const pinned = `${base.reference.replace(/:1$/, '')}@${manifest.digest}`;
    await json(['--root', under('b'), '--additional-root', baked, '--plain-http', 'pull', pinned]);
  });

  it('has images that are listed and read as they lie there', async () => {
    const options = beside('c');
    expect(await json<ImageSummary[]>([...options, 'images'])).toEqual([
      expect.objectContaining({
        name: base.reference,
        additionalRoot: baked,
        platforms: ['linux/amd64'],
        digest: base.layout.target.digest,
      }),
    ]);
    const plain = await run(['--root', under('plain-base'), 'inspect', '--raw', base.reference]);
    expect((await run([...options, 'inspect', '--raw', base.reference])).stdout).toBe(plain.stdout);
    expect(await mountedTree(options, base.reference)).toBe(await treeOf(under('expected-base')));
    const id = base.layout.manifests[0].config.digest.slice(7, 19);
    const unpacked = await unpackedTree(options, id, under('unpacked-base'));
    expect(unpacked).toBe(await treeOf(under('expected-base')));
    const writable = under('writable');
    await outputAt(place, 'mkdir', writable);
    await json([...options, 'mount', '--rw', base.reference, writable]);
    await outputAt(place, 'sh', '-c', 'echo changed > "$1/etc/release"', 'write', writable);
    await json([...options, 'umount', writable]);
    expect(await readdir(place.reach(join(under('c'), 'blobs/sha256')))).toEqual([]);
  });

  it('has images that are served', async () => {
    await outputAt(place, 'cp', '-a', under('written'), under('named'));
    // A registry with a port is no part of a repository's name for skopeo.
    await json(['--root', under('named'), 'tag', base.reference, 'example.org/base:1']);
    const args = [...beside('c', under('named')), 'serve', '--listen', '127.0.0.1:0', '--output', 'json'];
    let child: ChildProcess | undefined;
    const serving = landfallAt(place, args, { onStart: (started) => (child = started) });
    const port = await new Promise<string>((resolve) => {
      const lines = createInterface({ input: child?.stdout ?? process.stdin });
      lines.on('line', (line) => {
        const found = /"port": (\d+)/.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    try {
      const source = `docker://127.0.0.1:${port}/example.org/base:1`;
      const target = `dir:${join(work, 'served')}`;
      await peerOutput('skopeo', ['copy', '-q', '--src-tls-verify=false', source, target]);
    } finally {
      child?.kill('SIGINT');
    }
    expect(await serving).toMatchObject({ code: 130 });
    for (const { digest } of base.layout.manifests[0].layers) {
      expect(await readFile(join(work, 'served', digest.slice(7)))).toEqual(base.layout.blobs.get(digest));
    }
  });

  it('has names that can be given to the store, and not taken or changed', async () => {
    const options = beside('d');
    for (const command of ['rmi', 'pin', 'unpin']) {
      const refused = await run([...options, command, base.reference]);
      expect(refused).toMatchObject({ code: 1 });
      expect(refused.stderr).toContain(`in the additional store at ${baked}`);
    }
    await json([...options, 'tag', base.reference, 'example.org/mine:1']);
    // prettier-ignore
    const names = (await json<ImageSummary[]>([...options, 'images'])).map(({ name, additionalRoot }) => [name, additionalRoot]);
    expect(names).toEqual([
      [base.reference, baked],
      ['example.org/mine:1', undefined],
    ]);
    const { manifest, config } = base.layout.manifests[0];
    expect(await readdir(place.reach(join(under('d'), 'blobs/sha256')))).toEqual(
      [manifest.digest, config.digest].map((digest) => digest.slice(7)).sort(),
    );
    await outputAt(place, 'skopeo', 'inspect', '--raw', `oci:${under('d')}:example.org/mine:1`);
    expect(await mountedTree(options, 'example.org/mine:1')).toBe(await treeOf(under('expected-base')));
    await json([...options, 'pin', 'example.org/mine:1']);
    await json([...options, 'rmi', 'example.org/mine:1']);
    expect(await readdir(place.reach(join(under('d'), 'blobs/sha256')))).toEqual([]);
    await json([...options, 'gc']);
    expect(await readdir(place.reach(join(under('d'), 'snapshots')))).toEqual([]);
  });

  it('is neither collected nor missed by a collection of the store', async () => {
    const options = beside('e');
    await json([...options, '--plain-http', 'pull', app.reference]);
    const before = await filesOf(join(under('e'), 'blobs'));
    for (const using of [options, ['--root', under('e')]]) {
      const report = await json<GarbageReport>([...using, 'gc']);
      expect(report).toMatchObject({ blobs: [], snapshots: [], freed: 0 });
      expect(await filesOf(join(under('e'), 'blobs'))).toBe(before);
    }
    expect(await run([...options, 'fsck'])).toMatchObject({ code: 0 });
    // By itself the store lacks the layers of the other one.
    expect(await run(['--root', under('e'), 'fsck', '--quick'])).toMatchObject({ code: 6 });
    const asked = await requests(() => json([...options, '--plain-http', 'pull', app.reference]));
    expect(asked.filter((line) => line.includes('/blobs/'))).toEqual([]);
    await json([...options, 'rmi', app.reference]);
    expect(await readdir(place.reach(join(under('e'), 'snapshots')))).toEqual([]);
    expect(await readdir(place.reach(join(under('e'), 'blobs/sha256')))).toEqual([]);
  });

  it('can go: what is known of an image stays, and a pull brings what it had', async () => {
    await json([...beside('f'), '--plain-http', 'pull', app.reference]);
    await outputAt(place, 'mkdir', under('target'));
    await outputAt(place, 'umount', baked);
    const alone = ['--root', under('f')];
    expect((await json<ImageSummary[]>([...alone, 'images']))[0]).toMatchObject({
      platforms: ['linux/amd64'],
    });
    const refused = await run([...alone, 'mount', app.reference, under('target')]);
    expect(refused).toMatchObject({ code: 3 });
    expect(refused.stderr).toContain('landfall pull');
    const missing = await run([...beside('f'), 'images']);
    expect(missing).toMatchObject({ code: 2 });
    expect(missing.stderr).toContain(`the additional store ${baked} cannot be used: there is no store`);
    await json([...alone, '--plain-http', 'pull', app.reference]);
    expect(await mountedTree(alone, app.reference)).toBe(await treeOf(under('expected-app')));
    await mountReadOnly(under('written'), baked);
    expect(await mountedTree(beside('f'), app.reference)).toBe(await treeOf(under('expected-app')));
  });

  it('may have been left by a writer that was killed, with images that only the log has', async () => {
    await outputAt(place, 'cp', '-a', under('written'), under('left'));
    const tag = ['--root', under('left'), 'tag', base.reference, 'example.org/late:1'];
    const killed = await landfallAt(place, tag, { env: { LANDFALL_FAULT_POINT: 'image-put:done' } });
    expect(killed.signal).toBe('SIGKILL');
    await outputAt(place, 'rm', '-f', join(under('left'), 'metadata.db-shm'));
    expect(await readdir(place.reach(under('left')))).toContain('metadata.db-wal');
    await mountReadOnly(under('left'), under('left'));
    const unchanged = await filesOf(under('left'));
    const options = ['--root', under('g'), '--additional-root', under('left')];
    expect((await json<ImageSummary[]>([...options, 'images'])).map(({ name }) => name)).toEqual([
      base.reference,
      'example.org/late:1',
    ]);
    expect(await mountedTree(options, 'example.org/late:1')).toBe(await treeOf(under('expected-base')));
    expect(await filesOf(under('left'))).toBe(unchanged);
  });

  it('may go without the blobs of its layers, as then the store does', async () => {
    await json(['--root', under('lean'), '--plain-http', 'pull', '--discard-layers', base.reference]);
    await mountReadOnly(under('lean'), under('lean'));
    const options = ['--root', under('j'), '--additional-root', under('lean')];
    const asked = await requests(() => json([...options, '--plain-http', 'pull', base.reference]));
    expect(asked.filter((line) => line.includes('/blobs/'))).toEqual([]);
    await json([...options, 'tag', base.reference, 'example.org/lean:1']);
    expect(await json<GarbageReport>([...options, 'gc'])).toMatchObject({ blobs: [], snapshots: [] });
    expect(await mountedTree(options, 'example.org/lean:1')).toBe(await treeOf(under('expected-base')));
    // Of an image that only it has a name for, the layers are fetched when they are needed.
    const other = ['--root', under('k'), '--additional-root', under('lean')];
    expect(await mountedTree(other, base.reference)).toBe(await treeOf(under('expected-base')));
    const unpacked = await unpackedTree([...other, '--plain-http'], base.reference, under('unpacked-lean'));
    expect(unpacked).toBe(await treeOf(under('expected-base')));
  });

  it('may be one of several, also named by the environment; the first that has a thing counts', async () => {
    await json(['--root', under('second'), '--plain-http', 'pull', app.reference]);
    await json(['--root', under('second'), 'tag', app.reference, base.reference]);
    const env = { LANDFALL_ADDITIONAL_ROOTS: `${baked}:${under('second')}:` };
    const args = ['--root', under('h'), '--output', 'json'];
    const { stdout } = await landfallAt(place, [...args, 'images'], { env });
    expect((JSON.parse(stdout) as ImageSummary[]).map(({ name, additionalRoot }) => [name, additionalRoot])).toEqual([
      [app.reference, under('second')],
      [base.reference, baked],
    ]); // prettier-ignore
    const pulled = await landfallAt(place, [...args, '--plain-http', 'pull', app.reference], { env });
    expect(JSON.parse(pulled.stdout)).toMatchObject([{ bytesDownloaded: 0 }]);
    const links = await Promise.all(
      (await readdir(place.reach(join(under('h'), 'snapshots')))).map((number) =>
        readlink(place.reach(join(under('h'), 'snapshots', number, 'fs'))),
      ),
    );
    expect(links.map((link) => link.replace(/\d+\/fs$/, '')).sort()).toEqual([
      `${baked}/snapshots/`,
      `${baked}/snapshots/`,
      `${under('second')}/snapshots/`,
    ]);
    // The option takes the place of the environment.
    const only = await landfallAt(place, [...args, '--additional-root', baked, 'images'], { env });
    expect((JSON.parse(only.stdout) as ImageSummary[]).map(({ name }) => name).sort()).toEqual(
      [app.reference, base.reference].sort(),
    );
  });

  it('is used by many processes at once, each with the same result', async () => {
    const options = [...beside('i'), '--plain-http', 'pull', app.reference];
    const results = await Promise.all([1, 2, 3, 4].map(() => run(options)));
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    await json([...beside('i'), 'gc']);
    expect(await readdir(place.reach(join(under('i'), 'snapshots')))).toHaveLength(3);
    expect(await mountedTree(beside('i'), app.reference)).toBe(await treeOf(under('expected-app')));
  });

  it('gives up nothing when a process is killed while it takes its layers into use', async () => {
    for (const point of ['layer-commit:described', 'layer-commit:synced', 'layer-commit:recorded']) {
      const options = beside(`killed-${point.split(':')[1] ?? ''}`);
      const killed = await landfallAt(place, [...options, '--plain-http', 'pull', base.reference], {
        env: { LANDFALL_FAULT_POINT: point },
      });
      expect(killed.signal).toBe('SIGKILL');
      await json([...options, '--plain-http', 'pull', base.reference]);
      await json([...options, 'gc']);
      expect(await mountedTree(options, base.reference)).toBe(await treeOf(under('expected-base')));
    }
  });
});
