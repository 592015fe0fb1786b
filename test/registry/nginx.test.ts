import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { FetchOptions, RegistryClientOptions } from '../../src/registry/index.js';
import { parseManifest, parseReference } from '../../src/spec/index.js';
import { startCachingMirror } from '../support/caching-mirror.js';
import { CertificateAuthority } from '../support/certificate-authority.js';
import { type ContentNetwork, startContentNetwork } from '../support/content-network.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput } from '../support/landfall-command.js';
import type { Nginx } from '../support/nginx.js';
import { needsPeer } from '../support/peers.js';
import { blobOf, failure, fastClient, patterned } from '../support/registry-fixture.js';
import { redirectReply, ScriptedRegistry } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

const REPOSITORY = 'harbour/boat';

describe.skipIf(needsPeer('nginx', 'docker-registry', 'skopeo') !== undefined)(
  'through a caching mirror',
  () => {
    let dir = '';
    let image: TinyLayout;
    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'landfall-mirror-'));
      image = await makeTinyLayout(dir, { tag: 'v1', platforms: ['linux/amd64', 'linux/arm64'] });
    });
    afterAll(async () => {
      await rm(dir, { recursive: true });
    });

    async function withMirror(
      test: (mirror: Nginx, registry: DockerRegistry) => Promise<void>,
      tls?: { cert: string; key: string; ca: string },
    ): Promise<void> {
      await using registry = await startDockerRegistry();
      const names = [`oci:${dir}:v1`, `docker://${registry.address}/${REPOSITORY}:v1`];
      await peerOutput('skopeo', ['copy', '--all', '-q', '--dest-tls-verify=false', ...names]);
      const upstream = `http://${registry.address}`;
      await using mirror = await startCachingMirror({
        upstream,
        http2: true,
        ...(tls === undefined ? {} : { tls }),
      });
      await test(mirror, registry);
    }

    /** Resolves the tag, fetches all there is below it, and holds each blob against what was pushed. */
    async function pull(mirror: Nginx, options: RegistryClientOptions = {}): Promise<void> {
      await using client = fastClient(options);
      const reference = parseReference(`${mirror.address}/${REPOSITORY}:v1`);
      expect(await client.resolver().resolve(reference)).toEqual(image.target);
      const repository = client.repository(reference);
      const index = parseManifest(await buffer(await repository.fetch(image.target)), image.target.mediaType);
      const manifests = index.kind === 'index' ? index.manifests : [];
      const others = image.manifests.flatMap(({ config, layers }) => [config, ...layers]);
      const wanted = new Map([...manifests, ...others].map((descriptor) => [descriptor.digest, descriptor]));
      await Promise.all(
        [...wanted.values()].map(async (descriptor) => {
          const content = await buffer(await repository.fetch(descriptor));
          expect(content.equals(image.blobs.get(descriptor.digest) ?? Buffer.alloc(0))).toBe(true);
        }),
      );
    }

    it('the first pull fills it, and the second is served from it and never reaches the registry', async () => {
      await withMirror(async (mirror, registry) => {
        await pull(mirror);
        const filled = await registry.accessLog();
        const first = await mirror.requests();
        expect(first.map(({ cache }) => cache)).not.toContain('HIT');
        await pull(mirror);
        const second = (await mirror.requests()).slice(first.length);
        expect(second).toHaveLength(first.length);
        expect(second.map(({ cache, status }) => [cache, status])).toEqual(second.map(() => ['HIT', 200]));
        expect(await registry.accessLog()).toEqual(filled);
      });
    });

    it('the image is still there when the registry is not', async () => {
      await withMirror(async (mirror, registry) => {
        await pull(mirror);
        await registry.stop();
        await pull(mirror);
      });
    });

    it('a part of a layer is cut from what the mirror has', async () => {
      await withMirror(async (mirror) => {
        await pull(mirror);
        await using client = fastClient();
        const layer = image.manifests[0].layers[0] ?? image.target;
        const repository = client.repository(parseReference(`${mirror.address}/${REPOSITORY}`));
        const part = await buffer(await repository.fetch(layer, { offset: 10, length: 20 }));
        expect(part.equals(image.blobs.get(layer.digest)?.subarray(10, 30) ?? Buffer.alloc(0))).toBe(true);
        expect((await mirror.requests()).at(-1)).toMatchObject({
          cache: 'HIT',
          status: 206,
          range: 'bytes=10-29',
        });
      });
    });

    it('with TLS, to a client that trusts its authority', async () => {
      const authority = new CertificateAuthority();
      await withMirror(
        async (mirror) => {
          await pull(mirror, { ca: authority.cert });
          expect((await failure(pull(mirror))).hint).toContain('--ca');
        },
        { ...authority.server(), ca: authority.cert },
      );
    });
  },
);

describe.skipIf(needsPeer('nginx') !== undefined)('redirected to a content delivery network', () => {
  const bytes = patterned(300_000);
  const blob = blobOf(bytes);
  const GET = `GET /v2/team/app/blobs/${blob.digest}`;

  /**
   * Fetches from a registry that answers each request with the next of these addresses, which must all be
   * asked for.
   */
  async function fetched(locations: readonly string[], options: FetchOptions = {}): Promise<Buffer> {
    await using registry = await ScriptedRegistry.start(
      locations.map((location) => ({ on: GET, ...redirectReply(location) })),
    );
    await using client = fastClient();
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    return await buffer(await repository.fetch(blob, options));
  }

  async function served(
    network: ContentNetwork,
  ): Promise<[status: number, range: string, bytesSent: number][]> {
    return (await network.requests()).map(({ status, range, bytesSent }) => [status, range, bytesSent]);
  }

  const start = (options: { ranges?: boolean; signed?: boolean }): Promise<ContentNetwork> =>
    startContentNetwork({ blobs: new Map([[blob.digest, bytes]]), ...options });

  it('a blob comes from there', async () => {
    await using network = await start({});
    expect((await fetched([network.url(blob.digest)])).equals(bytes)).toBe(true);
    expect(await served(network)).toEqual([[200, '', 300_000]]);
  });

  it('a download goes on where it was', async () => {
    await using network = await start({});
    const rest = await fetched([network.url(blob.digest)], { offset: 200_000 });
    expect(rest.equals(bytes.subarray(200_000))).toBe(true);
    expect(await served(network)).toEqual([[206, 'bytes=200000-299999', 100_000]]);
  });

  it('a download goes on where it was, and what comes again is left out, where there are no ranges', async () => {
    await using network = await start({ ranges: false });
    const rest = await fetched([network.url(blob.digest)], { offset: 200_000 });
    expect(rest.equals(bytes.subarray(200_000))).toBe(true);
    expect(await served(network)).toEqual([[200, 'bytes=200000-299999', 300_000]]);
  });

  it('a signed URL that has expired is fetched anew from the registry', async () => {
    await using network = await start({ signed: true });
    const urls = [network.url(blob.digest, -10), network.url(blob.digest)];
    expect((await fetched(urls, { offset: 200_000 })).equals(bytes.subarray(200_000))).toBe(true);
    expect((await served(network)).map(([status]) => status)).toEqual([403, 206]);
  });

  it('a URL that was never good ends in an error without its signature', async () => {
    await using network = await start({ signed: true });
    const error = await failure(fetched(Array.from({ length: 3 }, () => network.url(blob.digest, -10))));
    expect(error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(error.message).toContain(network.address);
  });
});
