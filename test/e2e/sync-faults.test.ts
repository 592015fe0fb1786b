import { type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, landfall } from '../support/landfall-command.js';
import { mirrorSet, pushAll } from '../support/mirror-set.js';
import { needsPeer } from '../support/peers.js';
import { digestAt, requestsOf, tagsOf } from '../support/registry-facts.js';
import { RestartingRegistry } from '../support/restarting-registry.js';
import { selfSigned } from '../support/self-signed.js';

const REPOSITORIES = 4;
const TAGS = 8;
const IMAGES = REPOSITORIES * TAGS;

describe.skipIf(needsPeer('docker-registry') !== undefined)('landfall sync, when things go wrong', () => {
  let work: string;
  let file: string;
  let source: DockerRegistry;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-sync-faults-'));
    source = await startDockerRegistry();
    await pushAll(mirrorSet({ repositories: REPOSITORIES, tags: TAGS, layerBytes: 200_000 }), source.address);
    file = join(work, 'mirror.yaml');
    await writeFile(file, `sources: [{ registry: "${source.address}", repositories: ["team/*"] }]\n`);
  });
  afterAll(async () => {
    await source.stop();
    await rm(work, { recursive: true, force: true });
  });

  function sync(args: readonly string[], onStart?: (child: ChildProcess) => void): Promise<CommandResult> {
    return landfall(['sync', '-f', file, '--hosts-dir', join(work, 'none'), ...args], {
      ...(onStart === undefined ? {} : { onStart }),
    });
  }

  /** Whether every tag is at the mirror as it is at the source. */
  async function expectWhole(address: string): Promise<void> {
    for (let at = 0; at < REPOSITORIES; at += 1) {
      const name = `team/r${at}`;
      expect(await tagsOf(address, name)).toEqual(await tagsOf(source.address, name));
      for (const tag of await tagsOf(address, name))
        expect(await digestAt(address, name, tag)).toBe(await digestAt(source.address, name, tag));
    }
  }

  /** What was told of images that are done. */
  const done = (text: string): number => text.match(/^\[\d+\/\d+\] copied /gm)?.length ?? 0;

  /** Does something, once, when so many images are there. */
  function after(images: number, act: (child: ChildProcess) => void): (child: ChildProcess) => void {
    return (child) => {
      let said = '';
      let acted = false;
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (acted || done(said) < images) return;
        acted = true;
        act(child);
      });
    };
  }

  test('killed in the middle, the next goes on from there, and nothing is moved twice', async () => {
    await using mirror = await startDockerRegistry();
    const args = ['--to', `docker://${mirror.address}`, '--concurrency', '2'];
    const killed = await sync(
      args,
      after(5, (child) => child.kill('SIGKILL')),
    );
    expect(killed.signal).toBe('SIGKILL');
    const between = requestsOf(await mirror.accessLog());
    const next = await sync(args);
    expect(next.code).toBe(0);
    expect(next.stdout).toMatch(new RegExp(`^${IMAGES} images: \\d+ copied .*, \\d+ already there\n$`, 'm'));
    await expectWhole(mirror.address);
    const manifests = (log: readonly string[]): string[] =>
      log.filter((line) => line.startsWith('PUT ') && line.includes('/manifests/'));
    const all = manifests(requestsOf(await mirror.accessLog()));
    expect(manifests(between).length).toBeGreaterThan(0);
    expect(new Set(all).size).toBe(all.length);
    const third = await sync(args);
    expect(third.stdout).toBe(`${IMAGES} images: ${IMAGES} already there\n`);
  });

  test('interrupted, it ends with a report of what was done', async () => {
    await using mirror = await startDockerRegistry();
    const report = join(work, 'interrupted.json');
    const args = ['--to', `docker://${mirror.address}`, '--concurrency', '1', '--report', report];
    const result = await sync(
      args,
      after(3, (child) => child.kill('SIGINT')),
    );
    expect(result.code).toBe(130);
    expect(result.stderr.match(/^landfall: the operation was aborted/gm)?.length).toBe(1);
    const { images, totals } = JSON.parse(await readFile(report, 'utf8')) as {
      images: { outcome: string; error?: { code: string } }[];
      totals: { copied: number; failed: number };
    };
    expect(images.length).toBe(IMAGES);
    expect(totals.copied).toBeGreaterThanOrEqual(3);
    expect(totals.failed).toBe(IMAGES - totals.copied);
    expect(images.find(({ outcome }) => outcome === 'failed')?.error?.code).toBe('ABORTED');
  });

  test('two at once make one mirror', async () => {
    await using mirror = await startDockerRegistry();
    const to = ['--to', `docker://${mirror.address}`];
    const both = await Promise.all([sync(to), sync(to)]);
    expect(both.map(({ code, stderr }) => `${code} ${code === 0 ? '' : stderr}`)).toEqual(['0 ', '0 ']);
    await expectWhole(mirror.address);
  });

  test('two at once make one layout', async () => {
    const layout = join(work, 'layout');
    const to = ['--to', `oci:${layout}`];
    const both = await Promise.all([sync(to), sync(to)]);
    expect(both.map(({ code, stderr }) => `${code} ${code === 0 ? '' : stderr}`)).toEqual(['0 ', '0 ']);
    const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
      manifests: object[];
    };
    expect(manifests.length).toBe(IMAGES);
    expect((await sync(to)).stdout).toBe(`${IMAGES} images: ${IMAGES} already there\n`);
  });

  test('a registry that restarts in the middle is waited for', async () => {
    await using mirror = await RestartingRegistry.start();
    let restarted: Promise<void> | undefined;
    const restart = after(5, () => {
      restarted = mirror.kill().then(() => mirror.startAgain());
    });
    const result = await sync(['--to', `docker://${mirror.address}`, '--concurrency', '2'], restart);
    expect(restarted).toBeDefined();
    await restarted;
    expect(result.stderr).not.toContain('failed');
    expect(result.code).toBe(0);
    await expectWhole(mirror.address);
  });

  test('a registry that stays away is exit code 5, and the next run goes on', async () => {
    await using mirror = await RestartingRegistry.start();
    let killed: Promise<void> | undefined;
    const to = ['--to', `docker://${mirror.address}`, '--concurrency', '2'];
    const kill = after(5, () => {
      killed = mirror.kill();
    });
    const result = await sync(to, kill);
    await killed;
    expect(result.code).toBe(5);
    expect(result.stdout).toMatch(/\d+ copied .*, \d+ failed\n$/);
    await mirror.startAgain();
    expect((await sync(to)).code).toBe(0);
    await expectWhole(mirror.address);
  });

  test('credentials of the file are used at their registry, and never told', async () => {
    await using locked = await startDockerRegistry({ htpasswd: true });
    await writeFile(join(work, 'password'), `${REGISTRY_USER.password}\n`);
    const text = (how: string): string => `
sources: [{ registry: "${source.address}", repositories: [team/r0], tags: [1.0.0] }]
destinations:
  - to: docker://${locked.address}
    credentials: { username: ${REGISTRY_USER.username}, ${how} }
`;
    const run = async (how: string, env = {}): Promise<CommandResult> => {
      const named = join(work, 'locked.yaml');
      await writeFile(named, text(how));
      return await landfall(['sync', '-f', named, '--log-level', 'debug'], { env });
    };
    const unset = await run('passwordEnv: MIRROR_PASSWORD');
    expect(unset.code).toBe(2);
    expect(unset.stderr).toContain('the variable MIRROR_PASSWORD is not set');
    const wrong = await run('passwordEnv: MIRROR_PASSWORD', { MIRROR_PASSWORD: 'something-else' });
    expect(wrong.code).toBe(4);
    const right = await run('passwordEnv: MIRROR_PASSWORD', { MIRROR_PASSWORD: REGISTRY_USER.password });
    expect(right.code).toBe(0);
    const again = await run('passwordFile: password');
    expect(again).toMatchObject({ code: 0, stdout: '1 image: 1 already there\n' });
    for (const { stdout, stderr } of [unset, wrong, right, again]) {
      expect(stdout + stderr).not.toContain(REGISTRY_USER.password);
      expect(stdout + stderr).not.toContain(
        Buffer.from(`${REGISTRY_USER.username}:${REGISTRY_USER.password}`).toString('base64'),
      );
    }
  });

  test('the authority of the file is trusted at its registry', async () => {
    const certificate = selfSigned();
    await using secured = await startDockerRegistry({ tls: certificate });
    await writeFile(join(work, 'ca.pem'), certificate.cert);
    const text = (tls: string): string => `
sources: [{ registry: "${source.address}", repositories: [team/r0], tags: [1.0.0] }]
destinations: [{ to: "docker://${secured.address}"${tls} }]
`;
    const named = join(work, 'secured.yaml');
    await writeFile(named, text(''));
    expect((await landfall(['sync', '-f', named])).code).toBe(6);
    await writeFile(named, text(', tls: { ca: ca.pem }'));
    expect((await landfall(['sync', '-f', named])).code).toBe(0);
    await writeFile(named, text(', tls: { insecure: true }'));
    expect((await landfall(['sync', '-f', named])).stdout).toBe('1 image: 1 already there\n');
  });
});
