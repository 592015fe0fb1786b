import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { copy } from '../../src/index.js';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const run = promisify(execFile);

let open: DockerRegistry;
let closed: DockerRegistry;
let scratch: string;
let reference: string;
let digest: string;
let layers: number;

const tests = describe.skipIf(needsPeer('docker-registry') !== undefined);
/** What a test of each has to say of it; so that none is without. */
const tried = new Set<string>();

/** Runs an example as the docs show it, in an empty directory, with a store of its own. */
async function example(
  name: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  tried.add(`${name}.ts`);
  const program = resolve('dist/examples', `${name}.js`);
  const { stdout, stderr } = await run(process.execPath, [program, ...args], {
    cwd: scratch,
    env: { PATH: process.env['PATH'], HOME: scratch, LANDFALL_ROOT: join(scratch, 'store'), ...env },
  });
  expect(stderr).toBe('');
  return stdout.trim().split('\n');
}

tests('the examples', () => {
  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-examples-'));
    [open, closed] = await Promise.all([startDockerRegistry(), startDockerRegistry({ htpasswd: true })]);
    const layout = await makeTinyLayout(directory, { tag: '1', platforms: ['linux/amd64', 'linux/arm64'] });
    reference = `${open.address}/team/app:1`;
    digest = layout.target.digest;
    layers = layout.manifests[0].layers.length;
    await copy({ source: `oci:${directory}:1`, destination: `docker://${reference}`, platforms: 'all' });
    await rm(directory, { recursive: true });
  });
  afterAll(async () => {
    await Promise.all([open.stop(), closed.stop()]);
    expect([...tried].sort()).toEqual(
      readdirSync('examples')
        .filter((name) => name.endsWith('.ts'))
        .sort(),
    );
  });
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'landfall-examples-'));
  });
  afterEach(() => rm(scratch, { recursive: true }));

  it('pull: pulls in ten lines', async () => {
    const lines = await example('pull', [reference]);
    expect(lines[0]).toBe(`${reference} ${digest}`);
    expect(lines.slice(1).filter((line) => / \d+ new$/.test(line))).toHaveLength(layers);
    expect((await example('pull', [reference])).filter((line) => line.endsWith('reused'))).toHaveLength(
      layers,
    );
  });

  it('progress: tells of each layer, and ends with the result', async () => {
    const lines = await example('progress', [reference]);
    expect(lines.filter((line) => /^sha256:[0-9a-f]{12} done (\d+) of \1 bytes$/.test(line))).toHaveLength(
      layers,
    );
    expect(lines.at(-1)).toMatch(new RegExp(`^${layers} layers after \\d+ ms$`));
  });

  it('timeout: pulls in time, or tells that it was aborted', async () => {
    expect(await example('timeout', [reference])).toEqual([`pulled ${reference}`]);
    expect(await example('timeout', [reference, '0'])).toEqual([
      expect.stringMatching(/^ABORTED /),
      'to be tried again',
    ]);
  });

  it('credentials: logs in by a function', async () => {
    const { username, password } = REGISTRY_USER;
    const secret = `${closed.address}/team/app:1`;
    await pushTo(secret);
    await writeFile(join(scratch, 'secret'), `${password}\n`);
    expect(await example('credentials', [secret, username, 'secret'])).toEqual(
      expect.arrayContaining([`logging in to ${closed.address} as ${username}`, `pulled ${secret}`]),
    );
    await writeFile(join(scratch, 'secret'), 'another');
    await expect(example('credentials', [secret, username, 'secret'])).rejects.toThrow(/UNAUTHORIZED/);
  });

  it('several-stores: pulls into two at the same time', async () => {
    const lines = await example('several-stores', [reference, reference, scratch]);
    expect(lines.sort()).toEqual([
      expect.stringMatching(new RegExp(`^${scratch}/first ${reference} \\d+$`)),
      expect.stringMatching(new RegExp(`^${scratch}/second ${reference} \\d+$`)),
    ]);
  });

  it('mirror: copies what the destination lacks', async () => {
    const to = `docker://${open.address}/mirror/app:1`;
    const first = await example('mirror', [`docker://${reference}`, to]);
    expect(first.filter((line) => line.startsWith('copied sha256:')).length).toBeGreaterThan(2);
    expect(first.at(-1)).toBe(`copied ${digest}`);
    expect(await example('mirror', [`docker://${reference}`, to])).toEqual([`exists ${digest}`]);
  });

  it('archive: saves, and loads into the store', async () => {
    const lines = await example('archive', [`docker://${reference}`]);
    expect(lines).toEqual([
      expect.stringMatching(/^images\.tar has \d+ bytes$/),
      expect.stringMatching(new RegExp(`^${reference} sha256:`)),
    ]);
  });

  it('unpack: leaves the files, and the same as a tar', async () => {
    await example('unpack', [reference]);
    expect(await readFile(join(scratch, 'rootfs/etc/manifest'), 'utf8')).toBe('ropes\n');
    const { stdout } = await run('tar', ['-tf', join(scratch, 'rootfs.tar')]);
    expect(stdout).toContain('etc/manifest');
    expect((await readdir(scratch)).sort()).toEqual(['rootfs', 'rootfs.tar', 'store']);
  });

  it('images: lists, inspects and verifies what is in the store, and says what differs', async () => {
    await example('pull', [reference]);
    const lines = await example('images', [reference, reference]);
    expect(lines).toEqual([expect.stringMatching(new RegExp(`^${reference} .* ${layers} layers$`))]);
  });

  it('read-file: writes a file of an image that is only at a registry', async () => {
    expect(await example('read-file', [reference, '/etc/manifest'])).toEqual(['ropes']);
    await expect(example('read-file', [reference, '/etc/port'])).rejects.toThrow(/NOT_FOUND/);
    expect(await readdir(scratch)).toEqual([]);
  });

  it('signatures: tells that an image is not signed', async () => {
    const [host = ''] = reference.split('/');
    const policy = {
      default: [{ type: 'reject' }],
      transports: { docker: { [host]: [{ type: 'insecureAcceptAnything' }] } },
    };
    await writeFile(join(scratch, 'accepts.json'), JSON.stringify(policy));
    await writeFile(join(scratch, 'rejects.json'), JSON.stringify({ default: [{ type: 'reject' }] }));
    expect(await example('signatures', [reference, 'accepts.json'])).toEqual(['']);
    expect(await example('signatures', [reference, 'rejects.json'])).toEqual([
      expect.stringMatching(/^POLICY_REJECTED /),
    ]);
  });

  it('serve: takes an image over the network', async () => {
    const lines = await example('serve', [`docker://${reference}`]);
    expect(lines).toEqual([expect.stringMatching(/^serving .*\/store at 127\.0\.0\.1:\d+$/)]);
  });

  it('serve: serves until it is interrupted', async () => {
    const env = { PATH: process.env['PATH'], HOME: scratch, LANDFALL_ROOT: join(scratch, 'store') };
    const child = spawn(process.execPath, [resolve('dist/examples/serve.js')], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const host = /127\.0\.0\.1:\d+/.exec(line.toString())?.[0] ?? '';
    expect((await fetch(`http://${host}/v2/`)).status).toBe(200);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});

/** The image at a registry that asks for a password. */
async function pushTo(destination: string): Promise<void> {
  const { openRegistry } = await import('../../src/index.js');
  await using destinationRegistry = openRegistry({ credentials: () => Promise.resolve(REGISTRY_USER) });
  await copy({
    source: `docker://${reference}`,
    destination: `docker://${destination}`,
    destinationRegistry,
  });
}
