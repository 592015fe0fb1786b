import path from 'node:path';
import { ResultCache } from '../../concurrency/index.js';
import type { BlobProvider } from '../../content/index.js';
import { resolveImage } from '../../engine/images/names.js';
import { openStore, type Store } from '../../engine/store.js';
import type { RegistryClient } from '../../registry/index.js';
import { parseReference, repositoryName } from '../../spec/index.js';
import type {
  DestinationTransport,
  DestinationRepository,
  SourceRepository,
} from '../../transfer/transports/destination.js';
import type { LayoutTransport } from '../../transfer/transports/layout-transport.js';
import type { RegistryTransport } from '../../transfer/transports/registry-transport.js';
import type { StoreTransport } from '../../transfer/transports/store-transport.js';
import type { CommandContext } from '../output/command-context.js';
import {
  digestGiven,
  type ImageTransport,
  parseTransport,
} from '../../transfer/transports/image-transport.js';
import { invalidConfig } from '../config/settings.js';

export interface SourceImage {
  /** Canonical in the store, as it was typed elsewhere. */
  readonly name: string;
  readonly repository: SourceRepository;
  /** A tag or a digest of it. */
  readonly from: string;
  /** All that lies there; absent at a registry, which is asked for each thing. */
  readonly content?: BlobProvider;
  /** That it lies in, where it does. */
  readonly store?: Store;
}

export interface DestinationImage {
  readonly transport: DestinationTransport;
  readonly repository: DestinationRepository;
  /** Absent where the destination gives no name: then it is there by its digest. */
  readonly tag: string | undefined;
}

export interface ImageTransportsOptions {
  /**
   * `USER[:PASSWORD]` for the registry that is read, and for the one that is written, where they are not
   * those of all.
   */
  readonly sourceCreds?: string | undefined;
  readonly destinationCreds?: string | undefined;
  /** Whether what is read in the store is not fetched again where that dropped it. Default false. */
  readonly isLocal?: boolean | undefined;
}

/** Opens what images are copied between, each once, for as long as a command needs it. */
export class ImageTransports implements AsyncDisposable {
  readonly #context: CommandContext;
  readonly #options: ImageTransportsOptions;
  /** Closed in reverse order. */
  readonly #opened: AsyncDisposable[] = [];
  readonly #registries = new ResultCache<string, RegistryClient>();
  /** The registry that `--creds` is for. */
  #credsHost: string | undefined;
  readonly #stores = new ResultCache<'store', Store>();

  constructor(context: CommandContext, options: ImageTransportsOptions = {}) {
    this.#context = context;
    this.#options = options;
  }

  /**
   * Errors: INVALID_CONFIG, INVALID_REFERENCE, BLOB_NOT_FOUND (the store or the layout is not there), and
   * those of opening.
   */
  async source(text: string): Promise<SourceImage> {
    const named = parseTransport(text);
    switch (named.kind) {
      case 'registry': {
        const { registry, repository, tag = 'latest', digest } = named.reference;
        const transport = await this.#registryTransport(registry, this.#options.sourceCreds);
        return {
          name: text,
          repository: transport.repository(`${registry}/${repository}`),
          from: digest ?? tag,
        };
      }
      case 'store': {
        const store = await this.store();
        const { name } = await resolveImage(store, named.name);
        const reference = parseReference(name);
        const transport = await this.#storeTransport(store);
        return {
          name,
          repository: transport.repository(repositoryName(reference)),
          from: reference.digest ?? reference.tag ?? 'latest',
          content: store.content,
          store,
        };
      }
      case 'layout':
      case 'archive': {
        const transport = await this.#filePlace(named);
        const { content } = transport;
        return { name: text, repository: transport.repository(''), from: named.name ?? '', content };
      }
    }
  }

  /** Errors: as {@link source}; INVALID_CONFIG for a digest, which only the content can give. */
  async destination(text: string): Promise<DestinationImage> {
    const named = parseTransport(text);
    switch (named.kind) {
      case 'registry': {
        const { registry, repository, tag = 'latest', digest } = named.reference;
        if (digest !== undefined) throw digestGiven(text);
        const transport = await this.#registryTransport(registry, this.#options.destinationCreds);
        return { transport, repository: transport.repository(`${registry}/${repository}`), tag };
      }
      case 'store': {
        const reference = parseReference(named.name, { defaultTag: true });
        if (reference.digest !== undefined) throw digestGiven(text);
        const transport = await this.#storeTransport(await this.store());
        return { transport, repository: transport.repository(repositoryName(reference)), tag: reference.tag };
      }
      case 'layout':
      case 'archive': {
        const transport = await this.#fileDestination(named);
        return { transport, repository: transport.repository(''), tag: named.name };
      }
    }
  }

