import { once } from 'node:events';
import { isIP, Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import tls from 'node:tls';
import type { Agent, buildConnector, Dispatcher } from 'undici';
import { abortedError, systemCode } from '../../errors.js';
import type { ByteRateLimit } from './byte-rate-limit.js';
import { Exchange } from './exchange.js';
import {
  type ConnectionOptions,
  type HttpRequest,
  type HttpResponse,
  type HttpSender,
  redactUrl,
} from './http.js';
import {
  isCertificateFault,
  MAX_HEADER_BYTES,
  type PeerCertificate,
  withPeerCertificate,
} from './network-error.js';
import { proxyAuthorization, ProxyFailure, proxyFor } from './proxy.js';
import { withoutClient } from './redirect.js';
import { systemAuthorities } from './system-authorities.js';

/** One exchange over the wire, for debug logs. Holds no secret. */
export interface RequestEvent {
  /** `GET`, `HEAD`, … */
  readonly method: string;
  /** Without user info and query. */
  readonly url: string;
  /** Host and port. */
  readonly host: string;
  /** Which try of the same request this was, from 1. */
  readonly attempt: number;
  /** Until the headers, or the failure, in milliseconds. */
  readonly durationMs: number;
  /** Absent when no answer came. */
  readonly status?: number;
  /** The system's or the HTTP library's code, when no answer came. */
  readonly failure?: string;
}

/** How long a host may keep a client waiting. */
export interface Timeouts {
  /** Until the connection stands, TLS included, in milliseconds. Default 10,000. */
  readonly connectMs?: number;
  /**
   * From the request to the last of the answer's headers, in milliseconds. Default 60,000: a caching mirror
   * may fetch first.
   */
  readonly headersMs?: number;
  /** Without a byte of the body, in milliseconds. Default 30,000. */
  readonly bodyMs?: number;
}

/** How connections are made and used. */
export interface TransportOptions {
  /** Takes any certificate. */
  readonly insecure?: boolean;
  /** PEM, trusted besides the authorities of this machine. */
  readonly ca?: string | Buffer;
  /** Connections to one host that are open at once. Default 16. */
  readonly maxConnectionsPerHost?: number;
  /** How long a host may keep this waiting. */
  readonly timeouts?: Timeouts;
  /** Bounds the bytes of all bodies together. Default: no bound. */
  readonly rateLimit?: ByteRateLimit;
  /**
   * Where `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are looked for. Default: nowhere, so no
   * proxy is used.
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Called once for each exchange, when its headers came or it failed. */
  readonly onRequest?: (event: RequestEvent) => void;
  /** Called with the bytes of each body as they come, and their host: `quay.io`, `127.0.0.1:5000`. */
  readonly onReceived?: (host: string, bytes: number) => void;
}

const DEFAULT_CONNECTIONS = 16;

/** Single HTTP exchanges over pools of kept connections. */
export class Transport implements HttpSender {
  readonly #options: TransportOptions;
  readonly #connections: Connections;
  #closed = false;

  constructor(options: TransportOptions = {}) {
    this.#options = options;
    this.#connections = new Connections(options);
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const startedAt = performance.now();
    const report = (outcome: { status: number } | { failure: string }): void => {
      this.#options.onRequest?.({
        method: request.method,
        url: redactUrl(request.url),
        host: request.url.host,
        attempt: request.attempt,
        durationMs: performance.now() - startedAt,
        ...outcome,
      });
    };
    let response: HttpResponse;
    try {
      response = await this.#dispatch(request);
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      report({ failure: systemCode(cause) ?? systemCode(error) ?? 'unknown' });
      throw error;
    }
    try {
      report({ status: response.status });
    } catch (error) {
      // The body has no reader, and would keep its connection.
      response.destroy();
      throw error;
    }
    return response;
  }

  /** Keeps connections that are made in this way, which is so unless they were dropped. */
  keep(connection: ConnectionOptions): void {
    this.#connections.keep(connection);
    this.#connections.keep(withoutClient(connection));
  }

  /** Keeps none from now on; the open ones are closed once the exchanges over them have ended. */
  drop(connection: ConnectionOptions): void {
    this.#connections.drop(connection);
    this.#connections.drop(withoutClient(connection));
  }

  /** Ends all exchanges and closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#connections.destroy();
  }

  async #dispatch(request: HttpRequest): Promise<HttpResponse> {
    if (this.#closed) throw abortedError();
    const way = await this.#connections.to(request.url, request.connection);
    const { timeouts, rateLimit, onReceived } = this.#options;
    return await new Promise((resolve, reject) => {
      const { proxy, over: onOver } = way;
      const exchange = new Exchange({ request, proxy, rateLimit, onReceived, onOver, resolve, reject });
      way.dispatcher.dispatch(
        {
          ...target(request, way),
          method: request.method,
          headersTimeout: request.headersMs ?? timeouts?.headersMs ?? 60_000,
          bodyTimeout: timeouts?.bodyMs ?? 30_000,
          // undici closes the connection after a HEAD, for servers that send a body with it. That would cost
          // each pull another handshake; and what such a server sends breaks the next exchange, which is
          // tried again.
          ...(request.method === 'HEAD' ? { reset: false } : {}),
          body: request.body ?? null,
        },
        exchange,
      );
    });
  }
}

/** Where a request goes, and what it is shown there. */
function target(
  { url, target: given, headers }: HttpRequest,
  { proxy, absolute }: Way,
): { origin: string; path: string; headers: Record<string, string> } {
  const path = given ?? `${url.pathname}${url.search}`;
  if (proxy === undefined || !absolute) return { origin: url.origin, path, headers: { ...headers } };
  return {
    origin: proxy.origin,
    path: `${url.origin}${path}`,
    headers: { ...headers, host: url.host, ...authorizationAt(proxy) },
  };
}

