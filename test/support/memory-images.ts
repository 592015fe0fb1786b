import { type Descriptor, MEDIA_TYPES, type Platform } from '../../src/spec/index.js';
import type { MemoryRepository } from './memory-transport.js';

export const AMD64: Platform = { os: 'linux', architecture: 'amd64' };
export const ARM64: Platform = { os: 'linux', architecture: 'arm64' };
export const S390X: Platform = { os: 'linux', architecture: 's390x' };

export interface MemoryImageOptions {
  readonly tag?: string;
  /** One layer each. */
  readonly layers?: readonly string[];
  readonly platform?: Platform;
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly created?: string;
}

/** Puts an image whose layers are these texts into a repository; what it consists of is there before it. */
export function addImage(repository: MemoryRepository, options: MemoryImageOptions = {}): Descriptor {
  const { tag, layers = ['a layer'], platform = AMD64, subject, artifactType, created } = options;
  const config = repository.add(
    MEDIA_TYPES.ociConfig,
    json({
      ...platform,
      ...(created === undefined ? {} : { created }),
      rootfs: { type: 'layers', diff_ids: [] },
    }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    ...(artifactType === undefined ? {} : { artifactType }),
    config,
    layers: layers.map((text) => repository.add(MEDIA_TYPES.ociLayer, Buffer.from(text))),
    ...(subject === undefined ? {} : { subject }),
  };
  return repository.add(MEDIA_TYPES.ociManifest, json(manifest), tag);
}

/** An index of manifests that are there, each with its platform or without. */
export function addIndex(
  repository: MemoryRepository,
  entries: readonly (readonly [Descriptor, Platform?, Record<string, string>?])[],
  tag?: string,
): Descriptor {
  const manifests = entries.map(([descriptor, platform, annotations]) => ({
    ...descriptor,
    ...(platform === undefined ? {} : { platform }),
    ...(annotations === undefined ? {} : { annotations }),
  }));
  return repository.add(
    MEDIA_TYPES.ociIndex,
    json({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }),
    tag,
  );
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
