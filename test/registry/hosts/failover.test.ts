import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import type { HostConfig } from '../../../src/registry/hosts/host-config.js';
import type { CredentialsProvider, RegistryClientOptions } from '../../../src/registry/index.js';
import { digestOf, parseReference } from '../../../src/spec/index.js';
import { DEAD_ADDRESS, hosts, mirrorAt, upstreamAt } from '../../support/host-configs.js';
import { blobOf, failure, fastClient, patterned } from '../../support/registry-fixture.js';
import {
  errorReply,
  manifestReply,
  redirectReply,
  ScriptedRegistry,
} from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';

const REFERENCE = parseReference('registry.example/team/app:1');
const NS = '?ns=registry.example';
const MANIFEST = '/v2/team/app/manifests/1';
const bytes = patterned(300_000);
const blob = blobOf(bytes);
const BLOB = `/v2/team/app/blobs/${blob.digest}`;

/** A client whose registry is `registry.example`, to be had at these hosts in this order. */
function clientOf(
  configs: readonly HostConfig[],
  options: RegistryClientOptions = {},
): ReturnType<typeof fastClient> {
  return fastClient({ hosts: hosts(...configs), ...options });
}

describe('what a mirror answers', () => {
  it.each([
    ['that it lacks it', errorReply(404, 'MANIFEST_UNKNOWN')],
    ['that it wants credentials', { status: 401, headers: { 'www-authenticate': 'Basic realm="m"' } }],
    ['that it denies it', errorReply(403, 'DENIED')],
    ['that it is not well', { status: 503 }],
    ['that it is asked too often', { status: 429 }],
    ['a web page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' }],
    ['with a redirect to nowhere', redirectReply('ftp://example/')],
    ['with a manifest that is too long', manifestReply('x'.repeat(4 * 1024 * 1024 + 1))],
  ])('falls through to the registry: %s', async (_what, reply) => {
    await using mirror = await ScriptedRegistry.start([
      { on: `HEAD ${MANIFEST}${NS}`, ...reply },
      { on: `GET ${MANIFEST}${NS}`, times: 'any', ...reply },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `HEAD ${MANIFEST}`, ...manifestReply('{}') }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    const found = await client.resolver().resolve(REFERENCE);
    expect(found.digest).toBe(digestOf(Buffer.from('{}')));
  });

  it('is reported with what each host said when nothing else works', async () => {
    await using denying = await ScriptedRegistry.start([
      { on: `HEAD ${MANIFEST}${NS}`, ...errorReply(403, 'DENIED') },
      { on: `GET ${MANIFEST}${NS}`, ...errorReply(403, 'DENIED', 'not for you') },
    ]);
    await using upstream = await ScriptedRegistry.start([
      { on: `HEAD ${MANIFEST}`, ...errorReply(404, 'MANIFEST_UNKNOWN') },
      { on: `GET ${MANIFEST}`, ...errorReply(404, 'MANIFEST_UNKNOWN', 'no such tag') },
    ]);
    await using client = clientOf(
      [mirrorAt(DEAD_ADDRESS), mirrorAt(denying.address), upstreamAt(upstream.address)],
      {
        retry: { attempts: 1 },
      },
    );
    const error = await failure(client.resolver().resolve(REFERENCE));
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      details: {
        hosts: [
          expect.stringContaining(`${DEAD_ADDRESS} refused the connection`),
          expect.stringContaining('access denied'),
          expect.stringContaining('no such tag'),
        ],
      },
    });
    expect(error.message).toContain(DEAD_ADDRESS);
    expect(error.message).toContain('not for you');
  });

  it('is all there is to report where it is the only host', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `HEAD ${MANIFEST}${NS}`, ...errorReply(404, 'X') },
      { on: `GET ${MANIFEST}${NS}`, ...errorReply(404, 'MANIFEST_UNKNOWN') },
    ]);
    await using client = clientOf([mirrorAt(mirror.address)]);
    const error = await failure(client.resolver().resolve(REFERENCE));
    expect(error).toMatchObject({ code: 'NOT_FOUND' });
    expect(error.details).not.toHaveProperty('hosts');
  });
});

