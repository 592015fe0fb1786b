import tls from 'node:tls';

import type { Agent, buildConnector, Dispatcher } from 'undici';

import type { ConnectionOptions } from './http.js';
import { MAX_HEADER_BYTES } from './network-error.js';
import { ProxyFailure } from './proxy-failure.js';
import { tunnelConnector } from './tunnel.js';

export interface ConnectionsOptions {
  /** Takes any certificate, of whatever host. */
  readonly insecure: boolean;
  /** PEM, trusted besides the public authorities and a host's own. */
  readonly ca: string | Buffer | undefined;
  readonly perOrigin: number;
  readonly dialTimeoutMs: number;
  /** The proxy for a URL, or undefined to go there directly. */
  readonly proxyFor: (url: URL) => URL | undefined;
}

const KEEP_ALIVE_MS = 15_000;
// Node gives each address 250 ms before it goes on to the next, too little for a registry on another continent.
const ADDRESS_ATTEMPT_MS = 2_500;
/** Stands for the hosts that are connected to as everywhere else. */
const ORDINARY: ConnectionOptions = {};

/** How one request to a URL is sent. */
export interface Way {
  readonly dispatcher: Dispatcher;
  readonly proxy: URL | undefined;
  /** The dispatcher leads to the proxy, which is asked in absolute form (RFC 9112, 3.2.2). */
  readonly absolute: boolean;
  /** Called once, when the exchange is over. */
  readonly over: () => void;
}

interface Dispatchers {
  readonly agent: Agent;
  /** By which tunnels are asked for. */
  readonly toProxy?: Dispatcher;
}

/** The pools of one way: to all origins directly, or through one proxy. */
interface Pools {
  readonly dispatchers: Promise<Dispatchers>;
  /** Exchanges under way. */
  active: number;
}

/** Pools of kept connections: one for each origin, by each way of connecting. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #kept = new Map<ConnectionOptions, Map<string, Pools>>();
  /** What is no longer kept and has exchanges under way. */
  readonly #ending = new Set<Pools>();
  readonly #dropped = new WeakSet<ConnectionOptions>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  async to(url: URL, how: ConnectionOptions = ORDINARY): Promise<Way> {
    const proxy = this.#options.proxyFor(url);
    // A tunnel only for https, as every proxy expects: many refuse to CONNECT to port 80.
    const absolute = proxy !== undefined && url.protocol === 'http:';
    const key = proxy === undefined ? '' : `${proxy.href} ${absolute ? url.host : ''}`;
    const pools = this.#kept.get(how)?.get(key) ?? this.#add(how, key, this.#connect(how, proxy, absolute));
    // Counted before anything is waited for, so that they are not closed meanwhile.
    pools.active += 1;
    const over = (): void => this.#over(pools);
    try {
      return { dispatcher: (await pools.dispatchers).agent, proxy, absolute, over };
    } catch (error) {
      over();
      throw error;
    }
  }

  /** Keeps connections that are made in this way, which is so unless they were dropped. */
  keep(how: ConnectionOptions): void {
    this.#dropped.delete(how);
  }

  /**
   * Closes the connections that were made in this way, once the exchanges under way are over. An exchange that is begun
   * later, by a request that was prepared before, leaves none behind either.
   */
  drop(how: ConnectionOptions): void {
    this.#dropped.add(how);
    const all = [...(this.#kept.get(how)?.values() ?? [])];
    this.#kept.delete(how);
    for (const pools of all) this.#end(pools);
  }

  /** Ends all exchanges and closes the connections. */
  async destroy(): Promise<void> {
    const kept = [...this.#kept.values()].flatMap((byProxy) => [...byProxy.values()]);
    await Promise.all([...kept, ...this.#ending].map(destroyed));
  }

  #add(how: ConnectionOptions, key: string, dispatchers: Promise<Dispatchers>): Pools {
    const pools = { dispatchers, active: 0 };
    if (this.#dropped.has(how)) {
      this.#ending.add(pools);
      return pools;
    }
    const byProxy = this.#kept.get(how) ?? new Map<string, Pools>();
    this.#kept.set(how, byProxy.set(key, pools));
    return pools;
  }

  #over(pools: Pools): void {
    pools.active -= 1;
    if (this.#ending.has(pools)) this.#end(pools);
  }

  #end(pools: Pools): void {
    this.#ending.add(pools);
    if (pools.active > 0) return;
    this.#ending.delete(pools);
    // They could not be made; whoever wanted them was told.
    destroyed(pools).catch(() => undefined);
  }

  async #connect(how: ConnectionOptions, proxy: URL | undefined, absolute: boolean): Promise<Dispatchers> {
    // Loaded on first use: a command that asks no registry starts without it.
    const { Agent, buildConnector, Pool } = await import('undici');
    const connection = {
      timeout: how.dialTimeoutMs ?? this.#options.dialTimeoutMs,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    };
    const connector = buildConnector({ ...connection, ...this.#tlsOptions(how) });
    const agent = (connect: buildConnector.connector): Agent =>
      new Agent({
        connections: this.#options.perOrigin,
        keepAliveTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
        connect,
      });
    if (proxy === undefined) return { agent: agent(connector) };
    const toProxy = connectorTo(proxy, buildConnector({ ...connection, ...this.#tlsOptions(ORDINARY) }));
    if (absolute) return { agent: agent(toProxy) };
    // A proxy that takes long to answer CONNECT is one that takes long to connect.
    const pool = new Pool(proxy.origin, {
      connect: toProxy,
      headersTimeout: connection.timeout,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const tunnels = tunnelConnector({ proxy, toProxy: pool, inTunnel: connector });
    return { agent: agent(tunnels), toProxy: pool };
  }

  #tlsOptions(how: ConnectionOptions): { secureContext?: tls.SecureContext; rejectUnauthorized?: false } {
    const trusted = [...(this.#options.ca === undefined ? [] : [this.#options.ca]), ...(how.ca ?? [])];
    const client = how.client ?? [];
    const ordinary = trusted.length === 0 && client.length === 0;
    return {
      // Made once: otherwise each connection would read all the authorities anew.
      ...(ordinary ? {} : { secureContext: secureContext(trusted, client) }),
      ...(this.#options.insecure || how.insecure === true ? { rejectUnauthorized: false } : {}),
    };
  }
}

async function destroyed({ dispatchers }: Pools): Promise<void> {
  const { agent, toProxy } = await dispatchers;
  await Promise.all([agent.destroy(), toProxy?.destroy()]);
}

function secureContext(
  trusted: readonly (string | Buffer)[],
  client: NonNullable<ConnectionOptions['client']>,
): tls.SecureContext {
  return tls.createSecureContext({
    ...(trusted.length === 0 ? {} : { ca: [...tls.rootCertificates, ...trusted] }),
    ...(client.length === 0
      ? {}
      : { cert: client.map(({ cert }) => cert), key: client.map(({ key }) => key) }),
  });
}

function connectorTo(proxy: URL, connector: buildConnector.connector): buildConnector.connector {
  return (to, callback) => {
    // undici takes the name from the header Host, which is the registry's; without one, it is that of the proxy.
    connector({ ...to, servername: '' }, (error, socket) => {
      if (error === null) callback(null, socket);
      else callback(new ProxyFailure(proxy, { cause: error }), null);
    });
  };
}
