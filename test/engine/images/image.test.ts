import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { BlobProvider } from '../../../src/content/index.js';
import { ContentError } from '../../../src/errors.js';
import { loadImage, manifestsHere } from '../../../src/engine/images/image.js';
import { findLayer } from '../../../src/transfer/find-layer.js';
import {
  type Descriptor,
  type Digest,
  digestOf,
  formatPlatform,
  hostPlatform,
  MEDIA_TYPES,
  parsePlatform,
} from '../../../src/spec/index.js';
import { failure } from '../../support/registry-fixture.js';

/** Blobs in memory, and how often one was read. */
class Blobs implements BlobProvider {
  reads = 0;
  readonly #blobs = new Map<Digest, Buffer>();

  add(mediaType: string, value: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  info(digest: Digest): ReturnType<BlobProvider['info']> {
    const size = this.#blobs.get(digest)?.length;
    return Promise.resolve(
      size === undefined ? undefined : { digest, size, createdAt: new Date(0), labels: {} },
    );
  }

  open({ digest }: Descriptor): Promise<Readable> {
    this.reads += 1;
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) return Promise.reject(new ContentError('BLOB_NOT_FOUND', `no ${digest}`));
    return Promise.resolve(Readable.from([bytes], { objectMode: false }));
  }

  path(): Promise<string> {
    return Promise.reject(new Error('not a file'));
  }
}

const LAYER = `sha256:${'1'.repeat(64)}` as Digest;
const NOT_THERE = `sha256:${'2'.repeat(64)}` as Digest;

/**
 * An image, and five levels of indexes over it that each list what is below six times: 7776 ways to the one
 * manifest.
 */
function manyWays(blobs: Blobs): Descriptor {
  const config = blobs.add(MEDIA_TYPES.ociConfig, {
    ...{ os: 'linux', architecture: 's390x' },
    rootfs: { type: 'layers', diff_ids: [LAYER] },
  });
  const layers = [{ mediaType: MEDIA_TYPES.ociLayer, digest: LAYER, size: 1 }];
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers };
  let top = blobs.add(MEDIA_TYPES.ociManifest, manifest);
  for (let level = 0; level < 5; level += 1) {
    const manifests = Array.from({ length: 6 }, () => top);
    top = blobs.add(MEDIA_TYPES.ociIndex, { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests });
  }
  return top;
}

test('a manifest that many indexes list is read, and told of, once', async () => {
  const blobs = new Blobs();
  const here = await manifestsHere(blobs, manyWays(blobs));
  expect(here.map(({ platform }) => platform.architecture)).toEqual(['s390x']);
  expect(blobs.reads).toBe(7);
});

test.each([
  ['that is there', LAYER],
  ['that is not there', NOT_THERE],
])('a layer %s is looked for in each document once', async (_, digest) => {
  const blobs = new Blobs();
  const found = await findLayer(blobs, manyWays(blobs), digest);
  expect(found?.descriptor.digest).toBe(digest === LAYER ? LAYER : undefined);
  expect(blobs.reads).toBe(7);
});

/**
 * An index of images of which some are here. `-` before a platform: its manifest is not; `~`: the index does
 * not say it.
 */
function indexOf(blobs: Blobs, entries: readonly string[]): Descriptor {
  const manifests = entries.map((entry) => {
    const [, marks = '', text = ''] = /^([-~]*)(.*)$/.exec(entry) ?? [];
    const [os = '', architecture = '', variant] = text.split('/');
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
    const said = { ...platform, note: entry };
    const place = marks.includes('-') ? new Blobs() : blobs;
    const config = place.add(MEDIA_TYPES.ociConfig, { ...said, rootfs: { type: 'layers', diff_ids: [] } });
    const manifestOrIndex = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] };
    const manifest = place.add(MEDIA_TYPES.ociManifest, manifestOrIndex);
    return marks.includes('~') ? manifest : { ...manifest, platform };
  });
  return blobs.add(MEDIA_TYPES.ociIndex, { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests });
}

// These rows are of a machine that runs programs of 386 and amd64.
describe.skipIf(formatPlatform(hostPlatform()) !== 'linux/amd64')('an image is read', () => {
  test.each<[name: string, entries: readonly string[], platform: string | undefined, chosen: number]>([
    ['for this machine', ['linux/386', 'linux/arm64', 'linux/amd64'], undefined, 2],
    ['for what is here, which this machine can run', ['-linux/amd64', 'linux/386'], undefined, 1],
    ['for the only one that is here', ['-linux/amd64', 'linux/s390x', '-linux/arm64'], undefined, 1],
    ['for the closest of what is here', ['linux/s390x', '-linux/amd64', 'linux/386'], undefined, 2],
    ['for what its config says alone', ['-~linux/amd64', '~linux/arm64', '~linux/386'], undefined, 2],
    ['for the one that is named', ['linux/amd64', 'linux/386'], 'linux/386', 1],
    ['for the level that is named', ['linux/arm/v7', 'linux/arm/v6'], 'linux/arm/v6', 1],
    ['for the one that is named, as its config says', ['-~linux/amd64', '~linux/arm64'], 'linux/arm64', 1],
  ])('%s', async (_, entries, platform, chosen) => {
    const blobs = new Blobs();
    const target = indexOf(blobs, entries);
    const wanted = platform === undefined ? undefined : parsePlatform(platform);
    const { config } = await loadImage(blobs, target, wanted);
    expect(config).toMatchObject({ note: entries[chosen] });
  });

  test.each<[name: string, entries: readonly string[], platform: string | undefined, error: object]>([
    [
      'for one that is named and not here, though this machine could run another',
      ['-linux/amd64', 'linux/386'],
      'linux/amd64',
      {
        code: 'BLOB_NOT_FOUND',
        message: 'the image for linux/amd64 is not here; here it is for: linux/386',
        hint: 'Choose one that is here, --platform linux/386, or pull it with --platform linux/amd64.',
      },
    ],
    [
      'for one of several that are here, none of them for this machine',
      ['-linux/arm64', 'linux/s390x', 'linux/ppc64le', 'unknown/unknown'],
      undefined,
      { code: 'NO_MATCHING_PLATFORM', details: { available: ['linux/s390x', 'linux/ppc64le'] } },
    ],
    ['where nothing of it is here', ['-linux/amd64'], undefined, { code: 'BLOB_NOT_FOUND' }],
  ])('but not %s', async (_, entries, platform, error) => {
    const blobs = new Blobs();
    const target = indexOf(blobs, entries);
    const wanted = platform === undefined ? undefined : parsePlatform(platform);
    expect(await failure(loadImage(blobs, target, wanted))).toMatchObject(error);
  });

  test('but not an artifact, which is called what it is', async () => {
    const blobs = new Blobs();
    const config = blobs.add(MEDIA_TYPES.ociEmpty, {});
    const artifact = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] };
    const target = blobs.add(MEDIA_TYPES.ociManifest, artifact);
    expect(await failure(loadImage(blobs, target))).toMatchObject({
      code: 'UNSUPPORTED_MEDIA_TYPE',
      message: `${target.digest} is an artifact (config ${MEDIA_TYPES.ociEmpty}), not a container image`,
    });
  });
});
