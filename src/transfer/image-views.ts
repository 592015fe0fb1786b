import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { BlobProvider } from '../content/index.js';
import { requireUnpackable } from '../engine/images/image.js';
import { type Abortable, ContentError, isLandfallError, type LandfallError, systemCode } from '../errors.js';
import { type Descriptor, type Digest, unpackLimits, type UnpackLimits } from '../spec/index.js';
import {
  type InflateChoice,
  LayerReader,
  LayerStack,
  readFile,
  type ViewableLayer,
  type ViewedFile,
} from '../unpack/index.js';
import { ArchiveStream, OpenedFile } from './transports/archives/archive-file.js';
import { SPOOL_DIRECTORY } from './transports/archives/spool-archive.js';
import type { OpenContent, SourceRepository } from './transports/destination.js';
import { verifiedContent } from './transports/verified-content.js';

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
 * The files of images, wherever these lie, without unpacking them. A layer is read, and fetched, only when
 * what is asked for cannot be told from the layers above it; once, whatever is asked for later, and to its
 * end: nothing is told of a layer that was not verified. To be disposed of.
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

export interface KeptBlobsOptions extends Abortable {
  /** Where they are fetched, from an offset on. */
  readonly fetch: (descriptor: Descriptor, offset: number) => Promise<Readable>;
  /** Default {@link SPOOL_DIRECTORY}. */
  readonly directory?: string | undefined;
}

/**
 * Blobs that are fetched once, however often they are read. What came is in files that have no name, and so
 * go with this process, however that ends; nobody else can change them.
 *
 * A connection that breaks is resumed. What is read here is verified: its last bytes come only when size and
 * digest were right. Disposing gives back the room.
 */
class KeptBlobs implements AsyncDisposable {
  readonly #options: KeptBlobsOptions;
  readonly #files = new Map<Digest, OpenedFile>();
  readonly #handles: FileHandle[] = [];

  constructor(options: KeptBlobsOptions) {
    this.#options = options;
  }

  /** Whether a blob is here whole, so that it is what it was when it was read for the first time. */
  has({ digest }: Descriptor): boolean {
    return this.#files.has(digest);
  }

  /**
   * Errors, of the stream too: NO_SPACE, FILESYSTEM; DIGEST_MISMATCH, SIZE_MISMATCH; those of fetching;
   * ABORTED.
   */
  async open(descriptor: Descriptor): Promise<Readable> {
    const file = this.#files.get(descriptor.digest);
    if (file !== undefined) return new ArchiveStream(file);
    const handle = await this.#create();
    return Readable.from(this.#fetch(descriptor, handle), { objectMode: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#handles.splice(0)) await handle.close();
  }

  async *#fetch(descriptor: Descriptor, handle: FileHandle): AsyncGenerator<Buffer, void, undefined> {
    const { fetch, signal } = this.#options;
    const source: OpenContent = (offset = 0) => fetch(descriptor, offset);
    for await (const chunk of verifiedContent(descriptor, source, { signal })) {
      await handle.writeFile(chunk).catch((error: unknown) => {
        throw this.#error(error);
      });
      yield chunk;
    }
    const { digest, size } = descriptor;
    this.#files.set(digest, new OpenedFile(handle, digest, { size, isRegular: true }));
  }

  async #create(): Promise<FileHandle> {
    const { directory = SPOOL_DIRECTORY } = this.#options;
    const path = join(directory, `.landfall-${randomUUID()}`);
    try {
      const handle = await open(path, 'wx+', 0o600);
      this.#handles.push(handle);
      await rm(path, { force: true });
      return handle;
    } catch (error) {
      throw this.#error(error);
    }
  }

  #error(error: unknown): LandfallError {
    if (isLandfallError(error)) return error;
    const { directory = SPOOL_DIRECTORY } = this.#options;
    const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
    const reason = error instanceof Error ? error.message : String(error);
    return new ContentError(
      full ? 'NO_SPACE' : 'FILESYSTEM',
      `a layer could not be kept in ${directory}: ${reason}`,
      {
        cause: error,
        details: { path: directory },
        hint: 'Make room there, or name another directory with TMPDIR.',
      },
    );
  }
}