describe('a host that fails', () => {
  it('is skipped for the rest of the task', async () => {
    await using mirror = await ScriptedRegistry.start([{ on: `GET ${BLOB}${NS}`, dropAfter: -1 }]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, times: 5 }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      failover: { pauseMs: 0 },
    });
    const repository = client.repository(REFERENCE);
    for (let n = 0; n < 5; n += 1) await buffer(await repository.fetch(blob));
    expect(mirror.requests).toHaveLength(1);
  });

  it.each([
    ['that breaks off before it answers', -1],
    // Noticed in two places, and counted once.
    ['that breaks off before the first byte', 0],
  ])('is left alone by other tasks too, until its pause is over: one %s', async (_what, dropAfter) => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, body: bytes, dropAfter },
      { on: `GET ${BLOB}${NS}`, body: bytes },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, times: 'any' }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      failover: { pauseMs: 300 },
    });
    for (let n = 0; n < 3; n += 1) await buffer(await client.repository(REFERENCE).fetch(blob));
    expect(mirror.requests).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 320));
    await buffer(await client.repository(REFERENCE).fetch(blob));
    expect(mirror.requests).toHaveLength(2);
  });

  it.each([
    ['what a tag names', { on: `HEAD ${MANIFEST}${NS}`, ...manifestReply('{}') }],
    ['a blob', { on: `GET ${BLOB}${NS}`, body: bytes }],
  ])('is as good as new once it has answered again, with %s', async (_what, answer) => {
    const failing = { on: `GET ${BLOB}${NS}`, dropAfter: -1 };
    await using mirror = await ScriptedRegistry.start([
      failing,
      answer,
      failing,
      { on: `GET ${BLOB}${NS}`, body: bytes },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, times: 'any' }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      failover: { pauseMs: 200 },
    });
    const fetch = async (): Promise<unknown> => buffer(await client.repository(REFERENCE).fetch(blob));
    const pauseIsOver = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 220));
    await fetch();
    await pauseIsOver();
    await (answer.on.startsWith('HEAD') ? client.resolver().resolve(REFERENCE) : fetch());
    // It fails again: had the success not counted, the pause would be twice as long now.
    await fetch();
    await pauseIsOver();
    await fetch();
    expect(mirror.requests).toHaveLength(4);
  });

  it('by lacking or denying things is not left alone by other tasks', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, ...errorReply(403, 'DENIED') },
      { on: `GET ${BLOB}${NS}`, times: 2, ...errorReply(404, 'BLOB_UNKNOWN') },
      { on: `GET ${BLOB}${NS}`, body: bytes },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, times: 'any' }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    await buffer(await client.repository(REFERENCE).fetch(blob));
    const second = client.repository(REFERENCE);
    for (let n = 0; n < 3; n += 1) await buffer(await second.fetch(blob));
    await buffer(await client.repository(REFERENCE).fetch(blob));
    expect(mirror.requests).toHaveLength(4);
  });

  it('now and then between whole blobs is asked on', async () => {
    const breaking = { on: `GET ${BLOB}${NS}`, body: bytes, ranges: true as const, dropAfter: 100_000 };
    const honest = { on: `GET ${BLOB}${NS}`, body: bytes, ranges: true as const };
    await using mirror = await ScriptedRegistry.start([breaking, honest, breaking, honest, breaking, honest]);
    await using upstream = await ScriptedRegistry.start([]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    const repository = client.repository(REFERENCE);
    for (let n = 0; n < 3; n += 1) expect(await readOn(client, repository)).toEqual(bytes);
  });

  it('is asked again when nothing else works', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, status: 503 },
      { on: `GET ${BLOB}${NS}`, body: bytes },
    ]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(DEAD_ADDRESS)]);
    expect(await buffer(await client.repository(REFERENCE).fetch(blob))).toEqual(bytes);
  });

  it('that lacks two things is not asked for a third', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, times: 2, ...errorReply(404, 'BLOB_UNKNOWN') },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, times: 4 }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    const repository = client.repository(REFERENCE);
    for (let n = 0; n < 4; n += 1) await buffer(await repository.fetch(blob));
  });

  it('in the middle of a body, once, is asked to go on; the second time another is', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, body: bytes, ranges: true, dropAfter: 100_000, times: 2 },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, ranges: true }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    expect(await readOn(client)).toEqual(bytes);
    expect([mirror.sent.of(BLOB), upstream.sent.of(BLOB)]).toEqual([
      [
        { start: 0, end: 100_000 },
        { start: 100_000, end: 200_000 },
      ],
      [{ start: 200_000, end: 300_000 }],
    ]);
  });
});

