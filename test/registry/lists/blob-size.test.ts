import { describe, expect, it } from 'vitest';

import { RegistryClient } from '../../../src/registry/index.js';
import { digestOf } from '../../../src/spec/index.js';
import { errorReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';

const BYTES = Buffer.from('a blob');
const DIGEST = digestOf(BYTES);
const ON = `HEAD /v2/team/app/blobs/${DIGEST}`;
const GET: Step = { on: ON.replace('HEAD', 'GET'), expect: { range: 'bytes=0-0' } };

async function sizeAt(...steps: Step[]): Promise<number | undefined> {
  await using server = await ScriptedRegistry.start(steps);
  await using client = new RegistryClient({ retry: { attempts: 3, baseMs: 1 } });
  return await client.repository({ registry: server.address, repository: 'team/app' }).blobSize(DIGEST);
}

describe('the size of a blob', () => {
  it('is what the registry says to a HEAD', async () => {
    expect(await sizeAt({ on: ON, body: BYTES })).toBe(6);
  });

  it('is unknown where the registry does not say it', async () => {
    expect(await sizeAt({ on: ON, body: BYTES, chunked: true })).toBeUndefined();
  });

  it('is not to be had where there is no such blob', async () => {
    await expect(sizeAt({ on: ON, ...errorReply(404, 'BLOB_UNKNOWN') })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  const refusals: [name: string, reply: Partial<Step>][] = [
    ['is not implemented', { status: 501 }],
    ['is not allowed', { status: 405 }],
    ['fails', { status: 500, times: 2 }],
    ['cannot be answered', { status: 503, times: 2 }],
    ['comes too often twice', { status: 429, times: 2 }],
    ['is hung up on', { dropAfter: -1, times: 2 }],
    ['is asked for credentials without a challenge', { status: 401 }],
  ];
  it.each(refusals)(
    'is what the registry says to a GET of its first byte where HEAD %s',
    async (_name, reply) => {
      expect(await sizeAt({ on: ON, ...reply }, { ...GET, ranges: true, body: BYTES })).toBe(6);
      expect(await sizeAt({ on: ON, ...reply }, { ...GET, ranges: 'ignored', body: BYTES })).toBe(6);
      expect(await sizeAt({ on: ON, ...reply }, { ...GET, status: 416 })).toBe(0);
    },
  );
});
