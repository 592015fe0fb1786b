import { readFile, stat } from 'node:fs/promises';
import { ResultCache } from '../../concurrency/index.js';
import type { Store } from '../../engine/store.js';
import { type Abortable, ContentError, LandfallError, systemCode } from '../../errors.js';
import {
  ByteRateLimit,
  connectedHosts,
  type CredentialsProvider,
  defaultCredentials,
  RegistryClient,
  type RegistryClientOptions,
} from '../../registry/index.js';
import { ArchiveDestination } from '../transports/archives/archive-destination.js';
import { openArchivePlace } from '../transports/archives/open-archive.js';
import type {
  DestinationPlace,
  DestinationRepository,
  PlaceKind,
  PutOutcome,
  SourcePlace,
} from '../transports/destination.js';
import { LayoutDestination } from '../transports/layout-destination.js';
import { LayoutPlace } from '../transports/layout-place.js';
import { RegistryPlace } from '../transports/registry-place.js';
import { StorePlace } from '../transports/store-place.js';
import type { Connection, PasswordFrom, PlaceName } from './mirror-file.js';
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
  readonly #clients = new ResultCache<string, RegistryClient>();
  readonly #sources = new ResultCache<string, SourcePlace>();
  readonly #store = new ResultCache<'store', Store>();

  constructor(options: OpenPlacesOptions) {
    this.#options = options;
  }

  readonly source = async (place: PlaceName, connection: Connection): Promise<SourcePlace> =>
    await this.#sources.get(keyOf(place, connection), () => this.#openSource(place, connection));

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
    for (const source of this.#sources.values()) await source[Symbol.asyncDispose]();
    for (const client of this.#clients.values()) await client.close();
    for (const store of this.#store.values()) await store[Symbol.asyncDispose]();
  }

  async #openSource(place: PlaceName, connection: Connection): Promise<SourcePlace> {
    const { signal } = this.#options;
    switch (place.kind) {
      case 'registry': {
        const registry = await this.#client(place.host, connection);
        return new RegistryPlace({ registry, host: place.host });
      }
      case 'layout':
        return await LayoutPlace.open(place.path);
      case 'archive':
        return await openArchivePlace({ file: place.path }, formatPlace(place), { signal });
      case 'store': {
        const { root } = this.#options;
        if (await isThere(root)) return await this.#storePlace();
        throw new ContentError('BLOB_NOT_FOUND', `there is no store at ${root}`, { details: { path: root } });
      }
    }
  }

  /** Layers that the store dropped once they were unpacked are fetched again from where they came. */
  async #storePlace(): Promise<StorePlace> {
    const store = await this.#store.get('store', () => this.#options.openStore());
    const connecting = (): Promise<RegistryClient> => Promise.resolve(new RegistryClient(this.#options.base));
    return new StorePlace({ store, registry: await this.#clients.get('store', connecting) });
  }

  async #client(host: string, connection: Connection): Promise<RegistryClient> {
    const key = keyOf({ kind: 'registry', host }, connection);
    return await this.#clients.get(
      key,
      async () => new RegistryClient(await connect(host, connection, this.#options)),
    );
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

interface ConnectOptions {
  /** What holds where the file does not say otherwise. */
  readonly base: RegistryClientOptions;
  /** Where passwords are looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * How a registry is spoken to, by the file and by what holds for all. Credentials of the file are shown to that registry alone.
 *
 * @throws {LandfallError} INVALID_CONFIG where a password is not where the file says
 */
export async function connect(
  host: string,
  connection: Connection,
  { base, env }: ConnectOptions,
): Promise<RegistryClientOptions> {
  const { rate, plainHttp, connections } = connection;
  return {
    ...base,
    hosts: connectedHosts(base.hosts, {
      ...connection,
      ca: connection.ca === undefined ? [] : [connection.ca],
      maxConnections: connections,
    }),
    ...(plainHttp === undefined ? {} : { plainHttp }),
    ...(rate === undefined ? {} : { rateLimit: new ByteRateLimit(rate) }),
    ...(await credentialsOf(host, connection, env)),
  };
}

async function credentialsOf(
  host: string,
  { credentials, authFile }: Connection,
  env: ConnectOptions['env'],
): Promise<{ credentials?: CredentialsProvider }> {
  if (authFile !== undefined) return { credentials: defaultCredentials({ authFile, env }) };
  if (credentials === undefined) return {};
  const { username } = credentials;
  const password = await readPassword(credentials.password, env);
  return {
    credentials: (registry) => Promise.resolve(registry === host ? { username, password } : undefined),
  };
}

async function readPassword(from: PasswordFrom, env: ConnectOptions['env']): Promise<string> {
  if ('literal' in from) return from.literal;
  if ('env' in from) {
    const password = env[from.env];
    if (password !== undefined && password !== '') return password;
    throw new LandfallError('INVALID_CONFIG', `the variable ${from.env} is not set`, {
      hint: 'Set it to the password that the file means, and export it.',
    });
  }
  let text: string;
  try {
    text = await readFile(from.file, 'utf8');
  } catch (cause) {
    const why = systemCode(cause) ?? 'unknown error';
    throw new LandfallError('INVALID_CONFIG', `${from.file} cannot be read (${why})`, {
      cause,
      hint: 'It is to hold the password alone.',
      details: { path: from.file },
    });
  }
  const password = text.replace(/\r?\n$/, '');
  if (password !== '') return password;
  throw new LandfallError('INVALID_CONFIG', `${from.file} is empty`, {
    hint: 'It is to hold the password alone.',
    details: { path: from.file },
  });
}

/**
 * A place that has nothing yet, for runs that only look: an archive, which is always written anew, and a layout that is not
 * there. Nothing can be put into it.
 */
class NothingThere implements DestinationPlace {
  readonly kind: PlaceKind;
  readonly name: string;

  /** @param name `oci-archive:/media/images.tar` */
  constructor(kind: PlaceKind, name: string) {
    this.kind = kind;
    this.name = name;
  }

  repository(name: string): DestinationRepository {
    return {
      name,
      location: `${this.name}:${name}`,
      place: this,
      stored: () => Promise.resolve(undefined),
      has: () => Promise.resolve(false),
      put: (): Promise<PutOutcome> => Promise.reject(onlyLooking()),
      tags: () => NONE,
      deleteTag: () => Promise.reject(onlyLooking()),
      deleteManifest: () => Promise.reject(onlyLooking()),
    };
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

const NONE: AsyncIterable<string> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
};

function onlyLooking(): LandfallError {
  return new LandfallError('UNSUPPORTED', 'nothing is written in a run that only looks');
}