describe('a host that is slow', () => {
  const failover = { firstByteMs: 150, minBytesPerSecond: 1_000_000, windowMs: 200 };
  // Nothing else would end the waiting before the test does.
  const timeouts = { headersMs: 600_000, bodyMs: 600_000 };

  it.each([
    ['that does not answer', { stallAfter: -1 }, 0],
    ['that stalls', { stallAfter: 100_000 }, 100_000],
    ['that drips', { bytesPerSecond: 100_000 }, undefined],
  ])('is left for another one, which goes on where it stopped: one %s', async (_what, manner, kept) => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, body: bytes, ranges: true, ...manner },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, ranges: true }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      failover,
      timeouts,
    });
    expect(await readOn(client)).toEqual(bytes);
    const [rest] = upstream.sent.of(BLOB);
    if (kept === undefined) expect(rest?.start).toBeGreaterThan(0);
    else expect(rest?.start).toBe(kept);
  });

  it('is borne where there is no other', async () => {
    await using upstream = await ScriptedRegistry.start([
      { on: `GET ${BLOB}`, body: bytes, bytesPerSecond: 300_000, delayMs: 200 },
    ]);
    await using client = clientOf([upstreamAt(upstream.address)], { failover, timeouts });
    expect(await buffer(await client.repository(REFERENCE).fetch(blob))).toEqual(bytes);
  });

  it('is not one whose reader is slow', async () => {
    await using mirror = await ScriptedRegistry.start([{ on: `GET ${BIG_PATH}${NS}`, body: big }]);
    await using upstream = await ScriptedRegistry.start([]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      failover,
      timeouts,
    });
    const body = await client.repository(REFERENCE).fetch(bigBlob);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect((await buffer(body)).equals(big)).toBe(true);
  });

  it('and has not delivered yet is trusted with two blobs at most', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, body: bytes, ranges: true, stallAfter: 1000, times: 2 },
    ]);
    await using upstream = await ScriptedRegistry.start([
      { on: `GET ${BLOB}`, body: bytes, ranges: true, times: 8 },
    ]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      failover,
      timeouts,
    });
    const repository = client.repository(REFERENCE);
    const all = await Promise.all(Array.from({ length: 8 }, () => readOn(client, repository)));
    expect(all.every((each) => each.equals(bytes))).toBe(true);
  });

  it('and was waited for is asked all the same for what nobody else has', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, body: bytes, ranges: true, stallAfter: 1000, times: 2 },
      { on: `GET ${BIG_PATH}${NS}`, body: big },
    ]);
    await using upstream = await ScriptedRegistry.start([
      { on: `GET ${BLOB}`, body: bytes, ranges: true, times: 2 },
      { on: `GET ${BIG_PATH}`, ...errorReply(404, 'BLOB_UNKNOWN') },
    ]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      failover,
      timeouts,
    });
    const repository = client.repository(REFERENCE);
    const [, , found] = await Promise.all([
      readOn(client, repository),
      readOn(client, repository),
      repository.fetch(bigBlob).then(buffer),
    ]);
    expect(found.equals(big)).toBe(true);
  });
});

const big = patterned(3_000_000);
const bigBlob = blobOf(big);
const BIG_PATH = `/v2/team/app/blobs/${bigBlob.digest}`;

