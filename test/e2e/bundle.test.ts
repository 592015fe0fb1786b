import { mkdtemp, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContainerConfig } from '../../src/spec/index.js';
import { makeBusyboxLayout } from '../support/busybox-image.js';
import { DEBIAN_IMAGE_PEERS, debianImage } from '../support/debian-image.js';
import { type CommandResult, peerOutput, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { removeTree } from '../support/unpack-fixture.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const MAPS = ['--uid-map', '0:100000:65536', '--gid-map', '0:200000:65536'];
/** User, group, and additional groups, as the kernel has them. */
const WHO = 'echo $(id -u) $(id -g) $(grep Groups: /proc/self/status | cut -f 2)';
const reason = needsPeer('runc', 'busybox', ...DEBIAN_IMAGE_PEERS);

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-runc-'));
  // Roots of user namespaces are other users of the machine, and have to get to their bundles.
  await peerOutput('chmod', ['0711', work]);
});
afterAll(() => removeTree(work));

let bundles = 0;
const newBundle = (): string => join(work, `landfall-test-${process.pid}-${++bundles}`);

/** Starts the bundle as it is, and waits for the end of its process. */
function runc(bundle: string): Promise<CommandResult> {
  const id = basename(bundle);
  return runCommand('runc', ['--root', join(work, 'runc'), 'run', '--bundle', bundle, id], {});
}

/**
 * Runs a script in a container of an image with this config; the shell comes from the image, the script with
 * it.
 */
async function inContainer(
  script: string,
  config: ContainerConfig,
  ...options: readonly string[]
): Promise<CommandResult> {
  const bundle = newBundle();
  await makeBusyboxLayout(`${bundle}-layout`, { Entrypoint: ['/bin/sh'], Cmd: ['-c', script], ...config });
  const made = await landfall(['bundle', ...options, `oci:${bundle}-layout`, bundle]);
  expect(made).toMatchObject({ code: 0 });
  return runc(bundle);
}

describe.skipIf(reason !== undefined)('runc runs a bundle', () => {
  it.each<[string, string, ContainerConfig, string]>([
    ['as root where the image names nobody', WHO, {}, '0 0 50'],
    ['as a user by name, with its groups', WHO, { User: 'app' }, '1000 1000 29 50'],
    ['as a user by number', WHO, { User: '1000' }, '1000 1000'],
    ['as a user and a group', WHO, { User: 'app:staff' }, '1000 50'],
    ['as numbers that the image does not know', WHO, { User: '7:8' }, '7 8'],
    ['with the image’s environment', 'echo $A-$B', { Env: ['A=1', 'B=two words'] }, '1-two words'],
    ['with a PATH', 'echo $PATH', {}, '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ['with a home', 'echo $HOME', { User: 'app' }, '/home/app'],
    ['in the image’s working directory', 'pwd', { WorkingDir: '/srv' }, '/srv'],
    ['in a working directory that the image does not have', 'pwd', { WorkingDir: '/new/one' }, '/new/one'],
    ['in / without one', 'pwd', {}, '/'],
    ['under a name of its own', 'hostname', {}, 'landfall'],
    ['without a terminal', 'tty', {}, 'not a tty'],
    ['as root who may give files away', 'chown app /srv/file && stat -c %U /srv/file', {}, 'app'],
    [
      'with no capability for others',
      'grep CapEff /proc/self/status',
      { User: 'app' },
      'CapEff:\t0000000000000000',
    ],
    [
      'with volumes that are empty and its user’s',
      'ls -A /srv; touch /srv/new && stat -c %U:%G:%a /srv /srv/new',
      { User: 'app', Volumes: { '/srv': {}, '/srv/inner': {} } },
      'inner\napp:app:755\napp:app:644',
    ],
  ])('%s', async (_, script, config, expected) => {
    const { stdout, stderr } = await inContainer(script, config);
    expect(stdout.trim(), stderr).toBe(expected);
  });

  it.each([0, 42])('and its exit status %i comes back', async (status) => {
    expect(await inContainer(`exit ${status}`, {})).toMatchObject({ code: status, stdout: '' });
  });

  it('whose volumes keep its data out of the root file system', async () => {
    const script = 'touch /srv/volume && touch /root-file';
    expect(await inContainer(script, { Volumes: { '/srv': {} } })).toMatchObject({ code: 0 });
    const rootfs = join(work, `landfall-test-${process.pid}-${bundles}`, 'rootfs');
    expect(await readdir(join(rootfs, 'srv'))).toEqual(['file']);
    expect(await readdir(rootfs)).toContain('root-file');
  });

  it('in a user namespace, to which its files belong', async () => {
    const script = 'id -u && stat -c %u:%g /srv/file && cat /proc/self/uid_map /proc/self/gid_map && exit 7';
    const { code, stdout } = await inContainer(script, { User: 'app' }, ...MAPS);
    expect(code).toBe(7);
    expect(stdout.trim().split(/\s+/)).toEqual([
      '1000',
      '0:0',
      '0',
      '100000',
      '65536',
      '0',
      '200000',
      '65536',
    ]);
    const file = join(work, `landfall-test-${process.pid}-${bundles}`, 'rootfs/srv/file');
    expect(await stat(file)).toMatchObject({ uid: 100_000, gid: 200_000 });
  });

  it('of a real Debian image', async () => {
    const layout = `${newBundle()}-layout`;
    await peerOutput('cp', ['-r', await debianImage(), layout]);
    const script = '. /etc/os-release; echo $ID; id -un; dpkg -s bash >/dev/null && exit 42';
    const change = ['--config.user', 'games', '--config.workingdir', '/usr/lib', '--config.env', 'A=1'];
    const cmd = ['bash', '-c', script].flatMap((word) => [`--config.cmd=${word}`]);
    await peerOutput('umoci', ['config', '--image', `${layout}:trixie`, ...change, ...cmd]);
    const bundle = newBundle();
    expect(await landfallJson(['bundle', `oci:${layout}:trixie`, bundle])).toMatchObject({
      args: ['bash', '-c', script],
      cwd: '/usr/lib',
      user: { uid: 5, gid: 60 },
      omittedDevices: [],
      warnings: [],
    });
    expect(await runc(bundle)).toMatchObject({ code: 42, stdout: 'debian\ngames\n' });
  });
});
