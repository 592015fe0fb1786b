import { randomBytes } from 'node:crypto';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { codesOf, type Reply, WritableRegistry } from './writable-registry.js';

/*
 * distribution-spec: Content Management.
 */

let registry: WritableRegistry;

beforeEach(async () => {
  registry = await WritableRegistry.start();
});

afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

async function push(path: string, ...references: string[]): Promise<{ digest: Digest; layer: Digest }> {
  const bytes = await registry.manifest(path);
  for (const reference of references) await registry.putManifest(path, reference, bytes);
  const { layers } = JSON.parse(bytes.toString()) as { layers: Descriptor[] };
  return { digest: digestOf(bytes), layer: layers[0]?.digest ?? digestOf(Buffer.alloc(0)) };
}

const remove = (target: string): Promise<Reply> => registry.send('DELETE', `/v2/${target}`);
const status = async (target: string): Promise<number> =>
  (await registry.send('HEAD', `/v2/${target}`)).status;

describe('a tag', () => {
  test('is gone, and what it pointed to is to be had by other tags and by its digest', async () => {
    const { digest } = await push('team/app', '1', '2');
    expect((await remove('team/app/manifests/1')).status).toBe(202);
    expect(await status('team/app/manifests/1')).toBe(404);
    expect(await status('team/app/manifests/2')).toBe(200);
    expect(await status(`team/app/manifests/${digest}`)).toBe(200);
  });

  test.each([
    ['is not there', 'team/app/manifests/none', 'MANIFEST_UNKNOWN'],
    ['is of no repository', 'team/none/manifests/1', 'NAME_UNKNOWN'],
  ])('that %s is not found', async (_what, target, code) => {
    await push('team/app', '1');
    const reply = await remove(target);
    expect([reply.status, codesOf(reply)]).toEqual([404, code]);
  });
});

describe('a manifest', () => {
  test('is gone with all its tags, from this repository alone', async () => {
    const bytes = await registry.manifest('team/app');
    const digest = digestOf(bytes);
    for (const path of ['team/app', 'team/other']) {
      for (const reference of ['1', '2', digest]) await registry.putManifest(path, reference, bytes);
    }
    expect((await remove(`team/app/manifests/${digest}`)).status).toBe(202);
    for (const reference of ['1', '2', digest]) {
      expect(await status(`team/app/manifests/${reference}`)).toBe(404);
      expect(await status(`team/other/manifests/${reference}`)).toBe(200);
    }
    expect((await remove(`team/app/manifests/${digest}`)).status).toBe(404);
  });

  test('is there again when it is pushed again, and stays gone through a restart until then', async () => {
    const bytes = await registry.manifest('team/app');
    const digest = digestOf(bytes);
    for (const path of ['team/app', 'team/other']) await registry.putManifest(path, '1', bytes);
    await remove(`team/app/manifests/${digest}`);
    await registry.restart();
    expect(await status(`team/app/manifests/${digest}`)).toBe(404);
    await registry.putManifest('team/app', digest, bytes);
    expect(await status(`team/app/manifests/${digest}`)).toBe(200);
  });

  test('that an index lists stays, until the index is gone', async () => {
    const bytes = await registry.manifest('team/app');
    const child = digestOf(bytes);
    await registry.putManifest('team/app', child, bytes);
    const manifests = [{ mediaType: MEDIA_TYPES.ociManifest, digest: child, size: bytes.length }];
    const index = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }),
    );
    await registry.putManifest('team/app', '1', index, MEDIA_TYPES.ociIndex);
    const refused = await remove(`team/app/manifests/${child}`);
    expect([refused.status, codesOf(refused)]).toEqual([405, 'DENIED']);
    expect(await status(`team/app/manifests/${child}`)).toBe(200);
    expect((await remove(`team/app/manifests/${digestOf(index)}`)).status).toBe(202);
    expect((await remove(`team/app/manifests/${child}`)).status).toBe(202);
    expect(await status(`team/app/manifests/${child}`)).toBe(404);
  });

  test('that refers to another goes from the list of its referrers, and with the next collection', async () => {
    const { digest: subject } = await push('team/app', '1');
    const about = { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: 7 };
    const bytes = await registry.manifest('team/app', { subject: about });
    await registry.putManifest('team/app', digestOf(bytes), bytes);
    expect((await remove(`team/app/manifests/${digestOf(bytes)}`)).status).toBe(202);
    const listed = await registry.send('GET', `/v2/team/app/referrers/${subject}`);
    expect(JSON.parse(listed.body.toString())).toMatchObject({ manifests: [] });
    const { blobs } = await collectGarbage(registry.store);
    expect(blobs.map(({ digest }) => digest)).toContain(digestOf(bytes));
    expect(await status('team/app/manifests/1')).toBe(200);
  });

  test('that is none, or not there, is not found', async () => {
    const { layer } = await push('team/app', '1');
    const elsewhere = await push('team/other', '1');
    for (const target of [
      `team/app/manifests/${layer}`,
      `team/app/manifests/${digestOf(randomBytes(8))}`,
      `team/none/manifests/${elsewhere.digest}`,
    ]) {
      expect((await remove(target)).status).toBe(404);
    }
    expect(await status(`team/app/blobs/${layer}`)).toBe(200);
    expect(await status('team/other/manifests/1')).toBe(200);
  });
});

