import { once } from 'node:events';
import http from 'node:http';
import { Readable } from 'node:stream';

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { ContentError } from '../../src/errors.js';
import { createRegistryServer, type RegistryServer, type ServedRequest } from '../../src/serve/index.js';
import { type Descriptor, LIMITS, MEDIA_TYPES } from '../../src/spec/index.js';
import { ask, errorCode } from './ask.js';
import { MemorySource } from './memory-source.js';

const MISSING = `sha256:${'0'.repeat(64)}`;
const LAYER = '0123456789';
/**
 * Node ends a connection that is idle after 5 s by itself; a test that is about who ends it must not wait for
 * that.
 */
const BEFORE_IDLE_ENDS_MS = 4000;

let source: MemorySource;
let server: RegistryServer;
let port: number;
let served: ServedRequest[];
let layer: Descriptor;
let manifest: Descriptor;

beforeEach(async () => {
  source = new MemorySource();
  layer = source.add(LAYER);
  const config = source.add('{}', MEDIA_TYPES.ociConfig);
  // The body does not say its own type, which the specification allows.
  manifest = source.add(
    JSON.stringify({ schemaVersion: 2, config, layers: [{ ...layer, mediaType: MEDIA_TYPES.ociLayer }] }),
    MEDIA_TYPES.ociManifest,
  );
  for (const tag of ['1.0', '1.1', '2', 'Edge']) source.tag('docker.io/team/app', tag, manifest);
  source.tag('docker.io/library/alpine', '3', manifest);
  source.tag('quay.io/x/y', 'latest', manifest);
  served = [];
  server = createRegistryServer({ source, onRequest: (request) => served.push(request) });
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
});

afterEach(async () => {
  await server.close({ graceMs: 0 });
});

describe('/v2/', () => {
  test.each(['GET', 'HEAD'])('answers %s', async (method) => {
    const reply = await ask(port, '/v2/', { method });
    expect(reply.status).toBe(200);
    expect(reply.body).toBe(method === 'GET' ? '{}' : '');
    expect(reply.headers['docker-distribution-api-version']).toBe('registry/2.0');
  });
});

describe('a manifest', () => {
  const places: [name: string, path: () => string][] = [
    ['by tag', () => '/v2/team/app/manifests/1.0'],
    ['by digest', () => `/v2/team/app/manifests/${manifest.digest}`],
    ['of docker.io/library', () => '/v2/alpine/manifests/3'],
    ['of another registry', () => '/v2/quay.io/x/y/manifests/latest'],
    ['of a mirrored registry', () => '/v2/x/y/manifests/latest?ns=quay.io'],
  ];
  test.each(places)('%s, with its type, digest and size', async (_name, path) => {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers, body } = await ask(port, path(), { method });
      expect(status).toBe(200);
      expect(headers['content-type']).toBe(MEDIA_TYPES.ociManifest);
      expect(headers['docker-content-digest']).toBe(manifest.digest);
      expect(headers['content-length']).toBe(String(manifest.size));
      expect(headers.etag).toBe(`"${manifest.digest}"`);
      expect(body).toHaveLength(method === 'GET' ? manifest.size : 0);
    }
  });

  test('has by tag the type that the tag has for it, known here or not', async () => {
    const strange = source.add('strange', 'application/vnd.example.manifest+json');
    source.tag('docker.io/team/app', 'strange', strange);
    const reply = await ask(port, '/v2/team/app/manifests/strange');
    expect(reply.headers['content-type']).toBe('application/vnd.example.manifest+json');
    expect(reply.body).toBe('strange');
  });

  const faults: [name: string, path: () => string, code: string][] = [
    ['an unknown repository', () => '/v2/team/other/manifests/1.0', 'NAME_UNKNOWN'],
    ['a repository of another registry', () => '/v2/team/app/manifests/1.0?ns=quay.io', 'NAME_UNKNOWN'],
    ['an unknown tag', () => '/v2/team/app/manifests/9', 'MANIFEST_UNKNOWN'],
    ['an unknown digest', () => `/v2/team/app/manifests/${MISSING}`, 'MANIFEST_UNKNOWN'],
    ['a digest that is of a layer', () => `/v2/team/app/manifests/${layer.digest}`, 'MANIFEST_UNKNOWN'],
    [
      'a tag whose content is gone',
      () => {
        source.tag('docker.io/team/app', 'gone', { ...manifest, digest: MISSING as Descriptor['digest'] });
        return '/v2/team/app/manifests/gone';
      },
      'MANIFEST_UNKNOWN',
    ],
  ];
  test.each(faults)('%s is a 404', async (_name, path, code) => {
    const reply = await ask(port, path());
    expect(reply.status).toBe(404);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(errorCode(reply)).toBe(code);
  });

  test('is not read when it is too large for one', async () => {
    const large = source.add(Buffer.alloc(LIMITS.manifestBytes + 1, ' '));
    expect((await ask(port, `/v2/team/app/manifests/${large.digest}`)).status).toBe(404);
    expect(source.opened).toEqual([]);
  });
});

