import { describe, expect, it } from 'vitest';

import { RegistryClient } from '../../../src/registry/index.js';
import { digestOf } from '../../../src/spec/index.js';
import { errorReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';

const DIGEST = digestOf(Buffer.from('a blob'));
const ON = `HEAD /v2/team/app/blobs/${DIGEST}`;

async function sizeAt(step: Omit<Step, 'on'>): Promise<number | undefined> {
  await using server = await ScriptedRegistry.start([{ on: ON, ...step }]);
  await using client = new RegistryClient({ retry: { attempts: 1 } });
  return await client.repository({ registry: server.address, repository: 'team/app' }).blobSize(DIGEST);
}

describe('the size of a blob', () => {
  it('is what the registry says to a HEAD', async () => {
    expect(await sizeAt({ body: 'a blob' })).toBe(6);
  });

  it('is unknown where the registry does not say it', async () => {
    expect(await sizeAt({ body: 'a blob', chunked: true })).toBeUndefined();
  });

  it('is not to be had where there is no such blob', async () => {
    await expect(sizeAt(errorReply(404, 'BLOB_UNKNOWN'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
