import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { RegistryClientOptions } from '../../src/registry/index.js';
import { parseManifest, parseReference } from '../../src/spec/index.js';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { failure, fastClient } from '../support/registry-fixture.js';
import { secret } from '../support/secrets.js';
import { selfSigned } from '../support/self-signed.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { startTokenServer, type TokenServer } from '../support/token-server.js';

const run = promisify(execFile);
const REPOSITORY = 'harbour/boat';
const logged: RegistryClientOptions = { credentials: () => Promise.resolve(REGISTRY_USER) };
const wrong: RegistryClientOptions = {
  credentials: () =>
    Promise.resolve({ username: REGISTRY_USER.username, password: secret('not-the-password') }),
};
const creds = ['--dest-creds', `${REGISTRY_USER.username}:${REGISTRY_USER.password}`];

describe.skipIf(needsPeer('docker-registry', 'skopeo') !== undefined)('against docker-registry', () => {
  let dir = '';
  let image: TinyLayout;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'landfall-registry-'));
    image = await makeTinyLayout(dir, { tag: 'v1', platforms: ['linux/amd64', 'linux/arm64'] });
  });
  afterAll(async () => {
    await rm(dir, { recursive: true });
  });

  async function push(registry: DockerRegistry, ...args: string[]): Promise<void> {
    const to = `docker://${registry.address}/${REPOSITORY}:v1`;
    await run('skopeo', [
      'copy',
      '--all',
      '--quiet',
      '--dest-tls-verify=false',
      ...args,
      `oci:${dir}:v1`,
      to,
    ]);
  }

  /** Resolves, then fetches all there is, and holds each blob against what was pushed. */
  async function pull(address: string, options: RegistryClientOptions = {}, tag = 'v1'): Promise<string[]> {
    await using client = fastClient(options);
    const reference = parseReference(`${address}/${REPOSITORY}:${tag}`);
    const target = await client.resolver().resolve(reference);
    expect(target).toEqual(image.target);
    const repository = client.repository(reference);
    const index = parseManifest(await buffer(await repository.fetch(target)), target.mediaType);
    const manifests = index.kind === 'index' ? index.manifests : [];
    const others = image.manifests.flatMap(({ config, layers }) => [config, ...layers]);
    await Promise.all(
      [...manifests, ...others].map(async (descriptor) => {
        const content = await buffer(await repository.fetch(descriptor));
        expect(content.equals(image.blobs.get(descriptor.digest) ?? Buffer.alloc(0))).toBe(true);
      }),
    );
    return client.events.map(
      ({ method, url, status }) => `${method} ${url.replace(/.*\/v2\//, '')} ${status ?? '-'}`,
    );
  }

  it('in plain', async () => {
    await using registry = await startDockerRegistry();
    await push(registry);
    const before = (await registry.accessLog()).length;
    const events = await pull(registry.address);
    expect(events.slice(0, 3)).toEqual([
      `HEAD ${REPOSITORY}/manifests/v1 -`,
      `HEAD ${REPOSITORY}/manifests/v1 200`,
      `GET ${REPOSITORY}/manifests/${image.target.digest} 200`,
    ]);
    expect((await registry.accessLog()).length - before).toBe(events.length - 1);
  });

  it('in plain, a part of a layer and by digest', async () => {
    await using registry = await startDockerRegistry();
    await push(registry);
    await using client = fastClient();
    const [layer] = image.manifests[0].layers;
    if (layer === undefined) throw new Error('the image has layers');
    const reference = parseReference(`${registry.address}/${REPOSITORY}@${image.target.digest}`);
    expect(await client.resolver().resolve(reference)).toEqual(image.target);
    const part = await buffer(await client.repository(reference).fetch(layer, { offset: 10, length: 20 }));
    expect(part.equals(image.blobs.get(layer.digest)?.subarray(10, 30) ?? Buffer.alloc(0))).toBe(true);
    expect(client.events.at(-1)?.status).toBe(206);
  });

  it('says which tag and which repository it does not have', async () => {
    await using registry = await startDockerRegistry();
    await push(registry);
    await using client = fastClient();
    const missing = async (name: string): Promise<unknown> =>
      (await failure(client.resolver().resolve(parseReference(`${registry.address}/${name}`)))).toJSON();
    expect(await missing(`${REPOSITORY}:v2`)).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(`${REPOSITORY}:v2: not found`) as unknown,
      details: { registryCodes: ['MANIFEST_UNKNOWN'] },
    });
    expect(await missing('harbour/ship:v1')).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('with TLS', async () => {
    const tls = selfSigned();
    await using registry = await startDockerRegistry({ tls });
    await push(registry);
    expect(await pull(registry.address, { ca: tls.cert })).not.toContain(`HEAD ${REPOSITORY}/manifests/v1 -`);
    expect((await failure(pull(registry.address))).hint).toContain('--ca');
    expect((await registry.accessLog()).some((line) => line.includes('/blobs/sha256:'))).toBe(true);
  });

  it('with htpasswd', async () => {
    await using registry = await startDockerRegistry({ htpasswd: true });
    await push(registry, ...creds);
    expect((await pull(registry.address, logged)).filter((event) => event.endsWith(' 401'))).toHaveLength(1);
    expect(await failure(pull(registry.address))).toMatchObject({ code: 'UNAUTHORIZED' });
    expect(await failure(pull(registry.address, wrong))).toMatchObject({ code: 'UNAUTHORIZED' });
  });

  describe('with tokens', () => {
    const withTokens = async (
      options: Parameters<typeof startTokenServer>[0],
      test: (registry: DockerRegistry, server: TokenServer) => Promise<void>,
    ): Promise<void> => {
      await using server = await startTokenServer(options);
      await using registry = await startDockerRegistry({ token: server.token });
      await push(registry, ...creds);
      server.asked.length = 0;
      await test(registry, server);
    };

    it('for everybody, one for the whole pull', async () => {
      await withTokens({}, async (registry, server) => {
        await pull(registry.address);
        expect(server.asked.map((query) => Object.fromEntries(query))).toEqual([
          { service: 'harbour', scope: `repository:${REPOSITORY}:pull` },
        ]);
      });
    });

    it('for a user', async () => {
      await withTokens({ user: REGISTRY_USER }, async (registry) => {
        await pull(registry.address, logged);
        expect(await failure(pull(registry.address))).toMatchObject({ code: 'UNAUTHORIZED' });
        expect(await failure(pull(registry.address, wrong))).toMatchObject({ code: 'UNAUTHORIZED' });
      });
    });

    it('that last a second, through two pulls', async () => {
      await withTokens({ lifetime: 1 }, async (registry, server) => {
        await using client = fastClient();
        const reference = parseReference(`${registry.address}/${REPOSITORY}:v1`);
        await client.resolver().resolve(reference);
        await new Promise((resolve) => setTimeout(resolve, 1100));
        expect(await client.resolver().resolve(reference)).toEqual(image.target);
        expect(server.asked).toHaveLength(2);
      });
    });
  });
});
