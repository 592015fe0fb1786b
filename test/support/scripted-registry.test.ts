import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

import { describe, expect, it } from 'vitest';

import { CertificateAuthority } from './certificate-authority.js';
import { patterned } from './registry-fixture.js';
import {
  errorReply,
  redirectReply,
  ScriptedRegistry,
  type ScriptedTls,
  type Step,
} from './scripted-registry.js';

const BODY = patterned(1000);
const PATH = '/v2/team/app/blobs/1';
const GET = `GET ${PATH}`;

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  /** The code of the error that ended the body, if one did. */
  readonly broken: string | undefined;
}

/** One request, whose answer is read as far as it comes. */
async function ask(
  registry: ScriptedRegistry,
  options: https.RequestOptions & { send?: Buffer } = {},
): Promise<Answer> {
  const module = registry.origin.startsWith('https') ? https : http;
  const request = module.request(`${registry.origin}${options.path ?? PATH}`, options);
  request.end(options.send);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  let broken: string | undefined;
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (error) {
    broken = (error as NodeJS.ErrnoException).code;
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks), broken };
}

const ranged = (range: string): http.RequestOptions => ({ headers: { range } });

describe('the script', () => {
  it('takes the steps in their order, and each as often as it says', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: GET, status: 503, times: 2 },
      { on: GET, body: BODY },
    ]);
    const statuses = [await ask(registry), await ask(registry), await ask(registry)].map(
      ({ status }) => status,
    );
    expect(statuses).toEqual([503, 503, 200]);
  });

  const faults: [name: string, steps: Step[], expected: string[]][] = [
    ['a request that no step is for', [], [`unexpected: ${GET}`]],
    ['a step that nobody took', [{ on: 'GET /other' }, { on: GET }], ['never came: GET /other']],
    ['a step taken too seldom', [{ on: GET, times: 2 }], [`never came: ${GET}`]],
    [
      'a header that is missing',
      [{ on: GET, expect: { range: 'bytes=0-1' } }],
      [`${GET}: range is absent, not bytes=0-1`],
    ],
    ['not a step that may be left', [{ on: 'GET /other', times: 'any' }, { on: GET }], []],
    ['not one whose beginning is the request\u2019s', [{ on: 'GET /v2/*' }], []],
  ];
  it.each(faults)('holds against a test: %s', async (_name, steps, expected) => {
    const registry = await ScriptedRegistry.start(steps);
    await ask(registry);
    expect(registry.faults()).toEqual(expected);
    const disposed = registry[Symbol.asyncDispose]();
    if (expected.length > 0) await expect(disposed).rejects.toThrow(expected[0]);
    else await disposed;
  });

  it('may answer by a function, which leaves to later steps what it does not answer', async () => {
    await using registry = await ScriptedRegistry.start([
      {
        on: '*',
        times: 'any',
        reply: (_, nth) => (nth % 3 === 0 ? errorReply(429, 'TOOMANYREQUESTS') : undefined),
      },
      { on: GET, times: 4, reply: ({ headers }, nth) => ({ body: `${headers.host ?? ''} ${nth}` }) },
    ]);
    const bodies: string[] = [];
    for (let i = 0; i < 6; i += 1) {
      const { status, body } = await ask(registry);
      bodies.push(status === 200 ? body.toString() : String(status));
    }
    const { address } = registry;
    expect(bodies).toEqual([`${address} 1`, `${address} 2`, '429', `${address} 3`, `${address} 4`, '429']);
  });

  it('keeps what was sent to it, byte for byte', async () => {
    await using registry = await ScriptedRegistry.start([{ on: `PUT ${PATH}`, status: 201 }]);
    await ask(registry, { method: 'PUT', send: BODY });
    expect(registry.requests[0]?.bytes.equals(BODY)).toBe(true);
  });

  it('redirects', async () => {
    await using registry = await ScriptedRegistry.start([{ on: GET, ...redirectReply('/elsewhere', 302) }]);
    expect(await ask(registry)).toMatchObject({ status: 302, headers: { location: '/elsewhere' } });
  });
});

