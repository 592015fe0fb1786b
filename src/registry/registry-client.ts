import type { Abortable } from '../errors.js';
import type { Reference } from '../spec/index.js';
import { listCatalog } from './lists/catalog.js';
import { checkCredentials, type CheckedCredentials } from './auth/check-credentials.js';
import type { Credentials, CredentialsProvider } from './auth/credentials.js';
import { HostChain } from './hosts/host-chain.js';
import type { HostConfig, HostsProvider } from './hosts/host-config.js';
import { type FailoverOptions, HostHealths } from './hosts/host-health.js';
import { SeenManifests } from './inline-data.js';
import { RegistryHosts } from './hosts/registry-hosts.js';
import { RemoteRepository } from './remote-repository.js';
import { RemoteResolver, type Resolver } from './resolver.js';
import type { RetryOptions } from './http/retry.js';
import type { ListOptions } from './lists/tag-list.js';
import { Transport, type TransportOptions } from './http/transport.js';

/** How registries are reached, and as whom. */
export interface RegistryClientOptions extends TransportOptions {
  /** Speaks HTTP without TLS to every registry. Without it, only to one on loopback that speaks no TLS. */
  readonly plainHttp?: boolean;
  /** Asked when a registry or a mirror wants to know. Default: none, so all is asked for anonymously. */
  readonly credentials?: CredentialsProvider;
  /** Where content of a registry is had: mirrors, and the registry itself. Default: at the registry itself. */
  readonly hosts?: HostsProvider;
  /** What the client calls itself. Default `landfall`. */
  readonly userAgent?: string;
  /** How often, and after how long, what failed for the moment is tried again. */
  readonly retry?: RetryOptions;
  /** When a host is left for the next one. */
  readonly failover?: FailoverOptions;
  /** Called with each text that registries mean for people, once (distribution-spec: Warnings). */
  readonly onWarning?: (text: string) => void;
}

/** What clients that differ in their credentials have in common. */
interface SharedParts {
  readonly transport: Transport;
  readonly healths: HostHealths;
}

/**
 * The remote side of landfall: registries by their names, over connections, tokens and knowledge of their hosts that its
 * resolver and repositories share. Whoever makes one closes it.
 */
export class RegistryClient implements AsyncDisposable {
  readonly #options: RegistryClientOptions;
  readonly #transport: Transport;
  readonly #hosts: RegistryHosts;
  readonly #healths: HostHealths;
  /** Whether somebody else closes the connections. */
  readonly #isShared: boolean;
  readonly #warned = new Set<string>();
  readonly #seen = new SeenManifests();

  /** Opens no connection: the first that is needed is opened then. */
  constructor(options?: RegistryClientOptions);
  /** @internal */
  // eslint-disable-next-line @typescript-eslint/unified-signatures -- the declarations of the package have the first alone
  constructor(options: RegistryClientOptions, shared: SharedParts);
  constructor(options: RegistryClientOptions = {}, shared?: SharedParts) {
    this.#options = options;
    this.#transport = shared?.transport ?? new Transport(options);
    this.#healths = shared?.healths ?? new HostHealths(options.failover);
    this.#isShared = shared !== undefined;
    this.#hosts = this.#hostsWith(options.credentials);
  }

  /**
   * The same registries with other credentials, over the same connections and with what is known of their hosts. Tokens are
   * not shared. It ends with this one; closing it alone does nothing.
   */
  withCredentials(credentials: CredentialsProvider | undefined): RegistryClient {
    const shared = { transport: this.#transport, healths: this.#healths };
    return new RegistryClient(
      { ...this.#options, credentials: credentials ?? (() => Promise.resolve(undefined)) },
      shared,
    );
  }

  /** What makes descriptors of references, at all registries. */
  resolver(): Resolver {
    return new RemoteResolver({ chainOf: (registry) => this.#chain(registry), seen: this.#seen });
  }

  /**
   * The repository of a reference, for one task such as a pull: a host that fails is not asked again through it. The
   * reference's tag and digest do not matter.
   */
  repository(reference: Pick<Reference, 'registry' | 'repository'>): RemoteRepository {
    const { retry, failover } = this.#options;
    return new RemoteRepository({
      chain: this.#chain(reference.registry),
      repository: reference.repository,
      seen: this.#seen,
      transport: this.#transport,
      userAgent: this.#userAgent,
      retry,
      failover,
    });
  }

  /**
   * The repositories of a registry, where it tells, in its own order (distribution-spec has no such list; Docker's API has `_catalog`).
   *
   * @param registry `quay.io`
   * @throws {@link RegistryError} while it is read: UNSUPPORTED where the registry has no list, and all others
   */
  catalog(registry: string, options: ListOptions = {}): AsyncIterable<string> {
    return listCatalog(this.#chain(registry), options);
  }

  /**
   * Shows credentials to a registry, which does nothing but look at them.
   *
   * @throws {@link RegistryError} UNAUTHORIZED for wrong ones; UNAVAILABLE and the like
   */
  async checkCredentials(
    registry: string,
    credentials: Credentials,
    options: Abortable = {},
  ): Promise<CheckedCredentials> {
    return await checkCredentials(credentials, {
      ...options,
      registry,
      chainWith: (provider) => this.#chain(registry, this.#hostsWith(provider)),
    });
  }

  /**
   * Where content of a registry would be asked for, in that order.
   *
   * @throws {@link LandfallError} INVALID_CONFIG
   */
  async hostsOf(registry: string): Promise<readonly HostConfig[]> {
    return (await this.#hosts.of(registry)).map((host) => host.config);
  }

  /** Breaks off what is under way and closes all connections, so that the process can end. */
  async close(): Promise<void> {
    if (!this.#isShared) await this.#transport.close();
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #userAgent(): string {
    return this.#options.userAgent ?? 'landfall';
  }

  #chain(registry: string, hosts = this.#hosts): HostChain {
    const { retry, failover } = this.#options;
    return new HostChain({
      registry,
      hosts: () => hosts.of(registry),
      healths: this.#healths,
      retry,
      failover,
    });
  }

  #hostsWith(credentials: CredentialsProvider | undefined): RegistryHosts {
    const { hosts, plainHttp = false, retry } = this.#options;
    return new RegistryHosts({
      transport: this.#transport,
      hosts,
      credentials,
      userAgent: this.#userAgent,
      plainHttp,
      maxRetryAfterMs: retry?.maxRetryAfterMs,
      onWarning: (text) => this.#warn(text),
    });
  }

  #warn(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#options.onWarning?.(text);
  }
}
