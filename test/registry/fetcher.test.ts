import { getEventListeners } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import type { FetchOptions } from '../../src/registry/index.js';
import { type Descriptor, digestOf, LIMITS, MEDIA_TYPES, parseReference } from '../../src/spec/index.js';
import { blobOf, failure, fastClient, patterned } from '../support/registry-fixture.js';
import { errorReply, ScriptedRegistry, type Step } from '../support/scripted-registry.js';

const bytes = patterned(300_000);
const blob = blobOf(bytes);
const GET = `GET /v2/team/app/blobs/${blob.digest}`;
const whole: Step = { on: GET, expect: { range: undefined, 'accept-encoding': 'identity' }, body: bytes };

async function fetched(
  steps: readonly Step[],
  options?: FetchOptions,
  descriptor: Descriptor = blob,
): Promise<Buffer> {
  await using registry = await ScriptedRegistry.start(steps);
  // Only the rows that wait for a timeout have a short one, or a busy machine would meet it in the others.
  const stalls = steps.some(({ stallAfter }) => stallAfter !== undefined);
  await using client = fastClient(stalls ? { timeouts: { bodyMs: 800, headersMs: 800 } } : {});
  const repository = client.repository(parseReference(`${registry.address}/team/app`));
  return await buffer(await repository.fetch(descriptor, options));
}

function partial(start: number, end: number, total: number | '*' = bytes.length): Step {
  return {
    on: GET,
    expect: { range: /^bytes=\d+-\d+$/ },
    status: 206,
    headers: { 'content-range': `bytes ${start}-${end}/${total}` },
    body: bytes.subarray(start, end + 1),
  };
}

describe('fetch yields the whole blob', () => {
  const rows: [name: string, steps: Step[]][] = [
    ['from a body with a length', [whole]],
    ['from a body in chunks', [{ ...whole, chunked: true }]],
    ['after a 503', [{ on: GET, status: 503 }, whole]],
    [
      'after a 429',
      [{ on: GET, ...errorReply(429, 'TOOMANYREQUESTS'), headers: { 'retry-after': '0' } }, whole],
    ],
    ['after a 408 and a 425', [{ on: GET, status: 408 }, { on: GET, status: 425 }, whole]],
    ['after a dropped connection', [{ on: GET, dropAfter: -1 }, whole]],
    ['after a connection that was dropped before the first byte', [{ ...whole, dropAfter: 0 }, whole]],
    ['after no headers in time', [{ on: GET, stallAfter: -1 }, whole]],
    ['after no first byte in time', [{ ...whole, stallAfter: 0 }, whole]],
    [
      'that a proxy has compressed',
      [{ ...whole, headers: { 'content-encoding': 'gzip' }, body: gzipSync(bytes) }],
    ],
    [
      'that a proxy has compressed, in chunks',
      [{ ...whole, headers: { 'content-encoding': 'GZIP' }, body: gzipSync(bytes), chunked: true }],
    ],
    ['that a bucket only labels as compressed', [{ ...whole, headers: { 'content-encoding': 'gzip' } }]],
  ];
  it.each(rows)('%s', async (_name, steps) => {
    expect((await fetched(steps)).equals(bytes)).toBe(true);
  });

  it('which is empty, without asking', async () => {
    expect(await fetched([], {}, blobOf(Buffer.alloc(0)))).toHaveLength(0);
  });
});