describe('a blob', () => {
  const path = (): string => `/v2/team/app/blobs/${layer.digest}`;

  test('whole', async () => {
    const { status, headers, body } = await ask(port, path());
    expect([status, body]).toEqual([200, LAYER]);
    expect(headers['content-length']).toBe('10');
    expect(headers['content-type']).toBe('application/octet-stream');
    expect(headers['accept-ranges']).toBe('bytes');
    expect(headers['docker-content-digest']).toBe(layer.digest);
  });

  test('its head alone, without opening it and whatever range is asked', async () => {
    const { status, headers, body } = await ask(port, path(), {
      method: 'HEAD',
      headers: { range: 'bytes=2-3' },
    });
    expect([status, body, headers['content-length']]).toEqual([200, '', '10']);
    expect(source.opened).toEqual([]);
  });

  test('a range', async () => {
    const { status, headers, body } = await ask(port, path(), { headers: { range: 'bytes=2-4' } });
    expect([status, body]).toEqual([206, '234']);
    expect(headers['content-range']).toBe('bytes 2-4/10');
    expect(headers['content-length']).toBe('3');
  });

  test('a range that lies beyond it', async () => {
    const reply = await ask(port, path(), { headers: { range: 'bytes=10-' } });
    expect([reply.status, reply.headers['content-range']]).toEqual([416, 'bytes */10']);
  });

  test('several ranges: the whole', async () => {
    const { status, body } = await ask(port, path(), { headers: { range: 'bytes=0-1,4-5' } });
    expect([status, body]).toEqual([200, LAYER]);
  });

  test('a range of what the client has a part of, and of what it has not', async () => {
    const range = 'bytes=2-4';
    const same = await ask(port, path(), { headers: { range, 'if-range': `"${layer.digest}"` } });
    const other = await ask(port, path(), { headers: { range, 'if-range': `"${MISSING}"` } });
    expect([same.status, other.status]).toEqual([206, 200]);
  });

  test('an empty one', async () => {
    const empty = source.add('');
    const { status, headers, body } = await ask(port, `/v2/team/app/blobs/${empty.digest}`);
    expect([status, headers['content-length'], body]).toEqual([200, '0', '']);
  });

  test('unknown', async () => {
    const reply = await ask(port, `/v2/team/app/blobs/${MISSING}`);
    expect([reply.status, errorCode(reply)]).toEqual([404, 'BLOB_UNKNOWN']);
  });
});

describe('a conditional request', () => {
  const rows: [name: string, header: (etag: string) => string, status: number][] = [
    ['the same', (etag) => etag, 304],
    ['the same, weakly', (etag) => `W/${etag}`, 304],
    ['one of several', (etag) => `"other", ${etag}`, 304],
    ['anything', () => '*', 304],
    ['something else', () => '"other"', 200],
    ['without quotes', (etag) => etag.replaceAll('"', ''), 200],
  ];
  test.each(rows)('%s', async (_name, header, status) => {
    for (const target of [`manifests/1.0`, `manifests/${manifest.digest}`, `blobs/${layer.digest}`]) {
      const etag = `"${target.startsWith('blobs') ? layer.digest : manifest.digest}"`;
      const reply = await ask(port, `/v2/team/app/${target}`, { headers: { 'if-none-match': header(etag) } });
      expect(reply.status).toBe(status);
      expect(reply.headers.etag).toBe(etag);
      if (status === 304) expect(reply.body).toBe('');
    }
  });
});

