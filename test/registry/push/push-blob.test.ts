import { Readable } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { RegistryError } from '../../../src/errors.js';
import { digestOf } from '../../../src/spec/index.js';
import { pushFixture, sourceOf } from '../../support/push-fixture.js';
import { blobOf, failure } from '../../support/registry-fixture.js';
import { ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { UploadRegistry, type UploadRegistryOptions } from '../../support/upload-registry.js';

const MiB = 1024 * 1024;
const STEP = 768 * 1024;

/** Bytes that differ from place to place, quickly made. */
function bytesOf(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at, 2654435761);
  return Buffer.from(words.buffer, 0, length);
}

const small = bytesOf(100_000);
const large = bytesOf(5 * MiB);
const huge = bytesOf(40 * MiB);
const CHUNK = 16 * MiB;

interface Pushed {
  outcome: string;
  seen: string[];
  offsets: number[];
  registry: UploadRegistry;
}

async function pushed(
  bytes: Buffer,
  options: UploadRegistryOptions = {},
  push: { mountFrom?: string[] } = {},
): Promise<Pushed> {
  await using registry = await UploadRegistry.start(options);
  await using fixture = pushFixture(registry.address);
  const { open, offsets } = sourceOf(bytes);
  const outcome = await fixture.pusher.push(blobOf(bytes), open, push);
  expect(registry.blobs.get(digestOf(bytes))?.equals(bytes)).toBe(true);
  expect(registry.uploads.size).toBe(0);
  return { outcome, seen: registry.seen, offsets, registry };
}

/**
 * The first attempt, by which the client finds out that the registry speaks no TLS, is no HTTP and not among
 * these.
 */
