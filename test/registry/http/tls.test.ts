import { once } from 'node:events';
import net from 'node:net';

import { describe, expect, it } from 'vitest';

import { RegistryClient, type RegistryClientOptions } from '../../../src/registry/index.js';
import { defaultHost, isLoopback } from '../../../src/registry/hosts/host-config.js';
import { RegistryHost } from '../../../src/registry/hosts/registry-host.js';
import { parseReference } from '../../../src/spec/index.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { manifestReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { selfSigned } from '../../support/self-signed.js';

const HEAD: Step = { on: 'HEAD /v2/app/manifests/1', ...manifestReply('{}') };
const tls = selfSigned();

async function resolve(address: string, options: RegistryClientOptions = {}): Promise<string[]> {
  await using client = fastClient(options);
  await client.resolver().resolve(parseReference(`${address}/app:1`));
  return client.events.map(
    ({ url, status, failure: failed }) => `${url.split(':')[0] ?? ''} ${status ?? failed ?? ''}`,
  );
}

describe('on loopback', () => {
  it('https is spoken where the certificate is trusted', async () => {
    await using registry = await ScriptedRegistry.start([HEAD], tls);
    expect(await resolve(registry.address, { ca: tls.cert })).toEqual(['https 200']);
  });

  it('https is spoken with any certificate by --insecure', async () => {
    await using registry = await ScriptedRegistry.start([HEAD], tls);
    expect(await resolve(registry.address, { insecure: true })).toEqual(['https 200']);
  });

  it('a certificate of an unknown authority is refused, and nothing is said in plain', async () => {
    await using registry = await ScriptedRegistry.start([], tls);
    const error = await failure(resolve(registry.address));
    expect(error).toMatchObject({ code: 'CERTIFICATE_INVALID', retryable: false });
    expect(error.message).toContain('unknown authority, landfall test');
    expect(error.hint).toContain('--ca');
  });

  it('plain HTTP is spoken where the server speaks no TLS, which is found out once', async () => {
    await using registry = await ScriptedRegistry.start([{ ...HEAD, times: 2 }]);
    await using client = fastClient();
    const reference = parseReference(`${registry.address}/app:1`);
    for (let i = 0; i < 2; i += 1) await client.resolver().resolve(reference);
    expect(client.events.map(({ url, status }) => [url.split(':')[0], status])).toEqual([
      ['https', undefined],
      ['http', 200],
      ['http', 200],
    ]);
  });

  it('plain HTTP is spoken at once by --plain-http', async () => {
    await using registry = await ScriptedRegistry.start([HEAD]);
    expect(await resolve(registry.address, { plainHttp: true })).toEqual(['http 200']);
  });

  it('a server that hangs up on TLS is not asked in plain', async () => {
    let said = '';
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (chunk) => {
        said += chunk.toString('latin1');
        socket.destroy();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const error = await failure(resolve(`127.0.0.1:${port}`, { retry: { attempts: 2, baseMs: 1 } }));
    server.close();
    expect(error.code).toBe('UNAVAILABLE');
    expect(said).not.toContain('HTTP/1.1');
  });

  it('a closed port is not asked in plain either, and is named', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    const client = fastClient();
    const error = await failure(client.resolver().resolve(parseReference(`127.0.0.1:${port}/app:1`)));
    await client.close();
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
    expect(error.message).toContain('refused the connection');
    expect(error.hint).toContain('port');
    expect(client.events.map(({ url, failure: failed }) => `${url.slice(0, 6)} ${failed ?? ''}`)).toEqual(
      Array.from({ length: 3 }, () => 'https: ECONNREFUSED'),
    );
  });
});

describe('elsewhere', () => {
  // Every address of 127.0.0.0/8 is loopback, so the host is one that only its name says is not.
  const elsewhere = '0.0.0.0';

  it('plain HTTP is refused with the hint how to ask for it', async () => {
    await using registry = await ScriptedRegistry.start([]);
    const error = await failure(resolve(registry.address.replace('127.0.0.1', elsewhere)));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: false });
    expect(error.message).toContain('does not speak TLS');
    expect(error.hint).toContain('--plain-http');
  });

  it('plain HTTP is spoken by --plain-http', async () => {
    await using registry = await ScriptedRegistry.start([HEAD]);
    const address = registry.address.replace('127.0.0.1', elsewhere);
    expect(await resolve(address, { plainHttp: true })).toEqual(['http 200']);
  });
});

it('an unknown host fails at once, with a hint', async () => {
  const client = fastClient();
  const error = await failure(client.resolver().resolve(parseReference('no-such-registry.invalid/app:1')));
  await client.close();
  expect(error.code).toBe('UNAVAILABLE');
  expect(error.hint).toContain('spelled');
  // Where there is no name server at all, it cannot be known that the name does not exist.
  const [first, ...more] = client.events.map(({ failure: failed }) => failed);
  expect(['ENOTFOUND', 'EAI_AGAIN']).toContain(first);
  expect(more).toEqual(first === 'ENOTFOUND' ? [] : ['EAI_AGAIN']);
});

it('tokens are not asked for in plain where the registry speaks TLS', async () => {
  await using plain = await ScriptedRegistry.start([]);
  const headers = { 'www-authenticate': `Bearer realm="${plain.origin}/token"` };
  await using registry = await ScriptedRegistry.start([{ on: HEAD.on, status: 401, headers }], tls);
  const error = await failure(resolve(registry.address, { ca: tls.cert }));
  expect(error).toMatchObject({ code: 'PROTOCOL' });
  expect(error.message).toContain('not https');
});

it.each([
  ['docker.io', 'https://registry-1.docker.io/v2/'],
  ['quay.io', 'https://quay.io/v2/'],
  ['[::1]:5000', 'https://[::1]:5000/v2/'],
])('%s is at %s', async (registry, expected) => {
  const asked: string[] = [];
  const host = new RegistryHost({
    registry,
    config: defaultHost(registry),
    userAgent: 'test',
    credentials: undefined,
    onWarning: undefined,
    transport: {
      send: ({ url }) => {
        asked.push(url.href);
        return Promise.reject(new Error('not sent'));
      },
    },
  });
  const request = {
    method: 'GET',
    path: '',
    headers: {},
    access: [],
    expected: [200],
    subject: '',
    attempt: 1,
  } as const;
  await expect(host.request(request)).rejects.toThrow('not sent');
  expect(asked).toEqual([expected]);
});

it.each(['1.2.3.999/app:1', '127.0.0.1:99999/app:1'])(
  'an address that is none is refused: %s',
  async (text) => {
    await using client = new RegistryClient();
    const reference = { registry: text.split('/')[0] ?? '', repository: 'app', tag: '1' };
    expect((await failure(client.resolver().resolve(reference))).code).toBe('INVALID_REFERENCE');
  },
);

it.each([
  ['127.0.0.1:5000', true],
  ['127.1.2.3', true],
  ['localhost', true],
  ['LOCALHOST:80', true],
  ['[::1]:5000', true],
  ['localhost.example', false],
  ['127.0.0.1.example', false],
  ['128.0.0.1', false],
  ['[::2]', false],
])('%s is loopback: %s', (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});