describe('listings', () => {
  const rows: [name: string, target: string, body: object, link?: string][] = [
    ['all tags', '/v2/team/app/tags/list', { name: 'team/app', tags: ['1.0', '1.1', '2', 'Edge'] }],
    [
      'a first page',
      '/v2/team/app/tags/list?n=2',
      { name: 'team/app', tags: ['1.0', '1.1'] },
      '</v2/team/app/tags/list?n=2&last=1.1>; rel="next"',
    ],
    ['a last page', '/v2/team/app/tags/list?n=2&last=1.1', { name: 'team/app', tags: ['2', 'Edge'] }],
    [
      'after a tag that is not there',
      '/v2/team/app/tags/list?last=1.5',
      { name: 'team/app', tags: ['2', 'Edge'] },
    ],
    ['after the last', '/v2/team/app/tags/list?n=2&last=zz', { name: 'team/app', tags: [] }],
    ['none at a time', '/v2/team/app/tags/list?n=0', { name: 'team/app', tags: [] }],
    ['with ns', '/v2/x/y/tags/list?ns=quay.io', { name: 'x/y', tags: ['latest'] }],
    ['the catalog', '/v2/_catalog', { repositories: ['alpine', 'quay.io/x/y', 'team/app'] }],
    [
      'a page of the catalog',
      '/v2/_catalog?n=1&last=alpine',
      { repositories: ['quay.io/x/y'] },
      '</v2/_catalog?n=1&last=quay.io%2Fx%2Fy>; rel="next"',
    ],
  ];
  test.each(rows)('%s', async (_name, target, body, link) => {
    const reply = await ask(port, target);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toEqual(body);
    expect(reply.headers['link']).toBe(link);
  });

  test('every page of a mirrored repository is asked of the same registry', async () => {
    source.tag('quay.io/x/y', 'other', manifest);
    const first = await ask(port, '/v2/x/y/tags/list?ns=quay.io&n=1');
    const next = /^<(.*)>; rel="next"$/.exec(String(first.headers['link']))?.[1] ?? '';
    expect(JSON.parse((await ask(port, next)).body)).toEqual({ name: 'x/y', tags: ['other'] });
  });

  const faults: [name: string, target: string, status: number, code: string][] = [
    ['an unknown repository', '/v2/team/other/tags/list', 404, 'NAME_UNKNOWN'],
    ['a page of minus one', '/v2/team/app/tags/list?n=-1', 400, 'PAGINATION_NUMBER_INVALID'],
    ['a page of many', '/v2/team/app/tags/list?n=many', 400, 'PAGINATION_NUMBER_INVALID'],
  ];
  test.each(faults)('%s', async (_name, target, status, code) => {
    const reply = await ask(port, target);
    expect([reply.status, errorCode(reply)]).toEqual([status, code]);
  });
});

describe('what it refuses', () => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s', async (method) => {
    const reply = await ask(port, '/v2/team/app/blobs/uploads/', { method });
    expect([reply.status, errorCode(reply), reply.headers.allow]).toEqual([405, 'UNSUPPORTED', 'GET, HEAD']);
  });

  test.each([
    '/v2/%2e%2e/%2e%2e/etc/manifests/passwd',
    '/v2/../../../etc/passwd',
    '/v2/a/blobs/..%2f..%2fetc',
  ])('%s', async (target) => {
    expect((await ask(port, target)).status).toBeGreaterThanOrEqual(400);
    expect(source.opened).toEqual([]);
  });

  test('a name longer than any', async () => {
    const reply = await ask(port, `/v2/${'a'.repeat(8000)}/tags/list`);
    expect([reply.status, errorCode(reply)]).toEqual([400, 'NAME_INVALID']);
  });

  test('a target longer than a header may be, and goes on serving', async () => {
    expect((await ask(port, `/v2/${'a'.repeat(20_000)}/tags/list`)).status).toBe(431);
    expect((await ask(port, '/v2/')).status).toBe(200);
  });
});

describe('when the source fails', () => {
  test('with something unexpected, nothing of it is told but to the log', async () => {
    source.failure = new Error('EIO: /srv/secret/path');
    const reply = await ask(port, `/v2/team/app/blobs/${layer.digest}`);
    expect([reply.status, errorCode(reply)]).toEqual([500, 'UNKNOWN']);
    expect(reply.body).not.toContain('secret');
    expect(served.map(({ error }) => error)).toEqual([source.failure]);
  });

  test('because the blob was removed meanwhile, it is a 404', async () => {
    source.failure = new ContentError('BLOB_NOT_FOUND', 'gone');
    const reply = await ask(port, `/v2/team/app/blobs/${layer.digest}`);
    expect([reply.status, errorCode(reply)]).toEqual([404, 'BLOB_UNKNOWN']);
  });

  const broken: [name: string, stream: () => Readable][] = [
    ['in the middle', () => failing('0123')],
    ['by ending early', () => Readable.from([Buffer.from('0123')])],
  ];
  test.each(broken)(
    '%s, the connection breaks, so that the client knows',
    async (_name, stream) => {
      source.stream = stream;
      const agent = new http.Agent({ keepAlive: true });
      await expect(ask(port, `/v2/team/app/blobs/${layer.digest}`, { agent })).rejects.toThrow(
        /aborted|hang up/,
      );
      await until(() => served.length === 1);
      expect(served).toMatchObject([{ status: 200, error: expect.any(Error) as Error }]);
      agent.destroy();
    },
    BEFORE_IDLE_ENDS_MS,
  );
});

function failing(text: string): Readable {
  return Readable.from(
    (function* parts(): Generator<Buffer> {
      yield Buffer.from(text);
      throw new Error('EIO');
    })(),
  );
}