describe('a mirror', () => {
  const password = secret('upstream-pass');
  const own = secret('mirror-pass');
  const basic = (user: string, pass: string): string =>
    `Basic ${Buffer.from(`${user}:${pass}`).toString('base64')}`;
  const stored =
    (mirror: string): CredentialsProvider =>
    (name) =>
      Promise.resolve(
        name === 'registry.example'
          ? { username: 'up', password }
          : name === mirror
            ? { username: 'mir', password: own }
            : undefined,
      );

  it.each([
    ['its own', 'own', basic('mir', own)],
    ["the registry's, where it is configured so", 'upstream', basic('up', password)],
    ['none, where it is configured so', 'none', undefined],
    ['those configured for it', { username: 'conf', password: own }, basic('conf', own)],
  ] as const)('is shown %s', async (_what, credentials, shown) => {
    const challenge = { status: 401, headers: { 'www-authenticate': 'Basic realm="m"' } };
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, expect: { authorization: undefined }, ...challenge },
      ...(shown === undefined
        ? []
        : [{ on: `GET ${BLOB}${NS}`, expect: { authorization: shown }, body: bytes }]),
    ]);
    await using upstream = await ScriptedRegistry.start(
      shown === undefined ? [{ on: `GET ${BLOB}`, body: bytes }] : [],
    );
    await using client = clientOf([mirrorAt(mirror.address, { credentials }), upstreamAt(upstream.address)], {
      credentials: stored(mirror.address),
    });
    expect(await buffer(await client.repository(REFERENCE).fetch(blob))).toEqual(bytes);
  });

  it("without credentials of its own is not shown the registry's", async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, status: 401, headers: { 'www-authenticate': 'Basic realm="m"' } },
    ]);
    await using upstream = await ScriptedRegistry.start([
      {
        on: `GET ${BLOB}`,
        expect: { authorization: undefined },
        status: 401,
        headers: { 'www-authenticate': 'Basic realm="u"' },
      },
      { on: `GET ${BLOB}`, expect: { authorization: basic('up', password) }, body: bytes },
    ]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)], {
      credentials: stored('another.example'),
    });
    expect(await buffer(await client.repository(REFERENCE).fetch(blob))).toEqual(bytes);
    expect(mirror.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it('is asked below its own path, for its own names of repositories, also in the scope of a token', async () => {
    await using tokens = await ScriptedRegistry.start([
      {
        on: 'GET /token?service=mirror&scope=repository%3Acache%2Fteam%2Fapp%3Apull',
        body: JSON.stringify({ token: 'mirror-token' }),
      },
    ]);
    const path = `/api/hub/cache/team/app/blobs/${blob.digest}${NS}`;
    await using mirror = await ScriptedRegistry.start([
      {
        on: `GET ${path}`,
        status: 401,
        headers: { 'www-authenticate': `Bearer realm="${tokens.origin}/token",service="mirror"` },
      },
      { on: `GET ${path}`, expect: { authorization: 'Bearer mirror-token' }, body: bytes },
    ]);
    const config = mirrorAt(mirror.address, {
      base: new URL(`${mirror.origin}/api/hub`),
      rewrite: [
        { pattern: /^other\/(.*)/g, replacement: 'wrong/$1' },
        { pattern: /^(team\/.*)/g, replacement: 'cache/$1' },
        { pattern: /.*/g, replacement: 'wrong' },
      ],
    });
    await using client = clientOf([config, upstreamAt(DEAD_ADDRESS)]);
    const repository = client.repository(REFERENCE);
    expect(await buffer(await repository.fetch(blob))).toEqual(bytes);
  });

  it('is sent the headers that are configured for it, and nobody else is', async () => {
    const header = secret('header-secret');
    await using cdn = await ScriptedRegistry.start([
      { on: 'GET /blob', expect: { 'x-mirror': undefined }, body: bytes },
    ]);
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, expect: { 'x-mirror': header }, ...redirectReply(`${cdn.origin}/blob`) },
      { on: `GET ${BIG_PATH}${NS}`, expect: { 'x-mirror': header }, ...errorReply(404, 'BLOB_UNKNOWN') },
    ]);
    await using upstream = await ScriptedRegistry.start([
      { on: `GET ${BIG_PATH}`, expect: { 'x-mirror': undefined }, body: big },
    ]);
    const config = mirrorAt(mirror.address, { headers: { 'x-mirror': header } });
    await using client = clientOf([config, upstreamAt(upstream.address)]);
    const repository = client.repository(REFERENCE);
    await buffer(await repository.fetch(blob));
    await buffer(await repository.fetch(bigBlob));
  });

  it('that may not resolve is not asked what a tag names, but may be asked what a digest names', async () => {
    const digest = digestOf(Buffer.from('{}'));
    await using mirror = await ScriptedRegistry.start([
      { on: `HEAD /v2/team/app/manifests/${digest}${NS}`, ...manifestReply('{}') },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `HEAD ${MANIFEST}`, ...manifestReply('{}') }]);
    const config = mirrorAt(mirror.address, { capabilities: new Set(['pull']) });
    await using client = clientOf([config, upstreamAt(upstream.address)]);
    await client.resolver().resolve(REFERENCE);
    await client.resolver().resolve({ ...REFERENCE, digest });
  });

  it('that may do nothing of the kind leaves nobody to ask', async () => {
    await using client = clientOf([mirrorAt('127.0.0.1:1', { capabilities: new Set(['pull']) })]);
    expect(await failure(client.resolver().resolve(REFERENCE))).toMatchObject({ code: 'INVALID_CONFIG' });
  });

  it('is not pushed to while the registry itself may be', async () => {
    await using mirror = await ScriptedRegistry.start([]);
    await using upstream = await ScriptedRegistry.start([{ on: `HEAD ${BLOB}` }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    const open = (): Promise<never> => Promise.reject(new Error('not read'));
    expect(await client.repository(REFERENCE).push(blob, open)).toBe('exists');
  });

  it('has no more requests under way than it is configured to, the reading of bodies included', async () => {
    await using mirror = await ScriptedRegistry.start([{ on: `GET ${BIG_PATH}${NS}`, times: 3, body: big }]);
    await using client = clientOf([mirrorAt(mirror.address, { maxConnections: 2 })]);
    const repository = client.repository(REFERENCE);
    const [first, second] = await Promise.all([repository.fetch(bigBlob), repository.fetch(bigBlob)]);
    const third = repository.fetch(bigBlob);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(mirror.requests).toHaveLength(2);
    await buffer(first);
    await buffer(await third);
    await buffer(second);
  });
});

