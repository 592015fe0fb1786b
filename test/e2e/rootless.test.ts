import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, landfall, peerOutput, runCommand } from '../support/landfall-command.js';
import { manyLayers } from '../support/many-layers.js';
import { isRoot } from '../support/needs-root.js';
import { DEVICES, LAYERS, LIST, owned, TREE } from '../support/owned-image.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout } from '../support/tiny-image.js';
import { UnprivilegedUser } from '../support/unprivileged-user.js';

const reason = needsPeer('docker-registry', 'skopeo', 'newuidmap', 'getfattr');

describe.skipIf(reason !== undefined)('a user without privileges', () => {
  let work: string;
  let registry: DockerRegistry;
  let reference: string;
  let user: UnprivilegedUser;
  let root: string;

  const push = async (name: string, layers: readonly Buffer[]): Promise<string> => {
    const layout = join(work, name);
    await makeTinyLayout(layout, { layers });
    const pushed = `${registry.address}/team/${name}:1`;
    await peerOutput('skopeo', [
      'copy', '-q', '--dest-tls-verify=false', `oci:${layout}:latest`, `docker://${pushed}`,
    ]); // prettier-ignore
    return pushed;
  };
  const run = (...args: string[]): Promise<CommandResult> =>
    user.run(process.execPath, [user.landfall, '--root', root, ...args]);
  const json = async <T>(...args: string[]): Promise<T> => {
    const result = await run('--progress', 'none', '--output', 'json', ...args);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    return JSON.parse(result.stdout) as T;
  };
  const inNamespace = async (script: string, ...unshare: string[]): Promise<string[]> => {
    const options = unshare.length === 0 ? ['-Urm'] : unshare;
    return linesOf(await user.run('unshare', [...options, 'sh', '-ec', `${LIST}\n${script}`]));
  };
  /** The command as it stands in a script. */
  const at = (store: string): string =>
    `${process.execPath} ${user.landfall} --root ${store} --progress none --log-level error`;
  const under = (name: string): string => join(user.directory, name);

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-rootless-'));
    // The user reads a layout there.
    await chmod(work, 0o755);
    registry = await startDockerRegistry();
    user = await UnprivilegedUser.start();
    root = under('store');
    reference = await push('app', LAYERS);
  });

  afterAll(async () => {
    await user[Symbol.asyncDispose]();
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  it('pulls, and is told of the devices and attributes that are left out', async () => {
    const result = await run('--progress', 'json', '--output', 'json', 'pull', reference);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(result.stdout)).toMatchObject([{ omittedDevices: DEVICES }]);
    const events = result.stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { type: string; devices?: unknown; message?: string });
    expect(events.filter(({ type }) => type === 'omitted')).toMatchObject([{ devices: DEVICES }]);
    const warnings = events.filter(({ type }) => type === 'warning').map(({ message }) => message);
    expect(warnings).toEqual([
      expect.stringMatching(/security.*bin\/ping/) as string,
      expect.stringMatching(/character devices.*dev\/null/) as string,
      expect.stringMatching(/block devices.*dev\/sda/) as string,
    ]);
  });

  it('has a store in which all files are their own, with whiteouts that a user namespace understands', async () => {
    const layers = join(root, 'snapshots');
    const owners = await peerOutput('find', [layers, '-printf', '%U:%G\n']);
    expect(new Set(owners.trim().split('\n'))).toEqual(new Set([`${user.uid}:${user.uid}`]));
    const marks = await user.run('getfattr', ['-R', '-P', '-h', '-d', '-m', 'overlay', layers]);
    expect(marks.stdout.match(/\w+\.overlay\.\w+/g)).toEqual(['user.overlay.opaque']);
    // The one device that anybody may make.
    const whiteouts = await peerOutput('find', [layers, '-type', 'c', '-printf', '%f\n', '-o', '-type', 'b']);
    expect(whiteouts.trim().split('\n').sort()).toEqual(['gone', 'link']);
  });

  it('unpacks, from the store and from a layout, and owns it all', async () => {
    for (const [source, name] of [
      [reference, 'from-store'],
      [`oci:${join(work, 'app')}`, 'from-layout'],
    ] as const) {
      const unpacked = await json<{ omittedDevices: unknown }>('unpack', source, under(name));
      expect(unpacked.omittedDevices).toEqual(DEVICES);
      expect(linesOf(await user.run('sh', ['-ec', `${LIST}\nlist ${under(name)}`]))).toEqual(
        owned({}, user.uid),
      );
    }
    const text = await user.run('getfattr', [
      '-n',
      'user.origin',
      '--only-values',
      under('from-store/srv/second'),
    ]);
    expect(text.stdout).toBe('harbour');
  });

  it('mounts it in a user namespace as what was unpacked, and unmounts it again', async () => {
    await user.run('mkdir', ['-p', under('mounted')]);
    const listing = await inNamespace(`
      ${at(root)} mount ${reference} ${under('mounted')} >&2
      list ${under('mounted')}
      cat ${under('mounted')}/srv/none ${under('mounted')}/emptied/after
      echo
      ! touch ${under('mounted')}/new 2>/dev/null
      ${at(root)} umount ${under('mounted')} >&2
      list ${under('mounted')}`);
    expect(listing).toEqual([...owned({}, 0), 'nobody reads thisafter']);
  });

  it('mounts it writable in a user namespace, and the image stays as it is', async () => {
    const target = under('mounted');
    const listing = await inNamespace(`
      ${at(root)} mount --rw ${reference} ${target} >&2
      rm -r ${target}/srv ${target}/home && echo x > ${target}/bin/su && touch ${target}/new
      ls ${target}
      ${at(root)} umount ${target} >&2
      ${at(root)} mount ${reference} ${target} >&2
      list ${target}
      ${at(root)} umount ${target} >&2`);
    expect(listing).toEqual(['bin', 'dev', 'emptied', 'etc', 'new', ...owned({}, 0)]);
  });

  it('is told how to mount where that needs a user namespace', async () => {
    const result = await run('mount', reference, under('mounted'));
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toMatch(/unshare -Urm/);
    expect(await json<unknown[]>('images')).toHaveLength(1);
  });

  it('mounts 200 layers', async () => {
    const { layers, tree } = manyLayers(200);
    const many = await push('many', layers);
    await json('pull', many);
    const target = under('mounted');
    const seen = await inNamespace(`
      ${at(root)} mount ${many} ${target} >&2
      cd ${target} && find . -mindepth 1 -printf '%P\\n' && cat shared/top && echo && cd /
      ${at(root)} umount ${target} >&2`);
    expect(seen.sort()).toEqual([...tree.keys(), tree.get('shared/top')].sort());
    await json('rmi', many);
  });

  it('finds nothing wrong, and leaves nothing when the image is removed', async () => {
    const result = await run('fsck');
    expect(result, result.stdout + result.stderr).toMatchObject({ code: 0 });
    expect(await json('rmi', reference)).toBeDefined();
    for (const name of ['snapshots', 'blobs/sha256', 'ingest']) {
      const left = await user.run('ls', ['-A', join(root, name)]);
      expect(left).toMatchObject({ code: 0, stdout: '' });
    }
  });

  it('is root of a user namespace with one ID, to whom all belongs', async () => {
    const store = under('store-of-one');
    const listing = await inNamespace(`
      ${at(store)} pull ${reference} >&2
      ${at(store)} unpack ${reference} ${under('of-one')} >&2
      list ${under('of-one')}`);
    expect(listing).toEqual(owned({}, 0));
    expect((await stat(under('of-one/etc/passwd'))).uid).toBe(user.uid);
  });

  describe.runIf(isRoot)('in a user namespace with many IDs (needs root to give them)', () => {
    /** Pulls, unpacks and mounts, and lists both: as the namespace sees them. */
    const everything = (store: string, name: string): string => `
      mkdir ${under(`${name}-mounted`)}
      ${at(store)} pull ${reference} >&2
      ${at(store)} unpack ${reference} ${under(name)} >&2
      list ${under(name)}
      ${at(store)} mount ${reference} ${under(`${name}-mounted`)} >&2
      list ${under(`${name}-mounted`)}
      ${at(store)} umount ${under(`${name}-mounted`)} >&2
      ${at(store)} fsck >&2`;

    it('given by root: owners are those of the image, and on the disk those of the range', async () => {
      const home = under('range');
      await mkdir(home);
      await chown(home, 100_000, 100_000);
      const script = everything(join(home, 'store'), 'range/tree');
      const unshare = [
        '-Um', '--map-users=0:100000:65536', '--map-groups=0:100000:65536', '--setuid=0', '--setgid=0',
      ]; // prettier-ignore
      const listing = linesOf(
        await runCommand('unshare', [...unshare, 'sh', '-ec', `${LIST}\n${script}`], {
          env: user.env,
          cwd: home,
        }),
      );
      expect(listing).toEqual([...TREE, ...TREE]);
      const { uid, gid } = await stat(join(home, 'tree/home/user/file'));
      expect({ uid, gid }).toEqual({ uid: 101_000, gid: 101_000 });
    });

    it('that /etc/subuid gives to the user: owners are those of the image', async () => {
      const script = `${LIST}\n${everything(under('store-of-many'), 'of-many')}`;
      const files = ['subuid', 'subgid'].map((name) => ({ name, path: join(work, name) }));
      const binds = files.map(
        ({ name, path }) => `echo ${user.uid}:200000:65536 > ${path} && mount --bind ${path} /etc/${name}`,
      );
      const become = [...user.become, 'unshare', '-Um', '--map-root-user', '--map-auto', 'sh', '-ec'];
      const result = await runCommand(
        'unshare',
        ['-m', 'sh', '-ec', `${binds.join('\n')}\nexec "$@"`, 'bind', ...become, script],
        { env: user.env, cwd: user.directory },
      );
      expect(linesOf(result)).toEqual([...TREE, ...TREE]);
      const { uid } = await stat(under('of-many/etc/passwd'));
      expect(uid).toBe(user.uid);
      // The user is 0 there, and 1 is the first of the range.
      expect((await stat(under('of-many/home/user/file'))).uid).toBe(200_999);
    });
  });

  describe.runIf(isRoot)('whom root unpacks for, by --uid-map and --gid-map (needs root)', () => {
    const map = (...args: string[]): Promise<CommandResult> =>
      landfall(['--root', join(work, 'root'), '--progress', 'none', 'unpack', ...args]);

    it('gets other owners than the image names', async () => {
      const target = join(work, 'mapped');
      const maps = [
        '--uid-map',
        '0:100000:65536',
        '--gid-map',
        '0:200000:1000',
        '--gid-map',
        '1000:300000:1',
      ];
      expect(await map(...maps, `oci:${join(work, 'app')}`, target)).toMatchObject({ code: 0 });
      const listing = await peerOutput('sh', ['-ec', `${LIST}\nlist ${target}`]);
      expect(listing).toContain('home/user/file f 644 101000:300000 4');
      expect(listing).toContain('etc/shadow f 640 100000:200042 6');
      expect(listing).toContain('bin/su f 4755 100000:200000 2');
      expect(listing).toContain('dev/null c 666 100000:200000 0');
    });

    it('is refused an owner that no range has, and nothing is left of it', async () => {
      const result = await map(
        '--uid-map',
        '0:100000:1000',
        `oci:${join(work, 'app')}`,
        join(work, 'refused'),
      );
      expect(result).toMatchObject({ code: 2 });
      expect(result.stderr).toMatch(/user 1000 is in no range/);
      expect(await readdir(work)).not.toContain('refused');
    });
  });
});

function linesOf(result: CommandResult): string[] {
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result.stdout.split('\n').filter((line) => line !== '');
}
