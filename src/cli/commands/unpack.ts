import path from 'node:path';
import type { Lease } from '../../content/index.js';
import { discardedBlobs } from '../../engine/discard-layers.js';
import { loadImage, type LoadedImage } from '../../engine/image.js';
import { noteDiscarded } from '../../engine/note-discarded.js';
import { restoreBlobs } from '../../engine/restore-blobs.js';
import type { Store } from '../../engine/store.js';
import { touchImage } from '../../engine/touch-image.js';
import { unpackImage } from '../../engine/unpack.js';
import { formatPlatform, parsePlatform } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { countOf } from '../format/count.js';
import { printable } from '../format/printable.js';
import { openRegistry } from '../open-registry.js';
import { openProgressDisplay } from '../progress/progress-display.js';
import { unpackEvents } from '../progress/unpack-events.js';
import { withSource } from '../with-source.js';

export interface UnpackFlags {
  readonly platform?: string;
}

export async function unpackCommand(
  sourceName: string,
  directoryName: string,
  flags: UnpackFlags,
  context: CommandContext,
): CommandResult {
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const directory = path.resolve(directoryName);
  const result = await withSource(sourceName, context, async ({ name, content, target, store, pool }) => {
    const image = await loadImage(content, target, platform);
    const display = await openProgressDisplay(context, { unpack: true });
    try {
      const onEvent = unpackEvents(name, image, (event) => {
        if (event.type === 'warning') context.log.warn(event.message);
        display.show(event);
      });
      const { signal } = context;
      await using lease = await store?.leases.create();
      if (store !== undefined && lease !== undefined) await holdLayers(store, image, lease, context);
      const done = await unpackImage({ content, target, platform, directory, pool, signal, onEvent });
      if (store !== undefined) await touchImage(store, name);
      return { name, ...done };
    } finally {
      display.finish();
    }
  });
  const { name, digest, imageId, chainId } = result;
  const layers = result.layers.map(({ descriptor, ...ids }) => ({
    digest: descriptor.digest,
    ...ids,
    size: descriptor.size,
  }));
  const json = {
    name,
    digest,
    platform: formatPlatform(result.platform),
    imageId,
    chainId,
    directory,
    layers,
  };
  answer(context, json, () => {
    return `unpacked ${printable(name)} (${json.platform}, ${countOf(layers.length, 'layer')}) into ${printable(directory)}\n`;
  });
  return 0;
}

/** Keeps the layers from being collected meanwhile, and fetches again those that were dropped once they were snapshots. */
async function holdLayers(
  store: Store,
  image: LoadedImage,
  lease: Lease,
  context: CommandContext,
): Promise<void> {
  const layers = image.layers.map(({ descriptor }) => descriptor);
  await lease.addBlob(...layers.map(({ digest }) => digest));
  await noteDiscarded(store, layers);
  const discarded = await discardedBlobs(store).among(layers.map(({ digest }) => digest));
  if (discarded.size === 0) return;
  context.log.info(`fetching ${countOf(discarded.size, 'layer')} again, dropped once unpacked`);
  const sources = [...discarded.values()].flatMap(({ source }) => source ?? []);
  await using registry = await openRegistry(context, sources);
  await restoreBlobs(store, registry, layers, { signal: context.signal });
}
