import type { Abortable } from '../errors.js';
import type { Reference } from '../spec/index.js';
import type { Credentials, CredentialsProvider } from './auth/credentials.js';
import { MirrorList } from './hosts/mirror-list.js';
import { defaultHost, type HostConfig, type HostsProvider } from './hosts/host-config.js';
import { type FailoverOptions, HostHealths, HostLimiter } from './hosts/host-health.js';
import { RegistryHost, type RegistryHostOptions } from './hosts/registry-host.js';
import { collectBeginning } from './http/http.js';
import type { RetryOptions } from './http/retry.js';
import { Transport, type TransportOptions } from './http/transport.js';
import { SeenManifests } from './blob-body.js';
import { listCatalog, type ListOptions } from './lists/tag-list.js';
import { RemoteRepository } from './remote-repository.js';
import { RemoteResolver, type Resolver } from './resolver.js';

/** How registries are reached, and as whom. */
export interface RegistryClientOptions extends TransportOptions {
  /** Speaks HTTP without TLS to every registry. Without it, only to one on loopback that speaks no TLS. */
  readonly plainHttp?: boolean;
  /**
   * Whether layers that registries need not hold are had from the addresses that their descriptors name
   * (image-spec: descriptor.md, `urls`), where no host has them. The author of an image chooses these, also
   * inside of your network. Default false.
   */
  readonly foreignUrls?: boolean | undefined;
  /** Asked when a registry or a mirror wants to know. Default: none, so all is asked for anonymously. */
  readonly credentials?: CredentialsProvider;
  /**
   * Where content of a registry is had: mirrors, and the registry itself. Default: at the registry itself.
   */
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
  readonly knownHosts: KnownHosts;
}

/**
 * The remote side of landfall: registries by their names, over connections, tokens and knowledge of their
 * hosts that its resolver and repositories share. The caller closes it.
 */
export class RegistryClient implements AsyncDisposable {
  readonly #options: RegistryClientOptions & Required<Pick<RegistryClientOptions, 'userAgent' | 'plainHttp'>>;
  readonly #transport: Transport;
  readonly #hosts: RegistryHosts;
  readonly #healths: HostHealths;
  readonly #knownHosts: KnownHosts;
  /** Whether another client closes the connections. */
  readonly #isShared: boolean;
  readonly #warned = new Set<string>();
  readonly #seen = new SeenManifests();

  /** Opens no connection: the first that is needed is opened then. */
  constructor(options?: RegistryClientOptions);
  /** @internal */
  // eslint-disable-next-line @typescript-eslint/unified-signatures -- the declarations of the package have the first alone
  constructor(options: RegistryClientOptions, shared: SharedParts);
  constructor(options: RegistryClientOptions = {}, shared?: SharedParts) {
    const { userAgent = 'landfall', plainHttp = false } = options;
    this.#options = { ...options, userAgent, plainHttp };
    this.#transport = shared?.transport ?? new Transport(options);
    this.#healths = shared?.healths ?? new HostHealths(options.failover);
    this.#knownHosts = shared?.knownHosts ?? new KnownHosts();
    this.#isShared = shared !== undefined;
    this.#hosts = this.#hostsWith(options.credentials);
  }