describe('a blob is pushed', () => {
  const rows: [name: string, bytes: Buffer, expected: string[], options?: UploadRegistryOptions][] = [
    ['in one PUT where it is small', small, ['HEAD', 'POST', 'PUT (100000)']],
    ['in one PUT where it is empty', Buffer.alloc(0), ['HEAD', 'POST', 'PUT']],
    ['in one PATCH where it is large', large, ['HEAD', 'POST', `PATCH whole (${5 * MiB})`, 'PUT']],
    [
      'in one PATCH however large it is',
      huge,
      ['HEAD', 'POST', `PATCH whole (${40 * MiB})`, 'PUT'],
      { leastChunk: MiB },
    ],
    [
      'whatever Range says of a whole body',
      large,
      ['HEAD', 'POST', `PATCH whole (${5 * MiB})`, 'PUT'],
      { range: 'always 0-0' },
    ],
    [
      'to an absolute address',
      small,
      ['HEAD', 'POST', 'PUT (100000)'],
      { location: (origin, path) => `${origin}${path}` },
    ],
    [
      'where the closing answer is lost',
      small,
      ['HEAD', 'POST', 'PUT (100000)', 'GET', 'DELETE', 'HEAD'],
      { loseClosing: 1 },
    ],
    [
      'where the closing answer to a large one is lost',
      large,
      ['HEAD', 'POST', `PATCH whole (${5 * MiB})`, 'PUT', 'GET', 'DELETE', 'HEAD'],
      { loseClosing: 1 },
    ],
    [
      'where the registry closes by itself, as ECR does',
      large,
      ['HEAD', 'POST', `PATCH whole (${5 * MiB})`, 'PUT', 'GET', 'DELETE', 'HEAD'],
      { closesEarly: true },
    ],
    [
      'where it refuses to be asked whether it is there',
      small,
      ['HEAD', 'POST', 'PUT (100000)'],
      { instead: (line) => (line === 'HEAD' ? { status: 403 } : undefined) },
    ],
    [
      'after a 503',
      small,
      ['HEAD', 'HEAD', 'POST', 'PUT (100000)'],
      { instead: (_line, nth) => (nth === 1 ? { status: 503 } : undefined) },
    ],
    [
      'after a 429, to the same upload',
      large,
      ['HEAD', 'POST', `PATCH whole (${5 * MiB})`, 'GET', `PATCH whole (${5 * MiB})`, 'PUT'],
      {
        instead: (_line, nth) => (nth === 3 ? { status: 429, headers: { 'retry-after': '0' } } : undefined),
      },
    ],
    [
      'after a 416, from where the registry says',
      large,
      ['HEAD', 'POST', `PATCH whole (${5 * MiB})`, 'GET', `PATCH whole (${5 * MiB})`, 'PUT'],
      { instead: (_line, nth) => (nth === 3 ? { status: 416 } : undefined) },
    ],
  ];
  it.each(rows)('%s', async (_name, bytes, expected, options) => {
    const { outcome, seen } = await pushed(bytes, options);
    expect(outcome).toBe('pushed');
    expect(seen).toEqual(expected);
  });

  it('not where it is there', async () => {
    await using registry = await UploadRegistry.start();
    registry.blobs.set(digestOf(small), small);
    await using fixture = pushFixture(registry.address);
    const { open, offsets } = sourceOf(small);
    expect(await fixture.pusher.push(blobOf(small), open)).toBe('exists');
    expect([registry.seen, offsets]).toEqual([['HEAD'], []]);
  });

  const refusals: [name: string, reply: Partial<Step>][] = [
    ['is not implemented', { status: 501 }],
    ['fails', { status: 500, times: 2 }],
    ['cannot be answered', { status: 503, times: 2 }],
    ['comes too often twice', { status: 429, times: 2 }],
    ['is hung up on', { dropAfter: -1, times: 2 }],
    ['is asked for credentials without a challenge', { status: 401 }],
    ['has a wrong length', { headers: { 'content-length': '7' } }],
  ];
  const HEAD = `HEAD /v2/team/app/blobs/${digestOf(small)}`;
  const GET: Step = { on: HEAD.replace('HEAD', 'GET'), expect: { range: 'bytes=0-0' } };
  it.each(refusals)('not where it is there by GET and HEAD %s', async (_name, reply) => {
    for (const ranges of [true, 'ignored'] as const) {
      await using registry = await ScriptedRegistry.start([
        { on: HEAD, ...reply },
        { ...GET, ranges, body: small },
      ]);
      await using fixture = pushFixture(registry.address);
      expect(await fixture.pusher.push(blobOf(small), sourceOf(small).open)).toBe('exists');
    }
  });

  it.each(refusals.filter(([, { headers }]) => headers === undefined))(
    'where it is not there by GET and HEAD %s',
    async (_name, reply) => {
      const bytes = Buffer.from('a blob');
      const path = `/v2/team/app/blobs/${digestOf(bytes)}`;
      await using registry = await ScriptedRegistry.start([
        { on: `HEAD ${path}`, ...reply },
        { ...GET, on: `GET ${path}`, status: 404 },
        { on: 'POST /v2/team/app/blobs/uploads/', status: 202, headers: { location: '/up?state=1' } },
        { on: `PUT /up?state=1&digest=${encodeURIComponent(digestOf(bytes))}`, status: 201 },
      ]);
      await using fixture = pushFixture(registry.address);
      expect(await fixture.pusher.push(blobOf(bytes), sourceOf(bytes).open)).toBe('pushed');
    },
  );

  it('under a sha512 digest', async () => {
    await using registry = await UploadRegistry.start({
      instead: (line) => (line.startsWith('PUT') ? { status: 201 } : undefined),
    });
    await using fixture = pushFixture(registry.address);
    const descriptor = { ...blobOf(small), digest: digestOf(small, 'sha512') };
    expect(await fixture.pusher.push(descriptor, sourceOf(small).open)).toBe('pushed');
    expect(registry.urls[1]).toBe('POST /v2/team/app/blobs/uploads/?digest-algorithm=sha512');
    expect(registry.urls[2]).toBe(
      `PUT /v2/team/app/blobs/uploads/1?state=0&digest=${encodeURIComponent(descriptor.digest)}`,
    );
  });

  it('with its progress', async () => {
    await using registry = await UploadRegistry.start();
    await using fixture = pushFixture(registry.address);
    const reported: number[] = [];
    await fixture.pusher.push(blobOf(large), sourceOf(large).open, {
      onProgress: (bytes) => reported.push(bytes),
    });
    expect(reported.at(-1)).toBe(large.length);
    expect(reported.length).toBeGreaterThan(10);
    expect(reported).toEqual([...reported].sort((a, b) => a - b));
  });
});

