import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkContainerd, type ContainerdReport } from '../../../src/daemon/containerd/check-containerd.js';
import type { Capability } from '../../../src/system/index.js';

const ROOT = '/var/lib/landfall';
const DEPLOY = resolve(import.meta.dirname, '../../../deploy/containerd');
const PLATFORM = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;

const PROXY = `
[proxy_plugins.landfall]
  type = "snapshot"
  address = "/run/landfall/snapshotter.sock"
  capabilities = ["remap-ids"]
  [proxy_plugins.landfall.exports]
    root = "${ROOT}"
`;
const CRI = `
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "landfall"
  disable_snapshot_annotations = false
`;
const IMAGES = `
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "landfall"
`;

/** What this machine says of mounts with other owners. */
const MAPPED: Capability = { available: true, detail: 'mapped' };
const UNMAPPED: Capability = { available: false, detail: 'the file system has none' };

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-check-containerd-'));
});
afterAll(() => rm(work, { recursive: true }));

let files = 0;
/** Checks a configuration whose text it is given. */
async function check(text: string, idMappedMounts = MAPPED): Promise<ContainerdReport> {
  files += 1;
  const file = join(work, `${files}.toml`);
  await writeFile(file, text);
  return await checkContainerd(file, { root: ROOT, idMappedMounts });
}

/** The lines that are missing, each below its table. */
async function missingOf(text: string, idMappedMounts = MAPPED): Promise<string[]> {
  const { missing, complete } = await check(text, idMappedMounts);
  expect(complete).toBe(missing.length === 0);
  return missing.map(({ table, line }) => `${table} ${line}`.trim());
}

describe('a configuration of containerd', () => {
  it.each(['config-1.7.toml', 'config-2.1.toml'])('that is delivered as %s lacks nothing', async (name) => {
    const report = await checkContainerd(join(DEPLOY, name), { root: ROOT, idMappedMounts: MAPPED });
    expect(report).toMatchObject({ complete: true });
  });

  it.each<[string, string]>([
    ['of version 2', `version = 2\n${PROXY}${CRI}`],
    [
      'of version 3 that pulls as before 2.1',
      `version = 3\n${PROXY}${IMAGES}disable_snapshot_annotations = false\n`,
    ],
    ['with keys in another case', `Version = 2\n${PROXY}${CRI.replace('snapshotter', 'Snapshotter')}`],
    ['with another socket', `version = 2\n${PROXY.replace('/run/landfall/', '/srv/')}${CRI}`],
  ])('lacks nothing %s', async (_, text) => {
    expect(await missingOf(text)).toEqual([]);
  });

  it('of version 2 that says nothing lacks every line', async () => {
    expect(await missingOf('version = 2\n')).toEqual([
      '[proxy_plugins.landfall] type = "snapshot"',
      '[proxy_plugins.landfall] address = "/run/landfall/snapshotter.sock"',
      '[proxy_plugins.landfall.exports] root = "/var/lib/landfall"',
      '[plugins."io.containerd.grpc.v1.cri".containerd] snapshotter = "landfall"',
      '[plugins."io.containerd.grpc.v1.cri".containerd] disable_snapshot_annotations = false',
    ]);
  });

  it('of version 3 that says nothing lacks every line', async () => {
    const unpack = '[[plugins."io.containerd.transfer.v1.local".unpack_config]]';
    expect(await missingOf('version = 3\n')).toEqual([
      '[proxy_plugins.landfall] type = "snapshot"',
      '[proxy_plugins.landfall] address = "/run/landfall/snapshotter.sock"',
      '[proxy_plugins.landfall] capabilities = ["remap-ids"]',
      '[proxy_plugins.landfall.exports] root = "/var/lib/landfall"',
      '[proxy_plugins.landfall.exports] enable_remote_snapshot_annotations = "true"',
      '[plugins."io.containerd.cri.v1.images"] snapshotter = "landfall"',
      `${unpack} platform = "${PLATFORM}"`,
      `${unpack} snapshotter = "landfall"`,
      `${unpack} platform = "${PLATFORM}"`,
      `${unpack} snapshotter = "overlayfs"`,
    ]);
  });

  it.each<[string, string, string]>([
    ['the first version', `${PROXY}${CRI}`, 'version = 2'],
    [
      'a socket with a scheme',
      `version = 2\n${PROXY.replace('"/run', '"unix:///run')}${CRI}`,
      '[proxy_plugins.landfall] address = "/run/landfall/snapshotter.sock"',
    ],
    [
      'annotations that it was told of as a boolean',
      `version = 3\n${PROXY}enable_remote_snapshot_annotations = true\n${IMAGES}${unpackConfig('landfall')}`,
      '[proxy_plugins.landfall.exports] enable_remote_snapshot_annotations = "true"',
    ],
    [
      'another root',
      `version = 2\n${PROXY.replace(ROOT, '/srv/landfall')}${CRI}`,
      '[proxy_plugins.landfall.exports] root = "/var/lib/landfall"',
    ],
    [
      'local pulls without annotations',
      `version = 3\n${PROXY}${IMAGES}use_local_image_pull = true\n`,
      '[plugins."io.containerd.cri.v1.images"] disable_snapshot_annotations = false',
    ],
    [
      'no CRI, as Docker’s packages have it',
      `version = 2\ndisabled_plugins = ["cri", "btrfs"]\n${PROXY}${CRI}`,
      'disabled_plugins = ["btrfs"]',
    ],
  ])('with %s lacks a line', async (_, text, line) => {
    expect(await missingOf(text)).toEqual([line]);
  });

  it('that unpacks for others keeps them', async () => {
    const text = `version = 3\n${PROXY}enable_remote_snapshot_annotations = "true"\n${IMAGES}`;
    const unpack = '[[plugins."io.containerd.transfer.v1.local".unpack_config]]';
    expect(await missingOf(`${text}${unpackConfig('zfs')}`)).toEqual([
      `${unpack} platform = "${PLATFORM}"`,
      `${unpack} snapshotter = "landfall"`,
    ]);
    expect(await missingOf(`${text}${unpackConfig('zfs')}${unpackConfig('landfall')}`)).toEqual([]);
  });

  it('with another snapshotter is told where', async () => {
    const { missing, file } = await check(`version = 2\n${PROXY}${CRI.replace('"landfall"', '"overlayfs"')}`);
    expect(missing).toEqual([
      {
        table: '[plugins."io.containerd.grpc.v1.cri".containerd]',
        line: 'snapshotter = "landfall"',
        why: expect.any(String) as string,
        instead: { line: 'snapshotter = "overlayfs"', place: `${file}:11` },
      },
    ]);
  });
});

