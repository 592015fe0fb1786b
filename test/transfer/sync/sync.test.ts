import { describe, expect, test } from 'vitest';
import { RegistryError } from '../../../src/errors.js';
import { addImage, addIndex, AMD64, ARM64 } from '../../support/memory-images.js';
import type { Digest } from '../../../src/spec/index.js';
import { EarlierReport } from '../../../src/transfer/sync/sync-result.js';
import type { TransportName } from '../../../src/transfer/sync/mirror-file.js';
import { MemoryTransport } from '../../support/memory-transport.js';
import { Mirrored, mirror, outcomes } from './mirrored.js';
import { read } from './read.js';

/** Two repositories that share a layer, and one that is not wanted. */
function filled(): Mirrored {
  const lan = new Mirrored();
  const app = lan.repository('src.lan/team/app');
  addImage(app, { tag: '1.0.0', layers: ['base', 'one'], created: '2024-01-01T00:00:00Z' });
  addImage(app, { tag: '1.1.0', layers: ['base', 'two'], created: '2025-06-01T00:00:00Z' });
  addImage(app, { tag: 'latest', layers: ['base', 'three'], created: '2026-01-01T00:00:00Z' });
  addImage(lan.repository('src.lan/team/db'), { tag: '7', layers: ['base', 'db'] });
  addImage(lan.repository('src.lan/other/x'), { tag: '1' });
  return lan;
}