describe('an interrupted upload', () => {
  const rows: [
    name: string,
    bytes: Buffer,
    expected: string[],
    offsets: number[],
    options: UploadRegistryOptions,
  ][] = [
    [
      'goes on from what the registry holds',
      large,
      [
        'HEAD',
        'POST',
        `PATCH whole (${5 * MiB})`,
        'GET',
        `PATCH ${3 * MiB}-${5 * MiB - 1} (${2 * MiB})`,
        'PUT',
      ],
      [0, 0],
      { cuts: [3 * MiB] },
    ],
    [
      'goes on as often as it gets further, however few tries there are',
      large,
      [
        'HEAD',
        'POST',
        `PATCH whole (${5 * MiB})`,
        // All below the first place at which the digest's state is kept, which is reached by reading ahead or
        // not.
        ...[1, 2, 3, 4].flatMap((at) => [
          'GET',
          `PATCH ${at * STEP}-${5 * MiB - 1} (${5 * MiB - at * STEP})`,
        ]),
        'PUT',
      ],
      [0, 0, 0, 0, 0],
      { cuts: [STEP, STEP, STEP, STEP] },
    ],
    [
      'goes on in chunks where nothing of it was kept',
      huge,
      [
        'HEAD',
        'POST',
        `PATCH whole (${40 * MiB})`,
        'GET',
        `PATCH 0-${CHUNK - 1} (${CHUNK})`,
        `PATCH ${CHUNK}-${2 * CHUNK - 1} (${CHUNK})`,
        'GET',
        `PATCH ${CHUNK}-${2 * CHUNK - 1} (${CHUNK})`,
        `PATCH ${2 * CHUNK}-${40 * MiB - 1} (${8 * MiB})`,
        'PUT',
      ],
      [0, 0, CHUNK],
      { cuts: [30 * MiB, Infinity, MiB], keeps: 'nothing' },
    ],
    [
      'begins anew in chunks where the registry has dropped it, as distribution does',
      huge,
      [
        'HEAD',
        'POST',
        `PATCH whole (${40 * MiB})`,
        'GET',
        'DELETE',
        'HEAD',
        'POST',
        `PATCH 0-${CHUNK - 1} (${CHUNK})`,
        `PATCH ${CHUNK}-${2 * CHUNK - 1} (${CHUNK})`,
        `PATCH ${2 * CHUNK}-${40 * MiB - 1} (${8 * MiB})`,
        'PUT',
      ],
      [0, 0],
      { cuts: [30 * MiB], keeps: 'cancelled' },
    ],
    [
      'takes chunks as large as the registry wants them',
      huge,
      [
        'HEAD',
        'POST',
        `PATCH whole (${40 * MiB})`,
        'GET',
        `PATCH 0-${20 * MiB - 1} (${20 * MiB})`,
        `PATCH ${20 * MiB}-${40 * MiB - 1} (${20 * MiB})`,
        'PUT',
      ],
      [0, 0],
      { cuts: [30 * MiB], keeps: 'nothing', leastChunk: 20 * MiB },
    ],
    [
      'begins anew where the registry does not say how much it holds',
      large,
      [
        'HEAD',
        'POST',
        `PATCH whole (${5 * MiB})`,
        'GET',
        'DELETE',
        'HEAD',
        'POST',
        `PATCH whole (${5 * MiB})`,
        'PUT',
      ],
      [0, 0],
      { cuts: [MiB], range: 'absent' },
    ],
    [
      'of a small blob goes on too',
      small,
      ['HEAD', 'POST', 'PUT (100000)', 'GET', 'PATCH 1000-99999 (99000)', 'PUT'],
      [0, 0],
      { cuts: [1000] },
    ],
    [
      'goes whole again where the registry does not put chunks together',
      huge,
      [
        'HEAD',
        'POST',
        `PATCH whole (${40 * MiB})`,
        'GET',
        `PATCH 0-${CHUNK - 1} (${CHUNK})`,
        `PATCH ${CHUNK}-${2 * CHUNK - 1} (${CHUNK})`,
        `PATCH ${2 * CHUNK}-${40 * MiB - 1} (${8 * MiB})`,
        'PUT',
        'HEAD',
        'DELETE',
        'HEAD',
        'POST',
        `PATCH whole (${40 * MiB})`,
        'PUT',
      ],
      [0, 0, 0],
      { cuts: [30 * MiB], keeps: 'nothing', forgetsChunks: true },
    ],
  ];
  it.each(rows)('%s', async (_name, bytes, expected, offsets, options) => {
    const result = await pushed(bytes, options);
    expect(result.outcome).toBe('pushed');
    expect(result.seen).toEqual(expected);
    expect(result.offsets).toEqual(offsets);
  });

  it('has little of its source read again', async () => {
    const { offsets } = await pushed(huge, { cuts: [30 * MiB] });
    expect(offsets).toHaveLength(2);
    expect(offsets[1]).toBeGreaterThan(25 * MiB);
    expect(offsets[1]).toBeLessThanOrEqual(30 * MiB);
  });

  it('is given up, and cancelled, when no try gets further', async () => {
    await using registry = await UploadRegistry.start({ cuts: [MiB, MiB, MiB, MiB], keeps: 'nothing' });
    await using fixture = pushFixture(registry.address);
    const error = await failure(fixture.pusher.push(blobOf(large), sourceOf(large).open));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
    expect(registry.seen.filter((line) => line.startsWith('PATCH'))).toHaveLength(3);
    expect([registry.seen.at(-1), registry.uploads.size]).toEqual(['DELETE', 0]);
  });

  it('is cancelled when it is aborted', async () => {
    const abort = new AbortController();
    await using registry = await UploadRegistry.start();
    await using fixture = pushFixture(registry.address);
    const error = await failure(
      fixture.pusher.push(blobOf(large), sourceOf(large).open, {
        signal: abort.signal,
        onProgress: (bytes) => {
          if (bytes > MiB) abort.abort();
        },
      }),
    );
    expect(error.code).toBe('ABORTED');
    expect([registry.seen.at(-1), registry.uploads.size]).toEqual(['DELETE', 0]);
  });

  it('ends when it is aborted while the source keeps silent', async () => {
    const abort = new AbortController();
    await using registry = await UploadRegistry.start();
    await using fixture = pushFixture(registry.address);
    const silent = new Readable({ read: () => abort.abort() });
    const error = await failure(
      fixture.pusher.push(blobOf(small), () => Promise.resolve(silent), { signal: abort.signal }),
    );
    expect([error.code, silent.destroyed]).toEqual(['ABORTED', true]);
  });
});