describe('the server', () => {
  test('tells each request once, with what it sent', async () => {
    await ask(port, '/v2/team/app/manifests/1.0');
    await ask(port, `/v2/team/app/blobs/${layer.digest}`, { method: 'HEAD' });
    await ask(port, `/v2/team/app/blobs/${layer.digest}?x=1`, { headers: { range: 'bytes=2-4' } });
    await until(() => served.length === 3);
    expect(served.map(({ method, path, status, bytes }) => [method, path, status, bytes])).toEqual([
      ['GET', '/v2/team/app/manifests/1.0', 200, manifest.size],
      ['HEAD', `/v2/team/app/blobs/${layer.digest}`, 200, 0],
      ['GET', `/v2/team/app/blobs/${layer.digest}?x=1`, 206, 3],
    ]);
    expect(served.every(({ durationMs, error }) => durationMs >= 0 && error === undefined)).toBe(true);
  });

  test('closes the blob of a client that goes away', async () => {
    const large = source.add(Buffer.alloc(100_000));
    const stalled = new Readable({ read: () => undefined });
    source.stream = () => stalled;
    stalled.push(Buffer.alloc(50_000));
    const request = http.get({ host: '127.0.0.1', port, path: `/v2/team/app/blobs/${large.digest}` });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    await once(response, 'data');
    request.destroy();
    await until(() => served.length === 1);
    expect(stalled.destroyed).toBe(true);
    expect(served).toMatchObject([{ status: 200, bytes: 50_000, error: expect.any(Error) as Error }]);
  });

  test('ends connections that stay open when it closes', async () => {
    const agent = new http.Agent({ keepAlive: true });
    await ask(port, '/v2/', { agent });
    await server.close();
    await expect(ask(port, '/v2/', { agent })).rejects.toThrow(/ECONNREFUSED|ECONNRESET|hang up/);
    agent.destroy();
  });

  test(
    'gives an answer under way the time to end when it closes, and its connection no more',
    async () => {
      const slow = new Readable({ read: () => undefined });
      source.stream = () => slow;
      const agent = new http.Agent({ keepAlive: true });
      slow.push(LAYER.slice(0, 5));
      const reply = ask(port, `/v2/team/app/blobs/${layer.digest}`, { agent });
      await until(() => source.opened.length === 1);
      const closed = server.close({ graceMs: 60_000 });
      slow.push(LAYER.slice(5));
      slow.push(null);
      expect((await reply).body).toBe(LAYER);
      await closed;
      agent.destroy();
    },
    BEFORE_IDLE_ENDS_MS,
  );

  test('closes what it has opened where the head of the answer cannot be sent', async () => {
    vi.spyOn(http.ServerResponse.prototype, 'writeHead').mockImplementationOnce(() => {
      throw new TypeError('Invalid character in header content');
    });
    const reply = await ask(port, `/v2/team/app/blobs/${layer.digest}`).catch(String);
    expect(reply).toMatch(/aborted|hang up/);
    expect(source.opened).toHaveLength(1);
    expect(source.opened[0]?.destroyed).toBe(true);
    expect(served[0]?.error).toBeInstanceOf(TypeError);
  });

  test('cuts off an answer that takes longer than the grace', async () => {
    const slow = new Readable({ read: () => undefined });
    source.stream = () => slow;
    slow.push(LAYER.slice(0, 5));
    const reply = ask(port, `/v2/team/app/blobs/${layer.digest}`).catch(String);
    await until(() => source.opened.length === 1);
    await server.close({ graceMs: 1 });
    expect(await reply).toMatch(/aborted|hang up/);
    await until(() => slow.destroyed);
  });

  test('closes twice, and before it listens', async () => {
    await server.close();
    await server.close();
    await createRegistryServer({ source }).close();
  });

  test('says where it listens', async () => {
    const other = createRegistryServer({ source });
    const at = await other.listen({ host: 'localhost', port: 0 });
    await other.close();
    expect(at.address).toMatch(/^(127\.0\.0\.1|::1)$/);
    expect(at.host).toBe(`${at.address === '::1' ? '[::1]' : at.address}:${at.port}`);
  });

  const listens: [name: string, host: string, taken: boolean, code: string][] = [
    ['a port that is taken', '127.0.0.1', true, 'IN_USE'],
    ['an address of another machine', '192.0.2.1', false, 'INVALID_CONFIG'],
    ['a name that is no host', 'no-such-host.invalid', false, 'INVALID_CONFIG'],
  ];
  test.each(listens)('says what is wrong with %s', async (_name, host, taken, code) => {
    const listening = createRegistryServer({ source }).listen({ host, port: taken ? port : 0 });
    await expect(listening).rejects.toMatchObject({ code, hint: expect.stringMatching(/./) as string });
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