describe('a sync', () => {
  test('copies what the file asks for, what is shared once', async () => {
    const lan = filled();
    const result = await lan.sync(mirror('["team/*"]'));
    expect(outcomes(result)).toEqual([
      'hub/team/app:1.0.0 copied',
      'hub/team/app:1.1.0 copied',
      'hub/team/app:latest copied',
      'hub/team/db:7 copied',
    ]);
    expect(lan.repository('dst.lan/hub/team/app').everything).toEqual(
      lan.repository('src.lan/team/app').everything,
    );
    expect(lan.transport('dst.lan').count('mounted')).toBeGreaterThan(0);
    const bytes = result.images.reduce((sum, image) => sum + image.bytes, 0);
    expect(bytes).toBeGreaterThan(0);
  });

  test('a second time moves nothing: one look for each tag at either side', async () => {
    const lan = filled();
    const text = mirror('["team/app", "team/db"]', '    referrers: false');
    await lan.sync(text);
    for (const host of ['src.lan', 'dst.lan']) lan.transport(host).calls.length = 0;
    const result = await lan.sync(text);
    expect(result.images.map(({ outcome, bytes }) => `${outcome} ${bytes}`)).toEqual(
      Array<string>(4).fill('exists 0'),
    );
    const app = ['resolve 1.0.0', 'resolve 1.1.0', 'resolve 7', 'resolve latest'];
    expect(lan.transport('src.lan').calls.sort()).toEqual([
      ...app,
      'tags src.lan/team/app',
      'tags src.lan/team/db',
    ]);
    expect(lan.transport('dst.lan').calls.sort()).toEqual(
      app.map((call) => call.replace('resolve', 'stored')),
    );
  });

  test('to several destinations asks the source once', async () => {
    const lan = filled();
    const text = mirror('["team/db"]').replace(
      '[docker://dst.lan/hub]',
      '[docker://dst.lan, docker://b.lan]',
    );
    const result = await lan.sync(text);
    expect(result.images.map(({ name }) => name)).toEqual(['dst.lan/team/db:7', 'b.lan/team/db:7']);
    expect(lan.transport('src.lan').count('resolve')).toBe(1);
    expect(lan.transport('src.lan').count('tags')).toBe(1);
  });

  test('goes on after an image that fails, and says which', async () => {
    const lan = filled();
    const broken = addImage(lan.repository('src.lan/team/app'), { tag: '0.9.0', layers: ['gone'] });
    lan.repository('src.lan/team/app').damage(broken.digest);
    const result = await lan.sync(mirror('["team/app"]', '    tags: [0.9.0, none, latest]'));
    expect(outcomes(result)).toEqual([
      'hub/team/app:0.9.0 failed',
      'hub/team/app:latest copied',
      'hub/team/app:none failed',
    ]);
    expect(result.images[1]?.error).toMatchObject({
      code: 'NOT_FOUND',
      message: 'docker://src.lan/team/app has no none',
    });
  });

  test('a repository that cannot be listed stops nothing, and its tags that are named are copied', async () => {
    const lan = filled();
    lan.transport('src.lan').onCall = (call) => {
      if (call === 'tags src.lan/team/app') throw new RegistryError('UNAVAILABLE', 'away');
    };
    const text = mirror('[{ name: team/app, tags: { list: [latest], newest: 1 } }, team/db]');
    const result = await lan.sync(text);
    expect(outcomes(result)).toEqual(['hub/team/app:latest copied', 'hub/team/db:7 copied']);
    expect(result.failures).toEqual([
      {
        subject: 'docker://src.lan/team/app',
        error: expect.objectContaining({ code: 'UNAVAILABLE' }) as unknown,
      },
    ]);
  });

  test('a registry that does not tell its repositories is a failure of its patterns alone', async () => {
    const lan = filled();
    lan.transport('src.lan').repositories = () =>
      Promise.reject(new RegistryError('UNSUPPORTED', 'no catalog'));
    const result = await lan.sync(mirror('["team/*", team/db]'));
    expect(outcomes(result)).toEqual(['hub/team/db:7 copied']);
    expect(result.failures).toMatchObject([{ subject: 'docker://src.lan: team/*' }]);
  });

  test('what is named by itself is not meant by patterns', async () => {
    const lan = filled();
    const result = await lan.sync(mirror('["team/*", { name: team/app, tags: [latest] }]'));
    expect(outcomes(result)).toEqual(['hub/team/app:latest copied', 'hub/team/db:7 copied']);
  });

  test('warns of what fits nothing', async () => {
    const lan = filled();
    await lan.sync(mirror('["none/*", { name: team/app, tags: { semver: ">9" } }]'));
    expect(lan.warnings).toEqual([
      'docker://src.lan: no repository fits none/*',
      'docker://src.lan/team/app: no tag is wanted',
    ]);
  });

  test('reads dates of what the other rules left only, each image once', async () => {
    const lan = filled();
    const rules = '{ name: team/app, tags: { semver: "1.x", newest: { count: 1, by: created } } }';
    const result = await lan.sync(mirror(`[${rules}]`));
    expect(outcomes(result)).toEqual(['hub/team/app:1.1.0 copied']);
    const { calls } = lan.transport('src.lan');
    expect(calls.filter((call) => call.startsWith('resolve')).sort()).toEqual([
      'resolve 1.0.0',
      'resolve 1.1.0',
    ]);
    // A manifest and a config for each, and one layer more for the one that is copied; its config was read to
    // be looked at.
    expect(calls.filter((call) => call.startsWith('fetch')).length).toBe(2 + 2 + 1 + 2);
  });

  test('the date of an index is that of its first image', async () => {
    const lan = new Mirrored();
    const app = lan.repository('src.lan/team/app');
    const old = addImage(app, { created: '2020-01-01T00:00:00Z' });
    const young = addImage(app, { layers: ['b'], platform: ARM64, created: '2026-01-01T00:00:00Z' });
    addIndex(
      app,
      [
        [old, AMD64],
        [young, ARM64],
      ],
      'old',
    );
    addIndex(
      app,
      [
        [young, ARM64],
        [old, AMD64],
      ],
      'young',
    );
    addIndex(app, [[old, { os: 'unknown', architecture: 'unknown' }]], 'unknown');
    addIndex(app, [[addImage(app, { layers: ['without a date'] })], [old]], 'silent');
    const result = await lan.sync(mirror('[{ name: team/app, tags: { since: "2025-01-01" } }]'));
    expect(outcomes(result)).toEqual(['hub/team/app:unknown copied', 'hub/team/app:young copied']);
  });

  test('brings what refers to the images unless the file says otherwise, and tells which way it was', async () => {
    const lan = new Mirrored();
    const app = lan.repository('src.lan/app');
    const image = addImage(app, { tag: '1', layers: ['one'] });
    const sbom = addImage(app, { layers: ['sbom'], subject: image, artifactType: 'text/sbom' });
    const left = await lan.sync(mirror('[app]', '    referrers: false'));
    expect(left.images).toMatchObject([{ outcome: 'copied', referrers: [], referrersLeftOut: true }]);
    expect(lan.repository('dst.lan/hub/app').everything.contents).not.toContain(sbom.digest);
    for (const text of [mirror('[app]'), 'src.lan: { images: { app: ["1"] } }']) {
      const file = { ...read(text), destinations: read(mirror('[app]')).destinations };
      const { images } = await lan.sync(file);
      expect(images).toMatchObject([{ referrers: [{ digest: sbom.digest }], referrersLeftOut: false }]);
    }
    expect(lan.repository('dst.lan/hub/app').everything.contents).toContain(sbom.digest);
  });

  test('a delta has what has come to refer to an image since it was delivered', async () => {
    const lan = new Mirrored();
    const app = lan.repository('src.lan/app');
    const image = addImage(app, { tag: '1', layers: ['one'] });
    const text = mirror('[app]').replace('docker://dst.lan/hub', 'oci:/delta');
    const contents = app.everything.contents as Digest[];
    const delivered = contents.map((digest) => ({
      digest,
      mediaType: '',
      size: 1,
      outcome: 'known' as const,
    }));
    const name = 'src.lan/app:1';
    const since = new EarlierReport(new Map([[name, { digest: image.digest, contents: delivered }]]));
    lan.transports.set('layout', new MemoryTransport('layout', { sparse: true }));
    expect((await lan.sync(text, { since })).images).toMatchObject([{ outcome: 'unchanged' }]);
    const signature = addImage(app, { layers: ['signature'], subject: image, artifactType: 'text/sig' });
    const { images } = await lan.sync(text, { since });
    expect(images).toMatchObject([{ outcome: 'copied', referrers: [{ digest: signature.digest }] }]);
    const { calls } = lan.transport('layout');
    for (const { digest } of [image, signature]) expect(calls).toContain(`copied ${digest}`);
  });

  test('takes only the platforms and referrers that are wanted', async () => {
    const lan = new Mirrored();
    const app = lan.repository('src.lan/team/app');
    const amd = addImage(app, { layers: ['amd'] });
    const arm = addImage(app, { layers: ['arm'], platform: ARM64 });
    const index = addIndex(
      app,
      [
        [amd, AMD64],
        [arm, ARM64],
      ],
      '1',
    );
    const sbom = addImage(app, { layers: ['sbom'], subject: arm, artifactType: 'text/sbom' });
    addImage(app, { layers: ['other'], subject: arm, artifactType: 'text/other' });
    const referrers = 'referrers: { types: [text/sbom] }';
    const rules = `{ name: team/app, platforms: linux/arm64, rewriteIndex: true, ${referrers} }`;
    const result = await lan.sync(mirror(`[${rules}]`));
    expect(result.images).toMatchObject([{ outcome: 'copied', referrers: [{ digest: sbom.digest }] }]);
    const { contents } = lan.repository('dst.lan/hub/team/app').everything;
    expect(contents).toContain(arm.digest);
    expect(contents).not.toContain(index.digest);
    expect(contents).not.toContain(amd.digest);
  });

  test('images by their digests have no tag at the destination', async () => {
    const lan = filled();
    const { digest } = addImage(lan.repository('src.lan/team/app'), { layers: ['by digest'] });
    const result = await lan.sync(
      `{ sources: [{ images: ["src.lan/team/app@${digest}"] }], destinations: [docker://dst.lan] }`,
    );
    expect(result.images).toMatchObject([{ name: `dst.lan/team/app@${digest}`, outcome: 'copied' }]);
    expect(lan.tags('dst.lan/team/app')).toEqual([]);
  });

  test('two images that would have one name are refused before anything is copied', async () => {
    const lan = filled();
    addImage(lan.repository('src.lan/other/app'), { tag: 'latest', layers: ['another'] });
    const text = mirror('[{ name: team/app, to: "{name}" }, { name: other/app, to: "{name}" }]');
    await expect(lan.sync(text)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message:
        'mirror.yaml:4:54: docker://src.lan/other/app:latest and docker://src.lan/team/app:latest would both be dst.lan/hub/app:latest',
    });
    expect(lan.transport('dst.lan').calls).toEqual([]);
  });

  test('one image that is asked for twice is copied once', async () => {
    const lan = filled();
    const result = await lan.sync(`
sources:
  - { registry: src.lan, repositories: [team/db] }
  - images: [src.lan/team/db:7]
destinations: [docker://dst.lan/hub]
`);
    expect(outcomes(result)).toEqual(['hub/team/db:7 copied']);
  });

  test('a file without a destination is refused', async () => {
    await expect(new Mirrored().sync('sources: [{ images: [src.lan/a/b] }]')).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: 'mirror.yaml names no destination',
    });
  });

  test('a run that only looks says what would be copied, its bytes, and what is there', async () => {
    const lan = filled();
    await lan.sync(mirror('[{ name: team/app, tags: [latest] }]'));
    const before = lan.repository('dst.lan/hub/team/app').everything;
    const result = await lan.sync(mirror('[team/app]'), { dryRun: true });
    expect(outcomes(result)).toEqual([
      'hub/team/app:1.0.0 planned',
      'hub/team/app:1.1.0 planned',
      'hub/team/app:latest exists',
    ]);
    // The layer that all share is there already.
    const planned = result.images[0]?.contents.filter(({ outcome }) => outcome === 'planned') ?? [];
    expect(planned.map(({ size }) => size)).toContain('one'.length);
    expect(planned.map(({ size }) => size)).not.toContain('base'.length);
    expect(result.images[0]?.bytes).toBe(planned.reduce((sum, { size }) => sum + size, 0));
    expect(lan.repository('dst.lan/hub/team/app').everything).toEqual(before);
  });

  test('when it is broken off, what was done is told, and the next goes on from there', async () => {
    const lan = filled();
    const controller = new AbortController();
    const text = mirror('[team/app, team/db]').replace('sources:', 'concurrency: 1\nsources:');
    lan.transport('src.lan').onCall = (call) => {
      if (call === 'resolve 1.1.0') controller.abort();
    };
    const result = await lan.sync(text, { signal: controller.signal });
    expect(outcomes(result)).toEqual([
      'hub/team/app:1.0.0 copied',
      'hub/team/app:1.1.0 failed',
      'hub/team/app:latest failed',
      'hub/team/db:7 failed',
    ]);
    expect(result.images[2]?.error).toMatchObject({ code: 'ABORTED' });
    lan.transport('src.lan').onCall = () => undefined;
    expect(outcomes(await lan.sync(text))).toEqual([
      'hub/team/app:1.0.0 exists',
      'hub/team/app:1.1.0 copied',
      'hub/team/app:latest copied',
      'hub/team/db:7 copied',
    ]);
  });

  test('a destination that cannot be opened is a failure, and the others are served', async () => {
    const lan = filled();
    const text = mirror('[team/db]').replace(
      '[docker://dst.lan/hub]',
      '[docker://no.lan, docker://dst.lan/hub]',
    );
    const open = (transport: TransportName): Promise<MemoryTransport> =>
      transport.kind === 'registry' && transport.host !== 'no.lan'
        ? Promise.resolve(lan.transport(transport.host))
        : Promise.reject(new RegistryError('UNAVAILABLE', 'away'));
    const result = await lan.sync(text, { transports: { source: open, destination: open } });
    expect(outcomes(result)).toEqual(['hub/team/db:7 copied']);
    expect(result.failures).toMatchObject([{ subject: 'docker://no.lan', error: { code: 'UNAVAILABLE' } }]);
  });

  test('brings what a registry lacks of an index that it has, when it is to look', async () => {
    const lan = new Mirrored();
    lan.transports.set('dst.lan', new MemoryTransport('dst.lan', { sparse: true }));
    const app = lan.repository('src.lan/app');
    const amd64 = addImage(app, { layers: ['amd64'] });
    const arm64 = addImage(app, { layers: ['arm64'], platform: ARM64 });
    addIndex(
      app,
      [
        [amd64, AMD64],
        [arm64, ARM64],
      ],
      '1',
    );
    await lan.sync(mirror('[{ name: app, platforms: [linux/amd64] }]'));
    expect(outcomes(await lan.sync(mirror('[app]')))).toEqual(['hub/app:1 exists']);
    expect(outcomes(await lan.sync(mirror('[app]'), { recheck: true }))).toEqual(['hub/app:1 copied']);
    expect(lan.repository('dst.lan/hub/app').everything).toEqual(app.everything);
    expect(outcomes(await lan.sync(mirror('[app]'), { recheck: true }))).toEqual(['hub/app:1 exists']);
  });
});
