import { randomBytes } from 'node:crypto';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { digestOf } from '../../../src/spec/index.js';
import { WritableRegistry } from './writable-registry.js';

/*
 * Uploads outlive the server, are left alone by collections while they are fresh, and expire.
 */

const UPLOADS = '/v2/team/app/blobs/uploads/';
const DAY_MS = 24 * 60 * 60 * 1000;

let registry: WritableRegistry;

beforeEach(async () => {
  registry = await WritableRegistry.start();
});

afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

async function begin(query = ''): Promise<string> {
  return String((await registry.send('POST', `${UPLOADS}${query}`)).headers.location);
}

const names = (): Promise<string[]> => readdir(join(registry.root, 'ingest', 'uploads'));

/** The directory of the one upload. */
async function onlyUpload(): Promise<string> {
  const [name = ''] = await names();
  return join(registry.root, 'ingest', 'uploads', name);
}

test.each([
  ['sha256', ''],
  ['sha512', ''],
  ['sha512', '?digest-algorithm=sha512'],
] as const)('an upload by %s, begun with "%s", goes on after a restart', async (algorithm, query) => {
  const bytes = randomBytes(2_500_000);
  const place = await begin(query);
  await registry.send('PATCH', place, { body: bytes.subarray(0, 1_100_000) });
  await registry.restart();
  const { status, headers } = await registry.send('GET', place);
  expect([status, headers.range]).toEqual([204, '0-1099999']);
  const more = {
    headers: { 'Content-Range': '1100000-1999999' },
    body: bytes.subarray(1_100_000, 2_000_000),
  };
  expect((await registry.send('PATCH', place, more)).status).toBe(202);
  const digest = digestOf(bytes, algorithm);
  const reply = await registry.send('PUT', `${place}?digest=${digest}`, { body: bytes.subarray(2_000_000) });
  expect(reply.status).toBe(201);
  const pulled = await registry.send('GET', `/v2/team/app/blobs/${digest}`);
  expect(pulled.body.equals(bytes)).toBe(true);
});

test('a collection takes neither a fresh upload nor what was uploaded for a manifest that is yet to come', async () => {
  const bytes = await registry.manifest('team/app');
  const place = await begin();
  await registry.send('PATCH', place, { body: 'half' });
  await registry.restart();
  expect(await collectGarbage(registry.store)).toMatchObject({ blobs: [], uploads: 0 });
  expect((await registry.putManifest('team/app', '1', bytes)).status).toBe(201);
  expect((await registry.send('GET', place)).headers.range).toBe('0-3');
});

test('a collection beside an upload leaves it alone, however old it is', async () => {
  const place = await begin();
  const request = registry.open('PATCH', place, { 'Content-Length': '8' });
  const answered = new Promise((resolve) => request.once('response', resolve));
  request.write('half');
  await expect.poll(async () => (await registry.send('GET', place)).headers.range).toBe('0-3');
  expect(await collectGarbage(registry.store, { partialsOlderThanMs: 0 })).toMatchObject({ uploads: 0 });
  request.end('done');
  await answered;
  const reply = await registry.send('PUT', `${place}?digest=${digestOf(Buffer.from('halfdone'))}`);
  expect(reply.status).toBe(201);
});

test('an upload that nobody went on with for a day goes, and is only told of in a dry run', async () => {
  await registry.send('PATCH', await begin(), { body: 'abandoned' });
  const old = new Date(Date.now() - DAY_MS - 1000);
  await utimes(join(await onlyUpload(), 'data'), old, old);
  const dry = await collectGarbage(registry.store, { dryRun: true });
  expect([dry.uploads, dry.freed]).toEqual([1, 9]);
  expect(await names()).toHaveLength(1);
  const { uploads, freed } = await collectGarbage(registry.store);
  expect([uploads, freed]).toEqual([1, 9]);
  expect(await names()).toEqual([]);
});

test.each([
  ['no facts', async (path: string) => writeFile(join(path, 'upload.json'), '')],
  ['facts that are none', async (path: string) => writeFile(join(path, 'upload.json'), '["x"]')],
])('an upload of which a power cut left %s is unknown', async (_what, damage) => {
  const place = await begin();
  await damage(await onlyUpload());
  expect((await registry.send('GET', place)).status).toBe(404);
  expect((await registry.send('PATCH', place, { body: 'x' })).status).toBe(404);
});

test('what stands among the uploads and is none is left alone', async () => {
  await begin();
  await mkdir(join(registry.root, 'ingest', 'uploads', 'not-an-id'));
  await collectGarbage(registry.store, { partialsOlderThanMs: 0 });
  expect(await names()).toEqual(['not-an-id']);
});

test('a blob that somebody looked for is not collected before they have named it', async () => {
  const bytes = await registry.manifest('team/app');
  await registry.putManifest('team/app', '1', bytes);
  const { layers } = JSON.parse(bytes.toString()) as { layers: { digest: string }[] };
  await registry.send('DELETE', `/v2/team/app/manifests/${digestOf(bytes)}`);
  const seen = layers[0]?.digest ?? '';
  expect((await registry.send('HEAD', `/v2/team/other/blobs/${seen}`)).status).toBe(200);
  const { blobs } = await collectGarbage(registry.store);
  expect(blobs.map(({ digest }) => digest)).not.toContain(seen);
  expect(blobs.length).toBeGreaterThan(0);
});