describe('ranges', () => {
  const rows: [
    name: string,
    ranges: Step['ranges'],
    range: string,
    status: number,
    reported: string | undefined,
    at: number[],
  ][] = [
    ['of the middle', true, 'bytes=10-19', 206, 'bytes 10-19/1000', [10, 20]],
    ['of the end', true, 'bytes=990-', 206, 'bytes 990-999/1000', [990, 1000]],
    ['of the last bytes', true, 'bytes=-10', 206, 'bytes 990-999/1000', [990, 1000]],
    ['beyond the end', true, 'bytes=990-2000', 206, 'bytes 990-999/1000', [990, 1000]],
    ['behind the end', true, 'bytes=1000-', 416, 'bytes */1000', [0, 0]],
    ['in a form that is not known', true, 'lines=1-2', 200, undefined, [0, 1000]],
    ['ignored', 'ignored', 'bytes=10-19', 200, undefined, [0, 1000]],
    ['answered by another', 'wrong', 'bytes=10-19', 206, 'bytes 9-19/1000', [9, 20]],
    ['answered by another at the start', 'wrong', 'bytes=0-19', 206, 'bytes 1-19/1000', [1, 20]],
    ['answered in part', 'short', 'bytes=10-19', 206, 'bytes 10-14/1000', [10, 15]],
  ];
  it.each(rows)('%s', async (_name, ranges, range, status, reported, [start, end]) => {
    await using registry = await ScriptedRegistry.start([{ on: GET, body: BODY, ranges: ranges ?? true }]);
    const answer = await ask(registry, ranged(range));
    expect(answer.status).toBe(status);
    expect(answer.headers['content-range']).toBe(reported);
    expect(answer.body.equals(BODY.subarray(start, end))).toBe(true);
    expect(registry.sent.of(PATH)).toEqual(start === end ? [] : [{ start, end }]);
  });

  it('are not of what is no answer', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: GET, ranges: true, ...errorReply(404, 'BLOB_UNKNOWN') },
    ]);
    expect((await ask(registry, ranged('bytes=0-1'))).status).toBe(404);
  });
});

describe('a body', () => {
  it('is damaged where the reply says so', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: GET, body: BODY, ranges: true, corrupt: 500, times: 2 },
      { on: GET, body: BODY },
    ]);
    const { body } = await ask(registry);
    expect(body.filter((byte, at) => byte !== BODY[at])).toEqual(Buffer.from([(BODY[500] ?? 0) ^ 0xff]));
    expect((await ask(registry, ranged('bytes=500-500'))).body[0]).toBe((BODY[500] ?? 0) ^ 0xff);
    expect((await ask(registry)).body.equals(BODY)).toBe(true);
  });

  it('is cut on each connection after as many bytes as that may carry', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    await using registry = await ScriptedRegistry.start([
      { on: GET, body: BODY, ranges: true, cutEvery: 400, times: 4 },
    ]);
    const parts = ['bytes=0-299', 'bytes=300-', 'bytes=400-', 'bytes=800-999'];
    const answers: Answer[] = [];
    for (const range of parts) answers.push(await ask(registry, { ...ranged(range), agent }));
    agent.destroy();
    expect(answers.map(({ body, broken }) => [body.length, broken])).toEqual([
      [300, undefined],
      [100, 'ECONNRESET'],
      [400, 'ECONNRESET'],
      [200, undefined],
    ]);
    expect(registry.connections).toBe(3);
    expect(registry.sent.twice(PATH)).toEqual([]);
    expect(registry.sent.total()).toBe(1000);
  });

  it('comes in pieces where it is to come slowly', async () => {
    const pieces: number[] = [];
    await using registry = await ScriptedRegistry.start([{ on: GET, body: BODY, bytesPerSecond: 5000 }]);
    const request = http.get(`${registry.origin}${PATH}`);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    for await (const chunk of response) pieces.push((chunk as Buffer).length);
    expect(pieces.length).toBeGreaterThan(1);
    expect(Math.max(...pieces)).toBeLessThan(BODY.length);
    expect(pieces.reduce((sum, piece) => sum + piece, 0)).toBe(BODY.length);
  });

  it('that stalls is not counted beyond what was sent', async () => {
    await using registry = await ScriptedRegistry.start([{ on: GET, body: BODY, stallAfter: 300 }]);
    const request = http.get(`${registry.origin}${PATH}`).on('error', () => undefined);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    let received = 0;
    for await (const chunk of response) {
      received += (chunk as Buffer).length;
      if (received === 300) break;
    }
    expect(registry.sent.of(PATH)).toEqual([{ start: 0, end: 300 }]);
  });
});