describe('a blob', () => {
  test('is gone from this repository alone', async () => {
    const { digest } = await registry.pushBlob('team/app', 'shared');
    await registry.send('POST', `/v2/team/other/blobs/uploads/?mount=${digest}&from=team/app`);
    expect((await remove(`team/app/blobs/${digest}`)).status).toBe(202);
    expect(await status(`team/app/blobs/${digest}`)).toBe(404);
    expect(await status(`team/other/blobs/${digest}`)).toBe(200);
    const again = await remove(`team/app/blobs/${digest}`);
    expect([again.status, codesOf(again)]).toEqual([404, 'BLOB_UNKNOWN']);
  });

  test.each(['pushed', 'mounted'])('is there again when it is %s again', async (how) => {
    const { digest } = await registry.pushBlob('team/app', 'back again');
    await remove(`team/app/blobs/${digest}`);
    if (how === 'pushed') await registry.pushBlob('team/app', 'back again');
    else await registry.send('POST', `/v2/team/app/blobs/uploads/?mount=${digest}`);
    expect(await status(`team/app/blobs/${digest}`)).toBe(200);
  });

  test('that an image consists of stays, until the image is gone', async () => {
    const { digest, layer } = await push('team/app', '1');
    const refused = await remove(`team/app/blobs/${layer}`);
    expect([refused.status, codesOf(refused)]).toEqual([405, 'DENIED']);
    await remove(`team/app/manifests/${digest}`);
    expect((await remove(`team/app/blobs/${layer}`)).status).toBe(202);
    expect(await status(`team/app/blobs/${layer}`)).toBe(404);
  });

  test('that was deleted is not pushed by naming it in a manifest', async () => {
    const bytes = await registry.manifest('team/app');
    const { layers } = JSON.parse(bytes.toString()) as { layers: Descriptor[] };
    await remove(`team/app/blobs/${layers[0]?.digest}`);
    const reply = await registry.putManifest('team/app', '1', bytes);
    expect([reply.status, codesOf(reply)]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
  });

  test('that was deleted is served where an image that came by another way needs it', async () => {
    const bytes = await registry.manifest('team/app');
    const { layers } = JSON.parse(bytes.toString()) as { layers: Descriptor[] };
    await registry.putManifest('team/other', '1', bytes);
    await remove(`team/app/blobs/${layers[0]?.digest}`);
    const target = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length };
    await registry.store.images.put({ name: 'docker.io/team/app:pulled', target });
    expect(await status(`team/app/blobs/${layers[0]?.digest}`)).toBe(200);
  });
});

test('what nothing names any more is collected, and what was just pushed is not', async () => {
  const { digest, layer } = await push('team/app', '1');
  const fresh = await registry.pushBlob('team/app', 'no manifest names it yet');
  await remove(`team/app/manifests/${digest}`);
  const { blobs } = await collectGarbage(registry.store);
  expect(blobs.map((blob) => blob.digest)).toEqual(expect.arrayContaining([digest, layer]));
  expect(await status(`team/app/blobs/${fresh.digest}`)).toBe(200);
});
