import { type ChildProcess, execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { MetadataDatabase } from '../../src/metadata/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import {
  type CommandResult,
  LANDFALL,
  landfall,
  landfallJson,
  peerOutput,
} from '../support/landfall-command.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { MOUNT_NAMESPACE } from '../support/needs-root.js';
import { needsPeer } from '../support/peers.js';
import type { TinyEntry } from '../support/tiny-image.js';

const reason = needsPeer('docker-registry', 'skopeo');

interface Pulled {
  digest: string;
  imageId: string;
  layers: { digest: string; size: number; reused: boolean; discarded: boolean }[];
  bytesDownloaded: number;
  bytesDiscarded: number;
}

/** A node that keeps its images unpacked only, and what others may still ask of it. */
describe.skipIf(reason !== undefined)('pull --discard-layers', () => {
  let work: string;
  let registry: DockerRegistry;
  let root: string;
  let shared: readonly (readonly TinyEntry[])[];
  let image: string;

  const push = async (
    name: string,
    o: { to?: DockerRegistry; above?: readonly TinyEntry[] } = {},
  ): Promise<string> => {
    const layout = await mkdtemp(join(work, 'layout-'));
    const below = o.above === undefined ? [] : [o.above];
    await makeLayeredLayout(layout, { layers: 1, files: 3, fileBytes: 2000, shared: [...below, ...shared] });
    const reference = `${(o.to ?? registry).address}/${name}:1`;
    const args = ['copy', '-q', '--dest-tls-verify=false', `oci:${layout}:latest`, `docker://${reference}`];
    await peerOutput('skopeo', args);
    return reference;
  };
  const run = (...args: string[]): ReturnType<typeof landfall> => landfall(['--root', root, ...args]);
  const pull = async (reference: string, ...options: string[]): Promise<Pulled> => {
    const [pulled] = await landfallJson<Pulled[]>(['--root', root, 'pull', reference, ...options]);
    if (pulled === undefined) throw new Error('the pull answered nothing');
    return pulled;
  };
  const lean = (reference: string): Promise<Pulled> => pull(reference, '--discard-layers');
  const blobs = (): Promise<string[]> => readdir(join(root, 'blobs/sha256'));
  const manifests = ({ digest, imageId }: Pulled): string[] =>
    [digest, imageId].map((one) => one.replace('sha256:', '')).sort();
  /** GETs of the registry since a moment. */
  const gets = async (since: number, from: DockerRegistry = registry): Promise<string[]> =>
    (await from.accessLog()).slice(since).filter((line) => line.includes('"GET') && line.includes('/blobs/'));
  const now = async (from: DockerRegistry = registry): Promise<number> => (await from.accessLog()).length;
  const expectSound = async (): Promise<void> => {
    const result = await run('fsck');
    expect(result.code, result.stdout + result.stderr).toBe(0);
  };

  /** What died with a process protects what it touched for an hour. */
  const expireLeases = async (): Promise<void> => {
    await using database = await MetadataDatabase.open(join(root, 'metadata.db'), { create: false });
    await database.run('UPDATE leases SET expires_at = 1');
  };

  /** Runs `serve` for as long as a function needs it. */
  const serving = async <T>(use: (host: string) => Promise<T>): Promise<T> => {
    let child: ChildProcess | undefined;
    let ended: Promise<CommandResult> | undefined;
    const host = await new Promise<string>((resolve, reject) => {
      const args = ['--root', root, '--log-level', 'error', 'serve', '--listen', '127.0.0.1:0'];
      ended = landfall(args, {
        onStart: (started) => {
          child = started;
          createInterface({ input: started.stdout ?? process.stdin }).on('line', (line) => {
            const found = /http:\/\/(\S+)/.exec(line)?.[1];
            if (found !== undefined) resolve(found);
          });
          started.once('exit', () => reject(new Error('serve ended at once')));
        },
      });
    });
    try {
      return await use(host);
    } finally {
      child?.kill('SIGTERM');
      await ended;
    }
  };
  const copyFrom = async (host: string, name: string): Promise<string> => {
    const target = await mkdtemp(join(work, 'copied-'));
    await promisify(execFile)('skopeo', [
      'copy',
      '-q',
      '--retry-times=0',
      '--src-tls-verify=false',
      `docker://${host}/${name}`,
      `dir:${target}`,
    ]);
    return target;
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-lean-'));
    registry = await startDockerRegistry();
    shared = [1, 2].map((n) => [{ path: `shared-${n}`, content: `layer ${n}\n`.repeat(1000) }]);
    image = await push('team/app');
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    root = join(await mkdtemp(join(work, 'root-')), 'store');
  });

  it('leaves documents and snapshots, from which the image is mounted', async () => {
    const pulled = await lean(image);
    expect((await blobs()).sort()).toEqual(manifests(pulled));
    expect(pulled.layers.every((layer) => layer.discarded && !layer.reused)).toBe(true);
    expect(pulled.bytesDiscarded).toBe(pulled.layers.reduce((sum, { size }) => sum + size, 0));
    await expectSound();
    const target = join(work, 'target');
    await mkdir(target, { recursive: true });
    const script = `set -e; ${process.execPath} ${LANDFALL} --root ${root} mount ${image} ${target} >&2; cat ${target}/shared-1`;
    expect(await peerOutput('unshare', [MOUNT_NAMESPACE, 'sh', '-c', script])).toBe('layer 1\n'.repeat(1000));
    expect(await run('umount', target)).toMatchObject({ code: 0 });
    const said = await run('pull', image, '--discard-layers');
    expect(said.stdout).toContain('up to date');
    expect(said.stdout).not.toContain('freed');
  });

  it('says how much it gave back', async () => {
    expect((await run('pull', image, '--discard-layers')).stdout).toMatch(
      /\n {2}freed {5}[\d.]+ k?B of disk: 3 layers kept unpacked only\n$/,
    );
  });

  it('is remembered: the next pull downloads nothing, and nothing stays when the image goes', async () => {
    await lean(image);
    const before = await now();
    const again = await pull(image);
    expect(again).toMatchObject({ bytesDownloaded: 0, bytesDiscarded: 0 });
    expect(again.layers.every((layer) => layer.discarded && layer.reused)).toBe(true);
    expect(await gets(before)).toEqual([]);
    expect((await blobs()).sort()).toEqual(manifests(again));
    expect(await run('rmi', image)).toMatchObject({ code: 0 });
    expect(await blobs()).toEqual([]);
    expect(await readdir(join(root, 'snapshots'))).toEqual([]);
  });

  it('lets another image go without the blobs that both have, unless they lie elsewhere in it', async () => {
    const first = await lean(image);
    const beside = await push('team/beside');
    const above = await push('team/above', { above: [{ path: 'first', content: 'first\n' }] });
    const before = await now();
    const second = await pull(beside);
    expect(second.layers.map(({ reused, discarded }) => [reused, discarded])).toEqual([
      [true, true],
      [true, true],
      [false, false],
    ]);
    expect(await gets(before)).toHaveLength(2);
    await expectSound();
    const third = await pull(above);
    expect(third.layers.some((layer) => layer.discarded)).toBe(false);
    await expectSound();
    // The two shared layers are needed now; the one that is not stays away.
    expect((await lean(image)).layers.map((layer) => layer.discarded)).toEqual([false, false, true]);
    expect(first.layers).toHaveLength(3);
    await expectSound();
  });

  it('excludes --no-unpack, which brings the blobs back', async () => {
    expect(await run('pull', image, '--discard-layers', '--no-unpack')).toMatchObject({ code: 2 });
    await lean(image);
    const whole = await pull(image, '--no-unpack');
    expect(whole.layers.some((layer) => layer.discarded)).toBe(false);
    expect(await blobs()).toHaveLength(5);
    await expectSound();
  });

  it('does not keep from unpacking into a directory', async () => {
    await lean(image);
    const before = await now();
    const directory = join(work, `unpacked-${before}`);
    expect(await run('unpack', image, directory)).toMatchObject({ code: 0 });
    expect(await readFile(join(directory, 'shared-2'), 'utf8')).toBe('layer 2\n'.repeat(1000));
    expect(await gets(before)).toHaveLength(3);
  });

  it('does not keep from serving: what a client wants is fetched back once', async () => {
    const { layers } = await lean(image);
    expect(await run('tag', image, 'team/app:1')).toMatchObject({ code: 0 });
    const before = await now();
    const copies = await serving((host) => Promise.all([1, 2].map(() => copyFrom(host, 'team/app:1'))));
    for (const copy of copies) expect(await readdir(copy)).toHaveLength(layers.length + 3);
    expect(await gets(before)).toHaveLength(layers.length);
    expect(await blobs()).toHaveLength(layers.length + 2);
    await expectSound();
  });

  it('says why a layer cannot be served, or unpacked, when its registry is gone', async () => {
    const other = await startDockerRegistry();
    const reference = await push('team/lost', { to: other });
    const { layers } = await lean(reference);
    await other.stop();
    await serving(async (host) => {
      const url = `http://${host}/v2/team/lost/blobs/${layers[0]?.digest ?? ''}`;
      const head = await fetch(url, { method: 'HEAD' });
      expect([head.status, head.headers.get('content-length')]).toEqual([200, String(layers[0]?.size)]);
      const answer = await fetch(url);
      expect(answer.status).toBe(502);
      expect(await answer.text()).toMatch(
        /"code":"UNKNOWN","message":"the blob sha256:\w+ was dropped once it was unpacked, and cannot be fetched again from /,
      );
    });
    const unpacked = await run('unpack', reference, join(work, 'never'));
    expect(unpacked.code).toBe(5);
    expect(unpacked.stderr).toContain(
      `was dropped once it was unpacked, and cannot be fetched again from ${other.address}/team/lost`,
    );
    expect(await run('mounts', reference)).toMatchObject({ code: 0 });
  });

  it.each([
    'image-put:recorded',
    'image-put:index-written:2',
    'image-put:done',
    'discard-layers:recorded',
    'gc:blob-removed',
    'gc:blob-removed:2',
    'discard-layers:removed',
  ])('may die at %s', async (point) => {
    const env = { LANDFALL_FAULT_POINT: point };
    const died = await landfall(['--root', root, 'pull', image, '--discard-layers'], { env });
    expect(died.signal).toBe('SIGKILL');
    await expectSound();
    expect(await run('mounts', image)).toMatchObject({ code: 0 });
    const before = await now();
    expect((await pull(image)).bytesDownloaded).toBe(0);
    expect(await gets(before)).toEqual([]);
    await expireLeases();
    const again = await lean(image);
    expect(again.layers.every((layer) => layer.discarded)).toBe(true);
    expect(await run('gc')).toMatchObject({ code: 0 });
    expect((await blobs()).sort()).toEqual(manifests(again));
    expect(await readdir(join(root, 'ingest'))).toEqual([]);
    expect(await pull(image, '--no-unpack')).toMatchObject({ layers: [{ discarded: false }, {}, {}] });
    await expectSound();
  });

  it('is what two pulls at the same moment agree on', async () => {
    const beside = await push('team/beside-2');
    const both = await landfallJson<Pulled[]>(['--root', root, 'pull', image, beside, '--discard-layers']);
    expect((await blobs()).sort()).toEqual(both.flatMap(manifests).sort());
    await Promise.all([run('pull', image, '--discard-layers'), run('pull', beside, '--no-unpack')]);
    expect((await blobs()).sort()).toEqual(
      [
        ...both.flatMap(manifests),
        ...(both[1]?.layers ?? []).map(({ digest }) => digest.replace('sha256:', '')),
      ].sort(),
    );
    await expectSound();
  });
});
