import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';

import tar from 'tar-stream';
import { compress as zstd } from 'zstd-napi';

import {
  type ContainerConfig,
  type Descriptor,
  digestOf,
  MEDIA_TYPES,
  type Digest,
} from '../../src/spec/index.js';

/**
 * One entry of a layer: a file with this content; a directory when the path ends in a slash; a link when it
 * has a target.
 */
export interface TinyEntry {
  path: string;
  content?: string | Uint8Array;
  link?: string;
  mode?: number;
}

export interface TinyLayoutOptions {
  /** The `org.opencontainers.image.ref.name`; default `latest`. */
  tag?: string;
  /** Lowest layer first, by its entries or as an archive; default two small ones. */
  layers?: readonly (readonly TinyEntry[] | Buffer)[];
  /** Default `gzip`. */
  compression?: 'none' | 'gzip' | 'zstd' | undefined;
  /**
   * `os/architecture`. One makes a plain manifest, several an index with one manifest each. Default
   * `linux/amd64`.
   */
  platforms?: readonly string[];
  /** The index leaves platforms out, so that only the configs say them. */
  silent?: boolean;
  /** Docker schema 2 media types instead of OCI's. */
  docker?: boolean;
  /** How to run it: the `config` of the image's config. */
  config?: ContainerConfig;
}

export interface TinyManifest {
  platform: string;
  manifest: Descriptor;
  config: Descriptor;
  layers: Descriptor[];
  diffIds: Digest[];
}

export interface TinyLayout {
  dir: string;
  tag: string;
  /** What index.json names: the manifest, or the index of several. */
  target: Descriptor;
  manifests: [TinyManifest, ...TinyManifest[]];
  /** Every blob by digest. */
  blobs: ReadonlyMap<Digest, Buffer>;
}

const DEFAULT_LAYERS: readonly (readonly TinyEntry[])[] = [
  [
    { path: 'etc/' },
    { path: 'etc/harbour', content: 'calm\n' },
    { path: 'etc/port', link: 'harbour' },
    { path: 'bin/' },
    { path: 'bin/hail', content: '#!/bin/sh\necho ahoy\n', mode: 0o755 },
  ],
  [{ path: 'etc/' }, { path: 'etc/.wh.port' }, { path: 'etc/manifest', content: 'ropes\n' }],
];

/** Writes an OCI layout with one small image into `dir`, the same bytes for the same options. */
export async function makeTinyLayout(dir: string, options: TinyLayoutOptions = {}): Promise<TinyLayout> {
  const tag = options.tag ?? 'latest';
  const blobs = new Map<Digest, Buffer>();
  const [first, ...others] = options.platforms ?? ['linux/amd64'];
  const manifests: TinyLayout['manifests'] = [await makeManifest(first ?? 'linux/amd64', options, blobs)];
  for (const platform of others) manifests.push(await makeManifest(platform, options, blobs));
  const target =
    manifests.length === 1
      ? manifests[0].manifest
      : addJson(blobs, options.docker === true ? MEDIA_TYPES.dockerList : MEDIA_TYPES.ociIndex, {
          manifests: manifests.map(({ manifest, platform }) => ({
            ...manifest,
            ...(options.silent === true ? {} : { platform: platformObject(platform) }),
          })),
        });
  await writeLayout(dir, tag, target, blobs);
  return { dir, tag, target, manifests, blobs };
}

async function makeManifest(
  platform: string,
  options: TinyLayoutOptions,
  blobs: Map<Digest, Buffer>,
): Promise<TinyManifest> {
  const docker = options.docker === true;
  const layers: Descriptor[] = [];
  const diffIds: Digest[] = [];
  for (const entries of options.layers ?? DEFAULT_LAYERS) {
    const archive = Buffer.isBuffer(entries) ? entries : await makeTar(entries);
    diffIds.push(digestOf(archive));
    layers.push(addBlob(blobs, ...compressed(archive, options.compression ?? 'gzip', docker)));
  }
  const config = addJson(
    blobs,
    docker ? MEDIA_TYPES.dockerConfig : MEDIA_TYPES.ociConfig,
    {
      created: '2001-02-03T04:05:06Z',
      ...platformObject(platform),
      config: options.config ?? { Env: ['PATH=/bin'], Cmd: ['/bin/hail'] },
      rootfs: { type: 'layers', diff_ids: diffIds },
    },
    false,
  );
  const type = docker ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.ociManifest;
  return { platform, manifest: addJson(blobs, type, { config, layers }), config, layers, diffIds };
}

function platformObject(platform: string): { os: string; architecture: string; variant?: string } {
  const [os = '', architecture = '', variant] = platform.split('/');
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** A tar of these entries, owned by root and dated to one moment. */
export async function makeTar(entries: readonly TinyEntry[]): Promise<Buffer> {
  const pack = tar.pack();
  const mtime = new Date('2001-02-03T04:05:06Z');
  for (const { path, content, link, mode } of entries) {
    if (link !== undefined) pack.entry({ name: path, type: 'symlink', linkname: link, mtime });
    else if (path.endsWith('/')) pack.entry({ name: path, type: 'directory', mode: mode ?? 0o755, mtime });
    else pack.entry({ name: path, mode: mode ?? 0o644, mtime }, Buffer.from(content ?? ''));
  }
  pack.finalize();
  return await buffer(pack);
}

function compressed(
  archive: Buffer,
  compression: 'none' | 'gzip' | 'zstd',
  docker: boolean,
): [mediaType: string, bytes: Buffer] {
  switch (compression) {
    case 'none':
      return [docker ? MEDIA_TYPES.dockerLayer : MEDIA_TYPES.ociLayer, archive];
    case 'gzip':
      return [docker ? MEDIA_TYPES.dockerLayerGzip : MEDIA_TYPES.ociLayerGzip, gzipSync(archive)];
    case 'zstd':
      return [docker ? MEDIA_TYPES.dockerLayerZstd : MEDIA_TYPES.ociLayerZstd, zstd(archive)];
  }
}

function addBlob(blobs: Map<Digest, Buffer>, mediaType: string, bytes: Buffer): Descriptor {
  const digest = digestOf(bytes);
  blobs.set(digest, bytes);
  return { mediaType, digest, size: bytes.length };
}

function addJson(
  blobs: Map<Digest, Buffer>,
  mediaType: string,
  document: object,
  versioned = true,
): Descriptor {
  const whole = versioned ? { schemaVersion: 2, mediaType, ...document } : document;
  return addBlob(blobs, mediaType, Buffer.from(JSON.stringify(whole)));
}

async function writeLayout(
  dir: string,
  tag: string,
  target: Descriptor,
  blobs: ReadonlyMap<Digest, Buffer>,
): Promise<void> {
  await mkdir(join(dir, 'blobs/sha256'), { recursive: true });
  for (const [digest, bytes] of blobs) await writeFile(join(dir, 'blobs', digest.replace(':', '/')), bytes);
  await writeFile(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  await writeFile(
    join(dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...target, annotations }] }),
  );
}
