import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import type { Credentials, RegistryClientOptions } from '../../../src/registry/index.js';
import { digestOf, MEDIA_TYPES, parseReference } from '../../../src/spec/index.js';
import { blobOf, failure, fastClient, patterned } from '../../support/registry-fixture.js';
import {
  errorReply,
  manifestReply,
  type Reply,
  ScriptedRegistry,
  type Step,
} from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';

const HEAD = 'HEAD /v2/team/app/manifests/1';
const manifest = manifestReply('{"schemaVersion":2}');
const PASSWORD = secret('pa:ss-wörd');
const IDENTITY = secret('refresh-me');
const READY_MADE = secret('ready-made-token');
const pilot: Credentials = { username: 'pilot', password: PASSWORD };
const BASIC = `Basic ${Buffer.from(`pilot:${PASSWORD}`).toString('base64')}`;
const withCredentials = (credentials: Credentials): RegistryClientOptions => ({
  credentials: () => Promise.resolve(credentials),
});

const TOKEN = '/token?service=harbour&scope=repository%3Ateam%2Fapp%3Apull';
const scope = 'repository:team/app:pull';

/** What a token server answers; each text in it is a secret. */
function tokenReply(answer: Record<string, string | number>): Reply {
  for (const [name, value] of Object.entries(answer)) {
    if (typeof value === 'string') secret(value, `${name} of a token server`);
  }
  return { body: JSON.stringify(answer) };
}

/** A registry whose script may name its own token server, which stands at the same address. */
async function scripted(steps: (challenge: Reply) => readonly Step[]): Promise<ScriptedRegistry> {
  const registry = await ScriptedRegistry.start([]);
  registry.expect(...steps(challengeOf(`http://${registry.address}/token`)));
  return registry;
}

function challengeOf(realm: string, more = `,scope="${scope}"`): Reply {
  return { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}",service="harbour"${more}` } };
}

/** The same, and Basic before it. */
function beside({ headers, ...challenge }: Reply): Reply {
  return {
    ...challenge,
    headers: { 'www-authenticate': ['Basic realm="x"', String(headers?.['www-authenticate'])] },
  };
}

async function resolveAt(registry: ScriptedRegistry, options: RegistryClientOptions = {}): Promise<string> {
  await using client = fastClient(options);
  return (await client.resolver().resolve(parseReference(`${registry.address}/team/app:1`))).digest;
}

const digest = digestOf(Buffer.from('{"schemaVersion":2}'));

