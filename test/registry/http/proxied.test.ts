import { once } from 'node:events';
import net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { inspect } from 'node:util';

import { describe, expect, it } from 'vitest';

import type { LandfallError } from '../../../src/errors.js';
import { networkError } from '../../../src/registry/http/network-error.js';
import { ProxyFailure } from '../../../src/registry/http/proxy.js';
import type { RegistryClientOptions } from '../../../src/registry/index.js';
import { digestOf, parseReference } from '../../../src/spec/index.js';
import { CertificateAuthority } from '../../support/certificate-authority.js';
import { ForwardProxy, type ForwardProxyOptions } from '../../support/forward-proxy.js';
import { DEAD_ADDRESS } from '../../support/host-configs.js';
import { landfall } from '../../support/landfall-command.js';
import { blobOf, failure, fastClient, patterned } from '../../support/registry-fixture.js';
import {
  manifestReply,
  redirectReply,
  ScriptedRegistry,
  type Step,
} from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';

const REFERENCE = parseReference('registry.example/team/app:1');
const MANIFEST = '/v2/team/app/manifests/1';
const bytes = patterned(300_000);
const blob = blobOf(bytes);
const BLOB = `/v2/team/app/blobs/${blob.digest}`;
/** A registry is asked as if there were no proxy. */
const asked = { host: 'registry.example', 'proxy-authorization': undefined };
const HEAD: Step = { on: `HEAD ${MANIFEST}`, expect: asked, ...manifestReply('{}') };
const GET: Step = { on: `GET ${BLOB}`, expect: asked, body: bytes };

const PASSWORD = secret('proxy-pass:word%');
const WRONG = secret('another-proxy-pass');
const userInfo = (password: string): string => `porter:${encodeURIComponent(password)}@`;

const authority = new CertificateAuthority();
const own = authority.server({ hosts: ['registry.example', 'cdn.example', '0.0.0.0'] });

interface Way {
  readonly variable: 'HTTP_PROXY' | 'HTTPS_PROXY';
  readonly client: RegistryClientOptions;
  readonly tls: typeof own | undefined;
  /** What a proxy is asked, for a request to a host. */
  readonly line: (method: string, host: string, path: string) => string;
}

const WAYS: [name: string, way: Way][] = [
  [
    'by HTTP_PROXY',
    {
      variable: 'HTTP_PROXY',
      client: { plainHttp: true },
      tls: undefined,
      line: (method, host, path) => `${method} http://${host}${path}`,
    },
  ],
  [
    'by HTTPS_PROXY, through a tunnel',
    {
      variable: 'HTTPS_PROXY',
      client: { ca: authority.cert },
      tls: own,
      line: (_method, host) => `CONNECT ${host.includes(':') ? host : `${host}:443`}`,
    },
  ],
];

