import { createHash, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { link, mkdir, rename, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pLimit from 'p-limit';
import { outputOf } from '../bound-process.js';
import type { ImageRecipe, LayerCompression, LayoutWriter, PublishedLayer } from '../contract.js';

/** A blob that a manifest names. */
export interface Blob {
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
}

/** An image as it lies in an OCI layout, tagged {@link TAG}. */
export interface ImageLayout {
  readonly directory: string;
  readonly manifest: Blob;
  readonly config: Blob;
  readonly layers: readonly PublishedLayer[];
}

export const TAG = '1';

/** What {@link ImageLayout} is without its place, as it is kept beside the layout. */
export type LayoutInfo = Omit<ImageLayout, 'directory'>;

const COMPRESSORS: Readonly<Record<LayerCompression, readonly [command: string, ...args: string[]]>> = {
  gzip: ['gzip', '-6', '-n', '-c'],
  zstd: ['zstd', '-3', '-q', '-c'],
};
const DECOMPRESSORS: Readonly<Record<string, readonly [command: string, ...args: string[]]>> = {
  'application/vnd.oci.image.layer.v1.tar+gzip': ['gzip', '-d', '-c'],
  'application/vnd.oci.image.layer.v1.tar+zstd': ['zstd', '-d', '-q', '-c'],
};

/** Writes an image into a new OCI layout (image-spec: image-layout.md). */
export class NewLayout implements LayoutWriter {
  readonly #directory: string;
  readonly #layoutOf: (recipe: ImageRecipe) => Promise<ImageLayout>;
  readonly #layers: Promise<PublishedLayer>[] = [];
  /** Compressing is what takes long: one at a time for each core. */
  readonly #limit = pLimit(availableParallelism());
  #partials = 0;

  /** @param layoutOf gives the layouts of other images, which must lie on the same file system. */
  constructor(directory: string, layoutOf: (recipe: ImageRecipe) => Promise<ImageLayout>) {
    this.#directory = directory;
    this.#layoutOf = layoutOf;
  }

  addTree(directory: string, compression: LayerCompression): Promise<void> {
    const args = ['--create', '--sort=name', '--numeric-owner', '--owner=0', '--group=0'];
    return this.#add(() =>
      this.#compress(outputOf('tar', [...args, '-C', directory, '-f', '-', '.']), compression),
    );
  }

  addTar(tar: Readable, compression: LayerCompression): Promise<void> {
    return this.#add(() => this.#compress(tar, compression));
  }

  addLayerOf(recipe: ImageRecipe, index: number): Promise<void> {
    return this.#add(async () => {
      const { layer, path } = await this.#layerOf(recipe, index);
      await mkdir(blobsOf(this.#directory), { recursive: true });
      await link(path, blobPath(this.#directory, layer.digest));
      return layer;
    });
  }

  recompressLayerOf(recipe: ImageRecipe, index: number, compression: LayerCompression): Promise<void> {
    return this.#add(async () => {
      const { layer, path } = await this.#layerOf(recipe, index);
      const [command, ...args] = DECOMPRESSORS[layer.mediaType] ?? ['cat'];
      return this.#compress(outputOf(command, [...args, path]), compression);
    });
  }

  async layersOf(recipe: ImageRecipe): Promise<number> {
    return (await this.#layoutOf(recipe)).layers.length;
  }

  /** Writes config, manifest and index when all layers are there. */
  async commit(architecture: string): Promise<LayoutInfo> {
    const layers = await Promise.all(this.#layers);
    const config = await this.#put({
      architecture,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    });
    const manifest = await this.#put({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    });
    const described = {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      ...manifest,
      annotations: { 'org.opencontainers.image.ref.name': TAG },
    };
    const place = (name: string): string => join(this.#directory, name);
    await writeFile(place('oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    await writeFile(place('index.json'), JSON.stringify({ schemaVersion: 2, manifests: [described] }));
    return { manifest, config, layers };
  }

  /** The order of layers is that of the calls, whichever is ready first. */
  async #add(make: () => Promise<PublishedLayer>): Promise<void> {
    const layer = this.#limit(make);
    this.#layers.push(layer);
    await layer;
  }

  async #layerOf(recipe: ImageRecipe, index: number): Promise<{ layer: PublishedLayer; path: string }> {
    const layout = await this.#layoutOf(recipe);
    const layer = layout.layers[index];
    if (layer === undefined) throw new Error(`${recipe.name} has no layer ${index}`);
    return { layer, path: blobPath(layout.directory, layer.digest) };
  }

  async #compress(tar: Readable, compression: LayerCompression): Promise<PublishedLayer> {
    await mkdir(blobsOf(this.#directory), { recursive: true });
    this.#partials += 1;
    const partial = join(this.#directory, `partial-${this.#partials}`);
    const [command, ...args] = COMPRESSORS[compression];
    const plain = new Tally();
    const compressed = new Tally();
    // Where reading fails, so does all that comes after it.
    pipeline(tar, plain).catch(() => undefined);
    await pipeline(outputOf(command, args, plain), compressed, createWriteStream(partial));
    const { digest, size } = compressed.total();
    await rename(partial, blobPath(this.#directory, digest));
    const { digest: diffId, size: unpackedSize } = plain.total();
    const mediaType = `application/vnd.oci.image.layer.v1.tar+${compression}`;
    return { mediaType, digest, size, diffId, unpackedSize };
  }

  async #put(document: object): Promise<Blob> {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = digestOf(createHash('sha256').update(bytes));
    await mkdir(blobsOf(this.#directory), { recursive: true });
    await writeFile(blobPath(this.#directory, digest), bytes);
    return { digest, size: bytes.length };
  }
}

/** Passes bytes on, and counts and digests them. */
class Tally extends Transform {
  readonly #hash = createHash('sha256');
  #size = 0;

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    this.#hash.update(chunk);
    this.#size += chunk.length;
    done(null, chunk);
  }

  /** Of all that went through, when that has ended. */
  total(): Blob {
    return { digest: digestOf(this.#hash), size: this.#size };
  }
}

const blobsOf = (layout: string): string => join(layout, 'blobs/sha256');
const digestOf = (hash: Hash): string => `sha256:${hash.digest('hex')}`;

/** Where a blob of a layout lies. */
export function blobPath(layout: string, digest: string): string {
  return join(layout, 'blobs', ...digest.split(':'));
}
