import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OciLayout } from '../../../src/content/index.js';
import {
  bundleTarget,
  type BundleImageOptions,
  type BundleImageResult,
} from '../../../src/engine/files/unpack.js';
import { WorkerPool } from '../../../src/unpack/index.js';
import { runtimeConfigFaults } from '../../support/runtime-config-faults.js';
import { makeTinyLayout, type TinyEntry, type TinyLayoutOptions } from '../../support/tiny-image.js';
import { removeTree } from '../../support/unpack-fixture.js';

const PASSWD = 'root:x:0:0::/root:\napp:x:1000:100::/home/app:\n';
const BASE: readonly TinyEntry[] = [
  { path: 'etc/' },
  { path: 'etc/passwd', content: PASSWD },
  { path: 'etc/group', content: 'staff:x:50:app\n' },
];
const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
const OWN_UIDS = [{ container: 0, host: uid, size: 1 }];
const OWN_GIDS = [{ container: 0, host: gid, size: 1 }];

let work: string;
let directory: string;
let pool: WorkerPool;

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-bundle-'));
  directory = join(work, 'deep', 'bundle');
  pool = new WorkerPool({ size: 2 });
});

afterEach(async () => {
  await pool.close();
  await removeTree(work);
});

/** Makes a bundle of an image, whose one layer is {@link BASE} unless another is given. */
async function bundle(
  image: TinyLayoutOptions = {},
  options: Partial<BundleImageOptions> = {},
): Promise<BundleImageResult> {
  const layout = join(work, 'layout');
  await mkdir(layout);
  const { target } = await makeTinyLayout(layout, { layers: [BASE], ...image });
  const content = await OciLayout.open(layout);
  return bundleTarget({ content, target, directory, pool, ...options });
}

const failure = (code: string): Error => expect.objectContaining({ code }) as Error;

const modeOf = async (path: string): Promise<number> => (await lstat(path)).mode & 0o7777;

describe('a bundle', () => {
  it('is a root file system and a configuration that runtime-spec allows', async () => {
    const config = { Cmd: ['/bin/hail'], Env: ['A=1'], WorkingDir: '/srv', Volumes: { '/data': {} } };
    const result = await bundle({ config });
    expect((await readdir(directory)).sort()).toEqual(['config.json', 'rootfs']);
    expect(await readdir(join(directory, 'rootfs'))).toEqual(['etc']);
    const written = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as unknown;
    expect(written).toEqual(result.config);
    expect(runtimeConfigFaults(written)).toEqual([]);
    expect(result.config.process).toMatchObject({
      args: ['/bin/hail'],
      cwd: '/srv',
      user: { uid: 0, gid: 0 },
    });
    expect(result.warnings).toEqual([]);
    expect(result.chainId).toMatch(/^sha256:/);
  });

  it('runs as the user that the root file system of all layers knows', async () => {
    const top = [{ path: 'etc/passwd', content: 'app:x:7:8::/app:\n' }, { path: 'etc/.wh.group' }];
    const { config } = await bundle({ layers: [BASE, top], config: { User: 'app' } });
    expect(config.process.user).toEqual({ uid: 7, gid: 8 });
    expect(config.process.env).toContain('HOME=/app');
  });

  it('looks the user up through symlinks, which stay inside', async () => {
    const layer = [
      { path: 'usr/etc/passwd', content: PASSWD },
      { path: 'usr/etc/group', link: '/usr/lib/group' },
      { path: 'usr/lib/group', content: 'staff:x:50:app\n' },
      { path: 'etc', link: '/usr/etc' },
    ];
    const { config } = await bundle({ layers: [layer], config: { User: 'app' } });
    expect(config.process.user).toEqual({ uid: 1000, gid: 100, additionalGids: [50] });
  });

  it('is closed to others where the directory is made for it', async () => {
    await bundle();
    expect(await modeOf(directory)).toBe(0o700);
  });

  it('may be passed through where its root is somebody else', async () => {
    const { config } = await bundle({}, { uidMap: OWN_UIDS, gidMap: OWN_GIDS });
    expect(await modeOf(directory)).toBe(0o711);
    expect(config.linux.uidMappings).toEqual([{ containerID: 0, hostID: uid, size: 1 }]);
    expect(config.linux.namespaces).toContainEqual({ type: 'user' });
    expect(config.linux.namespaces).toContainEqual({ type: 'network' });
  });

  it('leaves an empty directory as open as it is', async () => {
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o2770);
    await bundle();
    expect(await modeOf(directory)).toBe(0o2770);
  });

  it('without root belongs to the caller, whatever the image says', async () => {
    const { config, warnings } = await bundle({}, { rootless: true });
    expect(config.linux).toMatchObject({
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
    });
    expect(await lstat(join(directory, 'rootfs/etc/passwd'))).toMatchObject({ uid, gid });
    expect(warnings).toEqual([]);
  });

  it('without root warns of a user that the user namespace does not have', async () => {
    const { config, warnings } = await bundle({ config: { User: 'app' } }, { rootless: true });
    expect(config.process.user).toEqual({ uid: 1000, gid: 100 });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('user 1000, group 100');
  });

  it('without root takes a map for one of both, and the caller for the other', async () => {
    const gidMap = [
      { container: 0, host: gid, size: 1 },
      { container: 50, host: 70_000, size: 10 },
    ];
    const { config } = await bundle({}, { rootless: true, gidMap });
    expect(config.linux.uidMappings).toEqual([{ containerID: 0, hostID: uid, size: 1 }]);
    expect(config.linux.gidMappings).toEqual([
      { containerID: 0, hostID: gid, size: 1 },
      { containerID: 50, hostID: 70_000, size: 10 },
    ]);
  });

  it('belongs to nobody whom the maps leave out', async () => {
    const gidMap = [{ container: 50, host: gid, size: 1 }];
    await expect(bundle({}, { rootless: true, gidMap })).rejects.toThrow(failure('INVALID_CONFIG'));
    expect(await readdir(work)).toEqual(['layout']);
  });

  it.each<[string, Partial<BundleImageOptions>]>([
    ['of users alone', { uidMap: OWN_UIDS }],
    ['of groups alone', { gidMap: OWN_GIDS }],
    ['that overlaps', { uidMap: [...OWN_UIDS, ...OWN_UIDS], gidMap: OWN_GIDS }],
  ])('takes no map %s', async (_, options) => {
    await expect(bundle({}, options)).rejects.toThrow(failure('INVALID_CONFIG'));
    expect(await readdir(work)).toEqual(['layout']);
  });

  it.each<[string, () => Promise<void>]>([
    ['holds a file', async () => writeFile(join(directory, 'file'), 'kept')],
    ['holds a bundle', async () => writeFile(join(directory, 'config.json'), 'kept')],
  ])('is refused where the directory %s', async (_, prepare) => {
    await mkdir(directory, { recursive: true });
    await prepare();
    const before = await readdir(directory);
    await expect(bundle()).rejects.toThrow(failure('INVALID_CONFIG'));
    expect(await readdir(directory)).toEqual(before);
  });

  it('is refused where a file is', async () => {
    await mkdir(join(work, 'deep'));
    await writeFile(directory, 'kept');
    await expect(bundle()).rejects.toThrow(failure('INVALID_CONFIG'));
    expect(await readFile(directory, 'utf8')).toBe('kept');
  });
});