describe('a body that is too large for something on the way', () => {
  const rows: [name: string, bytes: Buffer, limit: number, expected: string[]][] = [
    [
      'is sent in chunks',
      huge,
      20 * MiB,
      [
        `PATCH whole (${40 * MiB})`,
        'GET',
        `PATCH 0-${CHUNK - 1} (${CHUNK})`,
        `PATCH ${CHUNK}-${2 * CHUNK - 1} (${CHUNK})`,
        `PATCH ${2 * CHUNK}-${40 * MiB - 1} (${8 * MiB})`,
        'PUT',
      ],
    ],
    [
      'is sent in ever smaller chunks',
      large,
      MiB,
      [
        `PATCH whole (${5 * MiB})`,
        'GET',
        `PATCH 0-${1.25 * MiB - 1} (${1.25 * MiB})`,
        'GET',
        ...[0, 1, 2, 3, 4].map((at) => `PATCH ${at * MiB}-${(at + 1) * MiB - 1} (${MiB})`),
        'PUT',
      ],
    ],
    [
      'is sent in chunks although it is small',
      large.subarray(0, 2 * MiB),
      MiB,
      [
        `PUT (${2 * MiB})`,
        'GET',
        `PATCH 0-${MiB - 1} (${MiB})`,
        `PATCH ${MiB}-${2 * MiB - 1} (${MiB})`,
        'PUT',
      ],
    ],
  ];
  it.each(rows)('%s', async (_name, bytes, bodyLimit, expected) => {
    const { seen } = await pushed(bytes, { bodyLimit });
    expect(seen).toEqual(['HEAD', 'POST', ...expected]);
  });

  it('is an error where the smallest chunk is too large', async () => {
    await using registry = await UploadRegistry.start({ bodyLimit: 1000 });
    await using fixture = pushFixture(registry.address);
    const error = await failure(fixture.pusher.push(blobOf(small), sourceOf(small).open));
    expect(error).toMatchObject({ code: 'PROTOCOL', details: { status: 413 } });
    expect(registry.uploads.size).toBe(0);
  });
});

