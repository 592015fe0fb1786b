import { stat } from 'node:fs/promises';
import { OciLayout } from '../../content/index.js';
import type { Store } from '../../engine/store.js';
import { type Abortable, ContentError } from '../../errors.js';
import { RegistryClient } from '../../registry/index.js';
import { ArchiveDestination } from '../archives/archive-destination.js';
import { transportOf } from '../archives/archive.js';
import { openArchive } from '../archives/open-archive.js';
import type { DestinationPlace } from '../destination.js';
import { LayoutDestination } from '../layout-destination.js';
import { LayoutPlace } from '../layout-place.js';
import { RegistryPlace } from '../registry-place.js';
import type { SourcePlace } from '../source.js';
import { StorePlace } from '../store-place.js';
import { connect, type ConnectOptions } from './connect.js';
import type { Connection, PlaceName } from './mirror-file.js';
import { NothingThere } from './nothing-there.js';
import { formatPlace } from './place-name.js';
import type { SyncPlaces } from './sync.js';

export interface OpenPlacesOptions extends ConnectOptions, Abortable {
  /** Absolute path of the store. */
  readonly root: string;
  /** Opens the store, should the file name it; called once. */
  readonly openStore: () => Promise<Store>;
  /** Whether nothing is to be written, not even what is empty. */
  readonly dryRun: boolean;
}

/**
 * Opens what a mirror's file names. Sources that are spoken to in the same way share their connections and tokens. All is
 * closed with this.
 */
export class OpenPlaces implements SyncPlaces, AsyncDisposable {
  readonly #options: OpenPlacesOptions;
  readonly #clients = new Map<string, Promise<RegistryClient>>();
  readonly #sources = new Map<string, Promise<SourcePlace>>();
  #store: Promise<Store> | undefined;

  constructor(options: OpenPlacesOptions) {
    this.#options = options;
  }

  readonly source = async (place: PlaceName, connection: Connection): Promise<SourcePlace> => {
    const key = keyOf(place, connection);
    const known = this.#sources.get(key);
    if (known !== undefined) return await known;
    const opened = this.#openSource(place, connection);
    this.#sources.set(key, opened);
    return await opened;
  };

  readonly destination = async (place: PlaceName, connection: Connection): Promise<DestinationPlace> => {
    const { dryRun, signal } = this.#options;
    switch (place.kind) {
      case 'registry': {
        const registry = await this.#client(place.host, connection);
        return new RegistryPlace({ registry, host: place.host });
      }
      case 'layout':
        return dryRun && !(await isThere(place.path))
          ? new NothingThere('layout', formatPlace(place))
          : await LayoutDestination.open(place.path, { signal });
      case 'archive':
        return dryRun
          ? new NothingThere('archive', formatPlace(place))
          : await ArchiveDestination.open({ file: place.path }, { format: 'oci', signal });
      case 'store':
        return dryRun && !(await isThere(this.#options.root))
          ? new NothingThere('store', formatPlace(place))
          : await this.#storePlace();
    }
  };

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of await Promise.allSettled(this.#sources.values())) {
      if (opened.status === 'fulfilled') await opened.value[Symbol.asyncDispose]();
    }
    for (const client of await Promise.allSettled(this.#clients.values())) {
      if (client.status === 'fulfilled') await client.value.close();
    }
    await (await this.#store?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }

  async #openSource(place: PlaceName, connection: Connection): Promise<SourcePlace> {
    const { signal } = this.#options;
    switch (place.kind) {
      case 'registry': {
        const registry = await this.#client(place.host, connection);
        return new RegistryPlace({ registry, host: place.host });
      }
      case 'layout': {
        const content = await OciLayout.open(place.path);
        const { path } = place;
        const file = { transport: 'oci', path } as const;
        return new LayoutPlace({ content, location: formatPlace(place), path, file });
      }
      case 'archive': {
        const { path } = place;
        const content = await openArchive({ file: path }, { signal });
        const file = { transport: transportOf(content), path };
        return new LayoutPlace({ content, location: formatPlace(place), path, file });
      }
      case 'store': {
        const { root } = this.#options;
        if (await isThere(root)) return await this.#storePlace();
        throw new ContentError('BLOB_NOT_FOUND', `there is no store at ${root}`, { details: { path: root } });
      }
    }
  }

  /** Layers that the store dropped once they were unpacked are fetched again from where they came. */
  async #storePlace(): Promise<StorePlace> {
    this.#store ??= this.#options.openStore();
    const key = 'store';
    const registry = this.#clients.get(key) ?? Promise.resolve(new RegistryClient(this.#options.base));
    this.#clients.set(key, registry);
    return new StorePlace({ store: await this.#store, registry: await registry });
  }

  async #client(host: string, connection: Connection): Promise<RegistryClient> {
    const key = keyOf({ kind: 'registry', host }, connection);
    const known = this.#clients.get(key);
    if (known !== undefined) return await known;
    const client = connect(host, connection, this.#options).then((options) => new RegistryClient(options));
    this.#clients.set(key, client);
    return await client;
  }
}

function keyOf(place: PlaceName, connection: Connection): string {
  return JSON.stringify([place, connection]);
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