  /** Where something is to be deleted, and its tag or digest there. */
  async deletable(
    named: Extract<ImageTransport, { kind: 'registry' | 'layout' }>,
  ): Promise<{ readonly repository: DestinationRepository; readonly from: string }> {
    if (named.kind === 'layout') {
      const transport = await this.#fileDestination(named);
      return { repository: transport.repository(''), from: named.name ?? '' };
    }
    const { registry, repository, tag = 'latest', digest } = named.reference;
    const transport = await this.#registryTransport(registry, this.#options.destinationCreds);
    return { repository: transport.repository(`${registry}/${repository}`), from: digest ?? tag };
  }

  /** The store of this run, opened when it is first asked for. */
  async store(): Promise<Store> {
    const { root, additionalRoots } = this.#context.settings;
    return await this.#stores.get('store', async () =>
      this.#keep(await openStore({ root, additionalRoots })),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened[Symbol.asyncDispose]();
  }

  async #registryTransport(host: string, creds: string | undefined): Promise<RegistryTransport> {
    const { RegistryTransport } = await import('../../transfer/transports/registry-transport.js');
    const registry = await this.#registry(host, creds);
    return this.#keep(new RegistryTransport({ registry, host }));
  }

  /**
   * One client for all that goes without credentials of the command line, which are shown to one registry
   * alone.
   */
  async #registry(host: string, own: string | undefined): Promise<RegistryClient> {
    const creds = own ?? this.#context.settings.creds;
    if (creds === undefined) return await this.#client(undefined, []);
    if (own === undefined) this.#refuseAnother(host);
    return await this.#client(creds, [host]);
  }

  async #client(creds: string | undefined, hosts: readonly string[]): Promise<RegistryClient> {
    const key = creds === undefined ? '' : JSON.stringify([creds, hosts]);
    const context = { ...this.#context, settings: { ...this.#context.settings, creds } };
    const references = hosts.map((host) => `${host}/any/repository`);
    return await this.#registries.get(key, () => this.#connect(context, references));
  }

  async #connect(context: CommandContext, references: readonly string[]): Promise<RegistryClient> {
    const { openRegistry } = await import('./open-registry.js');
    return this.#keep(await openRegistry(context, references));
  }

  /** @throws {LandfallError} INVALID_CONFIG where `--creds` was for another registry */
  #refuseAnother(host: string): void {
    this.#credsHost ??= host;
    if (this.#credsHost === host) return;
    throw invalidConfig(`--creds is for one registry, not for ${this.#credsHost} and ${host}`, {
      hint: 'Use --src-creds and --dest-creds where there are these, or --authfile.',
    });
  }

  async #storeTransport(store: Store): Promise<StoreTransport> {
    const { StoreTransport } = await import('../../transfer/transports/store-transport.js');
    // Asked only for layers that the store dropped once they were unpacked.
    const registry = this.#options.isLocal === true ? undefined : await this.#client(undefined, []);
    return this.#keep(new StoreTransport({ store, registry }));
  }

  async #filePlace(named: Extract<ImageTransport, { kind: 'layout' | 'archive' }>): Promise<LayoutTransport> {
    if (named.kind === 'layout') {
      const { LayoutTransport } = await import('../../transfer/transports/layout-transport.js');
      return this.#keep(await LayoutTransport.open(named.directory));
    }
    const { openArchivePlace } = await import('../../transfer/transports/archives/open-archive.js');
    const { signal, stdin } = this.#context;
    const { file, format } = named;
    const input = file === '-' ? { stream: stdin } : { file };
    return this.#keep(await openArchivePlace(input, `${format}-archive:${file}`, { signal }));
  }

  async #fileDestination(
    named: Extract<ImageTransport, { kind: 'layout' | 'archive' }>,
  ): Promise<DestinationTransport> {
    if (named.kind === 'layout') {
      const { LayoutDestination } = await import('../../transfer/transports/layout-destination.js');
      return this.#keep(await LayoutDestination.open(path.resolve(named.directory)));
    }
    const { ArchiveDestination } = await import('../../transfer/transports/archives/archive-destination.js');
    const { file, format } = named;
    const { signal, stdout } = this.#context;
    const target = file === '-' ? { stream: stdout } : { file };
    return this.#keep(await ArchiveDestination.open(target, { format, signal }));
  }

  #keep<T extends AsyncDisposable>(opened: T): T {
    this.#opened.push(opened);
    return opened;
  }
}
