import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { digestOf, LIMITS, MEDIA_TYPES, parseReference } from '../../src/spec/index.js';
import { failure, fastClient } from '../support/registry-fixture.js';
import {
  errorReply,
  manifestReply,
  type Reply,
  ScriptedRegistry,
  type Step,
} from '../support/scripted-registry.js';
import { secret } from '../support/secrets.js';

const config = { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2 };
const manifest = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] });
const digest = digestOf(Buffer.from(manifest));
const other = digestOf(Buffer.from('other'));
const described = { mediaType: MEDIA_TYPES.ociManifest, digest, size: manifest.length };

const HEAD = 'HEAD /v2/team/app/manifests/1';
const GET = 'GET /v2/team/app/manifests/1';
const good = manifestReply(manifest);
const without = (...names: string[]): Reply => ({
  ...good,
  headers: Object.fromEntries(Object.entries(good.headers ?? {}).filter(([name]) => !names.includes(name))),
});
const having = (headers: Record<string, string>): Reply => ({
  ...good,
  headers: { ...good.headers, ...headers },
});

async function resolve(steps: readonly Step[], suffix = ':1') {
  await using registry = await ScriptedRegistry.start(steps);
  await using client = fastClient({
    credentials: () => Promise.resolve({ username: 'pilot', password: secret('pass-word-53') }),
  });
  return await client.resolver().resolve(parseReference(`${registry.address}/team/app${suffix}`));
}

