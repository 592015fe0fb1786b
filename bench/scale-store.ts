import { chownSync, existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blobPath, type ManifestInfo } from '../src/content/index.js';
import type { Store } from '../src/engine/store.js';
import { integerOf, type Transaction } from '../src/metadata/index.js';
import { chainIds, type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../src/spec/index.js';
import { measureUsage } from '../src/unpack/snapshotters/measure-usage.js';
import { writeSnapshotFile } from '../src/unpack/snapshotters/snapshot-directories.js';
import type { Usage } from '../src/unpack/index.js';
import { FILE_TIME, layerOf, type SmallLayer } from './layer-of.js';

/** How large a store is to be. */
export interface StoreShape {
  readonly images: number;
  readonly blobs: number;
  readonly snapshots: number;
}

/** As `pull --all-platforms` leaves an image: all are here, the first is unpacked. */
const PLATFORMS = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'arm64' },
  { os: 'linux', architecture: 'arm', variant: 'v7' },
  { os: 'linux', architecture: 's390x' },
] as const;
/** Images that stand on the same lowest layers, and how many those are for each platform. */
const FAMILY = 20;
const BASE_LAYERS = 3;
/** An index, and a manifest and a config for each platform. */
const DOCUMENTS = 1 + 2 * PLATFORMS.length;

/** A manifest or a layer, and what is kept of it. */
interface Blob {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly source: string;
}

interface ManifestOfImage {
  readonly descriptor: Descriptor;
  readonly info: ManifestInfo;
  readonly layers: readonly SmallLayer[];
}

/**
 * Fills a store as pulls would, only faster: files are written without being synced, and rows many at a time.
 * Every manifest, layer and snapshot is what it would be, so that any check of the store finds it sound.
 *
 * Families of images share their lowest layers; what an image has for itself comes from the numbers asked
 * for. Snapshots are overlay's.
 */
export class ScaleStore {
  readonly #store: Store;
  readonly #shape: StoreShape;
  readonly #ownUnpacked: number;
  readonly #ownOther: number;
  #usage: Usage | undefined;

  constructor(store: Store, shape: StoreShape) {
    const families = Math.ceil(shape.images / FAMILY);
    this.#store = store;
    this.#shape = shape;
    this.#ownUnpacked = shape.snapshots - families * BASE_LAYERS;
    const bases = families * BASE_LAYERS * PLATFORMS.length;
    this.#ownOther = shape.blobs - shape.images * DOCUMENTS - bases - this.#ownUnpacked;
    if (this.#ownUnpacked < shape.images || this.#ownOther < shape.images * (PLATFORMS.length - 1)) {
      throw new Error('there are too few blobs or snapshots for so many images');
    }
  }

  /** The canonical name of an image. */
  nameOf(image: number): string {
    return `${repositoryOf(image)}:1.0`;
  }

  /** Writes images by their numbers, from 0; what is there already stays. */
  async write(images: readonly number[]): Promise<void> {
    for (let at = 0; at < images.length; at += FAMILY) await this.#writeSome(images.slice(at, at + FAMILY));
  }