describe.each(WAYS)('%s', (_name, way) => {
  const start = (address: string, options: Partial<ForwardProxyOptions> = {}): Promise<ForwardProxy> =>
    ForwardProxy.start({ leads: { 'registry.example': address }, ...options });
  const clientBy = (proxy: string, options: RegistryClientOptions = {}): ReturnType<typeof fastClient> =>
    fastClient({ ...way.client, ...options, env: { [way.variable]: proxy, ...options.env } });
  const resolvedBy = async (proxy: string, options: RegistryClientOptions = {}): Promise<LandfallError> => {
    await using client = clientBy(proxy, options);
    return await failure(client.resolver().resolve(REFERENCE));
  };

  it.each([
    ['one', undefined],
    ['one that speaks TLS', authority.server()],
  ])('a registry is asked through the proxy, over one connection: %s', async (_which, tls) => {
    await using registry = await ScriptedRegistry.start([HEAD, GET], way.tls);
    await using proxy = await start(registry.address, tls === undefined ? {} : { tls });
    await using client = clientBy(proxy.origin, { ca: authority.cert });
    expect((await client.resolver().resolve(REFERENCE)).digest).toBe(digestOf(Buffer.from('{}')));
    const body = await buffer(await client.repository(REFERENCE).fetch(blob));
    expect(body.equals(bytes)).toBe(true);
    expect([...new Set(proxy.lines)]).toEqual([
      ...new Set([way.line('HEAD', 'registry.example', MANIFEST), way.line('GET', 'registry.example', BLOB)]),
    ]);
    expect([proxy.connections, registry.connections]).toEqual([1, 1]);
  });

  it.each([
    ['a user and a password', `porter:${PASSWORD}`, userInfo(PASSWORD)],
    ['a user alone', 'porter:', 'porter@'],
  ])('the proxy is shown who its URL names, and nobody else is: %s', async (_what, wants, info) => {
    await using registry = await ScriptedRegistry.start([HEAD, GET], way.tls);
    await using proxy = await start(registry.address, { wants });
    await using client = clientBy(proxy.origin.replace('//', `//${info}`));
    await client.resolver().resolve(REFERENCE);
    await buffer(await client.repository(REFERENCE).fetch(blob));
    expect(JSON.stringify(client.events)).not.toContain('porter');
  });

  it('a place that the registry redirects to is asked through the proxy too', async () => {
    await using cdn = await ScriptedRegistry.start(
      [{ on: 'GET /blob?sig=1', expect: { host: 'cdn.example' }, body: bytes }],
      way.tls,
    );
    const location = `${way.tls === undefined ? 'http' : 'https'}://cdn.example/blob?sig=1`;
    await using registry = await ScriptedRegistry.start(
      [{ on: GET.on, expect: asked, ...redirectReply(location) }],
      way.tls,
    );
    await using proxy = await start('', {
      leads: { 'registry.example': registry.address, 'cdn.example': cdn.address },
    });
    await using client = clientBy(proxy.origin);
    await buffer(await client.repository(REFERENCE).fetch(blob));
    expect(proxy.lines).toEqual([
      way.line('GET', 'registry.example', BLOB),
      way.line('GET', 'cdn.example', '/blob?sig=1'),
    ]);
  });

  // Of the addresses of this machine, this one is not loopback by its looks, which would be asked directly
  // anyway.
  it.each<[name: string, noProxy: string, through: boolean]>([
    ['others', 'registry.example,.lan', true],
    ['it', 'registry.example,0.0.0.0', false],
  ])(
    'a registry is asked through the proxy or not, where NO_PROXY lists %s',
    async (_what, list, through) => {
      await using registry = await ScriptedRegistry.start([{ ...HEAD, expect: {} }], way.tls);
      await using proxy = await ForwardProxy.start({ leads: { '0.0.0.0': registry.address } });
      const address = registry.address.replace('127.0.0.1', '0.0.0.0');
      await using client = clientBy(proxy.origin, { env: { NO_PROXY: list } });
      await client.resolver().resolve(parseReference(`${address}/team/app:1`));
      expect(proxy.lines).toEqual(through ? [way.line('HEAD', address, MANIFEST)] : []);
    },
  );

  it.each([
    ['asks for credentials', '', 'asks for credentials (407 Proxy Authentication Required)'],
    [
      'refuses those of its URL',
      userInfo(WRONG),
      'refused the credentials (407 Proxy Authentication Required)',
    ],
  ])('a proxy that %s is told of as such, and not asked again', async (_what, info, says) => {
    await using proxy = await start('127.0.0.1:1', { wants: `porter:${PASSWORD}` });
    const error = await resolvedBy(proxy.origin.replace('//', `//${info}`));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: false });
    expect(error.message).toBe(`registry.example cannot be reached: the proxy ${proxy.address} ${says}`);
    expect(error.hint).toContain('HTTPS_PROXY and HTTP_PROXY: http://USER:PASSWORD@HOST:PORT');
    expect(proxy.lines).toHaveLength(1);
    expect(inspect(error, { depth: 9 })).not.toMatch(/porter|another|proxy-pass|cG9ydGVy/);
  });

  it('a proxy that is dead is told of as such', async () => {
    const error = await resolvedBy(`http://${userInfo(PASSWORD)}${DEAD_ADDRESS}`);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
    expect(error.message).toBe(
      `registry.example cannot be reached: the proxy ${DEAD_ADDRESS} refused the connection`,
    );
    expect(error.hint).toContain('HTTPS_PROXY and HTTP_PROXY');
    expect(error.hint).toContain('NO_PROXY');
    expect(inspect(error, { depth: 9 })).not.toMatch(/porter|proxy-pass|cG9ydGVy/);
  });

  it('a proxy that does not exist is told of as such', async () => {
    const error = await resolvedBy('http://no-such-proxy.invalid:3128', { retry: { attempts: 1 } });
    // Where there is no name server at all, it cannot be known that the name does not exist.
    expect(error.message).toMatch(
      /^registry\.example cannot be reached: the proxy no-such-proxy\.invalid:3128 (is an unknown host|could not be looked up)$/,
    );
  });

  it('a proxy with a certificate of an unknown authority is told of, with the hint how to add it', async () => {
    await using proxy = await start('', { tls: new CertificateAuthority('another').server() });
    const error = await resolvedBy(proxy.origin);
    expect(error).toMatchObject({ code: 'CERTIFICATE_INVALID', retryable: false });
    expect(error.message).toContain(
      `the certificate of the proxy ${proxy.address} is signed by an unknown authority`,
    );
    expect(error.hint).toContain('--ca');
    expect(proxy.lines).toEqual([]);
  });
});