describe('fetch yields bytes 100 to 1099', () => {
  const options = { offset: 100, length: 1000 };
  const rows: [name: string, steps: Step[]][] = [
    ['from 206', [{ ...partial(100, 1099), expect: { range: 'bytes=100-1099' } }]],
    ['from 206 of an unknown total', [partial(100, 1099, '*')]],
    ['from 200: the server ignores ranges', [{ ...whole, expect: {} }]],
    ['from 200 in chunks', [{ ...whole, expect: {}, chunked: true }]],
    ['after 416', [{ on: GET, status: 416 }, whole]],
    ['after 206 of another range', [partial(0, 999), whole]],
    ['after 206 of too much', [partial(100, 1199), whole]],
    ['after 206 without Content-Range', [{ ...partial(100, 1099), headers: {} }, whole]],
    [
      'after 206 in a coding',
      [
        {
          ...partial(100, 1099),
          headers: { ...partial(100, 1099).headers, 'content-encoding': 'gzip' },
          body: gzipSync(bytes).subarray(0, 50),
        },
        whole,
      ],
    ],
    ['after a dropped connection', [{ on: GET, dropAfter: -1 }, partial(100, 1099)]],
    ['after 500 once', [{ on: GET, status: 500 }, partial(100, 1099)]],
    ['after 500 twice', [{ on: GET, status: 500, times: 2 }, whole]],
    ['after 502', [{ on: GET, status: 502 }, partial(100, 1099)]],
    ['after 429', [{ on: GET, status: 429 }, partial(100, 1099)]],
    ['from 200, cut before them once', [{ ...whole, expect: {}, dropAfter: 50 }, partial(100, 1099)]],
    [
      'from 200, cut before them for as often as is tried, less one',
      [
        { ...whole, expect: {}, dropAfter: 50, times: 2 },
        { ...whole, expect: {} },
      ],
    ],
  ];
  it.each(rows)('%s', async (_name, steps) => {
    expect((await fetched(steps, options)).equals(bytes.subarray(100, 1100))).toBe(true);
  });

  it.each([400, 403, 404, 405, 406, 409, 412, 413, 422, 431, 451, 499, 501])(
    'after the range was refused by %d',
    async (status) => {
      const steps = [{ on: GET, expect: { range: 'bytes=100-1099' }, status }, whole];
      expect((await fetched(steps, options)).equals(bytes.subarray(100, 1100))).toBe(true);
    },
  );

  it.each<[status: number, code: string, times: number]>([
    [401, 'UNAUTHORIZED', 1],
    [408, 'UNAVAILABLE', 3],
    [429, 'RATE_LIMITED', 3],
    [503, 'UNAVAILABLE', 3],
  ])('not after %d, which says nothing of ranges', async (status, code, times) => {
    const steps = [{ on: GET, expect: { range: 'bytes=100-1099' }, status, times }];
    expect(await failure(fetched(steps, options))).toMatchObject({ code });
  });

  it('to the end, where there is only an offset', async () => {
    const last = bytes.length - 1;
    const steps = [{ ...partial(299_000, last), expect: { range: `bytes=299000-${last}` } }];
    expect((await fetched(steps, { offset: 299_000 })).equals(bytes.subarray(299_000))).toBe(true);
  });
});

describe('fetch fails', () => {
  const rows: [name: string, expected: object, steps: Step[], options?: FetchOptions][] = [
    [
      'for a missing blob',
      { code: 'NOT_FOUND', retryable: false },
      [{ on: GET, ...errorReply(404, 'BLOB_UNKNOWN') }],
    ],
    ['for a forbidden blob', { code: 'DENIED' }, [{ on: GET, ...errorReply(403, 'DENIED') }]],
    ['when it stays busy', { code: 'RATE_LIMITED', retryable: true }, [{ on: GET, times: 3, status: 429 }]],
    [
      'at once when told to wait for hours',
      { code: 'RATE_LIMITED' },
      [{ on: GET, status: 429, headers: { 'retry-after': '7200' } }],
    ],
    ['when it stays away', { code: 'UNAVAILABLE', retryable: true }, [{ on: GET, times: 3, dropAfter: -1 }]],
    [
      'when the blob is longer',
      { code: 'SIZE_MISMATCH', details: { digest: blob.digest, expected: 300_000, actual: 300_001 } },
      [{ ...whole, times: 2, body: Buffer.concat([bytes, bytes.subarray(0, 1)]) }],
    ],
    [
      'when the blob is shorter',
      { code: 'SIZE_MISMATCH' },
      [{ ...whole, times: 2, body: bytes.subarray(1) }],
    ],
    [
      'when the blob goes on',
      { code: 'SIZE_MISMATCH' },
      [{ ...whole, chunked: true, body: Buffer.concat([bytes, bytes]) }],
    ],
    [
      'when 206 tells another size',
      { code: 'SIZE_MISMATCH' },
      [{ ...partial(100, 1099, 5000), times: 2 }],
      { offset: 100, length: 1000 },
    ],
    [
      'when the connection breaks',
      { code: 'UNAVAILABLE', retryable: true },
      [{ ...whole, dropAfter: 200_000 }],
    ],
    [
      'when the chunks end early',
      { code: 'UNAVAILABLE', retryable: true },
      [{ ...whole, chunked: true, body: bytes.subarray(0, 200_000) }],
    ],
    ['when the body stalls', { code: 'UNAVAILABLE', retryable: true }, [{ ...whole, stallAfter: 200_000 }]],
    [
      'when a part is short',
      { code: 'UNAVAILABLE', retryable: true },
      [{ ...partial(100, 599), expect: {} }],
      { offset: 100, length: 1000 },
    ],
    [
      'for a coding that is unknown',
      { code: 'PROTOCOL' },
      [{ ...whole, headers: { 'content-encoding': 'rot13' }, chunked: true }],
    ],
    [
      'for a coding that is a lie',
      { code: 'PROTOCOL' },
      [{ ...whole, headers: { 'content-encoding': 'gzip' }, chunked: true }],
    ],
    ['for a part beyond the end', { code: 'INVALID_CONFIG' }, [], { offset: 300_001 }],
  ];
  it.each(rows)('%s', async (_name, expected, steps, options) => {
    expect(await failure(fetched(steps, options))).toMatchObject(expected);
  });

  it('after all that has arrived was read, so that a resumed download asks for no byte twice', async () => {
    await using registry = await ScriptedRegistry.start([{ ...whole, dropAfter: 200_000 }]);
    await using client = fastClient();
    const stream = await client.repository(parseReference(`${registry.address}/team/app`)).fetch(blob);
    while (registry.open > 0) await sleep(1);
    await sleep(20);
    const read: Buffer[] = [];
    const reading = async (): Promise<void> => {
      for await (const chunk of stream) read.push(chunk as Buffer);
    };
    expect((await failure(reading())).code).toBe('UNAVAILABLE');
    expect(Buffer.concat(read).equals(bytes.subarray(0, 200_000))).toBe(true);
  });
});

