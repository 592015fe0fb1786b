import { describe, expect, it } from 'vitest';
import type { ReadManifestBytes } from '../../../src/engine/images/read-manifest.js';
import {
  type ManifestPath,
  pathsToAll,
  pathTo,
  pathToPlatform,
} from '../../../src/engine/trust/manifest-paths.js';
import {
  type Descriptor,
  digestOf,
  LIMITS,
  MEDIA_TYPES,
  parsePlatform,
  type Platform,
} from '../../../src/spec/index.js';
import { failure } from '../../support/registry-fixture.js';

const blobs = new Map<string, Buffer>();
const read: ReadManifestBytes = (descriptor) => {
  const bytes = blobs.get(descriptor.digest);
  return bytes === undefined ? Promise.reject(new Error('not asked for')) : Promise.resolve(bytes);
};

function put(mediaType: string, manifestOrIndex: object): Descriptor {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...manifestOrIndex }));
  const digest = digestOf(bytes);
  blobs.set(digest, bytes);
  return { mediaType, digest, size: bytes.length };
}

/** Of which nothing is read: its descriptor says what it is for. */
function manifest(platform: string): Descriptor & { platform: Platform } {
  const bytes = Buffer.from(platform);
  return {
    mediaType: MEDIA_TYPES.ociManifest,
    digest: digestOf(bytes),
    size: bytes.length,
    platform: parsePlatform(platform),
  };
}

const index = (...manifests: Descriptor[]): Descriptor => put(MEDIA_TYPES.ociIndex, { manifests });
const digests = (paths: readonly ManifestPath[]): string[][] =>
  paths.map((path) => path.map(({ digest }) => digest));

const amd64 = manifest('linux/amd64');
const arm64 = manifest('linux/arm64');

describe('the paths to the manifests of an image', () => {
  it('are one of one step for a plain manifest, of which nothing is read', async () => {
    expect(digests(await pathToPlatform(amd64.platform)(amd64, read))).toEqual([[amd64.digest]]);
    expect(digests(await pathsToAll(amd64, read))).toEqual([[amd64.digest]]);
  });

  it('lead through an index, and through those in it', async () => {
    const inner = index(arm64, amd64);
    const outer = index(inner);
    expect(digests(await pathToPlatform(amd64.platform)(outer, read))).toEqual([
      [outer.digest, inner.digest, amd64.digest],
    ]);
    expect(digests(await pathsToAll(outer, read))).toEqual([
      [outer.digest, inner.digest, arm64.digest],
      [outer.digest, inner.digest, amd64.digest],
    ]);
  });

  it('are each once, however often a manifest is listed', async () => {
    const twice = index(amd64, amd64, index(amd64));
    expect(await pathsToAll(twice, read)).toHaveLength(1);
  });

  it('lead to an index that lists none', async () => {
    const empty = index();
    const outer = index(empty, amd64);
    expect(digests(await pathsToAll(empty, read))).toEqual([[empty.digest]]);
    expect(digests(await pathsToAll(outer, read))).toEqual([
      [outer.digest, empty.digest],
      [outer.digest, amd64.digest],
    ]);
  });

  it('of a manifest that no index lists are itself', async () => {
    const other = index(arm64);
    expect(digests(await pathTo(amd64)(other, read))).toEqual([[amd64.digest]]);
    expect(digests(await pathTo(arm64)(other, read))).toEqual([[other.digest, arm64.digest]]);
  });

  it.each([
    [
      'a platform that is not there',
      () => pathToPlatform(amd64.platform)(index(arm64), read),
      'NO_MATCHING_PLATFORM',
    ],
    [
      'what is called an index and is none',
      () =>
        pathsToAll(
          { ...put(MEDIA_TYPES.ociManifest, { config: amd64, layers: [] }), mediaType: MEDIA_TYPES.ociIndex },
          read,
        ),
      'INVALID_MANIFEST',
    ],
  ])('%s is an error', async (_, find, code) => {
    expect((await failure(find())).code).toBe(code);
  });

  it('end where indexes are nested too deep', async () => {
    let nested = index(amd64);
    for (let depth = 0; depth < LIMITS.indexDepth + 1; depth += 1) nested = index(nested);
    expect((await failure(pathsToAll(nested, read))).code).toBe('LIMIT_EXCEEDED');
    expect((await failure(pathToPlatform(amd64.platform)(nested, read))).code).toBe('LIMIT_EXCEEDED');
  });
});
