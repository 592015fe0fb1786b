import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { OciLayout } from '../../../src/content/index.js';
import { createRegistryServer, LayoutSource } from '../../../src/serve/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { ask } from '../ask.js';

const REF_NAME = 'org.opencontainers.image.ref.name';
const CONTAINERD_NAME = 'io.containerd.image.name';

function image(content: string, annotations?: Record<string, string>): Descriptor {
  const digest = digestOf(Buffer.from(content));
  return {
    mediaType: MEDIA_TYPES.ociManifest,
    digest,
    size: 1,
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function sourceOf(manifests: readonly Descriptor[], directory = '/srv/Mirror Site'): LayoutSource {
  const index = { kind: 'index' as const, mediaType: MEDIA_TYPES.ociIndex, manifests };
  const layout: Pick<OciLayout, 'index' | 'verified'> = {
    index: () => Promise.resolve(index),
    verified: {
      info: () => Promise.resolve(undefined),
      open: () => Promise.reject(new Error('not read here')),
      path: () => Promise.reject(new Error('not read here')),
    },
  };
  return new LayoutSource(layout, directory);
}

/** Everything that can be asked for by name. */
async function namesOf(source: LayoutSource): Promise<string[]> {
  const names: string[] = [];
  for (const repository of await source.repositories()) {
    const tags = (await source.tags(repository)) ?? [];
    for (const tag of tags) {
      expect(await source.resolve(repository, tag)).toBeDefined();
      names.push(`${repository}:${tag}`);
    }
    if (tags.length === 0) names.push(repository);
  }
  return names;
}

describe('the name of an image in a layout', () => {
  const rows: [name: string, annotations: Record<string, string> | undefined, names: string[]][] = [
    ['name and tag', { [REF_NAME]: 'landfall/demo:1.0' }, ['docker.io/landfall/demo:1.0']],
    ['a full reference', { [REF_NAME]: 'quay.io/x/y:2' }, ['quay.io/x/y:2']],
    [
      'a canonical one, as in a store',
      { [REF_NAME]: 'docker.io/library/alpine:3' },
      ['docker.io/library/alpine:3'],
    ],
    ['a name without tag', { [REF_NAME]: 'team/app' }, ['docker.io/team/app:latest']],
    ['a bare tag', { [REF_NAME]: '1.0' }, ['docker.io/library/mirror-site:1.0']],
    ['a bare word', { [REF_NAME]: 'trixie' }, ['docker.io/library/mirror-site:trixie']],
    ['none, of the only image', undefined, ['docker.io/library/mirror-site:latest']],
    ['a digest', { [REF_NAME]: `team/app@sha256:${'a'.repeat(64)}` }, ['docker.io/team/app']],
    ['a tag and a digest', { [REF_NAME]: `team/app:1@sha256:${'a'.repeat(64)}` }, ['docker.io/team/app']],
    [
      "containerd's, before its tag",
      { [REF_NAME]: '3', [CONTAINERD_NAME]: 'docker.io/library/alpine:3' },
      ['docker.io/library/alpine:3'],
    ],
    ['what is no reference', { [REF_NAME]: 'Not A Reference:!' }, []],
    ['what climbs', { [REF_NAME]: '../../etc:1' }, []],
  ];
  test.each(rows)('%s', async (_name, annotations, names) => {
    expect(await namesOf(sourceOf([image('one', annotations)]))).toEqual(names);
  });

  test('none, of one among several: it has none here', async () => {
    expect(await namesOf(sourceOf([image('one'), image('two', { [REF_NAME]: '2' })]))).toEqual([
      'docker.io/library/mirror-site:2',
    ]);
  });

  test('the same twice is the first', async () => {
    const first = image('one', { [REF_NAME]: 'x:1' });
    const source = sourceOf([first, image('two', { [REF_NAME]: 'docker.io/library/x:1' })]);
    expect(await source.resolve('docker.io/library/x', '1')).toBe(first);
  });

  test('an unknown one is not there', async () => {
    const source = sourceOf([image('one', { [REF_NAME]: 'x:1' })]);
    expect(await source.resolve('docker.io/library/x', '2')).toBeUndefined();
    expect(await source.resolve('docker.io/library/y', '1')).toBeUndefined();
    expect(await source.tags('docker.io/library/y')).toBeUndefined();
  });

  const directories: [directory: string, repository: string][] = [
    ['/srv/demo', 'docker.io/library/demo'],
    ['/srv/demo/', 'docker.io/library/demo'],
    ['/srv/__Demo--Site!', 'docker.io/library/demo-site'],
    ['/srv/港', 'docker.io/library/image'],
    ['/', 'docker.io/library/image'],
  ];
  test.each(directories)('a bare tag in %s', async (directory, repository) => {
    expect(await sourceOf([image('one', { [REF_NAME]: '1' })], directory).repositories()).toEqual([
      repository,
    ]);
  });
});

test('what a repository holds is what is named so, and what has no name', async () => {
  const [named, other] = [image('one', { [REF_NAME]: 'x:1' }), image('two', { [REF_NAME]: 'y:1' })];
  const [byDigest, nameless] = [image('three', { [REF_NAME]: `x@sha256:${'a'.repeat(64)}` }), image('four')];
  const source = sourceOf([named, other, byDigest, nameless]);
  expect(await source.targets('docker.io/library/x')).toEqual([named, byDigest, nameless]);
  expect(await source.targets('docker.io/library/y')).toEqual([other, nameless]);
});

test('manifests and blobs that a layout holds by sha512 are had by it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-sha512-'));
  await mkdir(join(directory, 'blobs/sha512'), { recursive: true });
  const add = async (content: string, mediaType: string): Promise<Descriptor> => {
    const digest = digestOf(Buffer.from(content), 'sha512');
    await writeFile(join(directory, 'blobs', digest.replace(':', '/')), content);
    return { mediaType, digest, size: content.length };
  };
  const config = await add('{}', MEDIA_TYPES.ociConfig);
  const manifest = await add(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config,
      layers: [],
      subject: config,
    }),
    MEDIA_TYPES.ociManifest,
  );
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { [REF_NAME]: 'team/app:1' };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  await writeFile(join(directory, 'index.json'), JSON.stringify(index));

  const server = createRegistryServer({
    source: new LayoutSource(await OciLayout.open(directory), directory),
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const reported: unknown[] = [];
  for (const path of ['manifests/1', `manifests/${manifest.digest}`, `blobs/${config.digest}`]) {
    const { status, headers } = await ask(port, `/v2/team/app/${path}`);
    reported.push([status, headers['docker-content-digest']]);
  }
  const referrers = await ask(port, `/v2/team/app/referrers/${config.digest}`);
  await server.close();
  await rm(directory, { recursive: true });
  expect(reported).toEqual([manifest, manifest, config].map(({ digest }) => [200, digest]));
  expect(JSON.parse(referrers.body)).toMatchObject({ manifests: [{ digest: manifest.digest }] });
});