describe('what was sent', () => {
  it('is told by path without the query, and what was sent twice', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: `${GET}*`, body: BODY, ranges: true, times: 6 },
      { on: `HEAD ${PATH}`, body: BODY },
    ]);
    await ask(registry, ranged('bytes=0-99'));
    await ask(registry, { ...ranged('bytes=90-199'), path: `${PATH}?sig=1` });
    await ask(registry, ranged('bytes=95-104'));
    await ask(registry, ranged('bytes=500-599'));
    await ask(registry, ranged('bytes=510-519'));
    await ask(registry, ranged('bytes=540-549'));
    await ask(registry, { method: 'HEAD' });
    expect(registry.sent.twice(PATH)).toEqual([
      { start: 90, end: 105 },
      { start: 510, end: 520 },
      { start: 540, end: 550 },
    ]);
    expect(registry.sent.total(PATH)).toBe(100 + 110 + 10 + 100 + 10 + 10);
    expect(registry.sent.total('/other')).toBe(0);
  });

  it('is told at its place where a part was made by hand', async () => {
    const part: Step = { on: GET, status: 206, headers: { 'content-range': 'bytes 5-9/10' }, body: 'abcde' };
    await using registry = await ScriptedRegistry.start([part]);
    await ask(registry);
    expect(registry.sent.of(PATH)).toEqual([{ start: 5, end: 10 }]);
  });
});

describe('with TLS', () => {
  const authority = new CertificateAuthority();
  const other = new CertificateAuthority('another');
  const ca = authority.cert;
  const tls: ScriptedTls = { ...authority.server(), clientsOf: authority.cert };

  it('is trusted by its authority, and knows the client by its certificate', async () => {
    await using registry = await ScriptedRegistry.start([{ on: GET }], tls);
    expect((await ask(registry, { ca, ...authority.client({ commonName: 'node-7' }) })).status).toBe(200);
    expect(registry.requests[0]?.client).toBe('node-7');
  });

  it('asks for no certificate where none is required', async () => {
    await using registry = await ScriptedRegistry.start([{ on: GET }], authority.server());
    expect((await ask(registry, { ca })).status).toBe(200);
    expect(registry.requests[0]?.client).toBeUndefined();
  });

  const refused: [name: string, server: ScriptedTls, client: https.RequestOptions][] = [
    ['a client without a certificate', tls, { ca }],
    ['a client of another authority', tls, { ca, ...other.client() }],
    ['a client whose certificate has expired', tls, { ca, ...authority.client({ expired: true }) }],
    ['a client that shows a certificate for servers', tls, { ca, ...authority.server() }],
    ['a server of another authority', authority.server(), { ca: other.cert }],
    ['a server whose certificate has expired', authority.server({ expired: true }), { ca }],
    ['a server at another name', authority.server({ hosts: ['registry.example'] }), { ca }],
  ];
  it.each(refused)('%s is refused', async (_name, server, client) => {
    await using registry = await ScriptedRegistry.start([], server);
    await expect(ask(registry, client)).rejects.toThrow();
    expect(registry.requests).toEqual([]);
  });
});
