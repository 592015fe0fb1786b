import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { deleteBlob, deleteManifest, deleteTag } from '../../../src/registry/push/delete.js';
import type { Pusher } from '../../../src/registry/push/pusher.js';
import { readManifest } from '../../../src/registry/push/referrers-index.js';
import { referrersTag } from '../../../src/registry/lists/referrers.js';
import { writing } from '../../../src/registry/push/blob-upload.js';
import {
  type Descriptor,
  digestOf,
  MEDIA_TYPES,
  parseManifest,
  parseReference,
} from '../../../src/spec/index.js';
import { CuttingProxy } from '../../support/cutting-proxy.js';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../../support/docker-registry.js';
import { needsPeer } from '../../support/peers.js';
import { pushFixture, sourceOf } from '../../support/push-fixture.js';
import { blobOf, failure, fastClient } from '../../support/registry-fixture.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';
import { startTokenServer } from '../../support/token-server.js';

const run = promisify(execFile);
const MiB = 1024 * 1024;
const REPOSITORY = 'harbour/boat';

describe.skipIf(needsPeer('docker-registry', 'skopeo') !== undefined)('a push to docker-registry', () => {
  let dir = '';
  let image: TinyLayout;
  let registry: DockerRegistry;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'landfall-push-'));
    image = await makeTinyLayout(join(dir, 'image'), { tag: 'v1' });
    registry = await startDockerRegistry();
  });
  afterAll(async () => {
    await registry.stop();
    await rm(dir, { recursive: true });
  });

  /** Pushes the image's one manifest and what it names. */
  async function pushImage(pusher: Pusher, tag = 'v1'): Promise<string[]> {
    const [{ manifest, config, layers }] = image.manifests;
    const bytesOf = ({ digest }: Descriptor): Buffer => image.blobs.get(digest) ?? Buffer.alloc(0);
    const outcomes: string[] = [];
    for (const descriptor of [...layers, config]) {
      outcomes.push(await pusher.push(descriptor, sourceOf(bytesOf(descriptor)).open));
    }
    outcomes.push(await pusher.push(manifest, sourceOf(bytesOf(manifest)).open, { tag }));
    return outcomes;
  }

  async function content(address: string, repository: string, descriptor: Descriptor): Promise<Buffer> {
    await using client = fastClient();
    return await buffer(
      await client.repository(parseReference(`${address}/${repository}`)).fetch(descriptor),
    );
  }

  it('of an image can be pulled by us and by skopeo, and need not be made twice', async () => {
    await using fixture = pushFixture(registry.address, { repository: REPOSITORY });
    expect(await pushImage(fixture.pusher)).toEqual(['pushed', 'pushed', 'pushed', 'pushed']);
    expect(await pushImage(fixture.pusher)).toEqual(['exists', 'exists', 'exists', 'exists']);

    await using client = fastClient();
    const reference = parseReference(`${registry.address}/${REPOSITORY}:v1`);
    expect(await client.resolver().resolve(reference)).toEqual(image.target);
    for (const [digest, bytes] of image.blobs) {
      const mediaType = digest === image.target.digest ? image.target.mediaType : MEDIA_TYPES.ociLayer;
      const got = await content(registry.address, REPOSITORY, { digest, mediaType, size: bytes.length });
      expect(got.equals(bytes)).toBe(true);
    }

    const copy = join(dir, 'copy');
    await run('skopeo', [
      'copy',
      '--quiet',
      '--src-tls-verify=false',
      `docker://${registry.address}/${REPOSITORY}:v1`,
      `oci:${copy}:v1`,
    ]);
    const got = await readFile(join(copy, 'blobs', image.target.digest.replace(':', '/')));
    expect(digestOf(got)).toBe(image.target.digest);
  });

  it('of an image gives it another tag without its blobs', async () => {
    await using fixture = pushFixture(registry.address, { repository: REPOSITORY });
    await pushImage(fixture.pusher);
    expect((await pushImage(fixture.pusher, 'v2')).at(-1)).toBe('pushed');
  });

  it('of a blob mounts it where another repository has it', async () => {
    const bytes = Buffer.from('a blob that two repositories have');
    await using first = pushFixture(registry.address, { repository: 'harbour/first' });
    expect(await first.pusher.push(blobOf(bytes), sourceOf(bytes).open)).toBe('pushed');
    await using second = pushFixture(registry.address, { repository: 'harbour/second' });
    const source = sourceOf(bytes);
    const mountFrom = ['harbour/none', 'harbour/first'];
    expect(await second.pusher.push(blobOf(bytes), source.open, { mountFrom })).toBe('mounted');
    expect(source.offsets).toEqual([]);
    expect((await content(registry.address, 'harbour/second', blobOf(bytes))).equals(bytes)).toBe(true);
  });

  it('of a large blob outlives connections that are cut', async () => {
    const bytes = randomFillSync(Buffer.alloc(40 * MiB));
    await using proxy = await CuttingProxy.start({ to: registry.address, cuts: [30 * MiB, 20 * MiB] });
    await using fixture = pushFixture(proxy.address, { repository: 'harbour/large' });
    expect(await fixture.pusher.push(blobOf(bytes), sourceOf(bytes).open)).toBe('pushed');
    expect(proxy.cut).toBe(2);
    expect((await content(registry.address, 'harbour/large', blobOf(bytes))).equals(bytes)).toBe(true);
  });

  it('of a small blob outlives a connection that is cut', async () => {
    const bytes = randomFillSync(Buffer.alloc(2 * MiB));
    await using proxy = await CuttingProxy.start({ to: registry.address, cuts: [MiB] });
    await using fixture = pushFixture(proxy.address, { repository: 'harbour/small' });
    expect(await fixture.pusher.push(blobOf(bytes), sourceOf(bytes).open)).toBe('pushed');
    expect(proxy.cut).toBe(1);
    expect((await content(registry.address, 'harbour/small', blobOf(bytes))).equals(bytes)).toBe(true);
  });

  it('of other bytes leaves nothing behind', async () => {
    const bytes = randomFillSync(Buffer.alloc(5 * MiB));
    await using fixture = pushFixture(registry.address, { repository: 'harbour/wrong' });
    const error = await failure(fixture.pusher.push(blobOf(bytes), sourceOf(Buffer.alloc(5 * MiB)).open));
    expect(error.code).toBe('DIGEST_MISMATCH');
    const methods = (await registry.accessLog()).flatMap(
      (line) => /"(\w+) \/v2\/harbour\/wrong\//.exec(line)?.[1] ?? [],
    );
    // The line of the broken PATCH may not be written yet.
    expect(methods).toContain('DELETE');
    expect(methods).not.toContain('PUT');
    await expect(content(registry.address, 'harbour/wrong', blobOf(bytes))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('of a manifest before its blobs says what is missing', async () => {
    await using fixture = pushFixture(registry.address, { repository: 'harbour/empty' });
    const bytes = image.blobs.get(image.target.digest) ?? Buffer.alloc(0);
    expect(
      await failure(fixture.pusher.push(image.target, sourceOf(bytes).open, { tag: 'v1' })),
    ).toMatchObject({
      hint: expect.stringContaining('push its config') as unknown,
    });
  });

  it('of a manifest with a subject lists it, and its deletion takes it out', async () => {
    const repository = 'harbour/referrers';
    await using fixture = pushFixture(registry.address, { repository });
    const { mirrors, pusher } = fixture;
    await pushImage(pusher);
    const [{ config }] = image.manifests;
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        artifactType: 'application/spdx+json',
        config,
        layers: [],
        subject: image.target,
      }),
    );
    const digest = digestOf(bytes);
    const listed = async (): Promise<string[]> => {
      const tag = referrersTag(image.target.digest);
      const stored = await readManifest(mirrors, repository, tag, { access: writing(repository) });
      const index = parseManifest(stored?.bytes ?? Buffer.alloc(0), stored?.mediaType);
      return index.kind === 'index' ? index.manifests.map((entry) => entry.digest) : [];
    };
    await pusher.push(
      { mediaType: MEDIA_TYPES.ociManifest, digest, size: bytes.length },
      sourceOf(bytes).open,
    );
    expect(await listed()).toEqual([digest]);
    await deleteManifest(mirrors, repository, digest);
    expect(await listed()).toEqual([]);
  });

  it('is undone by deleting the manifest and the blob, not by deleting the tag', async () => {
    const repository = 'harbour/deleted';
    await using fixture = pushFixture(registry.address, { repository });
    const { mirrors, pusher } = fixture;
    await pushImage(pusher);
    await using client = fastClient();
    const reference = parseReference(`${registry.address}/${repository}:v1`);

    const refused = await failure(deleteTag(mirrors, repository, 'v1'));
    expect(refused).toMatchObject({ code: 'UNSUPPORTED' });
    expect(refused.hint).toContain('by its digest');
    expect(await client.resolver().resolve(reference)).toEqual(image.target);

    await deleteManifest(mirrors, repository, image.target.digest);
    await expect(client.resolver().resolve(reference)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await failure(deleteManifest(mirrors, repository, image.target.digest))).toMatchObject({
      code: 'NOT_FOUND',
    });

    const [{ config }] = image.manifests;
    await deleteBlob(mirrors, repository, config.digest);
    expect(await failure(deleteBlob(mirrors, repository, config.digest))).toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('with tokens asks for one that allows it, for both repositories where it mounts', async () => {
    await using server = await startTokenServer({ user: REGISTRY_USER });
    await using guarded = await startDockerRegistry({ token: server.token });
    const credentials = (): Promise<typeof REGISTRY_USER> => Promise.resolve(REGISTRY_USER);
    await using first = pushFixture(guarded.address, { repository: 'harbour/first', credentials });
    await pushImage(first.pusher);
    await using second = pushFixture(guarded.address, { repository: 'harbour/second', credentials });
    const [{ config }] = image.manifests;
    const source = sourceOf(image.blobs.get(config.digest) ?? Buffer.alloc(0));
    expect(await second.pusher.push(config, source.open, { mountFrom: ['harbour/first'] })).toBe('mounted');
    await deleteManifest(first.mirrors, 'harbour/first', image.target.digest);
    const scopes = server.asked.map((query) => query.getAll('scope').join(' '));
    expect([...new Set(scopes)]).toEqual([
      'repository:harbour/first:pull,push',
      'repository:harbour/second:pull,push',
      expect.stringMatching(/harbour\/first:pull( |$).*|.*harbour\/second:pull,push/),
      expect.stringContaining('delete'),
    ]);
  });
});
