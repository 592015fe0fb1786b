import tls from 'node:tls';

import type { Agent, buildConnector, Dispatcher } from 'undici';

import type { ConnectionOptions } from './http.js';
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

/** How requests to a URL are sent. */
export interface Way {
  readonly dispatcher: Dispatcher;
  readonly proxy: URL | undefined;
  /** The dispatcher leads to the proxy, which is asked in absolute form (RFC 9112, 3.2.2). */
  readonly absolute: boolean;
}

/** Pools of kept connections: one for each origin, by each way of connecting. */
export class Connections {
  readonly #options: ConnectionsOptions;
  /** By which tunnels are asked for. */
  readonly #toProxies: Dispatcher[] = [];
  readonly #dispatchers = new Map<ConnectionOptions, Map<string, Promise<Dispatcher>>>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  async to(url: URL, how: ConnectionOptions = ORDINARY): Promise<Way> {
    const proxy = this.#options.proxyFor(url);
    // A tunnel only for https, as every proxy expects: many refuse to CONNECT to port 80.
    const absolute = proxy !== undefined && url.protocol === 'http:';
    let byProxy = this.#dispatchers.get(how);
    if (byProxy === undefined) this.#dispatchers.set(how, (byProxy = new Map<string, Promise<Dispatcher>>()));
    const key = proxy === undefined ? '' : `${proxy.href} ${absolute ? url.host : ''}`;
    let dispatcher = byProxy.get(key);
    if (dispatcher === undefined) {
      dispatcher = this.#agent(how, proxy, absolute);
      byProxy.set(key, dispatcher);
    }
    return { dispatcher: await dispatcher, proxy, absolute };
  }

  /** Ends all exchanges and closes the connections. */
  async destroy(): Promise<void> {
    const all = [...this.#dispatchers.values()].flatMap((byProxy) => [...byProxy.values()]);
    await Promise.all([...all, ...this.#toProxies].map(async (dispatcher) => (await dispatcher).destroy()));
  }

  async #agent(how: ConnectionOptions, proxy: URL | undefined, absolute: boolean): Promise<Agent> {
    // Loaded on first use: a command that asks no registry starts without it.
    const { Agent, buildConnector, Pool } = await import('undici');
    const connection = {
      timeout: how.dialTimeoutMs ?? this.#options.dialTimeoutMs,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    };
    const connector = buildConnector({ ...connection, ...this.#tlsOptions(how) });
    const agent = (connect: buildConnector.connector): Agent =>
      new Agent({ connections: this.#options.perOrigin, keepAliveTimeout: KEEP_ALIVE_MS, connect });
    if (proxy === undefined) return agent(connector);
    const toProxy = connectorTo(proxy, buildConnector({ ...connection, ...this.#tlsOptions(ORDINARY) }));
    if (absolute) return agent(toProxy);
    // A proxy that takes long to answer CONNECT is one that takes long to connect.
    const pool = new Pool(proxy.origin, { connect: toProxy, headersTimeout: connection.timeout });
    this.#toProxies.push(pool);
    return agent(tunnelConnector({ proxy, toProxy: pool, inTunnel: connector }));
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