const KEEP_ALIVE_MS = 15_000;
// Node gives each address 250 ms before it goes on to the next, too little for a registry on another
// continent.
const ADDRESS_ATTEMPT_MS = 2_500;
/** Stands for the hosts that are connected to as everywhere else. */
const ORDINARY: ConnectionOptions = {};

/** How one request to a URL is sent. */
interface Way {
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
class Connections {
  readonly #options: TransportOptions;
  readonly #kept = new Map<ConnectionOptions, Map<string, Pools>>();
  /** What is no longer kept and has exchanges under way. */
  readonly #ending = new Set<Pools>();
  readonly #dropped = new WeakSet<ConnectionOptions>();
  #authorities: Promise<readonly string[]> | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  async to(url: URL, how: ConnectionOptions = ORDINARY): Promise<Way> {
    const proxy = proxyFor(url, this.#options.env ?? {});
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
   * Closes the connections that were made in this way, once the exchanges under way are over. An exchange
   * that is begun later, by a request that was prepared before, leaves none behind either.
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
    // They could not be made, which the request has reported.
    destroyed(pools).catch(() => undefined);
  }

  async #connect(how: ConnectionOptions, proxy: URL | undefined, absolute: boolean): Promise<Dispatchers> {
    // Loaded on first use: a command that asks no registry starts without it.
    const { Agent, buildConnector, Pool } = await import('undici');
    const connection = {
      timeout: how.dialTimeoutMs ?? this.#options.timeouts?.connectMs ?? 10_000,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    };
    const connectorFor = (of: ConnectionOptions): buildConnector.connector => {
      const plain = buildConnector(connection);
      let secure: Promise<buildConnector.connector> | undefined;
      return (to, callback) => {
        if (to.protocol !== 'https:') {
          plain(to, callback);
          return;
        }
        // Made once, and only where TLS is spoken: it reads all the authorities.
        secure ??= this.#tlsOptions(of).then((options) => buildConnector({ ...connection, ...options }));
        const failed = (error: unknown): void => callback(error as Error, null);
        secure.then(
          (connect) =>
            connect(to, (...[error, socket]) => {
              if (error === null) callback(null, socket);
              else if (to.httpSocket !== undefined || !isCertificateFault(systemCode(error))) failed(error);
              else refusedCertificate(to).then((seen) => failed(withPeerCertificate(error, seen)), failed);
            }),
          failed,
        );
      };
    };
    const connector = connectorFor(how);
    const agent = (connect: buildConnector.connector): Agent =>
      new Agent({
        connections: this.#options.maxConnectionsPerHost ?? DEFAULT_CONNECTIONS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
        connect,
      });
    if (proxy === undefined) return { agent: agent(connector) };
    const toProxy = connectorTo(proxy, connectorFor(ORDINARY));
    if (absolute) return { agent: agent(toProxy) };
    // A proxy that takes long to answer CONNECT is one that takes long to connect.
    const pool = new Pool(proxy.origin, {
      connect: toProxy,
      headersTimeout: connection.timeout,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const tunnels = tunnelConnector(proxy, pool, connector);
    return { agent: agent(tunnels), toProxy: pool };
  }

  async #tlsOptions(
    how: ConnectionOptions,
  ): Promise<{ secureContext: tls.SecureContext; rejectUnauthorized?: false }> {
    this.#authorities ??= systemAuthorities(this.#options.env ?? {});
    const trusted = [...(this.#options.ca === undefined ? [] : [this.#options.ca]), ...(how.ca ?? [])];
    return {
      secureContext: secureContext([...(await this.#authorities), ...trusted], how.client ?? []),
      ...(this.#options.insecure === true || how.insecure === true ? { rejectUnauthorized: false } : {}),
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
    ca: [...trusted],
    ...(client.length === 0
      ? {}
      : { cert: client.map(({ cert }) => cert), key: client.map(({ key }) => key) }),
  });
}

/** How long a certificate that was refused is waited for once more, so that its fault can be told, in ms. */
const LOOK_MS = 5_000;

/**
 * What a host shows that was refused for it: Node says what is wrong, and not with which certificate. Nothing
 * is sent. Undefined where it cannot be had.
 */
async function refusedCertificate(to: buildConnector.Options): Promise<PeerCertificate | undefined> {
  const { hostname, servername } = to;
  const host = hostname.replace(/^\[|\]$/g, '');
  const name = servername ?? (isIP(host) === 0 ? host : undefined);
  const socket = tls.connect({
    host,
    port: Number(to.port === '' ? 443 : to.port),
    ...(name === undefined || name === '' ? {} : { servername: name }),
    rejectUnauthorized: false,
  });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(LOOK_MS) });
    const {
      valid_from: from,
      valid_to: until,
      subject,
      issuer,
      subjectaltname = '',
    } = socket.getPeerCertificate();
    const names = subjectaltname
      .split(', ')
      .flatMap((entry) => /^(?:DNS|IP Address):(.+)$/.exec(entry)?.[1] ?? []);
    return {
      validFrom: new Date(from),
      validTo: new Date(until),
      names: (names.length > 0 ? names : [subject.CN ?? []].flat()).map(shown),
      issuer: shown([issuer.CN ?? issuer.O ?? ''].flat().join(' ')),
    };
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}

/** The text is the host's, and nobody has vouched for it. */
function shown(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 100);
}

function connectorTo(proxy: URL, connector: buildConnector.connector): buildConnector.connector {
  return (to, callback) => {
    // undici takes the name from the header Host, which is the registry's; without one, it is that of the
    // proxy.
    connector({ ...to, servername: '' }, (error, socket) => {
      if (error === null) callback(null, socket);
      else callback(new ProxyFailure(proxy, { cause: error }), null);
    });
  };
}

function authorizationAt(proxy: URL): { 'proxy-authorization'?: string } {
  const authorization = proxyAuthorization(proxy);
  return authorization === undefined ? {} : { 'proxy-authorization': authorization };
}

/**
 * Connects to https origins through a proxy (RFC 9110, 9.3.6). Where the proxy is at fault it fails with
 * {@link ProxyFailure}.
 */
function tunnelConnector(
  proxy: URL,
  toProxy: Dispatcher,
  /** Makes a connection of TLS over one that stands. */
  inTunnel: buildConnector.connector,
): buildConnector.connector {
  const connect = async (target: string): Promise<Socket> => {
    const headers = { host: target, ...authorizationAt(proxy) };
    const { socket, statusCode } = await toProxy.connect({ origin: proxy.origin, path: target, headers });
    if (statusCode >= 200 && statusCode < 300 && socket instanceof Socket) return socket;
    socket.on('error', () => undefined);
    socket.destroy();
    throw new ProxyFailure(proxy, { status: statusCode });
  };
  return (to, callback) => {
    connect(`${to.hostname}:${to.port === '' ? '443' : to.port}`).then(
      (socket) => inTunnel({ ...to, httpSocket: socket }, callback),
      (error: unknown) => {
        callback(error instanceof ProxyFailure ? error : new ProxyFailure(proxy, { cause: error }), null);
      },
    );
  };
}
