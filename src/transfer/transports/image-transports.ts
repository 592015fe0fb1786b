import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { BlobProvider } from '../../content/index.js';
import { resolveImage } from '../../engine/images/names.js';
import type { Store } from '../../engine/store.js';
import type { Abortable } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { parseReference, type Reference, repositoryName } from '../../spec/index.js';
import type { DestinationRepository, DestinationTransport, SourceRepository } from './destination.js';
import { digestGiven, type ImageTransport, parseTransport } from './image-transport.js';
import type { LayoutTransport } from './layout-transport.js';
import type { RegistryTransport } from './registry-transport.js';
import type { StoreTransport } from './store-transport.js';

/** An image to read. */
export interface SourceImage {
  /** Canonical in the store, as it was typed elsewhere. */
  readonly name: string;
  readonly repository: SourceRepository;
  /** A tag or a digest of it. */
  readonly from: string;
  /** All that the transport has; absent at a registry, which is asked for each blob. */
  readonly content?: BlobProvider;
  /** The store of the image, where it is in one. */
  readonly store?: Store;
}

/** Where an image is to go. */
export interface DestinationImage {
  readonly transport: DestinationTransport;
  readonly repository: DestinationRepository;
  /** Absent where the destination gives no name: then the image is there by its digest. */
  readonly tag: string | undefined;
}

export interface ImageTransportsOptions extends Abortable {
  /** The streams of an archive that is named `-`. Default: a file of that name. */
  readonly stdin?: Readable | undefined;
  readonly stdout?: NodeJS.WritableStream | undefined;
}

type FileTransport = Extract<ImageTransport, { kind: 'layout' | 'archive' | 'directory' }>;

/**
 * Opens what images are copied between, by the names that are typed, and closes what it has opened. A
 * subclass says which store and which registry clients these are.
 */
export abstract class ImageTransports implements AsyncDisposable {
  readonly #options: ImageTransportsOptions;
  /** Closed in reverse order. */
  readonly #opened: AsyncDisposable[] = [];

  constructor(options: ImageTransportsOptions) {
    this.#options = options;
  }

  /** The store of names without a transport. @param text the name that needs it */
  abstract store(text: string): Promise<Store>;

  /** The client for a registry that is read, or written. */
  protected abstract client(host: string, side: 'source' | 'destination'): Promise<RegistryClient>;

  /**
   * The client for layers that the store dropped once they were unpacked; undefined where none are fetched.
   */
  protected abstract layerClient(): Promise<RegistryClient | undefined>;

  /**
   * Errors: INVALID_CONFIG, INVALID_REFERENCE, BLOB_NOT_FOUND (the store or the layout has no such image),
   * and those of opening.
   */
  async source(text: string): Promise<SourceImage> {
    const named = parseTransport(text);
    switch (named.kind) {
      case 'registry': {
        const transport = await this.#registryTransport(named.reference, 'source');
        const repository = transport.repository(repositoryName(named.reference));
        return { name: text, repository, from: tagOrDigest(named.reference) };
      }
      case 'store': {
        const store = await this.store(text);
        const { name } = await resolveImage(store, named.name);
        const reference = parseReference(name);
        const repository = (await this.#storeTransport(store)).repository(repositoryName(reference));
        return { name, repository, from: tagOrDigest(reference), content: store.content, store };
      }
      case 'layout':
      case 'directory':
      case 'archive': {
        const transport = await this.#fileSource(named);
        const { content } = transport;
        return { name: text, repository: transport.repository(''), from: nameIn(named) ?? '', content };
      }
    }
  }

  /** Errors: as {@link source}; INVALID_CONFIG for a digest, which only the content can give. */
  async destination(text: string): Promise<DestinationImage> {
    const named = parseTransport(text);
    if (named.kind !== 'registry' && named.kind !== 'store') {
      const transport = await this.#fileDestination(named);
      return { transport, repository: transport.repository(''), tag: nameIn(named) };
    }
    const reference =
      named.kind === 'registry' ? named.reference : parseReference(named.name, { defaultTag: true });
    if (reference.digest !== undefined) throw digestGiven(text);
    const transport =
      named.kind === 'registry'
        ? await this.#registryTransport(reference, 'destination')
        : await this.#storeTransport(await this.store(text));
    return { transport, repository: transport.repository(repositoryName(reference)), tag: reference.tag };
  }

  /** Where an image is to be deleted, and its tag or digest there. */
  async deletable(
    named: Extract<ImageTransport, { kind: 'registry' | 'layout' }>,
  ): Promise<{ readonly repository: DestinationRepository; readonly from: string }> {
    if (named.kind === 'layout') {
      const transport = await this.#fileDestination(named);
      return { repository: transport.repository(''), from: named.name ?? '' };
    }
    const transport = await this.#registryTransport(named.reference, 'destination');
    const repository = transport.repository(repositoryName(named.reference));
    return { repository, from: tagOrDigest(named.reference) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened[Symbol.asyncDispose]();
  }

  /** Closes it with all else. */
  protected keep<T extends AsyncDisposable>(opened: T): T {
    this.#opened.push(opened);
    return opened;
  }

  async #registryTransport(
    { registry: host }: Reference,
    side: 'source' | 'destination',
  ): Promise<RegistryTransport> {
    const { RegistryTransport } = await import('./registry-transport.js');
    return this.keep(new RegistryTransport({ registry: await this.client(host, side), host }));
  }

  async #storeTransport(store: Store): Promise<StoreTransport> {
    const { StoreTransport } = await import('./store-transport.js');
    return this.keep(new StoreTransport({ store, registry: await this.layerClient() }));
  }

  async #fileSource(named: FileTransport): Promise<LayoutTransport> {
    if (named.kind === 'layout') {
      const { LayoutTransport } = await import('./layout-transport.js');
      return this.keep(await LayoutTransport.open(named.directory));
    }
    if (named.kind === 'directory') {
      const { openDirectory } = await import('./directory-transport.js');
      return this.keep(openDirectory(resolve(named.directory)));
    }
    const { openArchivePlace } = await import('./archives/open-archive.js');
    const { signal, stdin } = this.#options;
    const { file, format } = named;
    const input = file === '-' && stdin !== undefined ? { stream: stdin } : { file };
    return this.keep(await openArchivePlace(input, `${format}-archive:${file}`, { signal }));
  }

  async #fileDestination(named: FileTransport): Promise<DestinationTransport> {
    const { signal, stdout } = this.#options;
    if (named.kind === 'layout') {
      const { LayoutDestination } = await import('./layout-destination.js');
      return this.keep(await LayoutDestination.open(resolve(named.directory), { signal }));
    }
    if (named.kind === 'directory') {
      const { DirectoryDestination } = await import('./directory-transport.js');
      return this.keep(await DirectoryDestination.open(resolve(named.directory)));
    }
    const { ArchiveDestination } = await import('./archives/archive-destination.js');
    const { file, format } = named;
    const target = file === '-' && stdout !== undefined ? { stream: stdout } : { file };
    return this.keep(await ArchiveDestination.open(target, { format, signal }));
  }
}

function nameIn(named: FileTransport): string | undefined {
  return named.kind === 'directory' ? undefined : named.name;
}

function tagOrDigest({ digest, tag = 'latest' }: Reference): string {
  return digest ?? tag;
}
