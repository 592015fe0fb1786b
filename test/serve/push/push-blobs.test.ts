import { randomBytes, randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { type Digest, digestOf, type VerifiableAlgorithm } from '../../../src/spec/index.js';
import { codesOf, type Reply, replyOf, WritableRegistry } from './writable-registry.js';

/*
 * distribution-spec: Push, row by row. The server is asked over a real socket.
 */

const UPLOADS = '/v2/team/app/blobs/uploads/';
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
const ALGORITHMS: readonly VerifiableAlgorithm[] = ['sha256', 'sha512'];

let registry: WritableRegistry;

beforeEach(async () => {
  registry = await WritableRegistry.start();
});

afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

/** Begins an upload and gives its place. */
async function begin(query = '', uploads = UPLOADS): Promise<string> {
  const { status, headers } = await registry.send('POST', `${uploads}${query}`);
  expect(status).toBe(202);
  expect(headers.location).toMatch(UUID);
  return String(headers.location);
}

function withDigest(place: string, digest: string): string {
  return `${place}${place.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;
}

/** What was pushed can be had where the answer says, and is what was sent. */
async function expectPushed(reply: Reply, bytes: Buffer, digest: Digest): Promise<void> {
  expect(reply.status).toBe(201);
  expect(reply.headers['docker-content-digest']).toBe(digest);
  const pulled = await registry.send('GET', String(reply.headers.location));
  expect([pulled.status, pulled.headers['docker-content-digest']]).toEqual([200, digest]);
  expect(pulled.body.equals(bytes)).toBe(true);
  expect(await readdir(join(registry.root, 'ingest', 'uploads'))).toEqual([]);
}

describe.each(ALGORITHMS)('a blob by its %s digest', (algorithm) => {
  const bytes = randomBytes(100_000);
  const digest = digestOf(bytes, algorithm);
  const third = (n: number): Buffer => bytes.subarray(n * 40_000, (n + 1) * 40_000);
  const chunk = (n: number): { headers: Record<string, string>; body: Buffer } => ({
    headers: { 'Content-Range': `${n * 40_000}-${n * 40_000 + third(n).length - 1}` },
    body: third(n),
  });

  test('in a POST and a PUT', async () => {
    const place = await begin();
    await expectPushed(await registry.send('PUT', withDigest(place, digest), { body: bytes }), bytes, digest);
  });

  test('in one POST', async () => {
    const reply = await registry.send('POST', `${UPLOADS}?digest=${digest}`, { body: bytes });
    await expectPushed(reply, bytes, digest);
  });

  test('in chunks, and an empty PUT at the end', async () => {
    let place = await begin(`?digest-algorithm=${algorithm}`);
    for (const n of [0, 1, 2]) {
      const { status, headers } = await registry.send('PATCH', place, chunk(n));
      expect([status, headers.range]).toEqual([202, `0-${Math.min(99_999, (n + 1) * 40_000 - 1)}`]);
      place = String(headers.location);
    }
    await expectPushed(await registry.send('PUT', withDigest(place, digest)), bytes, digest);
  });

  test('in chunks, the last one in the PUT', async () => {
    const place = await begin();
    for (const n of [0, 1]) expect((await registry.send('PATCH', place, chunk(n))).status).toBe(202);
    await expectPushed(await registry.send('PUT', withDigest(place, digest), chunk(2)), bytes, digest);
  });

  test('in a stream without a length or a range, as docker sends it', async () => {
    const place = await begin();
    const { status, headers } = await registry.send('PATCH', place, { body: [third(0), third(1), third(2)] });
    expect([status, headers.range]).toEqual([202, '0-99999']);
    await expectPushed(await registry.send('PUT', withDigest(place, digest)), bytes, digest);
  });

  test('that is not what was sent is refused, and nothing of it is kept', async () => {
    const other = digestOf(Buffer.from('other'), algorithm);
    const place = await begin();
    const reply = await registry.send('PUT', withDigest(place, other), { body: bytes });
    expect([reply.status, codesOf(reply)]).toEqual([400, 'DIGEST_INVALID']);
    expect((await registry.send('HEAD', `/v2/team/app/blobs/${other}`)).status).toBe(404);
    expect((await registry.send('GET', place)).status).toBe(404);
    const single = await registry.send('POST', `${UPLOADS}?digest=${other}`, { body: bytes });
    expect([single.status, codesOf(single)]).toEqual([400, 'DIGEST_INVALID']);
    expect(await readdir(join(registry.root, 'ingest', 'uploads'))).toEqual([]);
  });

  test('of no bytes at all', async () => {
    const empty = Buffer.alloc(0);
    const own = digestOf(empty, algorithm);
    await expectPushed(await registry.send('PUT', withDigest(await begin(), own)), empty, own);
    await expectPushed(await registry.send('POST', `${UPLOADS}?digest=${own}`), empty, own);
  });
});

describe('a chunk out of order', () => {
  const bytes = randomBytes(3000);
  const digest = digestOf(bytes);

  test.each([
    ['that leaves something out', 'PATCH', 2000, 2999],
    ['that repeats what came', 'PATCH', 0, 999],
    ['that overlaps what came', 'PATCH', 500, 1499],
    ['at the end', 'PUT', 2000, 2999],
  ])('%s is refused, and the upload goes on where it was', async (_what, method, first, last) => {
    const place = await begin();
    const part = { headers: { 'Content-Range': '0-999' }, body: bytes.subarray(0, 1000) };
    expect((await registry.send('PATCH', place, part)).status).toBe(202);
    const target = method === 'PUT' ? withDigest(place, digest) : place;
    const refused = await registry.send(method, target, {
      headers: { 'Content-Range': `${first}-${last}` },
      body: bytes.subarray(first, last + 1),
    });
    expect([refused.status, refused.headers.range]).toEqual([416, '0-999']);
    const { status, headers } = await registry.send('GET', place);
    expect([status, headers.range, headers.location]).toEqual([204, '0-999', place]);
    const rest = { headers: { 'Content-Range': '1000-2999' }, body: bytes.subarray(1000) };
    await expectPushed(await registry.send('PUT', withDigest(place, digest), rest), bytes, digest);
  });

  test.each([
    ['is no range', 'bytes', 400, 'BLOB_UPLOAD_INVALID'],
    ['ends before it begins', '5-2', 400, 'BLOB_UPLOAD_INVALID'],
    ['is longer than the body', '0-9', 400, 'SIZE_INVALID'],
  ])('whose range %s is refused', async (_what, range, status, code) => {
    const reply = await registry.send('PATCH', await begin(), {
      headers: { 'Content-Range': range },
      body: Buffer.from('five!'),
    });
    expect([reply.status, codesOf(reply)]).toEqual([status, code]);
  });

  test('is none where the range is written as RFC 9110 does', async () => {
    const place = await begin();
    const reply = await registry.send('PATCH', place, {
      headers: { 'Content-Range': 'bytes 0-2999/3000' },
      body: bytes,
    });
    expect(reply.status).toBe(202);
    await expectPushed(await registry.send('PUT', withDigest(place, digest)), bytes, digest);
  });
});

describe('an upload', () => {
  test('has no bytes at first', async () => {
    const { status, headers } = await registry.send('GET', await begin());
    expect([status, headers.range]).toEqual([204, '0-0']);
  });

  test('that is cancelled is gone', async () => {
    const place = await begin();
    await registry.send('PATCH', place, { body: Buffer.from('some') });
    expect((await registry.send('DELETE', place)).status).toBe(204);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const reply = await registry.send(method, place);
      expect([reply.status, codesOf(reply)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    }
    expect(await readdir(join(registry.root, 'ingest', 'uploads'))).toEqual([]);
  });

  test.each([
    ['never was', () => Promise.resolve(`${UPLOADS}${randomUUID()}`)],
    ['has no id that could be', () => Promise.resolve(`${UPLOADS}..%2e`)],
    ['is of another repository', async () => (await begin()).replace('/team/app/', '/team/other/')],
  ])('that %s is not known', async (_what, place) => {
    const target = await place();
    const digest = digestOf(Buffer.from('x'));
    for (const [method, at] of [
      ['GET', target],
      ['PATCH', target],
      ['PUT', withDigest(target, digest)],
      ['DELETE', target],
    ] as const) {
      const reply = await registry.send(method, at, method === 'GET' ? {} : { body: 'x' });
      expect([reply.status, codesOf(reply)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    }
  });

  test.each([
    ['without a digest', ''],
    ['by a malformed digest', '?digest=sha256:abc'],
    ['by a digest that cannot be computed', `?digest=md5:${'a'.repeat(32)}`],
  ])('that is to end %s is refused', async (_what, query) => {
    const reply = await registry.send('PUT', `${await begin()}${query}`, { body: 'x' });
    expect([reply.status, codesOf(reply)]).toEqual([400, 'DIGEST_INVALID']);
  });

  test('of an algorithm that cannot be computed is refused', async () => {
    const reply = await registry.send('POST', `${UPLOADS}?digest-algorithm=blake3`);
    expect([reply.status, codesOf(reply)]).toEqual([400, 'DIGEST_INVALID']);
  });

  test('at a mirrored host keeps to that host', async () => {
    const place = await begin('?ns=quay.io', '/v2/x/y/blobs/uploads/');
    expect(place).toContain('ns=quay.io');
    const bytes = Buffer.from('at quay');
    const reply = await registry.send('PUT', withDigest(place, digestOf(bytes)), { body: bytes });
    await expectPushed(reply, bytes, digestOf(bytes));
  });

  test('whose client goes in the middle keeps what came, and the next request goes on', async () => {
    const bytes = randomBytes(300_000);
    const place = await begin();
    const broken = registry.open('PATCH', place, { 'Content-Length': '300000' });
    broken.on('error', () => undefined);
    broken.write(bytes.subarray(0, 100_000));
    await expect.poll(async () => (await registry.send('GET', place)).headers.range).toBe('0-99999');
    broken.destroy();
    const rest = { headers: { 'Content-Range': '100000-299999' }, body: bytes.subarray(100_000) };
    expect((await registry.send('PATCH', place, rest)).status).toBe(202);
    const digest = digestOf(bytes);
    await expectPushed(await registry.send('PUT', withDigest(place, digest)), bytes, digest);
  });

  test('is taken over by who comes again while an older request still hangs', async () => {
    const place = await begin();
    const hanging = registry.open('PATCH', place, { 'Content-Length': '10' });
    const ended = new Promise((resolve) => hanging.once('error', resolve));
    hanging.write('12345');
    await expect.poll(async () => (await registry.send('GET', place)).headers.range).toBe('0-4');
    const bytes = Buffer.from('1234567');
    const reply = await registry.send('PUT', withDigest(place, digestOf(bytes)), { body: '67' });
    await expectPushed(reply, bytes, digestOf(bytes));
    await ended;
  });
});

describe('too large a blob', () => {
  beforeEach(() => registry.restart({ limits: { uploadBytes: 1000 } }));

  test.each([
    ['that says so', { body: Buffer.alloc(1001) }],
    ['that does not', { body: [Buffer.alloc(600), Buffer.alloc(600)] }],
  ])('%s is refused', async (_what, sent) => {
    const reply = await registry.send('PATCH', await begin(), sent);
    expect([reply.status, codesOf(reply)]).toEqual([413, 'SIZE_INVALID']);
    expect(await readdir(join(registry.root, 'ingest', 'uploads'))).toEqual([]);
  });

  test('is refused when its chunks together are', async () => {
    const place = await begin();
    expect((await registry.send('PATCH', place, { body: Buffer.alloc(1000) })).status).toBe(202);
    expect((await registry.send('PATCH', place, { body: 'x' })).status).toBe(413);
  });
});

describe('a mount', () => {
  test.each([
    ['from the repository that has it', '&from=team/base'],
    ['from nowhere in particular', ''],
  ])('%s makes a blob of the repository', async (_what, from) => {
    const bytes = randomBytes(100);
    const { digest } = await registry.pushBlob('team/base', bytes);
    await expectPushed(await registry.send('POST', `${UPLOADS}?mount=${digest}${from}`), bytes, digest);
  });

  test('of what is not here begins an upload', async () => {
    const bytes = Buffer.from('not here yet');
    const place = await begin(`?mount=${digestOf(bytes)}&from=team/base`);
    const reply = await registry.send('PUT', withDigest(place, digestOf(bytes)), { body: bytes });
    await expectPushed(reply, bytes, digestOf(bytes));
  });

  test('of a malformed digest is refused', async () => {
    const reply = await registry.send('POST', `${UPLOADS}?mount=sha256:1&from=team/base`);
    expect([reply.status, codesOf(reply)]).toEqual([400, 'DIGEST_INVALID']);
  });
});

test('many who push one blob at the same time all succeed, and it is here once', async () => {
  const bytes = randomBytes(500_000);
  const digest = digestOf(bytes);
  const replies = await Promise.all(
    Array.from({ length: 12 }, async (_, n) => {
      const place = await begin('', `/v2/team/app${n % 3}/blobs/uploads/`);
      return registry.send('PUT', withDigest(place, digest), { body: bytes });
    }),
  );
  expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => 201));
  const pulled = await registry.send('GET', `/v2/team/app0/blobs/${digest}`);
  expect(pulled.body.equals(bytes)).toBe(true);
  const lying = await readdir(join(registry.root, 'ingest'), { recursive: true });
  expect(lying.filter((name) => name !== 'uploads')).toEqual([]);
});

test('a client that asks first is told to go on', async () => {
  const bytes = Buffer.from('expected');
  const request = registry.open('POST', `${UPLOADS}?digest=${digestOf(bytes)}`, {
    Expect: '100-continue',
    'Content-Length': String(bytes.length),
  });
  request.once('continue', () => request.end(bytes));
  request.flushHeaders();
  await expectPushed(await replyOf(request), bytes, digestOf(bytes));
});

test.each([
  ['POST', '/v2/team/app/manifests/1'],
  ['PUT', UPLOADS],
  ['PATCH', `/v2/team/app/blobs/sha256:${'0'.repeat(64)}`],
  ['DELETE', '/v2/team/app/tags/list'],
  ['PUT', '/v2/'],
  ['POST', '/'],
  ['OPTIONS', '/v2/'],
])('%s %s is no method of that', async (method, target) => {
  const reply = await registry.send(method, target);
  expect([reply.status, codesOf(reply)]).toEqual([405, 'UNSUPPORTED']);
  expect(reply.headers.allow).toMatch(target === UPLOADS ? /^POST$/ : /^GET, HEAD/);
});
