import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { DiscardedBlob } from '../../../src/content/index.js';
import { ContentError, LandfallError, RegistryError } from '../../../src/errors.js';
import { createRegistryServer, type RegistryServer, RestoringBlobs } from '../../../src/serve/index.js';
import { type Descriptor, digestOf } from '../../../src/spec/index.js';
import { ask, errorCode } from '../ask.js';
import { MemorySource } from '../memory-source.js';

const CONTENT = '0123456789';

describe('blobs that were dropped, served', () => {
  let source: MemorySource;
  let server: RegistryServer;
  let port: number;
  let layer: Descriptor;
  let restoring: RestoringBlobs;
  /** What restoring it does. */
  let restore: () => Promise<void>;
  let restored: Descriptor[];

  beforeEach(async () => {
    source = new MemorySource();
    layer = { mediaType: 'any', digest: digestOf(Buffer.from(CONTENT)), size: CONTENT.length };
    restored = [];
    restore = (): Promise<void> => {
      source.add(CONTENT);
      return Promise.resolve();
    };
    const discarded = new Map<string, DiscardedBlob>([
      [layer.digest, { ...layer, discardedAt: new Date(0) }],
    ]);
    restoring = new RestoringBlobs({
      blobs: source.blobs,
      discarded: { get: (digest) => Promise.resolve(discarded.get(digest)) },
      restore: (descriptor) => {
        restored.push(descriptor);
        return restore();
      },
    });
    server = createRegistryServer({ source: Object.assign(source, { restoring }) });
    ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
  });
  afterEach(() => server.close({ graceMs: 0 }));

  const path = (digest: string = layer.digest): string => `/v2/team/app/blobs/${digest}`;

  it('have a size, for which nothing is fetched', async () => {
    const { status, headers } = await ask(port, path(), { method: 'HEAD' });
    expect([status, headers['content-length']]).toEqual([200, '10']);
    expect(restored).toEqual([]);
  });

  it('are fetched back once, and then are here', async () => {
    expect(await ask(port, path())).toMatchObject({ status: 200, body: CONTENT });
    expect(await ask(port, path())).toMatchObject({ status: 200, body: CONTENT });
    expect(restored).toMatchObject([{ digest: layer.digest, size: layer.size }]);
  });

  it('are fetched once for all who want them at the same time', async () => {
    let end: () => void = () => undefined;
    const admission = new Promise<void>((resolve) => (end = resolve));
    let asked = 0;
    const info = source.blobs.info.bind(source.blobs);
    source.blobs.info = (digest): ReturnType<typeof info> => {
      asked += 1;
      // Each request looks twice: for the size, and again before it would fetch.
      if (asked === 6) end();
      return info(digest);
    };
    restore = async (): Promise<void> => {
      await admission;
      source.add(CONTENT);
    };
    const answers = await Promise.all([1, 2, 3].map(() => ask(port, path())));
    expect(answers.map(({ body }) => body)).toEqual([CONTENT, CONTENT, CONTENT]);
    expect(restored).toHaveLength(1);
  });

  it('can be asked for in part', async () => {
    const { status, body } = await ask(port, path(), { headers: { range: 'bytes=2-4' } });
    expect([status, body]).toEqual([206, '234']);
  });

  it('have a path once they are here', async () => {
    source.blobs.path = (digest): Promise<string> => Promise.resolve(`/blobs/${digest}`);
    expect(await restoring.path(layer.digest)).toBe(`/blobs/${layer.digest}`);
    expect(restored).toHaveLength(1);
  });

  it.each([
    ['knows it no more', new LandfallError('NOT_FOUND', 'gone for good'), 404, 'BLOB_UNKNOWN'],
    ['is not known', new ContentError('BLOB_NOT_FOUND', 'from nowhere'), 404, 'BLOB_UNKNOWN'],
    ['cannot be reached', new RegistryError('UNAVAILABLE', 'no answer'), 502, 'UNKNOWN'],
    ['wants a password', new LandfallError('UNAUTHORIZED', 'who are you'), 502, 'UNKNOWN'],
    ['sends something else', new LandfallError('DIGEST_MISMATCH', 'other bytes'), 502, 'UNKNOWN'],
  ])('are refused with the reason when the place they came from %s', async (_what, error, status, code) => {
    restore = (): Promise<void> => Promise.reject(error);
    const answer = await ask(port, path());
    expect([answer.status, errorCode(answer)]).toEqual([status, code]);
    expect(answer.body).toContain(error.message);
  });

  it.each([
    { status: 507, error: new ContentError('NO_SPACE', 'no space at /secret/place') },
    { status: 500, error: new ContentError('FILESYSTEM', 'cannot write /secret/place') },
    { status: 500, error: new Error('something at /secret/place') },
  ])('are refused without the reason where that is of this machine: $error.message', async (row) => {
    restore = (): Promise<void> => Promise.reject(row.error);
    const { status, body } = await ask(port, path());
    expect(status).toBe(row.status);
    expect(body).not.toContain('secret');
  });

  it('are tried again by the next who asks', async () => {
    const honest = restore;
    restore = (): Promise<void> => Promise.reject(new RegistryError('UNAVAILABLE', 'no answer'));
    expect(await ask(port, path())).toMatchObject({ status: 502 });
    restore = honest;
    expect(await ask(port, path())).toMatchObject({ status: 200 });
  });

  it('are not fetched for who asks for a manifest', async () => {
    expect(await ask(port, `/v2/team/app/manifests/${layer.digest}`)).toMatchObject({ status: 404 });
    expect(restored).toEqual([]);
  });

  it('leave alone what is here', async () => {
    const { digest } = source.add('here all the time');
    expect(await ask(port, path(digest))).toMatchObject({ status: 200, body: 'here all the time' });
    expect(restored).toEqual([]);
  });

  it('are told from blobs that never were here', async () => {
    const answer = await ask(port, path(digestOf(Buffer.from('never'))));
    expect([answer.status, errorCode(answer)]).toEqual([404, 'BLOB_UNKNOWN']);
    expect(restored).toEqual([]);
  });
});
