import { unpackedLayers } from '../../engine/images/layer-blobs.js';
import type { Store } from '../../engine/store.js';
import type { Descriptor } from '../../spec/index.js';
import { ImageViews, type ImageViewsOptions, type LayeredSource } from '../../transfer/image-views.js';
import { requireInflate } from '../../unpack/index.js';
import type { CommandContext } from '../output/command-context.js';
import type { OpenedImages, OpenedLayers } from './opened-images.js';
import { formatSize } from '../../spec/index.js';

/** Layers of so many bytes take long enough to be announced. */
const WORTH_TELLING = 1_000_000;

/**
 * Opens the files of images, or layers, to be looked at. Layers that the store has, as blobs or unpacked, are
 * read there, also of an image at a registry.
 *
 * @throws {LandfallError} UNSUPPORTED where an inflater was asked for that is not here; those of {@link
 *   ImageViews} and of the store
 */
export async function openViews(
  context: CommandContext,
  { images, opened }: { readonly images: OpenedImages; readonly opened: readonly OpenedLayers[] },
  o: Pick<ImageViewsOptions, 'contents' | 'keep'> = {},
): Promise<ImageViews> {
  const { settings, signal, env, log } = context;
  requireInflate(settings.inflate);
  const local = opened.some(({ isRemote }) => isRemote) ? await images.presentStore() : undefined;
  const sources: LayeredSource[] = [];
  for (const one of opened) sources.push(await sourceOf(one, local));
  return new ImageViews(sources, {
    limits: settings.limits,
    inflate: settings.inflate,
    signal,
    ...o,
    ...((env['TMPDIR'] ?? '') === '' ? {} : { directory: env['TMPDIR'] }),
    ...(local === undefined ? {} : { local: local.content }),
    onWarning: (message) => log.warn(message),
    onFetch: ({ digest, size }: Descriptor) => {
      const message = `fetching layer ${digest} (${formatSize(size)})`;
      if (size >= WORTH_TELLING) log.info(message);
      else log.debug(message);
    },
  });
}

async function sourceOf(opened: OpenedLayers, local: Store | undefined): Promise<LayeredSource> {
  const { repository, isRemote, layers, kind } = opened;
  const isPart = kind === 'layer';
  const store = opened.store ?? (isRemote ? local : undefined);
  return {
    repository,
    isRemote,
    isPart,
    layers: store === undefined ? layers : await unpackedLayers(store, layers, { isPart }),
  };
}
