import { buffer } from 'node:stream/consumers';

import { describe, expect, it } from 'vitest';

import type { RegistryClientOptions } from '../../../src/registry/index.js';
import { parseReference } from '../../../src/spec/index.js';
import { blobOf, failure, fastClient, patterned } from '../../support/registry-fixture.js';
import { errorReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';
import { selfSigned } from '../../support/self-signed.js';

const bytes = patterned(10_000);
const blob = blobOf(bytes);
const GET = `GET /v2/team/app/blobs/${blob.digest}`;
const tls = selfSigned();
const SIGNED = `/signed?sig=${secret('9c1185a5c5e9fc54')}`;
const EXPIRED = `/signed?sig=${secret('2d7a08f3bb91e6c0')}`;

const CREDENTIALS: RegistryClientOptions = {
  credentials: () => Promise.resolve({ username: 'pilot', password: secret('pass-word-31') }),
};
const asked: Step = { on: GET, status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
const to = (location: string, status = 307): Step => ({
  on: GET,
  status,
  headers: { location },
  body: 'moved',
});

async function fetched(registry: ScriptedRegistry, options: RegistryClientOptions = {}): Promise<Buffer> {
  await using client = fastClient({ ca: tls.cert, ...options });
  return await buffer(await client.repository(parseReference(`${registry.address}/team/app`)).fetch(blob));
}

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])(
    'by %d is followed within the registry, with the credentials',
    async (status) => {
      await using registry = await ScriptedRegistry.start([
        asked,
        { ...to('../elsewhere?x=1#y', status), expect: { authorization: /^Basic / } },
        { on: 'GET /v2/team/app/elsewhere?x=1', expect: { authorization: /^Basic / }, body: bytes },
      ]);
      expect((await fetched(registry, CREDENTIALS)).equals(bytes)).toBe(true);
    },
  );

  it('to another origin takes no credentials along, nor back', async () => {
    await using bucket = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([
      asked,
      {
        ...to(`${bucket.origin.replace('//', `//user:${secret('of-the-url')}@`)}${SIGNED}`),
        expect: { authorization: /^Basic / },
      },
      { on: 'GET /back', expect: { authorization: undefined }, body: bytes },
    ]);
    bucket.expect({
      on: `GET ${SIGNED}`,
      expect: { authorization: undefined },
      status: 302,
      headers: { location: `http://${registry.address}/back` },
    });
    expect((await fetched(registry, CREDENTIALS)).equals(bytes)).toBe(true);
  });

  const signed: [name: string, target: string][] = [
    ['a quote in its query', `/signed?name='a%27b'&sig=${secret('b7e1c5d20f9a8e36')}`],
    ['a query without a path', '?sig=1&who=%7e~'],
    ['an escape that need not be one, and dots', '/a/%2E%2e/./b//c?x=|^`{}"<>'],
  ];
  it.each(signed)('that has %s is sent byte for byte', async (_name, target) => {
    const sent = target.startsWith('/') ? target : `/${target}`;
    await using bucket = await ScriptedRegistry.start([{ on: `GET ${sent}`, body: bytes }]);
    await using registry = await ScriptedRegistry.start([
      to(`//${bucket.address}${target}#part`, 302),
      to(`${sent}#part`),
      { on: `GET ${sent}`, status: 302, headers: { location: '/v2/plain' } },
      { on: 'GET /v2/plain', body: bytes },
    ]);
    expect((await fetched(registry)).equals(bytes)).toBe(true);
    expect((await fetched(registry)).equals(bytes)).toBe(true);
  });

  it.each([
    ['a space', '/signed?a b', '/signed?a%20b'],
    ['a letter beyond ASCII', '/signed?\u00e9', '/signed?%C3%A9'],
    ['a backslash', '\\signed', '/signed'],
  ])('that has %s, which cannot be sent, is escaped', async (_name, target, sent) => {
    await using registry = await ScriptedRegistry.start([to(target), { on: `GET ${sent}`, body: bytes }]);
    expect((await fetched(registry)).equals(bytes)).toBe(true);
  });

  it('from http to https is followed', async () => {
    await using bucket = await ScriptedRegistry.start([{ on: 'GET /signed', body: bytes }], tls);
    await using registry = await ScriptedRegistry.start([to(`${bucket.origin}/signed`)]);
    expect((await fetched(registry)).equals(bytes)).toBe(true);
  });

  it('whose signed URL has expired is asked for anew', async () => {
    await using bucket = await ScriptedRegistry.start([
      { on: `GET ${EXPIRED}`, status: 403, body: '<Error>expired</Error>' },
      { on: `GET ${SIGNED}`, body: bytes },
    ]);
    await using registry = await ScriptedRegistry.start([
      to(`${bucket.origin}${EXPIRED}`),
      to(`${bucket.origin}${SIGNED}`),
    ]);
    expect((await fetched(registry)).equals(bytes)).toBe(true);
  });

  it('to a place that asks for credentials shows it none', async () => {
    await using bucket = await ScriptedRegistry.start([
      { ...asked, on: `GET ${SIGNED}`, times: 3, expect: { authorization: undefined } },
    ]);
    await using registry = await ScriptedRegistry.start([{ ...to(`${bucket.origin}${SIGNED}`), times: 3 }]);
    const error = await failure(fetched(registry, CREDENTIALS));
    expect(error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(JSON.stringify(error)).not.toContain(SIGNED.slice(-16));
  });

  const refused: [name: string, location: (plain: string) => string][] = [
    ['from https to http', (plain) => `${plain}${SIGNED}`],
    ['to a file', () => 'file:///etc/passwd'],
    ['to what is no URL', () => 'https://[nowhere'],
  ];
  it.each(refused)('%s is refused', async (_name, location) => {
    await using plain = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([to(location(plain.origin))], tls);
    const error = await failure(fetched(registry));
    expect(error).toMatchObject({ code: 'REDIRECT_REFUSED', retryable: false });
    expect(JSON.stringify(error)).not.toContain(SIGNED.slice(-16));
  });

  it('that goes round is refused', async () => {
    await using registry = await ScriptedRegistry.start([{ ...to(GET.slice(4)), times: 11 }]);
    expect(await failure(fetched(registry))).toMatchObject({ code: 'REDIRECT_REFUSED' });
  });

  it('without Location is an answer of no known meaning', async () => {
    await using registry = await ScriptedRegistry.start([{ on: GET, ...errorReply(302, 'FOUND') }]);
    expect(await failure(fetched(registry))).toMatchObject({ code: 'PROTOCOL' });
  });
});
