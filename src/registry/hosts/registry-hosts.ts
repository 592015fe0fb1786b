import type { CredentialsProvider } from '../auth/credentials.js';
import { defaultHost, type HostConfig, type HostsProvider } from './host-config.js';
import type { ConnectionKeeper, HttpSender } from '../http/http.js';
import { RegistryHost } from './registry-host.js';

export interface RegistryHostsOptions {
  readonly transport: HttpSender & ConnectionKeeper;
  /** Default: each registry has one host, at its own address. */
  readonly hosts: HostsProvider | undefined;
  readonly credentials: CredentialsProvider | undefined;
  readonly userAgent: string;
  /** Speaks HTTP without TLS to the registries themselves. */
  readonly plainHttp: boolean;
  /** See {@link RetryOptions.maxRetryAfterMs}. */
  readonly maxRetryAfterMs?: number | undefined;
  readonly onWarning: ((text: string) => void) | undefined;
}

/** The hosts of registries, each kept for as long as its configuration stays the same, and its connections with it. */
export class RegistryHosts {
  readonly #options: RegistryHostsOptions;
  readonly #defaults = new Map<string, readonly HostConfig[]>();
  readonly #hosts = new Map<string, Map<HostConfig, RegistryHost>>();

  constructor(options: RegistryHostsOptions) {
    this.#options = options;
  }

  /** In the order in which they are to be tried. @param registry as references name it */
  async of(registry: string): Promise<readonly RegistryHost[]> {
    const configured = (await this.#options.hosts?.(registry)) ?? [];
    const configs = configured.length > 0 ? configured : this.#default(registry);
    const known = this.#hosts.get(registry);
    const hosts = new Map(
      configs.map((config) => [config, known?.get(config) ?? this.#make(registry, config)]),
    );
    this.#hosts.set(registry, hosts);
    for (const [config] of known ?? []) if (!hosts.has(config)) this.#dropConnections(config);
    return [...hosts.values()];
  }

  #default(registry: string): readonly HostConfig[] {
    let configs = this.#defaults.get(registry);
    if (configs === undefined) this.#defaults.set(registry, (configs = [defaultHost(registry)]));
    return configs;
  }

  /** Unless another host is connected to in the very same way. */
  #dropConnections({ connection }: HostConfig): void {
    const inUse = [...this.#hosts.values()].flatMap((hosts) => [...hosts.keys()]);
    if (!inUse.some((config) => config.connection === connection)) this.#options.transport.drop(connection);
  }

  #make(registry: string, config: HostConfig): RegistryHost {
    const { transport, credentials, userAgent, plainHttp, maxRetryAfterMs, onWarning } = this.#options;
    transport.keep(config.connection);
    const plain = plainHttp && config.role === 'upstream';
    return new RegistryHost({
      registry,
      config: plain ? { ...config, base: withoutTls(config.base), mayBePlain: false } : config,
      transport,
      credentials,
      userAgent,
      maxRetryAfterMs,
      onWarning,
    });
  }
}

function withoutTls(base: URL): URL {
  return new URL(`http://${base.host}${base.pathname}`);
}
