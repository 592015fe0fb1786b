import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ImageRecipe } from '../../bench/contract.js';
import { ImageCache } from '../../bench/images/image-cache.js';
import { blobPath } from '../../bench/images/layout.js';
import { publish } from '../../bench/images/publish.js';
import { parseRequest, startRegistry } from '../../bench/registry.js';
import { needsPeer } from '../support/peers.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bench-layout-'));
});
afterEach(() => rm(directory, { recursive: true }));

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Two layers: the slow one first, though the other is ready before it. */
const TWO: ImageRecipe = {
  name: 'two',
  version: 1,
  async build(layout, scratch) {
    await mkdir(join(scratch, 'tree'));
    await writeFile(join(scratch, 'tree/file'), 'of the tree');
    await Promise.all([
      layout.addTar(Readable.from(slowly()), 'gzip'),
      layout.addTree(join(scratch, 'tree'), 'gzip'),
    ]);
  },
};

async function* slowly(): AsyncGenerator<Buffer> {
  yield Buffer.from('first, ');
  await new Promise((resolve) => setTimeout(resolve, 200));
  yield Buffer.from('and slow');
}

const cacheIn = (place: string): ImageCache => new ImageCache(join(place, 'cache'), place, () => undefined);

describe('an image of the benchmark', () => {
  it('has its layers in the order in which they were added, each under the digest of its bytes', async () => {
    const layout = await cacheIn(directory).layoutOf(TWO);
    expect(layout.layers).toHaveLength(2);
    for (const { digest, size, diffId, unpackedSize } of layout.layers) {
      const blob = await readFile(blobPath(layout.directory, digest));
      const tar = gunzipSync(blob);
      expect([sha256(blob), blob.length, sha256(tar), tar.length]).toEqual([
        digest,
        size,
        diffId,
        unpackedSize,
      ]);
    }
    expect(layout.layers[0]?.diffId).toBe(sha256(Buffer.from('first, and slow')));
  });

  it('is made once', async () => {
    const made = await cacheIn(directory).layoutOf(TWO);
    const builtAgain = { ...TWO, build: () => Promise.reject(new Error('made again')) };
    expect(await cacheIn(directory).layoutOf(builtAgain)).toEqual(made);
  });

  it('replaces an older version of it, and no other image', async () => {
    const cache = cacheIn(directory);
    await cache.layoutOf(TWO);
    await cache.layoutOf({ ...TWO, name: 'two-more' });
    await cache.layoutOf({ ...TWO, version: 2 });
    expect((await readdir(join(directory, 'cache'))).sort()).toEqual(['two-2', 'two-more-1']);
  });

  it.each([
    [
      'its recipe fails',
      { ...TWO, build: () => Promise.reject(new Error('no such package')) },
      'no such package',
    ],
    [
      'the files of a layer are not there',
      { ...TWO, build: (layout, scratch) => layout.addTree(join(scratch, 'missing'), 'gzip') },
      'ended with 2',
    ],
  ] satisfies [string, ImageRecipe, string][])('is not there where %s', async (_name, recipe, message) => {
    await expect(cacheIn(directory).layoutOf(recipe)).rejects.toThrow(message);
    expect(await readdir(directory)).toEqual(['cache']);
    expect(await readdir(join(directory, 'cache'))).toEqual([]);
  });
});

describe.skipIf(needsPeer('docker-registry') !== undefined)('a registry of the benchmark', () => {
  it('serves what was put into its storage, and tells what was asked of it', async () => {
    await using registry = await startRegistry(join(directory, 'registry'));
    const image = await publish(TWO, cacheIn(directory), registry);
    const url = `http://${registry.address}/v2/${image.repository}`;
    expect(await registry.takeRequests()).toEqual([]);

    const accept = { accept: 'application/vnd.oci.image.manifest.v1+json' };
    const manifest = await fetch(`${url}/manifests/1`, { headers: accept });
    expect(sha256(new Uint8Array(await manifest.arrayBuffer()))).toBe(image.manifest.digest);
    for (const { digest } of [...image.layers, image.config]) {
      const blob = await fetch(`${url}/blobs/${digest}`);
      expect(sha256(new Uint8Array(await blob.arrayBuffer()))).toBe(digest);
    }

    const sizes = [image.manifest, ...image.layers, image.config].map(({ size }) => size);
    const requests = await registry.takeRequests();
    expect(requests.map(({ method, status, bytes }) => [method, status, bytes])).toEqual(
      sizes.map((size) => ['GET', 200, size]),
    );
    expect(requests[0]?.path).toBe(`/v2/${image.repository}/manifests/1`);
    expect(await registry.takeRequests()).toEqual([]);
  });
});

describe('a line of the access log', () => {
  it.each([
    [
      '127.0.0.1 - - [25/Nov/2026:04:31:00 +0000] "HEAD /v2/a/manifests/1?n=1 HTTP/1.1" 404 96 "" "agent"',
      { method: 'HEAD', path: '/v2/a/manifests/1?n=1', status: 404, bytes: 96 },
    ],
    [
      '::1 - - [25/Nov/2026:04:31:00 +0000] "GET /v2/ HTTP/1.0" 200 - "" ""',
      { method: 'GET', path: '/v2/', status: 200, bytes: 0 },
    ],
    ['time="2026" level=info msg="GET /v2/ HTTP/1.1"', undefined],
  ])('%s', (line, request) => {
    expect(parseRequest(line)).toEqual(request);
  });
});