describe('fetch of manifests', () => {
  const body = Buffer.from('{"schemaVersion":2}');
  const manifest: Descriptor = {
    mediaType: MEDIA_TYPES.ociManifest,
    digest: digestOf(body),
    size: body.length,
  };

  it('asks at /manifests/ for the type that is wanted', async () => {
    const accept = new RegExp(`^${MEDIA_TYPES.ociManifest.replaceAll('+', '\\+')}, `);
    const step = { on: `GET /v2/team/app/manifests/${manifest.digest}`, expect: { accept }, body };
    expect((await fetched([step], {}, manifest)).equals(body)).toBe(true);
  });

  it.each([
    ['LIMIT_EXCEEDED', { ...manifest, size: LIMITS.manifestBytes + 1 }],
    ['UNSUPPORTED_MEDIA_TYPE', { ...manifest, mediaType: MEDIA_TYPES.dockerSchema1 }],
  ])('refuses without asking: %s', async (code, descriptor) => {
    expect((await failure(fetched([], {}, descriptor))).code).toBe(code);
  });
});

describe('abort', () => {
  it.each<[name: string, step: Step]>([
    ['before the headers', { on: GET, stallAfter: -1 }],
    ['before the first byte', { ...whole, stallAfter: 0 }],
  ])('%s rejects', async (_name, step) => {
    await using registry = await ScriptedRegistry.start([step]);
    await using client = fastClient();
    const abort = new AbortController();
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    const pending = failure(repository.fetch(blob, { signal: abort.signal }));
    while (registry.requests.length === 0) await sleep(1);
    abort.abort();
    expect((await pending).code).toBe('ABORTED');
  });

  it('in mid-body fails the stream', async () => {
    await using registry = await ScriptedRegistry.start([{ ...whole, stallAfter: 100_000 }]);
    await using client = fastClient();
    const abort = new AbortController();
    const stream = await client
      .repository(parseReference(`${registry.address}/team/app`))
      .fetch(blob, { signal: abort.signal });
    const pending = failure(buffer(stream));
    abort.abort();
    expect((await pending).code).toBe('ABORTED');
  });

  it('leaves no listener behind on a signal that many requests share', async () => {
    const { signal } = new AbortController();
    await fetched([{ on: GET, status: 503 }, whole], { signal });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('of the client ends what is under way', async () => {
    await using registry = await ScriptedRegistry.start([{ ...whole, stallAfter: 100_000 }]);
    const client = fastClient();
    const stream = await client.repository(parseReference(`${registry.address}/team/app`)).fetch(blob);
    const pending = failure(buffer(stream));
    await client.close();
    expect(['UNAVAILABLE', 'ABORTED']).toContain((await pending).code);
  });
});

it('a stream that is destroyed closes its connection', async () => {
  await using registry = await ScriptedRegistry.start([{ ...whole, stallAfter: 100_000 }]);
  await using client = fastClient({ timeouts: { bodyMs: 0 } });
  const stream = await client.repository(parseReference(`${registry.address}/team/app`)).fetch(blob);
  stream.destroy();
  while (registry.open > 0) await sleep(1);
  expect(registry.open).toBe(0);
});