  /**
   * The same registries with other credentials, over the same connections and with what is known of their
   * hosts. Tokens are not shared. It ends with this one; closing it alone does nothing.
   */
  withCredentials(credentials: CredentialsProvider | undefined): RegistryClient {
    const shared = {
      transport: this.#transport,
      healths: this.#healths,
      knownHosts: this.#knownHosts,
    };
    return new RegistryClient(
      { ...this.#options, credentials: credentials ?? (() => Promise.resolve(undefined)) },
      shared,
    );
  }

  /** What makes descriptors of references, at all registries. */
  resolver(): Resolver {
    return new RemoteResolver({ mirrorsOf: (registry) => this.#mirrors(registry), seen: this.#seen });
  }

  /**
   * The repository of a reference, for one task such as a pull: a host that fails is not asked again through
   * it. The reference's tag and digest do not matter.
   */
  repository(reference: Pick<Reference, 'registry' | 'repository'>): RemoteRepository {
    return new RemoteRepository({
      ...this.#options,
      mirrors: this.#mirrors(reference.registry),
      repository: reference.repository,
      seen: this.#seen,
      transport: this.#transport,
    });
  }

  /**
   * The repositories of a registry, where it tells, in its own order (distribution-spec has no such list;
   * Docker's API has `_catalog`).
   *
   * @param registry `quay.io`
   * @throws {@link RegistryError} while it is read: UNSUPPORTED where the registry has no list, and all
   *   others
   */
  catalog(registry: string, options: ListOptions = {}): AsyncIterable<string> {
    return listCatalog(this.#mirrors(registry), options);
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
      mirrorsWith: (provider) => this.#mirrors(registry, this.#hostsWith(provider)),
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

  #mirrors(registry: string, hosts = this.#hosts): MirrorList {
    const healths = this.#healths;
    return new MirrorList({ ...this.#options, registry, hosts: () => hosts.of(registry), healths });
  }

  #hostsWith(credentials: CredentialsProvider | undefined): RegistryHosts {
    return new RegistryHosts({
      ...this.#options,
      transport: this.#transport,
      known: this.#knownHosts,
      credentials,
      maxRetryAfterMs: this.#options.retry?.maxRetryAfterMs,
      onWarning: (text) => this.#warn(text),
    });
  }

  #warn(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#options.onWarning?.(text);
  }
}

/**
 * What clients that differ in their credentials know of hosts: the registries' own addresses, and the bounds
 * of each host, by its configuration, for as long as that stays the same.
 */
export class KnownHosts {
  readonly #defaults = new Map<string, readonly HostConfig[]>();
  readonly #limiters = new WeakMap<HostConfig, HostLimiter>();

  /** The one host of a registry for which nothing is configured. */
  default(registry: string): readonly HostConfig[] {
    let configs = this.#defaults.get(registry);
    if (configs === undefined) this.#defaults.set(registry, (configs = [defaultHost(registry)]));
    return configs;
  }

  limiter(config: HostConfig, maxRetryAfterMs: number | undefined): HostLimiter {
    const { base, maxConnections, requestsPerSecond } = config;
    let limiter = this.#limiters.get(config);
    if (limiter === undefined) {
      limiter = new HostLimiter({ name: base.host, maxConnections, requestsPerSecond, maxRetryAfterMs });
      this.#limiters.set(config, limiter);
    }
    return limiter;
  }
}

export interface RegistryHostsOptions extends Omit<
  RegistryHostOptions,
  'registry' | 'config' | 'limiter' | 'identity'
> {
  /** Default: of its own. */
  readonly known?: KnownHosts | undefined;
  readonly transport: Pick<Transport, 'send' | 'keep' | 'drop'>;
  /** Default: each registry has one host, at its own address. */
  readonly hosts?: HostsProvider | undefined;
  /** Speaks HTTP without TLS to the registries themselves. */
  readonly plainHttp: boolean;
}

/**
 * The hosts of registries, each kept for as long as its configuration stays the same, and its connections
 * with it.
 */
export class RegistryHosts {
  readonly #options: RegistryHostsOptions;
  readonly #known: KnownHosts;
  readonly #hosts = new Map<string, Map<HostConfig, RegistryHost>>();

  constructor(options: RegistryHostsOptions) {
    this.#options = options;
    this.#known = options.known ?? new KnownHosts();
  }

  /** In the order in which they are to be tried. @param registry as references name it */
  async of(registry: string): Promise<readonly RegistryHost[]> {
    const configured = (await this.#options.hosts?.(registry)) ?? [];
    const configs = configured.length > 0 ? configured : this.#known.default(registry);
    const known = this.#hosts.get(registry);
    const hosts = new Map(
      configs.map((config) => [config, known?.get(config) ?? this.#make(registry, config)]),
    );
    this.#hosts.set(registry, hosts);
    for (const [config] of known ?? []) if (!hosts.has(config)) this.#dropConnections(config);
    return [...hosts.values()];
  }

  /** Unless another host is connected to in the very same way. */
  #dropConnections({ connection }: HostConfig): void {
    const inUse = [...this.#hosts.values()].flatMap((hosts) => [...hosts.keys()]);
    if (!inUse.some((config) => config.connection === connection)) this.#options.transport.drop(connection);
  }

  #make(registry: string, config: HostConfig): RegistryHost {
    this.#options.transport.keep(config.connection);
    const plain = this.#options.plainHttp && config.role === 'upstream';
    const spoken = plain ? { ...config, base: withoutTls(config.base), mayBePlain: false } : config;
    const limiter = this.#known.limiter(config, this.#options.maxRetryAfterMs);
    return new RegistryHost({ ...this.#options, registry, config: spoken, limiter, identity: config });
  }
}

function withoutTls(base: URL): URL {
  return new URL(`http://${base.host}${base.pathname}`);
}

/** What a registry says to credentials. */
export interface CheckedCredentials {
  /** Whether the registry asked for credentials. If not, it serves anonymously, and may take any. */
  readonly asked: boolean;
}

export interface CheckCredentialsOptions extends Abortable {
  /** As references name it. */
  readonly registry: string;
  /** The hosts of that registry, shown what this provider finds. They are used for this alone. */
  readonly mirrorsWith: (credentials: CredentialsProvider) => MirrorList | Promise<MirrorList>;
}

/** The answer to whether this is a registry has no body worth reading. */
const ANSWER_BYTES = 64 * 1024;

/**
 * Shows credentials to a registry, which does nothing but look at them (distribution-spec: Determining
 * Support). The host of pushes is asked: that a mirror takes them, or asks for none, says nothing about the
 * registry.
 *
 * @throws {RegistryError} UNAUTHORIZED or DENIED where they are wrong, and what stands in the way of asking
 */
export async function checkCredentials(
  credentials: Credentials,
  { registry, mirrorsWith, signal }: CheckCredentialsOptions,
): Promise<CheckedCredentials> {
  let asked = false;
  const mirrors = await mirrorsWith((name) => {
    if (name !== registry) return Promise.resolve(undefined);
    asked = true;
    return Promise.resolve(credentials);
  });
  await mirrors.run({ capability: 'push', signal }, async ({ host, attempt, signal: hostAttempt }) => {
    const response = await host.request({
      method: 'GET',
      path: '',
      headers: {},
      access: [],
      expected: [200],
      subject: registry,
      attempt,
      signal: hostAttempt,
    });
    await collectBeginning(response, ANSWER_BYTES);
  });
  return { asked };
}