describe('a bundle that fails', () => {
  const escaping = (target: string): TinyLayoutOptions => ({
    layers: [[{ path: 'etc/' }, { path: 'etc/passwd', link: target }]],
    config: { User: 'app' },
  });
  const reasons: readonly [string, string, () => TinyLayoutOptions][] = [
    ['for a user that is not there', 'INVALID_MANIFEST', () => ({ config: { User: 'ghost' } })],
    [
      'for a user who is only outside, by an absolute name',
      'INVALID_MANIFEST',
      () => escaping(join(work, 'passwd')),
    ],
    ['for a user who is only outside, by ..', 'INVALID_MANIFEST', () => escaping('../../../../passwd')],
    ['for a working directory that is none', 'INVALID_MANIFEST', () => ({ config: { WorkingDir: 'x' } })],
    ['for another operating system', 'UNSUPPORTED', () => ({ platforms: ['windows/amd64'] })],
    ['for a layer that is no archive', 'BAD_ARCHIVE', () => ({ layers: [BASE, Buffer.alloc(512, 'x')] })],
    [
      'for a list of users without end',
      'LIMIT_EXCEEDED',
      () => ({ layers: [[{ path: 'etc/passwd', content: 'x'.repeat(4 * 2 ** 20 + 1) }]] }),
    ],
  ];

  beforeEach(() => writeFile(join(work, 'passwd'), 'app:x:0:0::/:\n'));

  it.each(reasons)('%s leaves no directory behind', async (_, code, image) => {
    await expect(bundle(image())).rejects.toThrow(failure(code));
    expect((await readdir(work)).sort()).toEqual(['layout', 'passwd']);
    expect(await readFile(join(work, 'passwd'), 'utf8')).toBe('app:x:0:0::/:\n');
  });

  it.each(reasons)('%s leaves an empty directory as it was', async (_, code, image) => {
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o750);
    await utimes(directory, 1000, 2000);
    await expect(bundle(image())).rejects.toThrow(failure(code));
    expect(await readdir(directory)).toEqual([]);
    expect(await modeOf(directory)).toBe(0o750);
    expect((await lstat(directory)).mtimeMs).toBe(2_000_000);
  });

  it.each(['before it begins', 'while it unpacks', 'when all is unpacked'])(
    'by an abort %s leaves no directory behind',
    async (when) => {
      const abort = new AbortController();
      if (when === 'before it begins') abort.abort();
      const state = when === 'while it unpacks' ? 'unpacking' : 'committed';
      const onEvent: BundleImageOptions['onEvent'] = (event) => {
        if (event.type === 'layer' && event.state === state) abort.abort();
      };
      await expect(bundle({}, { signal: abort.signal, onEvent })).rejects.toThrow(failure('ABORTED'));
      expect((await readdir(work)).sort()).toEqual(['layout', 'passwd']);
    },
  );
});