describe('authentication succeeds', () => {
  const rows: [name: string, steps: (challenge: Reply) => Step[], credentials?: Credentials][] = [
    ['anonymously', () => [{ on: HEAD, expect: { authorization: undefined }, ...manifest }], pilot],
    ...(
      [
        ['fails', { status: 500 }],
        ['is away', { status: 503 }],
        ['hangs up', { dropAfter: -1 }],
        ['is not there', { status: 404 }],
        ['says no token', { body: '<html>' }],
      ] satisfies [string, Reply][]
    ).map(([name, reply]): [string, (challenge: Reply) => Step[], Credentials] => [
      `by basic, which is offered beside a token server that ${name}`,
      (challenge) => [
        { on: HEAD, ...beside(challenge) },
        { on: `GET ${TOKEN}&account=pilot`, ...reply },
        // A server that knows no GET may know POST.
        ...('status' in reply && reply.status === 404 ? [{ on: 'POST /token', status: 404 }] : []),
        { on: HEAD, expect: { authorization: BASIC }, ...manifest },
      ],
      pilot,
    ]),
    [
      'by basic, which is offered beside a token server that is no address',
      () => [
        { on: HEAD, ...beside(challengeOf('ftp://tokens.example/')) },
        { on: HEAD, expect: { authorization: BASIC }, ...manifest },
      ],
      pilot,
    ],
    [
      'by a token whose answer is compressed',
      (challenge) => [
        { on: HEAD, ...challenge },
        {
          on: `GET ${TOKEN}`,
          headers: { 'content-encoding': 'gzip' },
          body: gzipSync(String(tokenReply({ token: 'token-number-9' }).body)),
        },
        { on: HEAD, expect: { authorization: 'Bearer token-number-9' }, ...manifest },
      ],
    ],
    [
      'by a token after all, where basic is refused beside a token server that is away for a moment',
      (challenge) => [
        { on: HEAD, ...beside(challenge) },
        { on: `GET ${TOKEN}&account=pilot`, status: 503 },
        { on: HEAD, expect: { authorization: BASIC }, ...beside(challenge) },
        { on: `GET ${TOKEN}&account=pilot`, ...tokenReply({ token: 'token-number-10' }) },
        { on: HEAD, expect: { authorization: 'Bearer token-number-10' }, ...manifest },
      ],
      pilot,
    ],
    [
      'by basic',
      () => [
        { on: HEAD, status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
        { on: HEAD, expect: { authorization: BASIC }, ...manifest },
      ],
      pilot,
    ],
    [
      'by an anonymous token',
      (challenge) => [
        { on: HEAD, expect: { authorization: undefined }, ...challenge },
        {
          on: `GET ${TOKEN}`,
          expect: { authorization: undefined },
          ...tokenReply({ token: 'token-number-1' }),
        },
        { on: HEAD, expect: { authorization: 'Bearer token-number-1' }, ...manifest },
      ],
    ],
    [
      'by a token that a password buys',
      (challenge) => [
        { on: HEAD, ...challenge },
        {
          on: `GET ${TOKEN}&account=pilot`,
          expect: { authorization: BASIC },
          ...tokenReply({ access_token: 'token-number-2' }),
        },
        { on: HEAD, expect: { authorization: 'Bearer token-number-2' }, ...manifest },
      ],
      pilot,
    ],
    [
      'by a token that an identity token buys',
      (challenge) => [
        { on: HEAD, ...challenge },
        {
          on: 'POST /token',
          expect: { 'content-type': 'application/x-www-form-urlencoded' },
          ...tokenReply({ access_token: 'token-number-3' }),
        },
        { on: HEAD, expect: { authorization: 'Bearer token-number-3' }, ...manifest },
      ],
      { identityToken: IDENTITY },
    ],
    [
      'by a registry token',
      (challenge) => [
        { on: HEAD, ...challenge },
        { on: HEAD, expect: { authorization: `Bearer ${READY_MADE}` }, ...manifest },
      ],
      { registryToken: READY_MADE },
    ],
    [
      'by bearer where basic is offered too',
      (challenge) => [
        {
          on: HEAD,
          ...beside(challenge),
        },
        { on: `GET ${TOKEN}&account=pilot`, ...tokenReply({ token: 'token-number-4' }) },
        { on: HEAD, expect: { authorization: 'Bearer token-number-4' }, ...manifest },
      ],
      pilot,
    ],
    [
      'by a token from a server that fails once',
      (challenge) => [
        { on: HEAD, ...challenge },
        { on: `GET ${TOKEN}`, status: 503 },
        { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-number-5' }) },
        { on: HEAD, expect: { authorization: 'Bearer token-number-5' }, ...manifest },
      ],
    ],
  ];
  it.each(rows)('%s', async (_name, steps, credentials) => {
    await using registry = await scripted(steps);
    expect(await resolveAt(registry, credentials === undefined ? {} : withCredentials(credentials))).toBe(
      digest,
    );
  });

  it('with what OAuth2 asks for in the body', async () => {
    await using registry = await scripted((challenge) => [
      { on: HEAD, ...challenge },
      { on: 'POST /token', ...tokenReply({ access_token: 'token-number-6' }) },
      { on: HEAD, ...manifest },
    ]);
    await resolveAt(registry, withCredentials({ identityToken: IDENTITY }));
    const body = new URLSearchParams(registry.requests.find(({ line }) => line === 'POST /token')?.body);
    expect(Object.fromEntries(body)).toEqual({
      grant_type: 'refresh_token',
      refresh_token: IDENTITY,
      service: 'harbour',
      scope,
      client_id: 'landfall',
    });
  });
});

it('a registry that takes basic goes on with it when its token server is away for the next token', async () => {
  await using registry = await scripted((challenge) => [
    { on: HEAD, ...beside(challenge) },
    { on: `GET ${TOKEN}&account=pilot`, ...tokenReply({ token: 'token-number-11' }) },
    { on: HEAD, expect: { authorization: 'Bearer token-number-11' }, ...manifest },
    { on: HEAD, expect: { authorization: 'Bearer token-number-11' }, ...beside(challenge) },
    { on: `GET ${TOKEN}&account=pilot`, status: 503 },
    { on: HEAD, times: 2, expect: { authorization: BASIC }, ...manifest },
  ]);
  await using client = fastClient(withCredentials(pilot));
  const reference = parseReference(`${registry.address}/team/app:1`);
  for (let n = 0; n < 3; n += 1) await client.resolver().resolve(reference);
});

describe('authentication fails', () => {
  const rows: [name: string, code: string, steps: (challenge: Reply) => Step[], credentials?: Credentials][] =
    [
      [
        'without credentials for basic',
        'UNAUTHORIZED',
        () => [{ on: HEAD, status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }],
      ],
      [
        'without a challenge',
        'UNAUTHORIZED',
        () => [
          { on: HEAD, status: 401 },
          { on: HEAD.replace('HEAD', 'GET'), status: 401 },
        ],
        pilot,
      ],
      [
        'with a wrong password at the token server, which is not shown to the registry too',
        'UNAUTHORIZED',
        (challenge) => [
          { on: HEAD, ...beside(challenge) },
          { on: `GET ${TOKEN}&account=pilot`, status: 401 },
        ],
        pilot,
      ],
      [
        'for the reason of the token server where basic is refused too',
        'PROTOCOL',
        (challenge) => [
          { on: HEAD, ...beside(challenge) },
          { on: `GET ${TOKEN}&account=pilot`, body: '<html>' },
          { on: HEAD, expect: { authorization: BASIC }, ...beside(challenge) },
        ],
        pilot,
      ],
      [
        'for the reason of the token server where there is nothing for basic',
        'PROTOCOL',
        (challenge) => [
          { on: HEAD, ...beside(challenge) },
          { on: `GET ${TOKEN}`, body: '<html>' },
        ],
      ],
      [
        'with a wrong password for basic, after one try',
        'UNAUTHORIZED',
        () => [{ on: HEAD, times: 2, status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }],
        pilot,
      ],
      [
        'with a wrong password at the token server',
        'UNAUTHORIZED',
        (challenge) => [
          { on: HEAD, ...challenge },
          {
            on: `GET ${TOKEN}&account=pilot`,
            status: 401,
            body: '{"details":"incorrect username or password"}',
          },
        ],
        pilot,
      ],
      [
        'with a fresh token that is refused',
        'UNAUTHORIZED',
        (challenge) => [
          { on: HEAD, times: 2, ...challenge },
          { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-number-7' }) },
        ],
      ],
      [
        'where the token server denies',
        'DENIED',
        (challenge) => [
          { on: HEAD, ...challenge },
          { on: `GET ${TOKEN}`, ...errorReply(403, 'DENIED') },
        ],
      ],
      [
        'where the token server answers no token',
        'PROTOCOL',
        (challenge) => [
          { on: HEAD, ...challenge },
          { on: `GET ${TOKEN}`, ...tokenReply({ ticket: 'ticket-number-1' }) },
        ],
      ],
      [
        'where the token would begin another header',
        'PROTOCOL',
        (challenge) => [
          { on: HEAD, ...challenge },
          { on: `GET ${TOKEN}`, ...tokenReply({ token: 'a\r\nx-evil: 1' }) },
        ],
      ],
      ['where the realm is no URL', 'PROTOCOL', () => [{ on: HEAD, ...challengeOf('token') }]],
      ['where the realm is a file', 'PROTOCOL', () => [{ on: HEAD, ...challengeOf('file:///etc/passwd') }]],
    ];
  it.each(rows)('%s: %s', async (_name, code, steps, credentials) => {
    await using registry = await scripted(steps);
    const error = await failure(
      resolveAt(registry, credentials === undefined ? {} : withCredentials(credentials)),
    );
    expect(error).toMatchObject({ code, retryable: false });
    if (code !== 'PROTOCOL') expect(error.hint).toBeDefined();
  });

  it('with the reason of the credentials’ provider', async () => {
    await using registry = await scripted((challenge) => [{ on: HEAD, ...challenge }]);
    const error = new Error('no helper');
    await expect(resolveAt(registry, { credentials: () => Promise.reject(error) })).rejects.toBe(error);
  });

  it.each([
    ['as a code', errorReply(403, 'boat_hook_17')],
    ['percent-encoded', errorReply(403, 'DENIED', 'no boat%5Fhook%5F17 here')],
    ['as a warning', errorReply(403, 'DENIED', 'no', { warning: '299 - "boat_hook_17 is weak"' })],
  ])('without a password that the registry echoes %s', async (_how, reply) => {
    const challenge = { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
    await using registry = await ScriptedRegistry.start([
      { on: HEAD, ...challenge },
      { on: HEAD, ...reply },
      { on: HEAD.replace('HEAD', 'GET'), ...reply },
    ]);
    const warnings: string[] = [];
    await using client = fastClient({
      ...withCredentials({ username: 'pilot', password: secret('boat_hook_17') }),
      onWarning: (text) => warnings.push(text),
    });
    const error = await failure(client.resolver().resolve(parseReference(`${registry.address}/team/app:1`)));
    expect(JSON.stringify([error, warnings])).not.toMatch(/boat(_|%5F)hook/);
  });

  it('without the secrets that the registry echoes', async () => {
    await using registry = await scripted((challenge) => [
      { on: HEAD, ...challenge },
      {
        on: `GET ${TOKEN}&account=pilot`,
        ...errorReply(401, 'UNAUTHORIZED', `${BASIC} of ${PASSWORD} is wrong`),
      },
    ]);
    await using client = fastClient(withCredentials(pilot));
    const error = await failure(client.resolver().resolve(parseReference(`${registry.address}/team/app:1`)));
    const reported = JSON.stringify([error, client.events]) + String(error.stack);
    expect(reported).not.toContain(PASSWORD);
    expect(reported).not.toContain(BASIC.slice(6));
    expect(reported).not.toContain('service=');
  });
});

describe('tokens', () => {
  const bytes = patterned(1000);
  const blob = blobOf(bytes);
  const BLOB = `GET /v2/team/app/blobs/${blob.digest}`;

  async function fetchAll(registry: ScriptedRegistry, times: number): Promise<string[]> {
    await using client = fastClient({ plainHttp: true });
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    await (await repository.fetch(blob)).toArray();
    await Promise.all(Array.from({ length: times }, async () => (await repository.fetch(blob)).toArray()));
    return registry.requests.map(
      ({ line, headers }) => `${line.split(/[ ?]/)[1] ?? ''} ${headers.authorization ?? '-'}`,
    );
  }

  it('serve many requests, which are then challenged no more', async () => {
    await using registry = await scripted((challenge) => [
      { on: BLOB, ...challenge },
      { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-one', expires_in: 300 }) },
      { on: BLOB, times: 5, expect: { authorization: 'Bearer token-one' }, body: bytes },
    ]);
    expect(await fetchAll(registry, 4)).toHaveLength(7);
  });

  it('are asked for once by all who wait when one was refused in mid-pull', async () => {
    await using registry = await scripted((challenge) => [
      { on: BLOB, ...challenge },
      { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-one', expires_in: 300 }) },
      { on: BLOB, expect: { authorization: 'Bearer token-one' }, body: bytes },
      { on: BLOB, times: 4, ...challenge, expect: { authorization: 'Bearer token-one' }, delayMs: 20 },
      { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-two', expires_in: 300 }), delayMs: 50 },
      { on: BLOB, times: 4, expect: { authorization: 'Bearer token-two' }, body: bytes },
    ]);
    await fetchAll(registry, 4);
  });

  it('are renewed before they are shown when they have expired', async () => {
    await using registry = await scripted((challenge) => [
      { on: BLOB, ...challenge },
      { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-one', expires_in: 0.001 }) },
      { on: BLOB, expect: { authorization: 'Bearer token-one' }, body: bytes },
      { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-two' }) },
      { on: BLOB, expect: { authorization: 'Bearer token-two' }, body: bytes },
    ]);
    await using client = fastClient();
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    await (await repository.fetch(blob)).toArray();
    await sleep(5);
    await (await repository.fetch(blob)).toArray();
  });

  it('are of one repository each, by the registry’s own name for the scope', async () => {
    const other = 'HEAD /v2/team/other/manifests/1';
    await using registry = await ScriptedRegistry.start([]);
    const realm = `http://${registry.address}/token?from=here`;
    registry.expect(
      { on: HEAD, ...challengeOf(realm, ',scope="repository:mapped:pull"') },
      {
        on: 'GET /token?from=here&service=harbour&scope=repository%3Amapped%3Apull',
        ...tokenReply({ token: 'token-of-app' }),
      },
      { on: HEAD, times: 2, expect: { authorization: 'Bearer token-of-app' }, ...manifest },
      {
        on: 'GET /token?from=here&service=harbour&scope=repository%3Ateam%2Fother%3Apull',
        ...tokenReply({ token: 'token-of-other' }),
      },
      { on: other, expect: { authorization: 'Bearer token-of-other' }, ...manifest },
    );
    await using client = fastClient();
    for (const name of ['app', 'app', 'other']) {
      await client.resolver().resolve(parseReference(`${registry.address}/team/${name}:1`));
    }
  });

  it('survive the abort of one who waits, for the others', async () => {
    const abort = new AbortController();
    const after = once(abort.signal, 'abort');
    await using registry = await scripted((challenge) => [
      { on: HEAD, times: 2, ...challenge },
      { on: `GET ${TOKEN}`, ...tokenReply({ token: 'token-one' }), after },
      { on: HEAD, expect: { authorization: 'Bearer token-one' }, ...manifest },
    ]);
    await using client = fastClient({ plainHttp: true });
    const reference = parseReference(`${registry.address}/team/app:1`);
    const aborted = failure(client.resolver().resolve(reference, { signal: abort.signal }));
    const kept = client.resolver().resolve(reference);
    while (!registry.lines().some((line) => line.startsWith('GET /token')) || registry.requests.length < 3)
      await sleep(1);
    abort.abort();
    expect((await aborted).code).toBe('ABORTED');
    expect((await kept).mediaType).toBe(MEDIA_TYPES.ociManifest);
  });
});