describe('a host that sends something else', () => {
  it('is asked once more, after all others, and then not again', async () => {
    const step = { body: bytes, times: 2 };
    await using mirror = await ScriptedRegistry.start([{ on: `GET ${BLOB}${NS}`, ...step }]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, ...step }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    const repository = client.repository(REFERENCE);
    const mayAskAgain: boolean[] = [];
    for (let n = 0; n < 4; n += 1) {
      await buffer(await repository.fetch(blob));
      mayAskAgain.push(await repository.distrust(blob));
    }
    expect(mayAskAgain).toEqual([true, true, true, false]);
    const both = [mirror.address, upstream.address];
    expect(client.events.map(({ host }) => host)).toEqual([...both, ...both]);
  });

  it('is not asked for what it was wrong about twice while another one may be right', async () => {
    await using mirror = await ScriptedRegistry.start([{ on: `GET ${BLOB}${NS}`, times: 2, body: bytes }]);
    await using upstream = await ScriptedRegistry.start([
      { on: `GET ${BLOB}`, times: 2, status: 503 },
      { on: `GET ${BLOB}`, body: bytes },
    ]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    const repository = client.repository(REFERENCE);
    for (let n = 0; n < 2; n += 1) {
      await buffer(await repository.fetch(blob));
      expect(await repository.distrust(blob)).toBe(true);
    }
    expect((await buffer(await repository.fetch(blob))).equals(bytes)).toBe(true);
  });

  it('is no reason to ask again where nothing was sent: then the descriptor is wrong', async () => {
    await using upstream = await ScriptedRegistry.start([]);
    await using client = clientOf([upstreamAt(upstream.address)]);
    const repository = client.repository(REFERENCE);
    await buffer(await repository.fetch({ ...blob, size: 0 }));
    expect(await repository.distrust({ ...blob, size: 0 })).toBe(false);
  });

  it('of another length is left for the next one at once', async () => {
    await using mirror = await ScriptedRegistry.start([{ on: `GET ${BLOB}${NS}`, body: bytes.subarray(1) }]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes }]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    expect((await buffer(await client.repository(REFERENCE).fetch(blob))).equals(bytes)).toBe(true);
  });
});

