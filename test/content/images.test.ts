import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ImageStore } from '../../src/content/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { begin, describing } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

const NAME = 'docker.io/library/alpine:3';
const A = describing(Buffer.from('a'));
const B = describing(Buffer.from('b'));

describe('ImageStore', () => {
  let scratch: ScratchRoot;
  let images: ImageStore;
  beforeEach(async () => {
    scratch = await scratchRoot();
    images = new ImageStore(scratch.root, scratch.database);
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  const index = async (): Promise<{ manifests: unknown[] }> =>
    JSON.parse(await readFile(join(scratch.root, 'index.json'), 'utf8')) as { manifests: unknown[] };
  const named = (name: string, target: Descriptor): object => ({
    ...target,
    annotations: { 'org.opencontainers.image.ref.name': name },
  });

  it('keeps the whole descriptor, and shows others what they need of it', async () => {
    const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
    const target = { ...A, platform, annotations: { 'com.example.from': 'elsewhere' } };
    const put = await images.put({ name: NAME, target, labels: { a: 'b' } });
    expect(put).toMatchObject({ name: NAME, target, labels: { a: 'b' }, pinned: false });
    expect(await images.get(NAME)).toEqual(put);
    expect((await index()).manifests).toEqual([named(NAME, { ...A, platform })]);
    expect(await readdir(join(scratch.root, 'ingest'))).toEqual([]);
  });

  it('gives a name another target, and keeps when it was made, its labels and its pin', async () => {
    const first = await images.put({ name: NAME, target: A, labels: { a: 'b' } });
    await scratch.database.run('UPDATE images SET created_at = 1, updated_at = 1, pinned = 1');
    const second = await images.put({ name: NAME, target: B });
    expect(second).toMatchObject({ target: B, createdAt: new Date(1), labels: { a: 'b' }, pinned: true });
    expect(second.updatedAt.getTime()).toBeGreaterThanOrEqual(first.updatedAt.getTime());
    expect((await images.put({ name: NAME, target: B, labels: {} })).labels).toEqual({});
    expect((await index()).manifests).toEqual([named(NAME, B)]);
  });

  it('takes pins and labels of a name, and knows none of a name that is not there', async () => {
    const first = await images.put({ name: NAME, target: A, labels: { a: 'b', c: 'd' } });
    await images.put({ name: 'quay.io/z/z:1', target: A });
    expect(await images.pin(NAME, true)).toEqual({ ...first, pinned: true });
    const labelled = await images.label(NAME, { a: null, c: 'x', e: 'f', none: null });
    expect(labelled).toMatchObject({ pinned: true });
    expect(labelled?.labels).toEqual({ c: 'x', e: 'f' });
    expect(await images.get('quay.io/z/z:1')).toMatchObject({ labels: {}, pinned: false });
    expect(await images.pin(NAME, false)).toMatchObject({ labels: { c: 'x', e: 'f' }, pinned: false });
    expect(await images.pin('quay.io/none:1', true)).toBeUndefined();
    expect(await images.label('quay.io/none:1', { a: 'b' })).toBeUndefined();
  });

  it('has several names for one target, in order', async () => {
    for (const name of ['quay.io/z/z:1', NAME, 'docker.io/library/alpine:3.20']) {
      await images.put({ name, target: A });
    }
    const names = ['docker.io/library/alpine:3', 'docker.io/library/alpine:3.20', 'quay.io/z/z:1'];
    expect((await images.list()).map((image) => image.name)).toEqual(names);
    expect((await index()).manifests).toEqual(names.map((name) => named(name, A)));
  });

  it('removes a name, and says whether there was one', async () => {
    await images.put({ name: NAME, target: A });
    await images.put({ name: 'quay.io/z/z:1', target: A });
    expect(await images.delete(NAME)).toBe(true);
    expect(await images.delete(NAME)).toBe(false);
    expect(await images.get(NAME)).toBeUndefined();
    expect((await index()).manifests).toEqual([named('quay.io/z/z:1', A)]);
  });

  it('notes when an image is used, and nothing else', async () => {
    await images.put({ name: NAME, target: A });
    await scratch.database.run('UPDATE images SET used_at = 1, updated_at = 1');
    await images.touch(NAME);
    await images.touch('docker.io/library/none:1');
    const image = await images.get(NAME);
    expect(image?.usedAt.getTime()).toBeGreaterThan(1);
    expect(image?.updatedAt).toEqual(new Date(1));
  });

  it.each<[string, string]>([
    ['was given another target', `UPDATE images SET updated_at = updated_at + 1`],
    ['was made anew', `UPDATE images SET created_at = created_at + 1`],
    ['is gone', `DELETE FROM images`],
  ])('notes no use of a name that %s since it was read', async (_what, change) => {
    const record = await images.put({ name: NAME, target: A });
    await images.put({ name: 'quay.io/z/z:1', target: A });
    await scratch.database.run('UPDATE images SET used_at = 1');
    expect(await images.touchUnchanged(record)).toBe(true);
    const used = (await images.list()).map(({ usedAt }) => usedAt.getTime());
    expect(used).toEqual([expect.any(Number), 1]);
    expect(used[0]).toBeGreaterThan(1);
    await scratch.database.run(`${change} WHERE name = ?`, [NAME]);
    expect(await images.touchUnchanged(record)).toBe(false);
  });

  it.each(['alpine', 'alpine:3', 'docker.io/alpine:3', 'library/alpine:3', 'Not A Name'])(
    'refuses the name %j, which is not canonical',
    async (name) => {
      await expect(images.put({ name, target: A })).rejects.toMatchObject({ code: 'INVALID_REFERENCE' });
      expect(await images.list()).toEqual([]);
    },
  );

  it('has all in the index, when many are put at once', async () => {
    const names = Array.from({ length: 20 }, (_, at) => `docker.io/library/many:${at}`);
    await Promise.all(names.map((name) => images.put({ name, target: A })));
    expect((await index()).manifests).toHaveLength(20);
    expect(await scratch.database.all('SELECT * FROM pending')).toEqual([]);
  });

  describe('in place, for other tools', () => {
    const names = [
      NAME,
      '127.0.0.1:5000/team/app:1',
      'quay.io/team/app_x/y.z:v1.2-rc.3',
      `docker.io/library/by-digest@${A.digest}`,
    ];
    let manifest: Descriptor;

    beforeEach(async () => {
      manifest = await putImage(scratch);
      for (const name of names) await images.put({ name, target: manifest });
    });

    it.each(names)('skopeo reads %s', (name) => {
      const output = execFileSync('skopeo', ['inspect', `oci:${scratch.root}:${name}`], { encoding: 'utf8' });
      expect(JSON.parse(output)).toMatchObject({
        Digest: manifest.digest,
        Os: 'linux',
        Architecture: 'amd64',
      });
    });

    // umoci takes no @ in a name: it is for tags only.
    it.each(names.filter((name) => !name.includes('@')))('umoci reads %s', (name) => {
      const args = ['stat', '--json', '--image', `${scratch.root}:${name}`];
      expect(JSON.parse(execFileSync('umoci', args, { encoding: 'utf8' }))).toMatchObject({
        history: [{ layer: { mediaType: MEDIA_TYPES.ociLayerGzip } }],
      });
    });
  });
});

async function putBlob(scratch: ScratchRoot, bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const descriptor = { ...describing(bytes), mediaType };
  await using writer = await begin(scratch.store, descriptor);
  await writer.write(0, bytes);
  await writer.commit();
  return descriptor;
}

/** An image with one layer that has nothing in it. */
async function putImage(scratch: ScratchRoot): Promise<Descriptor> {
  const tar = Buffer.alloc(1024);
  const layer = await putBlob(scratch, gzipSync(tar), MEDIA_TYPES.ociLayerGzip);
  const config = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
    history: [{ created: '2026-01-01T00:00:00Z', created_by: 'a test' }],
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: await putBlob(scratch, Buffer.from(JSON.stringify(config)), MEDIA_TYPES.ociConfig),
    layers: [layer],
  };
  return putBlob(scratch, Buffer.from(JSON.stringify(manifest)), MEDIA_TYPES.ociManifest);
}
