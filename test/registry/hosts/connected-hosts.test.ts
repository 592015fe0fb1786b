import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectedHosts } from '../../../src/registry/hosts/connected-hosts.js';
import { defaultHost, type HostConfig } from '../../../src/registry/hosts/host-config.js';
import { failure } from '../../support/registry-fixture.js';
import { selfSigned } from '../../support/self-signed.js';

describe('hosts that somebody says how to connect to', () => {
  const own = selfSigned('own');
  const client = selfSigned('client');
  let directory: string;
  let mirror: HostConfig;
  let upstream: HostConfig;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-hosts-'));
    await writeFile(join(directory, 'ca.crt'), own.cert);
    await writeFile(join(directory, 'client.cert'), client.cert);
    await writeFile(join(directory, 'client.key'), client.key);
    upstream = { ...defaultHost('a.lan'), connection: { ca: ['configured'] } };
    mirror = { ...defaultHost('m.lan'), role: 'mirror' };
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  test('are the registry itself, and its mirrors stay as they are', async () => {
    const hosts = connectedHosts(() => Promise.resolve([mirror, upstream]), {
      ca: [join(directory, 'ca.crt')],
      clientCert: { cert: join(directory, 'client.cert'), key: join(directory, 'client.key') },
      requestsPerSecond: 2,
    });
    const [first, second] = await hosts('a.lan');
    expect(first).toBe(mirror);
    expect(second?.connection.ca).toEqual(['configured', own.cert.trim()]);
    expect(second?.connection.client?.map(({ cert }) => cert.toString())).toEqual([client.cert]);
    expect(second?.requestsPerSecond).toBe(2);
    expect((await hosts('a.lan'))[1]).toBe(second);
  });

  test('have the certificates of a directory as docker lays it out', async () => {
    const hosts = connectedHosts(undefined, { certDirectory: directory, mayBePlain: true, insecure: true });
    const [host] = await hosts('b.lan');
    expect(host?.connection).toMatchObject({ ca: [own.cert.trim()], insecure: true });
    expect(host?.connection.client?.length).toBe(1);
    expect(host?.mayBePlain).toBe(true);
    expect((await hosts('b.lan'))[0]).toBe(host);
  });

  test.each([
    ['a directory that is not there', { certDirectory: '/proc/none' }, '/proc/none cannot be read (ENOENT)'],
    ['a file that is not there', { ca: ['/proc/none/ca.pem'] }, '/proc/none/ca.pem is not there'],
  ])('%s is refused', async (_name, options, message) => {
    const error = await failure(connectedHosts(undefined, options)('a.lan'));
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', message });
  });

  test('a file that was not there is read once it is', async () => {
    const late = join(directory, 'late.pem');
    const hosts = connectedHosts(undefined, { ca: [late] });
    expect(await failure(hosts('a.lan'))).toMatchObject({ code: 'INVALID_CONFIG' });
    await writeFile(late, own.cert);
    expect((await hosts('a.lan'))[0]?.connection.ca).toEqual([own.cert.trim()]);
  });
});
