import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Digest, encodedOf } from '../../src/spec/index.js';
import { DaemonProcess } from '../support/daemon-process.js';
import { type CommandResult, LANDFALL } from '../support/landfall-command.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { ServeProcess } from '../support/serve-process.js';
import { archive, device, file } from '../support/tar-builder.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { UploadRegistry } from '../support/upload-registry.js';

/** What an ordinary user of this machine is run by. */
const NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups', '--'] as const;

const NAME = 'team/app:1';

describe('root and another user on one machine', () => {
  let place: MountNamespace;
  let work: string;
  let layout: TinyLayout;
  const landfall = (...args: string[]): Promise<CommandResult> =>
    landfallAt(place, ['--root', join(place.directory, 'root'), ...args]);
  const asNobody = (...command: string[]): Promise<CommandResult> => {
    return place.run('setpriv', [...NOBODY, ...command]);
  };

  beforeAll(async () => {
    place = await MountNamespace.start();
    work = await mkdtemp(join(tmpdir(), 'landfall-users-'));
    await chmod(work, 0o755);
    // A program that says as whom it runs, and one device.
    const id = await readFile('/usr/bin/id');
    const first = archive(file('id', id, { mode: 0o4755 }), device('c', 'zero', 1, 5, { mode: 0o666 }));
    layout = await makeTinyLayout(join(work, 'layout'), {
      tag: NAME,
      layers: [first, [{ path: 'a', content: 'a' }]],
    });
    const tar = join(work, 'image.tar');
    await outputAt(place, 'tar', '-C', join(work, 'layout'), '-cf', tar, '.');
    const { code, stderr } = await landfall('load', '-i', tar);
    expect({ code, stderr }).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await place[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it.each([
    { options: [], runsAs: '65534', opens: false },
    { options: ['--suid'], runsAs: '0', opens: false },
    { options: ['--dev'], runsAs: '65534', opens: true },
  ])('mounts an image whose programs and devices have no effect but by $options', async (row) => {
    const target = join(place.directory, `mount${row.options.join('')}`);
    await mkdir(place.reach(target));
    await chmod(place.reach(place.directory), 0o755);
    expect(await landfall('mount', ...row.options, NAME, target)).toMatchObject({ code: 0, stderr: '' });
    try {
      expect((await asNobody(join(target, 'id'), '-u')).stdout.trim()).toBe(row.runsAs);
      const { code } = await asNobody('head', '-c', '1', join(target, 'zero'));
      expect(code === 0).toBe(row.opens);
    } finally {
      expect(await landfall('umount', target)).toMatchObject({ code: 0 });
    }
  });

  it('keeps a store to itself, and says how it is opened', async () => {
    const root = join(place.directory, 'root');
    expect((await lstat(place.reach(root))).mode & 0o777).toBe(0o700);
    expect((await asNobody('flock', '-n', root, 'true')).code).not.toBe(0);
    const { code, stderr } = await asNobody(process.execPath, LANDFALL, '--root', root, 'images');
    expect(code).toBe(8);
    expect(stderr).toContain('chmod 0755 ROOT');
    await chmod(place.reach(root), 0o755);
    try {
      expect(await landfall('images')).toMatchObject({ code: 0 });
      expect((await lstat(place.reach(root))).mode & 0o777).toBe(0o755);
      expect((await asNobody('cat', join(root, 'index.json'))).code).toBe(0);
      expect((await asNobody('flock', '-n', root, 'true')).code).toBe(0);
      expect((await asNobody('ls', join(root, 'snapshots'))).code).not.toBe(0);
    } finally {
      await chmod(place.reach(root), 0o700);
    }
  });

  describe('of a layout of another user that only links to a blob', () => {
    let theirs: string;
    let secret: string;
    let layer: Digest;
    beforeAll(async () => {
      theirs = join(work, 'theirs');
      secret = join(work, 'secret');
      await outputAt(place, 'cp', '-a', join(work, 'layout'), theirs);
      await writeFile(secret, 'of root', { mode: 0o600 });
      const { digest } = layout.manifests[0].layers[1] ?? {};
      if (digest === undefined) throw new Error('no layer');
      layer = digest;
      const blob = join(theirs, 'blobs/sha256', encodedOf(layer));
      await rename(blob, `${blob}.own`);
      await symlink(secret, blob);
    });

    it.each(['copy', 'unpack'])('%s takes nothing', async (command) => {
      const target = join(work, `${command}-target`);
      const { code, stderr } = await landfall(
        command,
        `oci:${theirs}`,
        command === 'copy' ? `oci:${target}` : target,
      );
      expect(code).toBe(8);
      expect(stderr).toContain('is a symbolic link');
      expect(stderr).not.toContain('of root');
    });

    it('serve gives out nothing', async () => {
      await using server = await ServeProcess.start(['serve', `oci:${theirs}`]);
      const blobs = `${server.url}/v2/team/app/blobs`;
      expect((await fetch(`${blobs}/${layout.manifests[0].config.digest}`)).status).toBe(200);
      const answer = await fetch(`${blobs}/${layer}`);
      expect(answer.ok).toBe(false);
      expect(await answer.text()).not.toContain('of root');
      expect(server.log).not.toContain('of root');
    });
  });

  it('sends a registry no byte of a blob that is not what its name says', async () => {
    const theirs = join(work, 'changed');
    // Of several chunks, all but the last of which could go out before the digest is known.
    const content = randomBytes(4 << 20);
    const { manifests } = await makeTinyLayout(theirs, { tag: NAME, layers: [[{ path: 'a', content }]] });
    const [layer] = manifests[0].layers;
    if (layer === undefined) throw new Error('no layer');
    const changed = Buffer.alloc(layer.size, 'of root');
    await writeFile(join(theirs, 'blobs/sha256', encodedOf(layer.digest)), changed);
    await using registry = await UploadRegistry.start();
    const { code, stderr } = await landfall(
      'copy',
      `oci:${theirs}`,
      `docker://${registry.address}/team/app:1`,
    );
    expect({ code, stderr }).toMatchObject({ code: 6 });
    expect(stderr).toContain(layer.digest);
    // A request with a body says how long that is.
    expect(registry.seen.join('\n')).not.toContain(`(${layer.size})`);
  });

  it.each(['cri', 'snapshotter'])('lets nobody else open the socket of --%s', async (socket) => {
    const paths = { cri: join(work, 'cri.sock'), snapshotter: join(work, 'snapshotter.sock') };
    const connect = `require('node:net').connect(process.argv[1])
      .on('connect', () => process.exit(0)).on('error', ({ code }) => { console.log(code); process.exit(1); })`;
    const path = paths[socket === 'cri' ? 'cri' : 'snapshotter'];
    const args = ['--snapshotter', `unix://${paths.snapshotter}`];
    await using daemon = await DaemonProcess.start(join(work, 'daemon-root'), paths.cri, args);
    expect(daemon.socket).toBe(paths.cri);
    expect(await asNobody(process.execPath, '-e', connect, path)).toMatchObject({
      code: 1,
      stdout: 'EACCES\n',
    });
    expect(await place.run(process.execPath, ['-e', connect, path])).toMatchObject({ code: 0 });
  });
});
