import type { Readable } from 'node:stream';

import type { Descriptor, Reference } from '../spec/index.js';
import type { CredentialsProvider } from './credentials.js';
import { type Fetcher, type FetchOptions, RemoteFetcher } from './fetcher.js';
import { RegistryHost } from './registry-host.js';
import { RemoteResolver, type Resolver } from './resolver.js';
import type { RetryOptions } from './retry.js';
import { Transport, type TransportOptions } from './transport.js';

export interface RegistryClientOptions extends TransportOptions {
  /** Speaks HTTP without TLS to every registry. Without it, only to one on loopback that speaks no TLS. */
  readonly plainHttp?: boolean;
  /** Asked once for each registry, when it wants to know. Default: none, so all is asked for anonymously. */
  readonly credentials?: CredentialsProvider;
  readonly userAgent?: string;
  readonly retry?: RetryOptions;
}

/**
 * The remote side of landfall: registries by their names, over connections and tokens that its resolver and
 * repositories share. Whoever makes one closes it.
 */
export class RegistryClient implements AsyncDisposable {
  readonly #options: RegistryClientOptions;
  readonly #transport: Transport;
  readonly #hosts = new Map<string, RegistryHost>();

  constructor(options: RegistryClientOptions = {}) {
    this.#options = options;
    this.#transport = new Transport(options);
  }

  resolver(): Resolver {
    return new RemoteResolver({ hostOf: (registry) => this.#hostOf(registry), retry: this.#options.retry });
  }

  /** The repository of a reference; its tag and digest do not matter. */
  repository(reference: Reference): RemoteRepository {
    return new RemoteRepository(this.#hostOf(reference.registry), reference.repository, this.#options.retry);
  }

  /** Breaks off what is under way and closes all connections, so that the process can end. */
  async close(): Promise<void> {
    await this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #hostOf(registry: string): RegistryHost {
    let host = this.#hosts.get(registry);
    if (host === undefined) {
      const { credentials, userAgent = 'landfall', plainHttp = false } = this.#options;
      host = new RegistryHost({ registry, transport: this.#transport, credentials, userAgent, plainHttp });
      this.#hosts.set(registry, host);
    }
    return host;
  }
}

/** One repository at a registry. */
export class RemoteRepository implements Fetcher {
  /** `docker.io/library/alpine` */
  readonly name: string;
  readonly #fetcher: Fetcher;

  constructor(host: RegistryHost, repository: string, retry?: RetryOptions) {
    this.name = `${host.registry}/${repository}`;
    this.#fetcher = new RemoteFetcher({ host, repository, retry });
  }

  async fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable> {
    return await this.#fetcher.fetch(descriptor, options);
  }
}
