import { Readable } from 'node:stream';

import type { BlobProvider } from '../content/index.js';
import { requireUnpackable } from '../engine/fetch-graph.js';
import type { Abortable } from '../errors.js';
import { type Descriptor, unpackLimits, type UnpackLimits } from '../spec/index.js';
import {
  type InflateChoice,
  LayerReader,
  LayerStack,
  readFile,
  type ViewableLayer,
  type ViewedFile,
} from '../unpack/index.js';
import { KeptBlobs } from './kept-blobs.js';
import type { SourceRepository } from './source.js';
import { verifiedContent } from './verified-content.js';

/** An image, or a part of one, whose files are to be looked at. */
export interface LayeredSource {
  readonly repository: SourceRepository;
  /** Whether what is read comes over the network. */
  readonly isRemote: boolean;
  /** Bottom first. */
  readonly layers: readonly Omit<ViewableLayer, 'open'>[];
  /** Whether these are only some of an image's layers. Default false. */
  readonly isPart?: boolean | undefined;
}

export interface ImageViewsOptions extends Abortable {
  /** Those that are not given are LIMITS of src/spec. */
  readonly limits?: Partial<UnpackLimits> | undefined;
  /** What inflates gzip layers. Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
  /** Whether the contents of files are to be compared. Default false. */
  readonly contents?: boolean | undefined;
  /** Whether contents are to be read too, so that layers from the network have to be kept. Default false. */
  readonly keep?: boolean | undefined;
  /** Where such layers are kept meanwhile. Default `/var/tmp`. */
  readonly directory?: string | undefined;
  /** What may have layers that else would be fetched. */
  readonly local?: Pick<BlobProvider, 'info' | 'open'> | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Called before a layer is fetched over the network. */
  readonly onFetch?: ((layer: Descriptor) => void) | undefined;
}

/**
 * The files of images, wherever these lie, without unpacking them. A layer is read, and fetched, only when what is asked for cannot be told
 * from the layers above it; once, whatever is asked for later, and to its end: nothing is told of a layer that was not verified. To be
 * disposed of.
 */
export class ImageViews implements AsyncDisposable {
  /** As the images were given. */
  readonly stacks: readonly LayerStack[];
  readonly #options: ImageViewsOptions;
  readonly #kept: KeptBlobs[] = [];

  /** Errors: LIMIT_EXCEEDED, UNSUPPORTED_MEDIA_TYPE for layers that no image has. */
  constructor(sources: readonly LayeredSource[], options: ImageViewsOptions = {}) {
    this.#options = options;
    const { limits, inflate, contents, signal, onWarning } = options;
    const layers = sources.reduce((sum, source) => sum + source.layers.length, 0);
    for (const source of sources) requireUnpackable(source.layers, unpackLimits(limits));
    const reader = new LayerReader({ layers, limits, inflate, contents, signal, onWarning });
    this.stacks = sources.map((source) => {
      const { isPart = false } = source;
      return new LayerStack(this.#layersOf(source), reader, { isPart });
    });
  }

  /**
   * The bytes of a file that was found in one of the stacks; holes are zeros. Errors: as `readFile`.
   */
  readFile(file: ViewedFile): AsyncGenerator<Buffer, void, undefined> {
    const { limits, inflate, signal } = this.#options;
    const { descriptor } = file.layer.stored;
    const isUnchanged = this.#kept.some((kept) => kept.has(descriptor));
    return readFile(file, { limits, inflate, signal, isUnchanged });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const kept of this.#kept.splice(0)) await kept[Symbol.asyncDispose]();
  }

  #layersOf({ repository, isRemote, layers }: LayeredSource): readonly ViewableLayer[] {
    const { signal } = this.#options;
    const open = isRemote
      ? this.#remoteOpener(repository)
      : (descriptor: Descriptor): Promise<Readable> => repository.fetch(descriptor, { signal });
    return layers.map((layer) => ({ ...layer, open: () => open(layer.descriptor) }));
  }

  #remoteOpener(repository: SourceRepository): (descriptor: Descriptor) => Promise<Readable> {
    const { signal, keep = false, directory, local, onFetch } = this.#options;
    const fetch = (descriptor: Descriptor, offset = 0): Promise<Readable> =>
      repository.fetch(descriptor, { offset, signal });
    const kept = new KeptBlobs({ fetch, directory, signal });
    this.#kept.push(kept);
    return async (descriptor) => {
      if (local !== undefined && (await local.info(descriptor.digest))?.size === descriptor.size) {
        return await local.open(descriptor);
      }
      if (!kept.has(descriptor)) onFetch?.(descriptor);
      if (keep) return await kept.open(descriptor);
      const chunks = verifiedContent(descriptor, (offset) => fetch(descriptor, offset), { signal });
      return Readable.from(chunks, { objectMode: false });
    };
  }
}
