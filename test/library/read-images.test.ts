import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  collectGarbage,
  copy,
  diffImages,
  type ImageChange,
  inspectImage,
  listImages,
  openStore,
  pull,
  type Store,
  unpackImage,
  verifyImage,
} from '../../src/index.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

describe('images that are read by a program', () => {
  let work: string;
  let store: Store;
  let old: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-read-'));
    old = await makeTinyLayout(join(work, 'old'), {
      layers: [
        [
          { path: 'etc/port', content: '80' },
          { path: 'gone', content: 'x' },
        ],
      ],
    });
    await makeTinyLayout(join(work, 'new'), {
      layers: [
        [
          { path: 'etc/port', content: '8080' },
          { path: 'come', content: 'yy', mode: 0o600 },
        ],
      ],
    });
    store = await openStore({ root: join(work, 'store') });
    await copy({ store, source: `oci:${join(work, 'old')}:latest`, destination: 'fleet/app:1' });
  });
  afterAll(async () => {
    await store.close();
    await rm(work, { recursive: true, force: true });
  });

  it.each([
    ['in the store', 'fleet/app:1', 'docker.io/fleet/app:1'],
    ['in a layout', 'LAYOUT', 'LAYOUT'],
  ])('are inspected %s', async (_where, given, called) => {
    const layout = `oci:${join(work, 'old')}:latest`;
    const image = await inspectImage(store, given.replace('LAYOUT', layout));
    expect(image).toMatchObject({
      name: called.replace('LAYOUT', layout),
      target: { digest: old.target.digest },
      platform: { os: 'linux', architecture: 'amd64' },
      platforms: [{ os: 'linux', architecture: 'amd64' }],
    });
    expect(image.layers.map(({ descriptor }) => descriptor.digest)).toEqual(
      image.manifest.layers.map(({ digest }) => digest),
    );
    expect(image.imageId).toBe(image.manifest.config.digest);
  });

  it('are compared, one of a store and one of a layout', async () => {
    const changes: ImageChange[] = [];
    for await (const change of diffImages(store, 'fleet/app:1', `oci:${join(work, 'new')}:latest`))
      changes.push(change);
    expect(changes.map(({ kind, path, aspects }) => [kind, path, aspects])).toEqual([
      ['added', '/come', []],
      ['changed', '/etc/port', ['content']],
      ['removed', '/gone', []],
    ]);
    expect(changes[0]).toMatchObject({ before: undefined, after: { type: 'file', mode: 0o600, size: 2 } });
  });

  it('are verified: one, all of the store, and one that is damaged', async () => {
    expect(await verifyImage(store, 'fleet/app:1', { diffIds: true })).toMatchObject({
      images: [{ name: 'docker.io/fleet/app:1' }],
      manifests: 1,
      blobs: 2,
      faults: [],
    });
    expect((await verifyImage(store)).images).toHaveLength(1);
    const damaged = await makeTinyLayout(join(work, 'damaged'), {});
    const [layer] = damaged.manifests[0].layers;
    const file = join(work, 'damaged/blobs', (layer?.digest ?? '').replace(':', '/'));
    await writeFile(file, Buffer.alloc(layer?.size ?? 0));
    const { faults } = await verifyImage(undefined, `oci:${join(work, 'damaged')}:latest`);
    expect(faults).toEqual([expect.objectContaining({ kind: 'damaged', code: 'DIGEST_MISMATCH' })]);
  });

  it('need a store only for names without a transport', async () => {
    for (const asked of [inspectImage(undefined, 'fleet/app:1'), verifyImage(undefined)])
      await expect(asked).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  });
});

describe('a store that is closed', () => {
  it.each<[string, (store: Store) => Promise<unknown>]>([
    ['listImages', (store) => listImages(store)],
    ['inspectImage', (store) => inspectImage(store, 'app')],
    ['unpackImage', (store) => unpackImage(store, 'app', '/nonexistent/rootfs')],
    ['collectGarbage', (store) => collectGarbage(store)],
    ['pull', (store) => pull({ store, reference: '127.0.0.1:1/app:1' })],
  ])('refuses %s with INVALID_CONFIG', async (_name, use) => {
    const work = await mkdtemp(join(tmpdir(), 'landfall-closed-'));
    const store = await openStore({ root: work });
    await store.close();
    await expect(use(store)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: 'the store is closed',
    });
    await rm(work, { recursive: true });
  });
});

describe('a CommonJS program', () => {
  it('requires the library, and gets what an import does', async () => {
    const program = `
      const landfall = require('landfall');
      import('landfall').then((same) => {
        console.log(landfall.openStore === same.openStore, typeof require('landfall/spec').parseDigest);
      });`;
    const args = ['--input-type=commonjs', '--eval', program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: resolve('.') });
    expect(stdout).toBe('true function\n');
  });
});
