import { resolve } from 'node:path';
import { resolveImage } from '../engine/images/names.js';
import type { Store } from '../engine/store.js';
import { type Abortable, LandfallError } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import { parseReference, quoted, repositoryName } from '../spec/index.js';
import { ArchiveDestination } from '../transfer/transports/archives/archive-destination.js';
import type {
  DestinationTransport,
  DestinationRepository,
  SourceRepository,
} from '../transfer/transports/destination.js';
import { LayoutDestination } from '../transfer/transports/layout-destination.js';
import { LayoutTransport } from '../transfer/transports/layout-transport.js';
import { openArchivePlace } from '../transfer/transports/archives/open-archive.js';
import { RegistryTransport } from '../transfer/transports/registry-transport.js';
import { StoreTransport } from '../transfer/transports/store-transport.js';
import { digestGiven, type ImageTransport, parseTransport } from '../transfer/transports/image-transport.js';
import { openRegistry } from './open-registry.js';

export interface ImageTransportsOptions extends Abortable {
  /** For names without a transport. Closed by whoever opened it. */
  readonly store?: Store | undefined;
  /** For what is read and for what is written; each by default one that is opened for these places alone. */
  readonly registry?: RegistryClient | undefined;
  readonly destinationRegistry?: RegistryClient | undefined;
}

/** An image in a place, to read. */
export interface SourceImage {
  readonly repository: SourceRepository;
  /** A tag or a digest of it. */
  readonly from: string;
}

/** Where an image is to go. */
export interface DestinationImage {
  readonly transport: DestinationTransport;
  readonly repository: DestinationRepository;
  /** Absent where the destination gives no name: then it is there by its digest. */
  readonly tag: string | undefined;
}

/** Opens what images are copied between, by their names, and closes what it has opened. */
export class ImageTransports implements AsyncDisposable {
  readonly #options: ImageTransportsOptions;
  /** Closed in reverse order. */
  readonly #opened: AsyncDisposable[] = [];
  #registry: RegistryClient | undefined;

  constructor(options: ImageTransportsOptions) {
    this.#options = options;
    this.#registry = options.registry;
  }

  /**
   * Errors: INVALID_CONFIG, INVALID_REFERENCE, BLOB_NOT_FOUND (the store or the layout has no such image),
   * and those of opening.
   */
  async source(text: string): Promise<SourceImage> {
    const named = parseTransport(text);
    switch (named.kind) {
      case 'registry': {
        const { registry: host, repository, tag = 'latest', digest } = named.reference;
        const transport = new RegistryTransport({ registry: this.#client(), host });
        return { repository: transport.repository(`${host}/${repository}`), from: digest ?? tag };
      }
      case 'store': {
        const store = this.#store(text);
        const reference = parseReference((await resolveImage(store, named.name)).name);
        return {
          repository: this.#storeTransport(store).repository(repositoryName(reference)),
          from: reference.digest ?? reference.tag ?? 'latest',
        };
      }
      case 'layout':
      case 'archive':
        return { repository: (await this.#files(named)).repository(''), from: named.name ?? '' };
    }
  }

  /** Errors: as {@link source}; INVALID_CONFIG for a digest, which only the content can give. */
  async destination(text: string): Promise<DestinationImage> {
    const named = parseTransport(text);
    switch (named.kind) {
      case 'registry': {
        const { registry: host, repository, tag = 'latest', digest } = named.reference;
        if (digest !== undefined) throw digestGiven(text);
        const registry = this.#options.destinationRegistry ?? this.#client();
        const transport = new RegistryTransport({ registry, host });
        return { transport, repository: transport.repository(`${host}/${repository}`), tag };
      }
      case 'store': {
        const reference = parseReference(named.name, { defaultTag: true });
        if (reference.digest !== undefined) throw digestGiven(text);
        const transport = this.#storeTransport(this.#store(text));
        return { transport, repository: transport.repository(repositoryName(reference)), tag: reference.tag };
      }
      case 'layout': {
        const { signal } = this.#options;
        const transport = this.#keep(await LayoutDestination.open(resolve(named.directory), { signal }));
        return { transport, repository: transport.repository(''), tag: named.name };
      }
      case 'archive': {
        const { file, format } = named;
        const { signal } = this.#options;
        const transport = this.#keep(await ArchiveDestination.open({ file }, { format, signal }));
        return { transport, repository: transport.repository(''), tag: named.name };
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened[Symbol.asyncDispose]();
  }

  #client(): RegistryClient {
    return (this.#registry ??= this.#keep(openRegistry()));
  }

  #store(text: string): Store {
    const { store } = this.#options;
    if (store !== undefined) return store;
    throw new LandfallError('INVALID_CONFIG', `${quoted(text)} is in a store, and none was given`, {
      hint: 'Give an open store, or write docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF].',
    });
  }

  /** The registry is asked only for layers that the store dropped once they were unpacked. */
  #storeTransport(store: Store): StoreTransport {
    return this.#keep(new StoreTransport({ store, registry: this.#client() }));
  }

  async #files(named: Extract<ImageTransport, { kind: 'layout' | 'archive' }>): Promise<LayoutTransport> {
    if (named.kind === 'layout') return this.#keep(await LayoutTransport.open(resolve(named.directory)));
    const { file, format } = named;
    const { signal } = this.#options;
    return this.#keep(await openArchivePlace({ file }, `${format}-archive:${file}`, { signal }));
  }

  #keep<T extends AsyncDisposable>(opened: T): T {
    this.#opened.push(opened);
    return opened;
  }
}
