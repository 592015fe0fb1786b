import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { ManifestStore, ImageStore, LocalContentStore, openLayout } from '../../../src/content/index.js';
import type { MetadataDatabase } from '../../../src/metadata/index.js';
import { createRegistryServer, StoreSource } from '../../../src/serve/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES, type VerifiableAlgorithm } from '../../../src/spec/index.js';
import { ask } from '../ask.js';

let root: string;
let database: MetadataDatabase;
let content: LocalContentStore;
let images: ImageStore;
let source: StoreSource;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-serve-'));
  database = await openLayout(root);
  content = new LocalContentStore(root, database);
  images = new ImageStore(root, database);
  source = new StoreSource({ images, content });
});

afterEach(async () => {
  await database.close();
  await rm(root, { recursive: true, force: true });
});

async function add(
  bytes: Buffer,
  mediaType: string,
  algorithm: VerifiableAlgorithm = 'sha256',
): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes, algorithm), size: bytes.length };
  await using writer = await content.ingest(descriptor);
  await writer?.write(0, bytes);
  await writer?.commit();
  return descriptor;
}

async function addImage(
  label: string,
  { algorithm, subject }: { algorithm?: VerifiableAlgorithm; subject?: Descriptor } = {},
): Promise<Descriptor> {
  const config = await add(Buffer.from(JSON.stringify({ label })), MEDIA_TYPES.ociConfig, algorithm);
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [], subject };
  return add(Buffer.from(JSON.stringify(manifest)), MEDIA_TYPES.ociManifest, algorithm);
}

test('serves the images of a store under their names, and what comes and goes while it runs', async () => {
  const [one, two] = [await addImage('one'), await addImage('two')];
  await images.put({ name: 'docker.io/library/alpine:3', target: one });
  expect(await source.resolve('docker.io/library/alpine', '3')).toEqual(one);

  await images.put({ name: 'docker.io/library/alpine:edge', target: two });
  await images.put({ name: 'quay.io/x/y:1', target: two });
  expect(await source.tags('docker.io/library/alpine')).toEqual(['3', 'edge']);
  expect(await source.repositories()).toEqual(['docker.io/library/alpine', 'quay.io/x/y']);

  await images.delete('quay.io/x/y:1');
  expect(await source.resolve('quay.io/x/y', '1')).toBeUndefined();
  expect(await source.tags('quay.io/x/y')).toBeUndefined();
});

test('an image that is held by digest is a repository without tags', async () => {
  const target = await addImage('one');
  await images.put({ name: `docker.io/team/app@${target.digest}`, target });
  await images.put({ name: `docker.io/team/app:1@${target.digest}`, target });
  expect(await source.tags('docker.io/team/app')).toEqual([]);
  expect(await source.resolve('docker.io/team/app', '1')).toBeUndefined();
});

test('manifests and ranges of blobs come from the content store', async () => {
  const target = await addImage('one');
  const blob = await add(Buffer.from('0123456789'), MEDIA_TYPES.ociLayer);
  await images.put({ name: 'docker.io/library/alpine:3', target });
  const server = createRegistryServer({ source });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const manifest = await ask(port, '/v2/alpine/manifests/3');
  const range = await ask(port, `/v2/alpine/blobs/${blob.digest}`, { headers: { range: 'bytes=4-5' } });
  await server.close();
  expect([manifest.status, manifest.headers['docker-content-digest']]).toEqual([200, target.digest]);
  expect([range.status, range.body]).toEqual([206, '45']);
});

test('manifests and blobs that the store holds by sha512 are had by it, and by no other digest', async () => {
  const target = await addImage('one', { algorithm: 'sha512' });
  const blob = await add(Buffer.from('0123456789'), MEDIA_TYPES.ociLayer, 'sha512');
  await images.put({ name: 'docker.io/library/alpine:3', target });
  await images.put({ name: `docker.io/library/alpine@${target.digest}`, target });
  const server = createRegistryServer({ source });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const paths = [
    'manifests/3',
    `manifests/${target.digest}`,
    `blobs/${blob.digest}`,
    `blobs/${digestOf(Buffer.from('0123456789'))}`,
  ];
  const replies = await Promise.all(paths.map((path) => ask(port, `/v2/alpine/${path}`)));
  await server.close();
  expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 404]);
  expect(replies.map(({ headers }) => headers['docker-content-digest'])).toEqual([
    target.digest,
    target.digest,
    blob.digest,
    undefined,
  ]);
  expect(digestOf(Buffer.from(replies[1]?.body ?? '', 'latin1'), 'sha512')).toBe(target.digest);
});

test('what a repository holds is there by tag and by digest, and what comes is', async () => {
  const subject = await addImage('one');
  const [signature, other] = [await addImage('two', { subject }), await addImage('three', { subject })];
  await images.put({ name: 'docker.io/library/alpine:3', target: subject });
  await images.put({ name: 'docker.io/library/alpine-extra:3', target: other });
  expect(await source.targets('docker.io/library/alpine')).toEqual([subject]);
  await images.put({ name: `docker.io/library/alpine@${signature.digest}`, target: signature });
  expect(await source.targets('docker.io/library/alpine')).toEqual([subject, signature]);
  expect(await source.targets('docker.io/library/none')).toEqual([]);
});

test('serves the signatures that were kept beside an image, to its own repository', async () => {
  const manifestStore = new ManifestStore(database);
  const records = { manifests: manifestStore, database };
  source = new StoreSource({ images, content, records });
  const image = await addImage('image');
  await images.put({ name: 'quay.io/team/app:1', target: image });
  const bundle = await addImage('bundle', { subject: image });
  const byTag = await addImage('signature');
  const info = { subject: image.digest, mediaType: MEDIA_TYPES.ociManifest, children: [], chainIds: [] };
  await manifestStore.put([bundle, byTag].map(({ digest }) => ({ ...info, digest })));
  const tag = `${image.digest.replace(':', '-')}.sig`;
  const kept = async (of: StoreSource, repository: string): Promise<unknown[]> => [
    await of.resolve(repository, tag),
    (await of.keptBeside(repository, image.digest)).map(({ digest }) => digest),
  ];
  expect(await kept(source, 'quay.io/team/app')).toEqual([byTag, [bundle.digest]]);
  expect(await kept(source, 'quay.io/team/other')).toEqual([undefined, []]);
  // Who pushes there asks first what a repository has.
  const writable = new StoreSource({ images, content, records: { ...records, ownManifests: true } });
  expect(await kept(writable, 'quay.io/team/app')).toEqual([undefined, []]);

  const server = createRegistryServer({ source });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const { body } = await ask(port, `/v2/quay.io/team/app/referrers/${image.digest}`);
  await server.close();
  const { manifests } = JSON.parse(body) as { manifests: Descriptor[] };
  expect(manifests.map(({ digest }) => digest)).toEqual([bundle.digest]);
});
