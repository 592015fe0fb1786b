import { type BlobProvider, type Lease, OciLayout } from '../../content/index.js';
import type { UnpackImageOptions } from '../../engine/files/unpack.js';
import { noteDiscarded } from '../../engine/images/layer-blobs.js';
import { resolveImage, touchImage } from '../../engine/images/names.js';
import { type LoadedImage, loadImage } from '../../engine/images/image.js';
import { fromUnpackEvent, type PullEvent, type PullEventBody } from '../../engine/pull/pull-report.js';
import { restoreBlobs } from '../../engine/pull/restore-blobs.js';
import type { Store } from '../../engine/store.js';
import { type Descriptor, parsePlatform, parseReference } from '../../spec/index.js';
import type { GovernedImage } from '../../transfer/transports/destination.js';
import { type OmittedDevice, requireInflate, type UnpackEvent, WorkerPool } from '../../unpack/index.js';
import { countOf } from '../format/text.js';
import type { CommandContext } from '../output/command-context.js';
import { openProgressDisplay } from '../progress/progress-display.js';
import { openRegistry } from './open-registry.js';
import { parseSourceName } from './source-name.js';
import { policyOf, withStore } from './with-store.js';

/** The image as a command that reads its layers gets it. */
export type LocalImage = Omit<UnpackImageOptions, 'directory' | 'ownership' | 'devices'>;

export interface LocalImageResult<T> {
  /** Canonical in the store, as it was typed in a layout. */
  readonly name: string;
  readonly done: T;
  /** Device nodes that could not be made here. */
  readonly omittedDevices: readonly OmittedDevice[];
}

/**
 * Opens an image of the store, or `oci:DIR[:TAG]`, for as long as a function reads its layers. Meanwhile
 * progress is shown and warnings are told; layers of the store are kept from being collected, and fetched
 * again where they were dropped once they were snapshots.
 */
export async function withLocalImage<T>(
  sourceName: string,
  platformName: string | undefined,
  context: CommandContext,
  use: (image: LocalImage) => Promise<T>,
): Promise<LocalImageResult<T>> {
  const platform = platformName === undefined ? undefined : parsePlatform(platformName);
  const { signal, settings } = context;
  const omittedDevices: OmittedDevice[] = [];
  const policy = await policyOf(context);
  return withSource(sourceName, context, async ({ name, content, target, store, pool, governed }) => {
    const image = await loadImage(content, target, platform);
    if (policy !== undefined) {
      const { admitUse } = await import('../../engine/trust/admit-image.js');
      const { image: named, signatures: sources } = await governed();
      const manifest = image.manifestDescriptor;
      await admitUse({ policy, image: named, target, manifest, content, sources, store, signal });
    }
    const display = await openProgressDisplay(context, { unpack: true });
    try {
      const onEvent = unpackEvents(name, image, (event) => {
        if (event.type === 'warning') context.log.warn(event.message);
        if (event.type === 'omitted') omittedDevices.push(...event.devices);
        display.show(event);
      });
      // Before a layer is fetched again in vain.
      requireInflate(settings.inflate);
      await using lease = await store?.leases.create();
      if (store !== undefined && lease !== undefined) await retainLayers(store, image, lease, context);
      const { limits, inflate } = settings;
      const done = await use({ content, target, platform, pool, limits, inflate, signal, onEvent });
      if (store !== undefined) await touchImage(store, name);
      return { name, done, omittedDevices };
    } finally {
      display.finish();
    }
  });
}

/**
 * Keeps the layers from being collected meanwhile, and fetches again those that were dropped once they were
 * snapshots.
 */
async function retainLayers(
  store: Store,
  image: LoadedImage,
  lease: Lease,
  context: CommandContext,
): Promise<void> {
  const layers = image.layers.map(({ descriptor }) => descriptor);
  await lease.addBlob(...layers.map(({ digest }) => digest));
  await noteDiscarded(store, layers);
  const discarded = await store.discarded.among(layers.map(({ digest }) => digest));
  if (discarded.size === 0) return;
  context.log.info(`fetching ${countOf(discarded.size, 'layer')} again, dropped once unpacked`);
  const sources = [...discarded.values()].flatMap(({ source }) => source ?? []);
  await using registry = await openRegistry(context, sources);
  await restoreBlobs(store, registry, layers, { signal: context.signal });
}

/** An image that a command reads; `name` is canonical in the store, as it was typed in a layout. */
interface OpenedSource {
  readonly name: string;
  readonly content: BlobProvider;
  readonly target: Descriptor;
  /** Absent for a layout. */
  readonly store?: Store;
  readonly pool: WorkerPool;
  /** Its names for a signature policy. */
  readonly governed: () => Promise<Pick<GovernedImage, 'image' | 'signatures'>>;
}

/**
 * Opens `REF` in the store, or `oci:DIR[:TAG]`, for as long as a function needs it.
 *
 * @throws {LandfallError} INVALID_CONFIG, INVALID_REFERENCE, BLOB_NOT_FOUND, and those of opening
 */
async function withSource<T>(
  text: string,
  context: CommandContext,
  use: (source: OpenedSource) => Promise<T>,
): Promise<T> {
  const source = parseSourceName(text);
  if (source.kind === 'store') {
    return withStore(context, async (store) => {
      const { name, target } = await resolveImage(store, source.name);
      const governed: OpenedSource['governed'] = async () => {
        const { registryImage } = await import('../../trust/index.js');
        return { image: registryImage(parseReference(name)), signatures: [] };
      };
      return use({ name, content: store.content, target, store, pool: store.pool, governed });
    });
  }
  const layout = await OciLayout.open(source.directory);
  const target = await layout.resolve(source.name);
  const governed: OpenedSource['governed'] = async () => {
    const { CommandTransports } = await import('./command-transports.js');
    await using transports = new CommandTransports(context);
    const { repository, from } = await transports.source(text);
    return await repository.governed(from, { signal: context.signal });
  };
  const pool = new WorkerPool({});
  try {
    return await use({ name: text, content: layout, target, pool, governed });
  } finally {
    await pool.close();
  }
}

/**
 * Turns the events of unpacking a local image into those of a pull that has every blob already, so that the
 * same displays show both. Tells at once what is to be done; the function that it returns takes the rest.
 */
function unpackEvents(
  reference: string,
  image: LoadedImage,
  emit: (event: PullEvent) => void,
): (event: UnpackEvent) => void {
  const begun = performance.now();
  const say = (body: PullEventBody): void => {
    emit({ reference, at: Math.round(performance.now() - begun), ...body });
  };
  const { digest, mediaType, size } = image.manifestDescriptor;
  say({ type: 'resolved', digest, mediaType, size });
  const layers = image.layers.map(({ descriptor, diffId }) => {
    return { digest: descriptor.digest, size: descriptor.size, diffId };
  });
  say({ type: 'image', digest, platform: image.platform, layers });
  for (const layer of layers) {
    const here = { digest: layer.digest, size: layer.size, bytes: layer.size } as const;
    say({ type: 'blob', role: 'layer', state: 'present', ...here });
  }
  return (event) => say(fromUnpackEvent(event));
}
