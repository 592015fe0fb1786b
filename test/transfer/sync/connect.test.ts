import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RegistryClientOptions } from '../../../src/registry/index.js';
import { connect } from '../../../src/transfer/sync/open-transports.js';
import type { Connection } from '../../../src/transfer/sync/mirror-file.js';
import { failure } from '../../support/registry-fixture.js';
import { secret } from '../../support/secrets.js';

const PASSWORD = secret('of-the-mirror', 'password of a mirror file');

describe('how a registry of the file is spoken to', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-connect-'));
    await writeFile(join(directory, 'password'), `${PASSWORD}\n`);
    await writeFile(join(directory, 'empty'), '\n');
    await writeFile(
      join(directory, 'auth.json'),
      JSON.stringify({ auths: { 'a.lan': { username: 'file', password: PASSWORD } } }),
    );
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const base: RegistryClientOptions = {
    plainHttp: true,
    credentials: () => Promise.resolve({ username: 'base', password: 'of all' }),
  };
  const options = async (connection: Connection): Promise<RegistryClientOptions> =>
    await connect('a.lan', connection, { base, env: { SET: PASSWORD, EMPTY: '' } });

  test.each<[string, (directory: string) => Connection['credentials']]>([
    ['the environment', () => ({ username: 'robot', password: { env: 'SET' } })],
    ['a file', (at) => ({ username: 'robot', password: { file: join(at, 'password') } })],
    ['the file itself', () => ({ username: 'robot', password: { literal: PASSWORD } })],
  ])('by a password of %s, which only this registry is shown', async (_name, credentials) => {
    const { credentials: find } = await options({ credentials: credentials(directory) });
    expect(await find?.('a.lan')).toEqual({ username: 'robot', password: PASSWORD });
    expect(await find?.('b.lan')).toBeUndefined();
  });

  test('by an auth file of its own', async () => {
    const { credentials: find } = await options({ authFile: join(directory, 'auth.json') });
    expect(await find?.('a.lan')).toEqual({ username: 'file', password: PASSWORD });
  });

  test('by what holds for all where the file says nothing', async () => {
    const { credentials, plainHttp } = await options({});
    expect(credentials).toBe(base.credentials);
    expect(plainHttp).toBe(true);
    expect((await options({ plainHttp: false })).plainHttp).toBe(false);
  });

  test('with bounds and certificates of its own', async () => {
    const { hosts, rateLimit } = await options({
      rate: 1000,
      requestsPerSecond: 3,
      connections: 2,
      insecure: true,
    });
    expect(rateLimit?.bytesPerSecond).toBe(1000);
    const [host] = (await hosts?.('a.lan')) ?? [];
    expect(host).toMatchObject({ requestsPerSecond: 3, maxConnections: 2, connection: { insecure: true } });
    // Connections hang on its identity.
    expect((await hosts?.('a.lan'))?.[0]).toBe(host);
  });

  test.each<[string, (directory: string) => Connection['credentials'], string]>([
    ['is not set', () => ({ username: 'x', password: { env: 'UNSET' } }), 'the variable UNSET is not set'],
    ['is empty', () => ({ username: 'x', password: { env: 'EMPTY' } }), 'the variable EMPTY is not set'],
    [
      'is not there',
      (at) => ({ username: 'x', password: { file: join(at, 'none') } }),
      'none cannot be read (ENOENT)',
    ],
    [
      'is an empty file',
      (at) => ({ username: 'x', password: { file: join(at, 'empty') } }),
      'empty is empty',
    ],
  ])('a password that %s is refused', async (_name, credentials, message) => {
    const error = await failure(options({ credentials: credentials(directory) }));
    expect(error).toMatchObject({ code: 'INVALID_CONFIG' });
    expect(error.message).toContain(message);
  });

  test('a certificate that cannot be used is refused', async () => {
    const { hosts } = await options({ ca: join(directory, 'password') });
    const error = await failure(hosts?.('a.lan') ?? Promise.resolve());
    expect(error.message).toContain('holds no certificate in PEM');
  });
});
