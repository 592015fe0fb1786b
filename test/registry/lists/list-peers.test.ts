import { type ExecFileOptions, execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { listCatalog, listTags } from '../../../src/registry/lists/tag-list.js';
import { listReferrers } from '../../../src/registry/lists/referrers.js';
import { createRegistryServer } from '../../../src/serve/index.js';
import { type Digest, MEDIA_TYPES } from '../../../src/spec/index.js';
import { MemorySource } from '../../serve/memory-source.js';
import { type DockerRegistry, startDockerRegistry } from '../../support/docker-registry.js';
import { needsPeer } from '../../support/peers.js';
import { failure } from '../../support/registry-fixture.js';
import { collect, listedMirrors } from './list-mirrors.js';

const SBOM = 'application/vnd.example.sbom';
const SIGNATURE = 'application/vnd.example.signature';

describe.skipIf(needsPeer('docker-registry', 'oras') !== undefined)('at docker-registry', () => {
  let scratch: string;
  let registry: DockerRegistry;

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'landfall-lists-'));
    await writeFile(join(scratch, 'file'), 'content');
    registry = await startDockerRegistry({ catalogPage: 2 });
    for (const name of ['team/app:2', 'team/app:1', 'a:1', 'b:1', 'c:1', 'd:1']) {
      await oras('push', `${registry.address}/${name}`, 'file');
    }
  });

  afterAll(async () => {
    await registry.stop();
    await rm(scratch, { recursive: true });
  });

  async function oras(command: string, ...args: string[]): Promise<Digest> {
    const options: ExecFileOptions = { env: { PATH: process.env['PATH'], HOME: scratch }, cwd: scratch };
    const words = [command, '--plain-http', '--format', 'json', ...args];
    const { stdout } = await promisify(execFile)('oras', words, { ...options, encoding: 'utf8' });
    return (JSON.parse(stdout) as { digest: Digest }).digest;
  }

  test('repositories come in the pages that it likes', async () => {
    await using target = listedMirrors(registry.address);
    const before = (await registry.accessLog()).length;
    expect(await collect(listCatalog(target.mirrors))).toEqual(['a', 'b', 'c', 'd', 'team/app']);
    expect((await registry.accessLog()).length - before).toBe(3);
    expect(await collect(listCatalog(target.mirrors, { pageSize: 1, last: 'b' }))).toEqual([
      'c',
      'd',
      'team/app',
    ]);
    expect(await failure(collect(listCatalog(target.mirrors, { pageSize: 3 })))).toMatchObject({
      code: 'PROTOCOL',
      details: { status: 400, registryCodes: ['PAGINATION_NUMBER_INVALID'] },
    });
  });

  test('tags come as they are', async () => {
    await using target = listedMirrors(registry.address);
    expect((await collect(listTags(target))).sort()).toEqual(['1', '2']);
    const nowhere = { mirrors: target.mirrors, repository: 'team/none' };
    expect(await failure(collect(listTags(nowhere)))).toMatchObject({ code: 'NOT_FOUND' });
  });

  test('what oras attached is found under its tag', async () => {
    const image = await oras('push', `${registry.address}/team/signed:1`, 'file');
    const attach = (to: Digest, type: string, by: string): Promise<Digest> => {
      const words = ['--artifact-type', type, '--annotation', `by=${by}`];
      return oras('attach', ...words, `${registry.address}/team/signed@${to}`, 'file');
    };
    const sbom = await attach(image, SBOM, 'one');
    const signature = await attach(image, SIGNATURE, 'two');
    const below = await attach(sbom, SIGNATURE, 'three');

    await using connected = listedMirrors(registry.address);
    const target = { mirrors: connected.mirrors, repository: 'team/signed' };
    const found = await collect(listReferrers(target, image));
    expect(found).toMatchObject([
      { digest: sbom, artifactType: SBOM, mediaType: MEDIA_TYPES.ociManifest, annotations: { by: 'one' } },
      { digest: signature, artifactType: SIGNATURE, annotations: { by: 'two' } },
    ]);
    expect(await collect(listReferrers(target, image, { artifactType: SBOM }))).toEqual(found.slice(0, 1));
    expect(await collect(listReferrers(target, sbom))).toMatchObject([{ digest: below }]);
    expect(await collect(listReferrers(target, below))).toEqual([]);
  });
});

describe('at a registry of our own', () => {
  test('tags, repositories and referrers come in pages', async () => {
    const source = new MemorySource();
    const config = source.add('{}');
    const manifest = (label: string, subject?: object): ReturnType<MemorySource['add']> =>
      source.add(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MEDIA_TYPES.ociManifest,
          artifactType: SBOM,
          config,
          layers: [],
          subject,
          annotations: { label, filler: 'x'.repeat(subject === undefined ? 0 : 3_000_000) },
        }),
        MEDIA_TYPES.ociManifest,
      );
    const image = manifest('image');
    for (const tag of ['1', '2', '3', '4', '5']) source.tag('docker.io/team/app', tag, image);
    for (const name of ['docker.io/a/b', 'quay.io/c/d']) source.tag(name, '1', image);
    const referrers = ['one', 'two', 'three'].map((label) => manifest(label, image));
    for (const referrer of referrers) source.hold('docker.io/team/app', referrer);

    const served: string[] = [];
    const server = createRegistryServer({ source, onRequest: ({ path }) => served.push(path) });
    const { host } = await server.listen({ host: '127.0.0.1', port: 0 });
    {
      await using target = listedMirrors(host);
      expect(await collect(listTags(target, { pageSize: 2 }))).toEqual(['1', '2', '3', '4', '5']);
      expect(await collect(listCatalog(target.mirrors, { pageSize: 2 }))).toEqual([
        'a/b',
        'quay.io/c/d',
        'team/app',
      ]);
      const found = await collect(listReferrers(target, image.digest, { artifactType: SBOM }));
      expect(found.map(({ digest }) => digest)).toEqual(referrers.map(({ digest }) => digest).sort());
      expect(await collect(listReferrers(target, config.digest))).toEqual([]);
    }
    await server.close();
    const pagesOf = (word: string): number => served.filter((path) => path.includes(word)).length;
    expect([pagesOf('tags/list'), pagesOf('_catalog'), pagesOf('?artifactType')]).toEqual([3, 2, 3]);
    expect(served.filter((path) => path.includes('/manifests/'))).toEqual([]);
  });
});
