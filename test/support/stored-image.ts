import { recordManifests } from '../../src/engine/images/image.js';
import type { Store } from '../../src/engine/store.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { makeTar } from './tiny-image.js';

export interface StoredImageOptions {
  /** One text for each layer, which is its only file's content and name: equal texts are the same layer. */
  readonly layers?: readonly string[];
  /** Makes snapshots of the layers. Default false. */
  readonly unpack?: boolean;
  /** What it refers to. */
  readonly subject?: Descriptor;
  /** An artifact's config has another type. */
  readonly configType?: string;
  /** Default true. */
  readonly record?: boolean;
}

export interface StoredImage {
  readonly target: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
}

/** Puts content into a store as a pull would, without a registry. */
export async function putBlob(store: Store, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  await using writer = await store.content.ingest(descriptor);
  if (writer !== undefined) {
    await writer.write(0, bytes);
    await writer.commit();
  }
  return descriptor;
}

export async function putJson(store: Store, mediaType: string, document: object): Promise<Descriptor> {
  return putBlob(store, mediaType, Buffer.from(JSON.stringify(document)));
}

/** Puts an image, and gives it a name where there is one. */
export async function putImage(
  store: Store,
  name: string | undefined,
  options: StoredImageOptions = {},
): Promise<StoredImage> {
  const layers: Descriptor[] = [];
  const diffIds: Digest[] = [];
  for (const text of options.layers ?? ['one']) {
    const archive = await makeTar([{ path: text, content: text.repeat(2000) }]);
    diffIds.push(digestOf(archive));
    layers.push(await putBlob(store, MEDIA_TYPES.ociLayer, archive));
  }
  const config = await putJson(store, options.configType ?? MEDIA_TYPES.ociConfig, {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: diffIds },
  });
  const target = await putJson(store, MEDIA_TYPES.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config,
    layers,
    ...(options.subject === undefined ? {} : { subject: options.subject }),
  });
  if (options.unpack === true) await unpack(store, layers, diffIds);
  if (options.record !== false) await recordManifests(store, target);
  if (name !== undefined) await store.images.put({ name, target });
  return { target, config, layers, diffIds };
}

/** Puts an index of manifests that are here. */
export async function putIndex(
  store: Store,
  name: string | undefined,
  manifests: readonly Descriptor[],
): Promise<Descriptor> {
  const target = await putJson(store, MEDIA_TYPES.ociIndex, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests,
  });
  await recordManifests(store, target);
  if (name !== undefined) await store.images.put({ name, target });
  return target;
}

async function unpack(
  store: Store,
  layers: readonly Descriptor[],
  diffIds: readonly Digest[],
): Promise<void> {
  await store.unpacker.unpack(
    layers.flatMap((descriptor, i) => {
      const diffId = diffIds[i];
      const open = async (): Promise<{ path: string; verified: Promise<void> }> => ({
        path: await store.content.path(descriptor.digest),
        verified: Promise.resolve(),
      });
      return diffId === undefined ? [] : [{ descriptor, diffId, open }];
    }),
  );
}