it.each<[code: string, says: string, retryable: boolean]>([
  ['ENOTFOUND', 'is an unknown host', false],
  ['EAI_AGAIN', 'could not be looked up', true],
  ['EHOSTUNREACH', 'cannot be reached', true],
  ['ECONNRESET', 'broke off the connection', true],
])('a proxy is told of that cannot be reached: %s', (code, says, retryable) => {
  const cause = Object.assign(new Error(code), { code });
  const failed = new ProxyFailure(new URL(`http://${userInfo(PASSWORD)}proxy.example:3128`), { cause });
  const url = new URL('https://registry.example/v2/?token=1');
  const error = networkError(failed, { method: 'GET', url });
  expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable, cause });
  expect(error.message).toBe(`registry.example cannot be reached: the proxy proxy.example:3128 ${says}`);
});

it('the command finds the proxy in its environment', async () => {
  await using registry = await ScriptedRegistry.start([HEAD]);
  await using proxy = await ForwardProxy.start({
    leads: { 'registry.example': registry.address },
    wants: `porter:${PASSWORD}`,
  });
  const { code, stderr } = await landfall(
    ['resolve', '--plain-http', '--log-level', 'debug', 'docker://registry.example/team/app:1'],
    { env: { http_proxy: proxy.origin.replace('//', `//${userInfo(PASSWORD)}`) } },
  );
  expect(code).toBe(0);
  expect(proxy.lines).toEqual([`HEAD http://registry.example${MANIFEST}`]);
  expect(stderr).toContain(`debug: HEAD http://registry.example${MANIFEST} 200`);
  expect(stderr).not.toMatch(/porter|proxy-pass/);
});

describe('a tunnel', () => {
  it('shows the certificate of the registry, whose authority must be known', async () => {
    await using registry = await ScriptedRegistry.start([], own);
    await using proxy = await ForwardProxy.start({ leads: { 'registry.example': registry.address } });
    await using client = fastClient({ env: { HTTPS_PROXY: proxy.origin } });
    const error = await failure(client.resolver().resolve(REFERENCE));
    expect(error.message).toContain('the certificate of registry.example is signed by an unknown authority');
  });

  it('shows the certificate of the registry, which must be for its name', async () => {
    await using registry = await ScriptedRegistry.start([], authority.server({ hosts: ['127.0.0.1'] }));
    await using proxy = await ForwardProxy.start({ leads: { 'registry.example': registry.address } });
    await using client = fastClient({ env: { HTTPS_PROXY: proxy.origin }, ca: authority.cert });
    const error = await failure(client.resolver().resolve(REFERENCE));
    expect(error.message).toContain('the certificate of registry.example is not valid for it');
  });

  it.each<[name: string, status: number, retryable: boolean, says: string]>([
    ['it cannot make', 503, true, 'cannot connect to it (503 Service Unavailable)'],
    ['it does not allow', 403, false, 'does not let it through (403 Forbidden)'],
    ['somebody else asked for too often', 429, true, 'cannot connect to it (429 Too Many Requests)'],
  ])('that the proxy does not make is told of: one %s', async (_what, refuses, retryable, says) => {
    await using proxy = await ForwardProxy.start({ leads: {}, refuses });
    await using client = fastClient({ env: { HTTPS_PROXY: proxy.origin } });
    const error = await failure(client.resolver().resolve(REFERENCE));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable });
    expect(error.message).toBe(`registry.example cannot be reached: the proxy ${proxy.address} ${says}`);
    expect(proxy.lines).toHaveLength(retryable ? 3 : 1);
  });

  it.each([
    ['hangs up', (socket: net.Socket): unknown => socket.destroy(), 'broke off the connection'],
    ['says nothing', (): undefined => undefined, 'took too long to connect'],
  ])('is given up where the proxy %s', async (_what, answer, says) => {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      socket.once('data', () => answer(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    const client = fastClient({
      env: { HTTPS_PROXY: address },
      timeouts: { connectMs: 300 },
      retry: { attempts: 1 },
    });
    const error = await failure(client.resolver().resolve(REFERENCE));
    await client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
    expect(error.message).toBe(`registry.example cannot be reached: the proxy ${address} ${says}`);
  });
});

it('a proxy whose password is not written as a URL has it is refused, without a word of it', async () => {
  await using client = fastClient({ env: { HTTPS_PROXY: 'http://porter:100%-proof@proxy.example' } });
  const error = await failure(client.resolver().resolve(REFERENCE));
  expect(error).toMatchObject({ code: 'INVALID_CONFIG' });
  expect(error.message).toContain('HTTPS_PROXY has a %');
  expect(inspect(error, { depth: 9 })).not.toContain('proof');
});
