import { performance } from 'node:perf_hooks';

import { abortedError, systemCode } from '../../errors.js';
import type { ByteRateLimit } from './byte-rate-limit.js';
import { Connections, type Way } from './connections.js';
import { Exchange } from './exchange.js';
import type { ConnectionOptions, ConnectionKeeper, HttpRequest, HttpResponse, HttpSender } from './http.js';
import { proxyAuthorization, proxyFor } from './proxy.js';
import { withoutClient } from './redirect.js';
import { redactUrl } from './urls.js';

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
  /** From the request to the last of the answer's headers, in milliseconds. Default 60,000: a caching mirror may fetch first. */
  readonly headersMs?: number;
  /** Without a byte of the body, in milliseconds. Default 30,000. */
  readonly bodyMs?: number;
}

/** How connections are made and used. */
export interface TransportOptions {
  /** Takes any certificate. */
  readonly insecure?: boolean;
  /** PEM, trusted besides the public authorities. */
  readonly ca?: string | Buffer;
  /** Connections to one host that are open at once. Default 16. */
  readonly maxConnectionsPerHost?: number;
  /** How long a host may keep this waiting. */
  readonly timeouts?: Timeouts;
  /** Bounds the bytes of all bodies together. Default: no bound. */
  readonly rateLimit?: ByteRateLimit;
  /** Where `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are looked for. Default: nowhere, so no proxy is used. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Told once of each exchange, when its headers came or it failed. */
  readonly onRequest?: (event: RequestEvent) => void;
  /** Told of the bytes of each body as they come, and from which host: `quay.io`, `127.0.0.1:5000`. */
  readonly onReceived?: (host: string, bytes: number) => void;
}

const DEFAULT_CONNECTIONS = 16;

/** Single HTTP exchanges over pools of kept connections. */
export class Transport implements HttpSender, ConnectionKeeper {
  readonly #options: TransportOptions;
  readonly #connections: Connections;
  #closed = false;

  constructor(options: TransportOptions = {}) {
    this.#options = options;
    const { env = {} } = options;
    this.#connections = new Connections({
      insecure: options.insecure ?? false,
      ca: options.ca,
      perOrigin: options.maxConnectionsPerHost ?? DEFAULT_CONNECTIONS,
      dialTimeoutMs: options.timeouts?.connectMs ?? 10_000,
      proxyFor: (url) => proxyFor(url, env),
    });
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

  keep(connection: ConnectionOptions): void {
    this.#connections.keep(connection);
    this.#connections.keep(withoutClient(connection));
  }

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
          // undici closes the connection after a HEAD, for servers that send a body with it. That would cost each pull
          // another handshake; and what such a server sends breaks the next exchange, which is tried again.
          ...(request.method === 'HEAD' ? { reset: false } : {}),
          ...(request.body === undefined ? {} : { body: request.body }),
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
  const authorization = proxyAuthorization(proxy);
  return {
    origin: proxy.origin,
    path: `${url.origin}${path}`,
    headers: {
      ...headers,
      host: url.host,
      ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }),
    },
  };
}
