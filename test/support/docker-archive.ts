import { createHash } from 'node:crypto';
import { archive, file } from './tar-builder.js';

export interface DockerArchiveImage {
  /** The bytes of each layer's file, and its path. */
  readonly layers: readonly { readonly path: string; readonly bytes: Buffer; readonly diffId: string }[];
  readonly tags?: readonly string[] | null;
  /** Default: the digest of the config, as Docker names it. */
  readonly configPath?: string;
  readonly config?: object;
  /** What the list says in place of the layers' paths, which then are not written. */
  readonly links?: readonly string[];
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** What Docker wrote before it wrote an OCI layout: a config and layers for each image, and their list. */
export function dockerArchive(images: readonly DockerArchiveImage[], more: readonly Buffer[] = []): Buffer {
  const files = new Map<string, Buffer>();
  const list = images.map(({ layers, tags, configPath, links, config = {} }) => {
    const bytes = Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
        ...config,
      }),
    );
    const path = configPath ?? `${sha256(bytes).slice('sha256:'.length)}.json`;
    files.set(path, bytes);
    if (links === undefined) for (const layer of layers) files.set(layer.path, layer.bytes);
    return { Config: path, RepoTags: tags ?? null, Layers: links ?? layers.map((layer) => layer.path) };
  });
  files.set('manifest.json', Buffer.from(JSON.stringify(list)));
  return archive(...[...files].map(([path, bytes]) => file(path, bytes)), ...more);
}