describe('the capabilities that containerd is told of landfall', () => {
  const pulling = (capabilities: string): string =>
    `version = 3\n${PROXY.replace('["remap-ids"]', capabilities)}${IMAGES}disable_snapshot_annotations = false\n`;
  const table = '[proxy_plugins.landfall]';

  it.each<[string, string, Capability, string[]]>([
    ['none, where owners can be mapped', '[]', MAPPED, [`${table} capabilities = ["remap-ids"]`]],
    ['others, which stay', '["a"]', MAPPED, [`${table} capabilities = ["a","remap-ids"]`]],
    ['none, where owners cannot be mapped', '[]', UNMAPPED, []],
    ['remap-ids, where owners cannot be mapped', '["remap-ids"]', UNMAPPED, [`${table} capabilities = []`]],
    ['rebase', '["rebase", "remap-ids"]', MAPPED, [`${table} capabilities = ["remap-ids"]`]],
    ['rebase alone', '["rebase"]', UNMAPPED, [`${table} capabilities = []`]],
  ])('%s', async (_, capabilities, idMappedMounts, lines) => {
    expect(await missingOf(pulling(capabilities), idMappedMounts)).toEqual(lines);
  });

  it.each<[string, string, string[]]>([
    ['are none up to version 2, for containerd 1.7 cannot map owners', '[]', []],
    ['may be some up to version 2, which containerd 2 reads too', '["remap-ids"]', []],
    ['are never rebase', '["rebase"]', [`${table} capabilities = []`]],
  ])('%s', async (_, capabilities, lines) => {
    const text = `version = 2\n${PROXY.replace('["remap-ids"]', capabilities)}${CRI}`;
    expect(await missingOf(text)).toEqual(lines);
  });

  it('say why, with what this machine says', async () => {
    const { missing } = await check(pulling('["remap-ids"]'), UNMAPPED);
    expect(missing).toMatchObject([{ why: expect.stringContaining(UNMAPPED.detail) as string }]);
  });
});

describe('what a configuration imports', () => {
  it.each<[string, number, string, string]>([
    ['adds to it', 3, 'imports = ["conf.d/*.toml"]', `disable_snapshot_annotations = false\n`],
    [
      'is named by its path',
      3,
      'imports = ["conf.d/landfall.toml"]',
      'disable_snapshot_annotations = false\n',
    ],
  ])('%s', async (_, version, imports, more) => {
    await mkdir(join(work, 'conf.d'), { recursive: true });
    await writeFile(join(work, 'conf.d/landfall.toml'), `version = ${version}\n${PROXY}${IMAGES}`);
    await writeFile(join(work, 'conf.d/other.txt'), 'no TOML');
    const own = `version = ${version}\n${imports}\n[plugins."io.containerd.cri.v1.images"]\n${more}`;
    expect(await missingOf(own)).toEqual([]);
  });

  it('takes the place of all that it says of a plugin, up to version 2', async () => {
    await writeFile(
      join(work, 'instead.toml'),
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "landfall"\n',
    );
    expect(await missingOf(`version = 2\nimports = ["instead.toml"]\n${PROXY}${CRI}`)).toEqual([
      '[plugins."io.containerd.grpc.v1.cri".containerd] disable_snapshot_annotations = false',
    ]);
  });

  it('may import what imports it', async () => {
    await writeFile(join(work, 'round.toml'), `version = 2\nimports = ["round.toml"]\n${PROXY}${CRI}`);
    expect(await missingOf('version = 2\nimports = ["round.toml"]\n')).toEqual([]);
  });
});

it.each<[string, string | undefined]>([
  ['is not there', undefined],
  ['is no TOML', 'version ='],
])('a file that %s is INVALID_CONFIG', async (_, text) => {
  const file = join(work, 'broken.toml');
  await rm(file, { force: true });
  if (text !== undefined) await writeFile(file, text);
  const checked = checkContainerd(file, { root: ROOT, idMappedMounts: MAPPED });
  await expect(checked).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
});

function unpackConfig(snapshotter: string): string {
  return `
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "${snapshotter}"
`;
}
