import { readFile } from 'node:fs/promises';
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
  DestinationTransport,
  DestinationRepository,
  TransportKind,
  PutOutcome,
  SourceTransport,
} from '../transports/destination.js';
import { LayoutDestination } from '../transports/layout-destination.js';
import { isThere } from '../transports/layout-index.js';
import { LayoutTransport } from '../transports/layout-transport.js';
import { RegistryTransport } from '../transports/registry-transport.js';
import { StoreTransport } from '../transports/store-transport.js';
import type { Connection, PasswordFrom, TransportName } from './mirror-file.js';
import { formatTransport } from './transport-name.js';
import type { SyncTransports } from './sync.js';

export interface OpenTransportsOptions extends ConnectOptions, Abortable {
  /** Absolute path of the store. */
  readonly root: string;
  /** Opens the store, should the file name it; called once. */
  readonly openStore: () => Promise<Store>;
  /** Whether nothing is to be written, not even what is empty. */
  readonly dryRun: boolean;
}

/**
 * Opens what a mirror's file names. Sources that are spoken to in the same way share their connections and
 * tokens. All is closed with this.
 */
export class OpenTransports implements SyncTransports, AsyncDisposable {
  readonly #options: OpenTransportsOptions;
  readonly #clients = new ResultCache<string, RegistryClient>();
  readonly #sources = new ResultCache<string, SourceTransport>();
  readonly #store = new ResultCache<'store', Store>();

  constructor(options: OpenTransportsOptions) {
    this.#options = options;
  }

  readonly source = async (transport: TransportName, connection: Connection): Promise<SourceTransport> =>
    await this.#sources.get(keyOf(transport, connection), () => this.#openSource(transport, connection));

  readonly destination = async (
    transport: TransportName,
    connection: Connection,
  ): Promise<DestinationTransport> => {
    const { dryRun, signal } = this.#options;
    switch (transport.kind) {
      case 'registry': {
        const registry = await this.#client(transport.host, connection);
        return new RegistryTransport({ registry, host: transport.host });
      }
      case 'layout':
        return dryRun && !(await isThere(transport.path))
          ? new NothingThere('layout', formatTransport(transport))
          : await LayoutDestination.open(transport.path, { signal });
      case 'archive':
        return dryRun
          ? new NothingThere('archive', formatTransport(transport))
          : await ArchiveDestination.open({ file: transport.path }, { format: 'oci', signal });
      case 'store':
        return dryRun && !(await isThere(this.#options.root))
          ? new NothingThere('store', formatTransport(transport))
          : await this.#storeTransport();
    }
  };

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of this.#sources.values()) await source[Symbol.asyncDispose]();
    for (const client of this.#clients.values()) await client.close();
    for (const store of this.#store.values()) await store[Symbol.asyncDispose]();
  }

  async #openSource(transport: TransportName, connection: Connection): Promise<SourceTransport> {
    const { signal } = this.#options;
    switch (transport.kind) {
      case 'registry': {
        const registry = await this.#client(transport.host, connection);
        return new RegistryTransport({ registry, host: transport.host });
      }
      case 'layout':
        return await LayoutTransport.open(transport.path);
      case 'archive':
        return await openArchivePlace({ file: transport.path }, formatTransport(transport), { signal });
      case 'store': {
        const { root } = this.#options;
        if (await isThere(root)) return await this.#storeTransport();
        throw new ContentError('BLOB_NOT_FOUND', `there is no store at ${root}`, { details: { path: root } });
      }
    }
  }

  /** Layers that the store dropped once they were unpacked are fetched again from where they came. */
  async #storeTransport(): Promise<StoreTransport> {
    const store = await this.#store.get('store', () => this.#options.openStore());
    const connecting = (): Promise<RegistryClient> => Promise.resolve(new RegistryClient(this.#options.base));
    return new StoreTransport({ store, registry: await this.#clients.get('store', connecting) });
  }

  async #client(host: string, connection: Connection): Promise<RegistryClient> {
    const key = keyOf({ kind: 'registry', host }, connection);
    return await this.#clients.get(
      key,
      async () => new RegistryClient(await connect(host, connection, this.#options)),
    );
  }
}

function keyOf(transport: TransportName, connection: Connection): string {
  return JSON.stringify([transport, connection]);
}

interface ConnectOptions {
  /** What holds where the file does not say otherwise. */
  readonly base: RegistryClientOptions;
  /** Where passwords are looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * How a registry is spoken to, by the file and by what holds for all. Credentials of the file are shown to
 * that registry alone.
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
  const text = await readFile(from.file, 'utf8').catch((cause: unknown) => {
    throw noPassword(from.file, `cannot be read (${systemCode(cause) ?? 'unknown error'})`, cause);
  });
  const password = text.replace(/\r?\n$/, '');
  if (password === '') throw noPassword(from.file, 'is empty');
  return password;
}

function noPassword(file: string, fault: string, cause?: unknown): LandfallError {
  const hint = 'It is to hold the password alone.';
  return new LandfallError('INVALID_CONFIG', `${file} ${fault}`, { cause, hint, details: { path: file } });
}

/**
 * A place that has nothing yet, for runs that only look: an archive, which is always written anew, and a
 * layout that is not there. Nothing can be put into it.
 */
class NothingThere implements DestinationTransport {
  readonly kind: TransportKind;
  readonly name: string;

  /** @param name `oci-archive:/media/images.tar` */
  constructor(kind: TransportKind, name: string) {
    this.kind = kind;
    this.name = name;
  }

  repository(name: string): DestinationRepository {
    return {
      name,
      location: `${this.name}:${name}`,
      transport: this,
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