describe('a fetch that is aborted', () => {
  it.each([
    ['before the host answers', { stallAfter: -1 }],
    ['before the first byte', { body: bytes, stallAfter: 0 }],
  ])('%s leaves the host free for the next one, however many there were', async (_when, stalling) => {
    const aborted = 3;
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}${NS}`, times: aborted, ...stalling },
      { on: `GET ${BLOB}${NS}`, body: bytes },
    ]);
    await using upstream = await ScriptedRegistry.start([]);
    await using client = clientOf([mirrorAt(mirror.address), upstreamAt(upstream.address)]);
    for (let n = 1; n <= aborted; n += 1) {
      const abort = new AbortController();
      const fetching = failure(client.repository(REFERENCE).fetch(blob, { signal: abort.signal }));
      while (mirror.requests.length < n) await sleep(1);
      abort.abort();
      expect(await fetching).toMatchObject({ code: 'ABORTED' });
    }
    expect((await buffer(await client.repository(REFERENCE).fetch(blob))).equals(bytes)).toBe(true);
  });
});

describe('a registry that is asked too often', () => {
  it('is not asked by anybody before the time that it named, nor by as many as before', async () => {
    let refusedAt: number | undefined;
    await using upstream = await ScriptedRegistry.start([
      {
        on: `GET ${BLOB}`,
        times: 9,
        reply: (_request, nth) => {
          if (nth !== 4) return { body: bytes, delayMs: 10 };
          refusedAt = performance.now();
          return { status: 429, headers: { 'retry-after': '1' } };
        },
      },
    ]);
    await using client = clientOf([upstreamAt(upstream.address)]);
    const repository = client.repository(REFERENCE);
    const first = Array.from({ length: 4 }, async () => buffer(await repository.fetch(blob)));
    await Promise.all(first.slice(0, 3));
    const later = Array.from({ length: 4 }, async () => buffer(await repository.fetch(blob)));
    await Promise.all([...first, ...later]);
    const after = upstream.requests.slice(4).map(({ at }) => at - (refusedAt ?? Number.POSITIVE_INFINITY));
    expect(after).toHaveLength(5);
    // The server notes the moment after it has read the request; a turn of its loop lies between.
    expect(Math.min(...after)).toBeGreaterThanOrEqual(995);
  });

  it('that wants to be left alone for longer than is allowed is an error at once', async () => {
    await using upstream = await ScriptedRegistry.start([
      { on: `GET ${BLOB}`, status: 429, headers: { 'retry-after': '3600' } },
    ]);
    await using client = clientOf([upstreamAt(upstream.address)]);
    const error = await failure(client.repository(REFERENCE).fetch(blob));
    expect(error).toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterMs: 3_600_000 } });
  });
});

it('hosts that are configured anew are asked from then on', async () => {
  await using before = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes }]);
  await using after = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes }]);
  let configured = [upstreamAt(before.address)];
  await using client = fastClient({ hosts: () => Promise.resolve(configured) });
  await buffer(await client.repository(REFERENCE).fetch(blob));
  configured = [upstreamAt(after.address)];
  await buffer(await client.repository(REFERENCE).fetch(blob));
});

/** Reads a blob as the store does: what breaks off is gone on with where it stopped. */
async function readOn(
  client: ReturnType<typeof fastClient>,
  repository = client.repository(REFERENCE),
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let offset = 0;
  for (let tries = 0; offset < blob.size; tries += 1) {
    // Else a client that was closed meanwhile would be asked for ever.
    expect(tries).toBeLessThan(20);
    try {
      for await (const chunk of await repository.fetch(blob, { offset })) {
        chunks.push(chunk as Buffer);
        offset += (chunk as Buffer).length;
      }
    } catch (error) {
      expect(error).toMatchObject({ retryable: true });
    }
  }
  return Buffer.concat(chunks);
}
