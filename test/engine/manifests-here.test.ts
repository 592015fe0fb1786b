import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import type { BlobProvider } from '../../src/content/index.js';
import { manifestsHere } from '../../src/engine/image.js';
import { findLayer } from '../../src/transfer/find-layer.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';

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
    return Promise.resolve(
      Readable.from([this.#blobs.get(digest) ?? Buffer.alloc(0)], { objectMode: false }),
    );
  }

  path(): Promise<string> {
    return Promise.reject(new Error('not a file'));
  }
}

const LAYER = `sha256:${'1'.repeat(64)}` as Digest;
const NOT_THERE = `sha256:${'2'.repeat(64)}` as Digest;

/** An image, and five levels of indexes over it that each list what is below six times: 7776 ways to the one manifest. */
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
