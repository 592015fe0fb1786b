import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { record, secret } from '../support/secrets.js';

const COMMAND = path.resolve('dist/bin/landfall.js');

let directory: string;
let children: ChildProcessWithoutNullStreams[];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'landfall-cli-'));
  children = [];
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  /** What it has written to standard output so far. */
  readonly out: () => string;
  readonly ended: Promise<Ended>;
}

function spawnCommand(...argv: string[]): ChildProcessWithoutNullStreams {
  const env = { ...process.env, LANDFALL_ROOT: path.join(directory, 'store'), HOME: directory };
  const child = spawn(process.execPath, [COMMAND, ...argv], { env });
  children.push(child);
  return child;
}

function start(...argv: string[]): Running {
  const child = spawnCommand(...argv);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const ended = once(child, 'close').then(() => {
    record('output of landfall', out);
    record('standard error of landfall', err);
    return { code: child.exitCode, out, err };
  });
  return { child, out: () => out, ended };
}

/** Serves on a free port; resolves when it listens. */
async function startServing(...argv: string[]): Promise<Running & { readonly url: string }> {
  const running = start('serve', emptyLayout(), '--listen', '127.0.0.1:0', '--output', 'json', ...argv);
  while (!running.out().endsWith('}\n')) {
    await Promise.race([once(running.child.stdout, 'data'), running.ended]);
    if (running.child.exitCode !== null) throw new Error((await running.ended).err);
  }
  const { url } = JSON.parse(running.out()) as { url: string };
  return { ...running, url };
}

/** A layout without images, which is enough to be served. */
function emptyLayout(): string {
  const layout = path.join(directory, 'layout');
  const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] };
  mkdirSync(layout);
  writeFileSync(path.join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(path.join(layout, 'index.json'), JSON.stringify(index));
  return `oci:${layout}`;
}

describe('the built command', () => {
  test('says its version', async () => {
    const { code, out, err } = await start('--version').ended;
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^landfall \d+\.\d+\.\d+\n$/);
  });

  test('shows its help', async () => {
    const { code, out } = await start('pull', '--help').ended;
    expect(code).toBe(0);
    expect(out).toContain('--all-platforms');
  });

  test.each([
    ['wrong usage', ['pull'], 2, 'INVALID_CONFIG'],
    ['a malformed reference', ['pull', 'UPPER CASE'], 2, 'INVALID_REFERENCE'],
    ['an image that is not here', ['inspect', 'no-such-image'], 3, 'BLOB_NOT_FOUND'],
    ['a layout that is not there', ['inspect', 'oci:/no/such/layout'], 3, 'BLOB_NOT_FOUND'],
    ['a registry that is not there', ['pull', '127.0.0.1:1/app'], 5, 'UNAVAILABLE'],
    ['a root that cannot be', ['images', '--root', '/dev/null/store'], 8, 'FILESYSTEM'],
  ])('%s', async (_, argv, exitCode, code) => {
    const ended = await start('--output', 'json', '--progress', 'none', ...argv).ended;
    expect(ended.code).toBe(exitCode);
    const lines = ended.err.trimEnd().split('\n');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ code });
  });

  test('of several arguments all are tried, and the first failure counts', async () => {
    const names = ['127.0.0.1:1/app', 'UPPER CASE'];
    const { code, out, err } = await start('pull', '--output', 'json', '--progress', 'none', ...names).ended;
    expect(code).toBe(5);
    expect(JSON.parse(out)).toMatchObject([
      { reference: '127.0.0.1:1/app:latest', error: { code: 'UNAVAILABLE' } },
      { reference: 'UPPER CASE', error: { code: 'INVALID_REFERENCE' } },
    ]);
    expect(err.trimEnd().split('\n')).toHaveLength(2);
  });

  test('a reader that goes away early is no failure', async () => {
    const child = spawnCommand('--help');
    child.stdout.destroy();
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).toBe(0);
  });

  test('an output that cannot be written is one', () => {
    const full = openSync('/dev/full', 'w');
    const ended = spawnSync(process.execPath, [COMMAND, '--help'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(ended.status).toBe(8);
    expect(ended.stderr.split('\n').slice(0, 2)).toEqual([
      'landfall: the output could not be written',
      '  ENOSPC: no space left on device, write',
    ]);
  });
});

describe('signals', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends serving quietly', async (signal, code) => {
    const { child, ended, url } = await startServing('--log-level', 'warn');
    expect((await fetch(`${url}/v2/`)).status).toBe(200);
    child.kill(signal);
    expect(await ended).toMatchObject({ code, err: '' });
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends a pull that waits for its registry', async (signal, code) => {
    const registry = createServer(() => undefined);
    const asked = once(registry, 'request');
    try {
      const { child, ended } = start(
        'pull',
        '--plain-http',
        `${await listen(registry)}/app`,
        '--progress',
        'none',
      );
      await asked;
      child.kill(signal);
      const { err, ...rest } = await ended;
      expect(rest).toEqual({ code, out: '' });
      expect(err).toMatch(/^landfall: /);
      expect(err.trimEnd().split('\n').length).toBeLessThanOrEqual(3);
    } finally {
      registry.closeAllConnections();
      registry.close();
    }
  });
});

test('credentials are not in the list of processes', async () => {
  const password = secret('s3cret-in-the-arguments');
  const { child, ended } = await startServing('--creds', `u:${password}`);
  const line = readFileSync(`/proc/${child.pid ?? 0}/cmdline`, 'utf8');
  expect(line).toMatch(/^landfall/);
  expect(line).not.toContain(password);
  child.kill('SIGTERM');
  const { out, err } = await ended;
  expect(out + err).not.toContain(password);
});

test('serving logs a line for each request', async () => {
  const { child, ended, url } = await startServing();
  await fetch(`${url}/v2/app/manifests/1`);
  child.kill('SIGTERM');
  expect((await ended).err).toMatch(
    /^landfall: 127\.0\.0\.1 - - \[.*\] "GET \/v2\/app\/manifests\/1 HTTP\/1\.1" 404 /,
  );
});

test('looking at a layout makes no store', async () => {
  await start('inspect', emptyLayout()).ended;
  expect(existsSync(path.join(directory, 'store'))).toBe(false);
});

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `127.0.0.1:${address.port}`;
}
