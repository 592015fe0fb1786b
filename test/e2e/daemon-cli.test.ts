import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCri, whyNoCriClient } from '../support/cri-client.js';
import { REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { DaemonProcess } from '../support/daemon-process.js';
import { call, grpcClient } from '../support/grpc-client.js';
import { imageSteps } from '../support/image-steps.js';
import { needsPeer } from '../support/peers.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/landfall-command.js';

const MEBIBYTE = 1024 * 1024;
const BYTES_PER_SECOND = 4 * MEBIBYTE;
const reason = needsPeer('go') ?? (await whyNoCriClient());

describe('commands on the root of a daemon', () => {
  let work: string;
  let root: string;
  let registry: ScriptedRegistry;
  let small: TinyLayout;
  let large: TinyLayout;
  let daemon: DaemonProcess;
  let metricsUrl: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-daemon-cli-'));
    root = join(work, 'store');
    small = await makeTinyLayout(join(work, 'small'));
    large = await makeTinyLayout(join(work, 'large'), {
      layers: [[{ path: 'cargo', content: randomBytes(12 * MEBIBYTE) }]],
    });
    registry = await ScriptedRegistry.start([
      ...imageSteps(small, { repository: 'fleet/small', tag: '1' }),
      ...imageSteps(large, {
        repository: 'fleet/large',
        tag: '1',
        blobs: { ranges: true, bytesPerSecond: BYTES_PER_SECOND },
      }),
    ]);
    daemon = await DaemonProcess.start(root, join(work, 's.sock'), [
      ...['--metrics', '127.0.0.1:0', '--concurrency', '1', '--output', 'json'],
    ]);
    metricsUrl = (JSON.parse(await daemon.answered()) as { metrics: string }).metrics;
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const name = (repository: string): string => `${registry.address}/fleet/${repository}:1`;
  const begun = (by: DaemonProcess = daemon): readonly string[] =>
    by.log.filter((line) => line.endsWith(': begun'));
  const metric = async (wanted: string): Promise<number> => {
    const text = await (await fetch(metricsUrl, { headers: { connection: 'close' } })).text();
    const line = text.split('\n').find((each) => each.startsWith(`${wanted} `));
    return Number(line?.slice(wanted.length + 1));
  };

  it('pull by the daemon, with what a pull tells and answers', async () => {
    const before = begun().length;
    const [pulled] = await landfallJson<{ imageId: string; platform: string }[]>([
      ...['--root', root, '--progress', 'none', 'pull', name('small')],
    ]);
    expect(pulled).toMatchObject({ imageId: small.manifests[0].config.digest, platform: 'linux/amd64' });
    expect(begun()).toHaveLength(before + 1);
    const reported = await landfall(['--root', root, '--progress', 'json', 'pull', name('small')]);
    const types = reported.stderr
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect([types[0], types.at(-1)]).toEqual(['resolving', 'done']);
    expect(reported.stdout).toContain('up to date');
  });

  it('pull by themselves what the daemon might do otherwise', async () => {
    const before = begun().length;
    for (const options of [['--plain-http'], ['--concurrency', '2']])
      await landfallJson(['--root', root, '--progress', 'none', ...options, 'pull', name('small')]);
    await landfallJson(['--root', root, '--progress', 'none', 'pull', '--sync', 'blobs', name('small')]);
    expect(begun()).toHaveLength(before);
  });

  it('fail as the daemon does, with its code and its hint', async () => {
    registry.expect(
      ...['HEAD', 'GET'].map((method) => ({
        on: `${method} /v2/fleet/none/manifests/1`,
        times: 'any' as const,
        status: 404,
      })),
    );
    const { code, stderr } = await landfall(['--root', root, '--progress', 'none', 'pull', name('none')]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/not found/);
    expect(stderr).toMatch(/hint: /);
  });

  it('keep the images of its list and of its pins from gc, also while it is away', async () => {
    const list = join(work, 'list');
    await writeFile(list, `${name('small')}   # pulled by the first row\n`);
    const away = join(work, 'away.sock');
    const gc = async (): Promise<readonly string[]> =>
      (await landfallJson<{ images: string[] }>(['--root', root, 'gc', '--unused-for', '0s', '--dry-run']))
        .images;
    {
      await using listing = await DaemonProcess.start(root, away, [
        '--pre-pull',
        list,
        '--pin',
        '*/fleet/pin*',
      ]);
      await landfall(['--root', root, 'tag', name('small'), name('pinned')]);
      await landfall(['--root', root, 'tag', name('small'), name('spare')]);
      expect(await gc()).toEqual([name('spare')]);
      expect(listing.log.join()).not.toContain('failed');
    }
    expect(await gc()).toEqual([name('spare')]);
    const unpinned = await landfall(['--root', root, 'unpin', name('small')]);
    expect(unpinned.stdout).toBe(`unpinned ${name('small')}\n`);
    expect(unpinned.stderr).toContain(`the daemon at unix://${away} pins it too`);
    expect((await gc()).toSorted()).toEqual([name('small'), name('spare')]);
    await using _ = await DaemonProcess.start(root, away);
    expect((await gc()).toSorted()).toEqual([name('pinned'), name('small'), name('spare')]);
    await landfall(['--root', root, 'rmi', name('pinned'), name('spare')]);
  });

  it('log in for the daemon, in the file that is its credential of systemd', async () => {
    await using private_ = await startDockerRegistry({ htpasswd: true });
    const credentials = join(work, 'credentials');
    const other = join(work, 'other');
    const image = `${private_.address}/fleet/small:1`;
    const { username, password } = REGISTRY_USER;
    const creds = { LANDFALL_CREDS: `${username}:${password}` };
    await landfall(['copy', `oci:${join(work, 'small')}`, `docker://${image}`], { env: creds });
    await using _ = await DaemonProcess.start(other, join(work, 'o.sock'), [], {
      env: { CREDENTIALS_DIRECTORY: credentials },
    });
    const pull = (): ReturnType<typeof landfall> =>
      landfall(['--root', other, '--progress', 'none', 'pull', image]);
    const refused = await pull();
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain(
      `Log in for the daemon with \`landfall login --authfile /etc/landfall/auth.json ${private_.address}\``,
    );
    const file = join(credentials, 'auth.json');
    const login = ['login', '--authfile', file, '-u', username, '--password-stdin', private_.address];
    expect(await landfall(login, { input: `${password}\n` })).toMatchObject({ code: 0 });
    expect(await pull()).toMatchObject({ code: 0 });
  });

  it('show what the daemon pulls', async () => {
    expect(await landfallJson(['--root', root, 'pulls'])).toEqual([]);
    const pulling = landfall(['--root', root, '--progress', 'none', 'pull', name('large')]);
    const shown = async (): Promise<{ reference: string; state: string; layers: object[] }[]> =>
      await landfallJson(['--root', root, 'pulls']);
    await expect
      .poll(async () => (await shown())[0], { timeout: 20_000 })
      .toMatchObject({ reference: name('large'), state: 'transferring', layers: [{ state: 'unpacking' }] });
    const text = await landfall(['--root', root, 'pulls']);
    expect(text.stdout).toMatch(/^ID +IMAGE +STATE/);
    expect(text.stdout).toContain(name('large'));
    expect((await pulling).code).toBe(0);
    await landfallJson(['--root', root, 'rmi', name('large')]);
  });

  it('say where there is no daemon', async () => {
    const { code, stderr } = await landfall(['--root', join(work, 'nobody'), 'pulls']);
    expect(code).toBe(5);
    expect(stderr).toContain('no daemon serves');
  });

  it('turn to another daemon of the root once the first has gone', async () => {
    const shared = join(work, 'shared');
    await using first = await DaemonProcess.start(shared, join(work, 'first.sock'));
    await using second = await DaemonProcess.start(shared, join(work, 'second.sock'));
    const pulledBy = async (): Promise<number[]> => {
      await landfallJson(['--root', shared, '--progress', 'none', 'pull', name('small')]);
      return [first, second].map((each) => begun(each).length);
    };
    expect(await pulledBy()).toEqual([1, 0]);
    await first.end();
    expect(await pulledBy()).toEqual([1, 1]);
    await second.end();
    expect(await pulledBy()).toEqual([1, 1]);
  });

  it('see by the metrics what a client of CRI has removed', async () => {
    await landfallJson(['--root', root, '--progress', 'none', 'pull', name('small')]);
    const freed = await metric('landfall_freed_bytes_total{by="image"}');
    const removed = await metric('landfall_removed_images_total');
    const client = grpcClient('runtime-v1.proto', 'runtime.v1.ImageService', daemon.socket);
    await call(client, 'RemoveImage', { image: { image: name('small') } });
    client.close();
    expect(await metric('landfall_removed_images_total')).toBe(removed + 1);
    const blobs = [...small.blobs.values()].reduce((sum, { length }) => sum + length, 0);
    expect(await metric('landfall_freed_bytes_total{by="image"}')).toBeGreaterThanOrEqual(freed + blobs);
  });

  it.skipIf(reason !== undefined)(
    'go on with what a pull had that its deadline has ended, and the metrics say so',
    async () => {
      await using client = await connectCri(daemon.socket);
      const image = { image: name('large') };
      const { error } = await client.ask('PullImage', { image }, { timeoutMs: 1_500 });
      expect(error?.code).toBe('DeadlineExceeded');
      await expect.poll(async () => await metric('landfall_pulls_in_flight{state="transferring"}')).toBe(0);
      expect(await metric('landfall_pull_resumed_bytes_total')).toBe(0);
      const asked = registry.requests.length;
      expect(await client.pull(image.image)).toBe(large.manifests[0].config.digest);
      const resumed = await metric('landfall_pull_resumed_bytes_total');
      expect(resumed).toBeGreaterThan(MEBIBYTE);
      const range = registry.requests.slice(asked).find(({ headers }) => headers.range !== undefined);
      expect(range?.headers.range).toBe(`bytes=${resumed}-${(large.manifests[0].layers[0]?.size ?? 0) - 1}`);
      await client.remove(image.image);
    },
  );
});