  /** Takes names away and leaves the rest to a collection. */
  async forget(images: readonly number[]): Promise<void> {
    await this.#store.database.transaction(async (transaction) => {
      await transaction.run('DELETE FROM images WHERE name IN (SELECT value FROM json_each(?))', [
        JSON.stringify(images.map((image) => this.nameOf(image))),
      ]);
      await noteIndex(transaction);
    });
  }

  async #writeSome(images: readonly number[]): Promise<void> {
    const blobs: Blob[] = [];
    const info: ManifestInfo[] = [];
    const unpacked: SmallLayer[][] = [];
    const records: { name: string; target: Descriptor }[] = [];
    for (const image of images) {
      const source = repositoryOf(image);
      const manifests = PLATFORMS.map((_, platform) => this.#manifest(image, platform, blobs));
      const target = put(blobs, source, MEDIA_TYPES.ociIndex, {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociIndex,
        manifests: manifests.map(({ descriptor }) => descriptor),
      });
      const children = manifests.map(({ descriptor: { digest, size } }) => ({ digest, size }));
      const { digest, mediaType } = target;
      info.push({ digest, mediaType, children, chainIds: [] }, ...manifests.map((one) => one.info));
      unpacked.push([...(manifests[0]?.layers ?? [])]);
      records.push({ name: this.nameOf(image), target });
    }
    for (const { digest, bytes } of blobs) {
      const path = blobPath(this.#store.root, digest);
      if (!existsSync(path)) writeFileSync(path, bytes, { mode: 0o444 });
    }
    await this.#store.database.transaction(async (transaction) => {
      await insertBlobs(transaction, blobs);
      for (const layers of unpacked) await this.#unpack(transaction, layers);
      await insertImages(transaction, records);
    });
    await this.#store.manifests.put(info);
  }

  #manifest(image: number, at: number, blobs: Blob[]): ManifestOfImage {
    const source = repositoryOf(image);
    const platform = PLATFORMS[at] ?? PLATFORMS[0];
    const layers = this.#layerNames(image, at).map(layerOf);
    const diffIds = layers.map(({ diffId }) => diffId);
    for (const { digest, blob } of layers) blobs.push({ digest, bytes: blob, source });
    const config = put(blobs, source, MEDIA_TYPES.ociConfig, {
      ...platform,
      config: { Cmd: [`app-${image}`] },
      rootfs: { type: 'layers', diff_ids: diffIds },
    });
    const described = layers.map(({ digest, blob }) => ({
      mediaType: MEDIA_TYPES.ociLayerGzip,
      digest,
      size: blob.length,
    }));
    const descriptor = put(blobs, source, MEDIA_TYPES.ociManifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config,
      layers: described,
    });
    return {
      descriptor: { ...descriptor, platform },
      layers,
      info: {
        digest: descriptor.digest,
        mediaType: descriptor.mediaType,
        platform: [
          platform.os,
          platform.architecture,
          ...('variant' in platform ? [platform.variant] : []),
        ].join('/'),
        imageId: config.digest,
        children: [config, ...described].map(({ digest, size }) => ({ digest, size })),
        chainIds: chainIds(diffIds),
      },
    };
  }

  #layerNames(image: number, platform: number): string[] {
    const family = Math.floor(image / FAMILY);
    const others = PLATFORMS.length - 1;
    const own =
      platform === 0
        ? share(this.#ownUnpacked, this.#shape.images, image)
        : share(this.#ownOther, this.#shape.images * others, image * others + platform - 1);
    return [
      ...Array.from({ length: BASE_LAYERS }, (_, at) => `base-${family}-${platform}-${at}`),
      ...Array.from({ length: own }, (_, at) => `own-${image}-${platform}-${at}`),
    ];
  }

  /** The snapshots of an image's layers, where they are not here yet. */
  async #unpack(transaction: Transaction, layers: readonly SmallLayer[]): Promise<void> {
    const chain = chainIds(layers.map(({ diffId }) => diffId));
    let below: { number: number; chainId: Digest } | undefined;
    for (const [at, layer] of layers.entries()) {
      const chainId = chain[at] ?? layer.diffId;
      const known = await transaction.get(
        `SELECT snapshot_id FROM chains WHERE snapshotter = 'overlay' AND chain_id = ?`,
        [chainId],
      );
      const number: number =
        known === undefined
          ? await this.#snapshot(transaction, layer, chainId, below)
          : integerOf(known, 'snapshot_id');
      below = { number, chainId };
    }
  }

  async #snapshot(
    transaction: Transaction,
    layer: SmallLayer,
    chainId: Digest,
    below: { readonly number: number; readonly chainId: Digest } | undefined,
  ): Promise<number> {
    const now = Date.now();
    const { lastId: number } = await transaction.run(
      `INSERT INTO snapshots (snapshotter, name, kind, parent_id, created_at, updated_at)
       VALUES ('overlay', ?1, 'committed', ?2, ?3, ?3)`,
      [chainId, below?.number ?? null, now],
    );
    const directory = join(this.#store.root, 'snapshots', String(number));
    const content = join(directory, 'fs');
    mkdirSync(directory, { mode: 0o700 });
    mkdirSync(content, { mode: 0o755 });
    mkdirSync(join(directory, 'work'), { mode: 0o700 });
    const file = join(content, layer.name);
    writeFileSync(file, layer.content, { mode: 0o644 });
    if (process.geteuid?.() === 0) chownSync(file, 0, 0);
    utimesSync(file, FILE_TIME, FILE_TIME);
    const parent = below === undefined ? {} : { parent: below.chainId };
    await writeSnapshotFile(directory, { name: chainId, ...parent, chainId, diffId: layer.diffId });
    // All are alike.
    this.#usage ??= await measureUsage(content);
    await transaction.run('UPDATE snapshots SET bytes = ?, inodes = ? WHERE id = ?', [
      this.#usage.size,
      this.#usage.inodes,
      number,
    ]);
    await transaction.run(
      `INSERT INTO chains (snapshotter, chain_id, diff_id, snapshot_id) VALUES ('overlay', ?, ?, ?)`,
      [chainId, layer.diffId, number],
    );
    return number;
  }
}

function repositoryOf(image: number): string {
  return `registry.example/family-${Math.floor(image / FAMILY)}/app-${image}`;
}

/** The part that one of several takes of a whole, so that all parts together are the whole. */
function share(whole: number, parts: number, part: number): number {
  return Math.floor(((part + 1) * whole) / parts) - Math.floor((part * whole) / parts);
}

function put(blobs: Blob[], source: string, mediaType: string, document: object): Descriptor {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOf(bytes);
  blobs.push({ digest, bytes, source });
  return { mediaType, digest, size: bytes.length };
}

async function insertBlobs(transaction: Transaction, blobs: readonly Blob[]): Promise<void> {
  await transaction.run(
    `INSERT OR IGNORE INTO blobs (digest, size, created_at, source)
     SELECT value ->> 0, value ->> 1, ?, value ->> 2 FROM json_each(?)`,
    [Date.now(), JSON.stringify(blobs.map(({ digest, bytes, source }) => [digest, bytes.length, source]))],
  );
}

async function insertImages(
  transaction: Transaction,
  images: readonly { readonly name: string; readonly target: Descriptor }[],
): Promise<void> {
  await transaction.run(
    `INSERT OR IGNORE INTO images (name, digest, media_type, size, target, created_at, updated_at, used_at)
     SELECT value ->> 'name', value ->> '$.target.digest', value ->> '$.target.mediaType',
       value ->> '$.target.size', value -> 'target', ?1, ?1, ?1 FROM json_each(?2)`,
    [Date.now(), JSON.stringify(images)],
  );
  await noteIndex(transaction);
}

/** So that whoever opens the store next writes `index.json` anew. */
async function noteIndex(transaction: Transaction): Promise<void> {
  await transaction.run(
    `INSERT INTO pending (task, token) VALUES ('index.json', 1) ON CONFLICT (task) DO UPDATE SET token = token + 1`,
  );
}