describe('a blob of another repository', () => {
  const rows: [
    name: string,
    outcome: string,
    seen: string[],
    options: UploadRegistryOptions,
    from?: string[],
  ][] = [
    ['is mounted', 'mounted', ['HEAD', 'POST team/base'], {}],
    [
      'is uploaded to where the registry says if it does not mount',
      'pushed',
      ['HEAD', 'POST team/base', 'PUT (100000)'],
      { mount: 'declines' },
    ],
    [
      'is uploaded if the registry refuses to mount',
      'pushed',
      ['HEAD', 'POST team/base', 'POST', 'PUT (100000)'],
      { mount: 'refuses' },
    ],
    [
      'is looked for in three repositories at most, and each vain upload is cancelled',
      'pushed',
      ['HEAD', 'POST a', 'DELETE', 'POST b', 'DELETE', 'POST c', 'PUT (100000)'],
      { mount: 'declines' },
      ['a', 'team/app', 'b', 'c', 'd'],
    ],
  ];
  it.each(rows)('%s', async (_name, outcome, seen, options, mountFrom = ['team/base']) => {
    const result = await pushed(small, { base: [small], ...options }, { mountFrom });
    expect([result.outcome, result.seen]).toEqual([outcome, seen]);
  });
});

describe('nothing is committed', () => {
  const other = Buffer.from(large);
  other.writeUInt8(other.readUInt8(2 * MiB) ^ 1, 2 * MiB);
  const longer = Buffer.concat([large, Buffer.from('x')]);
  const broken = (bytes: Buffer, error: Error) => (): Promise<Readable> =>
    Promise.resolve(
      Readable.from(
        (function* () {
          yield bytes;
          throw error;
        })(),
        { objectMode: false },
      ),
    );
  const away = new RegistryError('UNAVAILABLE', 'the other registry is away', { retryable: true });
  const rows: [name: string, code: string, open: () => Promise<Readable>, bytes?: Buffer][] = [
    ['of other bytes', 'DIGEST_MISMATCH', sourceOf(other).open],
    ['of a source that is too short', 'SIZE_MISMATCH', sourceOf(large.subarray(0, 4 * MiB)).open],
    ['of a source that is too long', 'SIZE_MISMATCH', sourceOf(longer).open],
    ['of a small source with other bytes', 'DIGEST_MISMATCH', sourceOf(Buffer.alloc(100_000)).open, small],
    ['of a small source that is too short', 'SIZE_MISMATCH', sourceOf(small.subarray(1)).open, small],
    ['of a small source that is too long', 'SIZE_MISMATCH', sourceOf(large).open, small],
    ['of an empty source that is not', 'SIZE_MISMATCH', sourceOf(small).open, Buffer.alloc(0)],
    ['of a source that breaks without getting further', 'UNAVAILABLE', broken(Buffer.alloc(0), away)],
  ];
  it.each(rows)('%s', async (_name, code, open, bytes = large) => {
    await using registry = await UploadRegistry.start();
    await using fixture = pushFixture(registry.address);
    expect(await failure(fixture.pusher.push(blobOf(bytes), open))).toMatchObject({ code });
    expect([registry.blobs.size, registry.uploads.size]).toEqual([0, 0]);
    expect(registry.seen.some((line) => line === 'PUT')).toBe(false);
  });

  it('of a source that cannot be opened, and what it threw is thrown', async () => {
    await using registry = await UploadRegistry.start();
    await using fixture = pushFixture(registry.address);
    const gone = Object.assign(new Error('no such file'), { code: 'ENOENT' });
    const push = fixture.pusher.push(blobOf(large), () => Promise.reject(gone));
    await expect(push).rejects.toBe(gone);
    expect(registry.uploads.size).toBe(0);
  });

  it('of a blob that the registry has with another length', async () => {
    await using registry = await UploadRegistry.start();
    registry.blobs.set(digestOf(small), large);
    await using fixture = pushFixture(registry.address);
    const error = await failure(fixture.pusher.push(blobOf(small), sourceOf(small).open));
    expect(error).toMatchObject({
      code: 'SIZE_MISMATCH',
      details: { expected: small.length, actual: large.length },
    });
  });

  it('without notice where the registry says that it has stored something else', async () => {
    await using registry = await UploadRegistry.start({
      instead: (line) =>
        line.startsWith('PUT')
          ? { status: 201, headers: { location: `/v2/team/app/blobs/${digestOf(large)}` } }
          : undefined,
    });
    await using fixture = pushFixture(registry.address);
    const error = await failure(fixture.pusher.push(blobOf(small), sourceOf(small).open));
    expect(error).toMatchObject({ code: 'DIGEST_MISMATCH', details: { actual: digestOf(large) } });
  });

  it('of an upload that the registry says it holds although it was not sent', async () => {
    await using registry = await UploadRegistry.start({
      cuts: [MiB, MiB, MiB],
      instead: (line) =>
        line === 'GET' ? { status: 204, headers: { range: `0-${large.length - 1}` } } : undefined,
    });
    await using fixture = pushFixture(registry.address, { attempts: 2 });
    const error = await failure(fixture.pusher.push(blobOf(large), sourceOf(large).open));
    expect(error.code).toBe('UNAVAILABLE');
    expect(registry.seen.some((line) => line === 'PUT')).toBe(false);
  });
});

it('a source that breaks goes on where it gets further', async () => {
  await using registry = await UploadRegistry.start();
  await using fixture = pushFixture(registry.address, { attempts: 1 });
  const offsets: number[] = [];
  const away = new RegistryError('UNAVAILABLE', 'the other registry is away', { retryable: true });
  const open = (offset = 0): Promise<Readable> => {
    offsets.push(offset);
    if (offsets.length > 1) return sourceOf(large).open(offset);
    return Promise.resolve(
      Readable.from(
        (function* () {
          yield large.subarray(0, MiB);
          yield large.subarray(MiB, 2 * MiB);
          throw away;
        })(),
        { objectMode: false },
      ),
    );
  };
  expect(await fixture.pusher.push(blobOf(large), open)).toBe('pushed');
  // The registry may not have noticed yet what it holds when it is asked; then there is one try more.
  expect(offsets.every((offset) => offset === 0)).toBe(true);
  expect(offsets.length).toBeGreaterThan(1);
});