describe('resolve finds the descriptor', () => {
  const accept = /oci\.image\.index.*oci\.image\.manifest.*docker.*manifest\.list.*docker.*manifest\.v2/;
  const rows: [name: string, steps: Step[], suffix?: string][] = [
    ['by one HEAD with the full Accept list', [{ on: HEAD, expect: { accept }, ...good }]],
    [
      'whose Content-Type has parameters',
      [{ on: HEAD, ...having({ 'content-type': `${MEDIA_TYPES.ociManifest}; charset=utf-8` }) }],
    ],
    [
      'by GET where HEAD is not allowed',
      [
        { on: HEAD, status: 405 },
        { on: GET, expect: { accept }, ...good },
      ],
    ],
    [
      'by GET where HEAD is not found',
      [
        { on: HEAD, status: 404 },
        { on: GET, ...good },
      ],
    ],
    [
      'by GET where HEAD has no digest',
      [
        { on: HEAD, ...without('docker-content-digest') },
        { on: GET, ...good },
      ],
    ],
    [
      'by GET where HEAD has no length',
      [
        { on: HEAD, ...good, chunked: true },
        { on: GET, ...good },
      ],
    ],
    [
      'by GET where HEAD has no known type',
      [
        { on: HEAD, ...having({ 'content-type': 'application/json' }) },
        { on: GET, ...good },
      ],
    ],
    [
      'from the body where GET has no digest',
      [
        { on: HEAD, status: 405 },
        { on: GET, ...without('docker-content-digest') },
      ],
    ],
    [
      'from the body where GET has no type',
      [
        { on: HEAD, status: 405 },
        { on: GET, ...without('content-type') },
      ],
    ],
    [
      'from a body that a proxy has compressed',
      [
        { on: HEAD, ...having({ 'content-encoding': 'gzip' }) },
        { on: GET, ...having({ 'content-encoding': 'gzip' }), body: gzipSync(manifest) },
      ],
    ],
    ['by digest', [{ on: `HEAD /v2/team/app/manifests/${digest}`, ...good }], `@${digest}`],
    [
      'by digest where there is a tag too',
      [{ on: `HEAD /v2/team/app/manifests/${digest}`, ...good }],
      `:1@${digest}`,
    ],
    [
      'after a failure that passes',
      [
        { on: HEAD, status: 503 },
        { on: HEAD, ...good },
      ],
    ],
    ...(
      [
        ['HEAD is not implemented', { status: 501 }],
        ['HEAD fails', { status: 500, times: 2 }],
        ['HEAD cannot be answered', { status: 503, times: 2 }],
        ['HEAD is too much for it twice', { status: 429, times: 2 }],
        ['it hangs up on HEAD', { dropAfter: -1, times: 2 }],
        ['HEAD is asked for credentials without a challenge', { status: 401 }],
        ['HEAD says 0 bytes', having({ 'content-length': '0' })],
      ] satisfies [string, Partial<Step>][]
    ).map(([name, reply]): [string, Step[]] => [
      `by GET where ${name}`,
      [
        { on: HEAD, ...reply },
        { on: GET, ...good },
      ],
    ]),
    [
      'by GET with credentials where only GET has a challenge',
      [
        { on: HEAD, status: 401 },
        { on: GET, status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
        { on: GET, expect: { authorization: /^Basic / }, ...good },
      ],
    ],
    [
      'after a manifest that broke off',
      [
        { on: HEAD, status: 405 },
        { on: GET, ...good, dropAfter: 10 },
        { on: GET, ...good },
      ],
    ],
  ];
  it.each(rows)('%s', async (_name, steps, suffix) => {
    expect(await resolve(steps, suffix)).toEqual(described);
  });

  it('by a sha512 digest', async () => {
    const sha512 = digestOf(Buffer.from(manifest), 'sha512');
    const on = `HEAD /v2/team/app/manifests/${sha512}`;
    // This registry tells its own sha256, which says nothing about what was asked for; the body does.
    const found = await resolve(
      [
        { on, ...good },
        { on: on.replace('HEAD', 'GET'), ...good },
      ].map(skipHeader),
      `@${sha512}`,
    );
    expect(found.digest).toBe(sha512);
  });
  const skipHeader = (step: Step, index: number): Step =>
    index === 0 ? step : { ...step, ...without('docker-content-digest') };

  it('on the same connection', async () => {
    await using registry = await ScriptedRegistry.start([{ on: HEAD, times: 3, ...good }]);
    await using client = fastClient({ plainHttp: true });
    const reference = parseReference(`${registry.address}/team/app:1`);
    for (let i = 0; i < 3; i += 1) await client.resolver().resolve(reference);
    expect(registry.connections).toBe(1);
  });
});

describe('resolve refuses', () => {
  const byGet = (reply: Reply & Pick<Step, 'times'>): Step[] => [
    { on: HEAD, status: 405 },
    { on: GET, ...reply },
  ];
  const digestPath = `/v2/team/app/manifests/${digest}`;
  const schema1 = having({ 'content-type': MEDIA_TYPES.dockerSchema1Signed });
  const rows: [name: string, code: string, steps: Step[], suffix?: string][] = [
    [
      'a body that differs from its header’s digest',
      'DIGEST_MISMATCH',
      byGet({ ...manifestReply(manifest, MEDIA_TYPES.ociManifest, other), times: 2 }),
    ],
    [
      'a body that differs from the reference’s digest',
      'DIGEST_MISMATCH',
      [
        { on: `HEAD ${digestPath}`, status: 405 },
        { on: `GET ${digestPath}`, times: 2, ...manifestReply(`${manifest} `) },
      ],
      `@${digest}`,
    ],
    [
      'another digest than the reference’s',
      'DIGEST_MISMATCH',
      [
        { on: `HEAD ${digestPath}`, ...manifestReply(`${manifest} `) },
        { on: `GET ${digestPath}`, times: 2, ...manifestReply(`${manifest} `) },
      ],
      `@${digest}`,
    ],
    [
      'a manifest that is announced too long',
      'LIMIT_EXCEEDED',
      [{ on: HEAD, ...having({ 'content-length': String(LIMITS.manifestBytes + 1) }) }],
    ],
    [
      'a manifest that goes on too long',
      'LIMIT_EXCEEDED',
      byGet({ ...good, chunked: true, body: Buffer.alloc(LIMITS.manifestBytes + 1, ' ') }),
    ],
    [
      'a compressed manifest that is a bomb',
      'LIMIT_EXCEEDED',
      byGet({
        ...having({ 'content-encoding': 'gzip' }),
        body: gzipSync(Buffer.alloc(LIMITS.manifestBytes * 4)),
      }),
    ],
    ['Docker schema 1 in HEAD', 'UNSUPPORTED_MEDIA_TYPE', [{ on: HEAD, ...schema1 }]],
    ['Docker schema 1 in GET', 'UNSUPPORTED_MEDIA_TYPE', byGet(schema1)],
    [
      'a web page',
      'PROTOCOL',
      byGet({ body: '<html>', headers: { 'content-type': 'text/html; charset=utf-8' } }),
    ],
    [
      'what is no manifest',
      'INVALID_MANIFEST',
      byGet({ body: 'what', headers: { 'content-type': 'application/json' } }),
    ],
    [
      'an unknown tag',
      'NOT_FOUND',
      [
        { on: HEAD, status: 404 },
        { on: GET, ...errorReply(404, 'MANIFEST_UNKNOWN') },
      ],
    ],
    [
      'a forbidden repository',
      'DENIED',
      [
        { on: HEAD, status: 403 },
        { on: GET, ...errorReply(403, 'DENIED') },
      ],
    ],
    [
      'an answer of no known meaning',
      'PROTOCOL',
      [
        { on: HEAD, status: 400 },
        { on: GET, ...errorReply(400, 'TAG_INVALID') },
      ],
    ],
    ...(
      [
        ['a registry that stays away', 'UNAVAILABLE', 502],
        ['a registry that stays busy', 'RATE_LIMITED', 429],
      ] as const
    ).map(([name, code, status]): [string, string, Step[]] => [
      name,
      code,
      [
        { on: HEAD, times: 2, status },
        { on: GET, status },
      ],
    ]),
    [
      'what it has not implemented, at the first try',
      'PROTOCOL',
      [
        { on: HEAD, status: 501 },
        { on: GET, status: 501 },
      ],
    ],
    [
      'credentials that are wrong, which are not shown again by GET',
      'UNAUTHORIZED',
      [{ on: HEAD, times: 2, status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }],
    ],
  ];
  it.each(rows)('%s: %s', async (_name, code, steps, suffix) => {
    const error = await failure(resolve(steps, suffix));
    expect(error).toMatchObject({ code });
  });

  it('an unknown tag, naming repository and tag, with the registry’s own words made harmless', async () => {
    const text = `no \u001b[31msuch\u202E tag\nhttps://x.example/y?sig=abc ${'z'.repeat(1000)}`;
    const steps = [
      { on: HEAD, status: 404 },
      { on: GET, ...errorReply(404, 'MANIFEST_UNKNOWN', text) },
    ];
    const error = await failure(resolve(steps));
    expect(error.message).toMatch(
      /^127\.0\.0\.1:\d+\/team\/app:1: not found \(404 Not Found: MANIFEST_UNKNOWN, no \[31msuch tag https:\/\/x\.example\/y z+…\)$/,
    );
    expect(error.message.length).toBeLessThan(400);
    expect(error.details).toMatchObject({ method: 'GET', status: 404, registryCodes: ['MANIFEST_UNKNOWN'] });
    expect(error.details['url']).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v2\/team\/app\/manifests\/1$/);
  });

  it('an error body without end', async () => {
    const body = Buffer.alloc(1024 * 1024, '{');
    const error = await failure(
      resolve([
        { on: HEAD, status: 404 },
        { on: GET, status: 404, chunked: true, body, stallAfter: 200_000 },
      ]),
    );
    expect(error.code).toBe('NOT_FOUND');
  });
});
