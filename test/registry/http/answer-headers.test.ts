import { describe, expect, it } from 'vitest';

import type { RegistryClientOptions } from '../../../src/registry/index.js';
import { digestOf, parseReference } from '../../../src/spec/index.js';
import { CertificateAuthority } from '../../support/certificate-authority.js';
import { ForwardProxy } from '../../support/forward-proxy.js';
import { startRawServer } from '../../support/raw-server.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { manifestReply, ScriptedRegistry } from '../../support/scripted-registry.js';

const MANIFEST = '/v2/team/app/manifests/1';
const REFERENCE = parseReference('registry.example/team/app:1');
const BODY = '{"schemaVersion":2}';
const TYPE = 'Content-Type: application/vnd.oci.image.manifest.v1+json';

const authority = new CertificateAuthority();
const tls = authority.server({ hosts: ['registry.example'] });

/** As a gateway sends them that keeps its sessions in cookies. */
const cookies = (bytes: number): string[] =>
  Array.from({ length: bytes / 1000 }, (_, n) => `session-${n}=`.padEnd(1000, 'x'));

describe('headers of an answer', () => {
  const ways: [name: string, options: (proxy: string) => RegistryClientOptions, secure: boolean][] = [
    ['directly', () => ({}), false],
    ['by a proxy', (proxy) => ({ env: { HTTP_PROXY: proxy } }), false],
    ['through a tunnel', (proxy) => ({ env: { HTTPS_PROXY: proxy } }), true],
  ];
  it.each(ways)('of 200 KB are taken %s', async (_name, options, secure) => {
    const good = manifestReply(BODY);
    const headers = { ...good.headers, 'set-cookie': cookies(200_000) };
    await using registry = await ScriptedRegistry.start(
      [{ on: `HEAD ${MANIFEST}`, ...good, headers }],
      secure ? tls : undefined,
    );
    await using proxy = await ForwardProxy.start({ leads: { 'registry.example': registry.address } });
    const proxied = options(proxy.origin);
    const reference =
      proxied.env === undefined ? `${registry.address}/team/app:1` : 'registry.example/team/app:1';
    await using client = fastClient({ plainHttp: !secure, ca: authority.cert, ...proxied });
    const found = await client.resolver().resolve(parseReference(reference));
    expect(found.size).toBe(BODY.length);
    expect(proxy.lines).toHaveLength(proxied.env === undefined ? 0 : 1);
  });

  it('that a proxy puts before its tunnel may be as long', async () => {
    const lines = cookies(200_000).map((cookie) => `Set-Cookie: ${cookie}\r\n`);
    await using proxy = await startRawServer(() => `HTTP/1.1 403 Forbidden\r\n${lines.join('')}\r\n`);
    await using client = fastClient({ env: { HTTPS_PROXY: `http://${proxy.address}` } });
    const error = await failure(client.resolver().resolve(REFERENCE));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: false });
    expect(error.message).toContain('does not let it through (403 Forbidden)');
  });
});

describe('headers that break HTTP are said to at the first try', () => {
  const answer = (...headers: string[]): string =>
    ['HTTP/1.1 200 OK', TYPE, ...headers, '', BODY].join('\r\n');
  const length = `Content-Length: ${BODY.length}`;
  const chunked = 'Transfer-Encoding: chunked';
  const rows: [name: string, bytes: string, said: RegExp][] = [
    [
      'Content-Length twice',
      answer(length, length),
      /headers that are malformed: Content-Length comes twice/,
    ],
    ['a list of lengths', answer(`${length}, ${BODY.length}`), /malformed: Content-Length comes twice/],
    ['Content-Length before Transfer-Encoding', answer(length, chunked), /beside Transfer-Encoding/],
    [
      'Content-Length after Transfer-Encoding',
      answer(chunked, length),
      /malformed: Content-Length can't be present with Transfer-Encoding/,
    ],
    ['a header without a colon', answer('X-Gateway up'), /headers that are malformed: /],
    ['more than 256 KiB', answer(`X-Trace: ${'x'.repeat(300_000)}`), /longer than 262 kB/],
  ];
  it.each(rows)('%s', async (_name, bytes, said) => {
    await using server = await startRawServer(() => bytes);
    await using client = fastClient({ plainHttp: true });
    const error = await failure(client.resolver().resolve(parseReference(`${server.address}/team/app:1`)));
    expect(error).toMatchObject({ code: 'PROTOCOL', retryable: false });
    expect(error.message).toContain(server.address);
    expect(error.message).toMatch(said);
    // GET may do better than HEAD, and is asked once.
    expect(server.lines).toEqual([`HEAD ${MANIFEST}`, `GET ${MANIFEST}`]);
  });

  it('of the answer of a proxy to CONNECT too', async () => {
    await using proxy = await startRawServer(() => answer(length, length));
    await using client = fastClient({ env: { HTTPS_PROXY: `http://${proxy.address}` } });
    const error = await failure(client.resolver().resolve(REFERENCE));
    expect(error).toMatchObject({ code: 'PROTOCOL', retryable: false });
    expect(error.message).toMatch(
      /^registry\.example cannot be reached: the proxy 127\S+ answers with headers that/,
    );
  });

  it.each([
    ['a connection that ends among the headers', `HTTP/1.1 200 OK\r\n${length}\r\nX-A: b`],
    ['what an earlier exchange may have left', BODY],
  ])('%s is tried again', async (_name, bytes) => {
    let asked = 0;
    const digest = digestOf(Buffer.from(BODY));
    const good = answer(length);
    await using server = await startRawServer(() => ((asked += 1) === 1 ? bytes : good));
    await using client = fastClient({ plainHttp: true });
    const repository = client.repository(parseReference(`${server.address}/team/app`));
    expect(await repository.blobSize(digest)).toBe(BODY.length);
    expect(asked).toBe(2);
  });
});
