import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../../support/docker-registry.js';
import { LANDFALL, runCommand } from '../../support/landfall-command.js';
import { needsPeer } from '../../support/peers.js';
import { WritableRegistry } from '../../serve/push/writable-registry.js';
import { type Ran, run } from './serve-lists.js';

const FIXTURE = `oci:${resolve('fixtures/image')}:landfall/demo:1.0`;
const CREDS = `${REGISTRY_USER.username}:${REGISTRY_USER.password}`;

describe.skipIf(needsPeer('docker-registry') !== undefined)('copies with --creds', () => {
  let work: string;
  let registry: DockerRegistry;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-creds-'));
    registry = await startDockerRegistry({ htpasswd: true });
    expect((await inStore('copy', FIXTURE, 'app:1')).code).toBe(0);
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  const inStore = (...argv: string[]): Promise<Ran> => run('--root', join(work, 'root'), ...argv);
  const at = (name: string): string => `docker://${registry.address}/${name}`;

  test('show them to the registry that an image of the store is pushed to', async () => {
    expect(await inStore('--creds', CREDS, 'push', 'app:1', at('app:1'))).toMatchObject({ code: 0 });
  });

  test('show them to the registry that is read, and that is written where it is the same', async () => {
    expect(await inStore('--creds', CREDS, 'push', 'app:1', at('seed:1'))).toMatchObject({ code: 0 });
    expect(await inStore('--creds', CREDS, 'copy', at('seed:1'), at('seed:2'))).toMatchObject({ code: 0 });
    expect(await inStore('--creds', CREDS, 'copy', at('seed:1'), 'back:1')).toMatchObject({ code: 0 });
  });

  test('are refused between two registries, which would both be shown them', async () => {
    const ran = await inStore('--creds', CREDS, 'copy', at('app:1'), 'docker://localhost:1/app:1');
    expect(ran.code).toBe(2);
    expect(ran.err).toContain('--creds is for one registry');
    const both = ['--src-creds', CREDS, '--dest-creds', CREDS];
    expect((await inStore('copy', ...both, at('app:1'), at('app:3'))).code).toBe(0);
  });
});

test('an archive on standard output is all that is there', async () => {
  const work = await mkdtemp(join(tmpdir(), 'landfall-to-stdout-'));
  const args = ['--root', join(work, 'root'), 'copy', '--all'];
  const copied = await runCommand(
    'sh',
    [
      '-ec',
      '"$@" "$0" oci-archive:-:app | "$@" oci-archive:-:app app:1',
      FIXTURE,
      process.execPath,
      LANDFALL,
      ...args,
    ],
    {},
  );
  expect(copied).toMatchObject({ code: 0 });
  expect(copied.stdout).toMatch(/^docker.io\/library\/app:1\n/);
  await rm(work, { recursive: true, force: true });
});

describe('tag', () => {
  test('names an index at a registry once more, parts of which the registry does not have', async () => {
    await using registry = await WritableRegistry.start();
    const at = (tag: string): string => `docker://${registry.host}/app:${tag}`;
    expect(await run('copy', '--platform', 'linux/arm64', FIXTURE, at('1'))).toMatchObject({ code: 0 });
    expect(await run('tag', at('1'), '2')).toMatchObject({ code: 0 });
    expect((await run('tags', `docker://${registry.host}/app`)).out).toBe('1\n2\n');
  });
});
