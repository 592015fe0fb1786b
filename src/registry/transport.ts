import { performance } from 'node:perf_hooks';
import tls from 'node:tls';

import type { Agent, Dispatcher } from 'undici';

import { type Abortable, abortedError, systemCode } from '../errors.js';
import type { BodySink, BodySource } from './body-source.js';
import { networkError } from './network-error.js';
import { redactUrl } from './urls.js';

export interface HttpRequest extends Abortable {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Which try of the same request this is, from 1. */
  readonly attempt: number;
}

/** Headers have arrived; the body waits until it is started. It must be started or destroyed. */
export interface HttpResponse extends BodySource {
  readonly status: number;
  readonly url: URL;
  /** The first value of a header, by its name in lower case. */
  header(name: string): string | undefined;
  /** All values of a header. */
  headers(name: string): readonly string[];
}

/** One exchange over the wire, for debug logs. Holds no secret. */
export interface RequestEvent {
  readonly method: string;
  /** Without user info and query. */
  readonly url: string;
  readonly host: string;
  readonly attempt: number;
  /** Until the headers, or the failure. */
  readonly durationMs: number;
  /** Absent when no answer came. */
  readonly status?: number;
  /** The system's or the HTTP library's code, when no answer came. */
  readonly failure?: string;
}

export interface Timeouts {
  /** Until the connection stands, TLS included, in milliseconds. Default 10,000. */
  readonly connectMs?: number;
  /** From the request to the last of the answer's headers. Default 60,000: a caching mirror may fetch first. */
  readonly headersMs?: number;
  /** Without a byte of the body. Default 30,000. */
  readonly bodyMs?: number;
}

export interface TransportOptions {
  /** Takes any certificate. */
  readonly insecure?: boolean;
  /** PEM, trusted besides the public authorities. */
  readonly ca?: string | Buffer;
  readonly maxConnectionsPerHost?: number;
  readonly timeouts?: Timeouts;
  readonly onRequest?: (event: RequestEvent) => void;
}

const KEEP_ALIVE_MS = 15_000;
const DEFAULT_CONNECTIONS = 16;
// Node gives each address 250 ms before it goes on to the next, too little for a registry on another continent.
const ADDRESS_ATTEMPT_MS = 2_500;

/** Whatever makes single HTTP exchanges. It neither redirects, authenticates nor retries. */
export interface HttpSender {
  /** Resolves with the headers. @throws {RegistryError} UNAVAILABLE, PROTOCOL; ABORTED */
  send(request: HttpRequest): Promise<HttpResponse>;
}

/** Single HTTP exchanges over one pool of kept connections per origin. */
export class Transport implements HttpSender {
  readonly #options: TransportOptions;
  #agent: Promise<Agent> | undefined;
  #closed = false;

  constructor(options: TransportOptions = {}) {
    this.#options = options;
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
    try {
      const response = await dispatch(await this.#connected(), request, this.#options.timeouts);
      report({ status: response.status });
      return response;
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      report({ failure: systemCode(cause) ?? systemCode(error) ?? 'unknown' });
      throw error;
    }
  }

  /** Ends all exchanges and closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#agent)?.destroy();
  }

  async #connected(): Promise<Agent> {
    if (this.#closed) throw abortedError();
    return await (this.#agent ??= this.#createAgent());
  }

  async #createAgent(): Promise<Agent> {
    // Loaded on first use: a command that asks no registry starts without it.
    const { Agent } = await import('undici');
    const { ca, insecure, timeouts, maxConnectionsPerHost } = this.#options;
    return new Agent({
      connections: maxConnectionsPerHost ?? DEFAULT_CONNECTIONS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: {
        timeout: timeouts?.connectMs ?? 10_000,
        autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
        ...(ca === undefined ? {} : { ca: [...tls.rootCertificates, ca] }),
        ...(insecure === true ? { rejectUnauthorized: false } : {}),
      },
    });
  }
}

function dispatch(agent: Agent, request: HttpRequest, timeouts: Timeouts | undefined): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(request, resolve, reject);
    agent.dispatch(
      {
        origin: request.url.origin,
        path: `${request.url.pathname}${request.url.search}`,
        method: request.method,
        headers: request.headers,
        headersTimeout: timeouts?.headersMs ?? 60_000,
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

type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The handler of one request, and the answer to it. Paused between the headers and {@link start}. */
class Exchange implements HttpResponse, Dispatcher.DispatchHandler {
  readonly url: URL;
  status = 0;
  readonly #request: HttpRequest;
  readonly #settle: { resolve: (response: HttpResponse) => void; reject: (error: Error) => void };
  readonly #onAbort: () => void;
  #headers: ResponseHeaders = {};
  #controller: Dispatcher.DispatchController | undefined;
  #sink: BodySink | undefined;
  /** How it ended before there was a sink. */
  #outcome: { error?: Error } | undefined;

  constructor(
    request: HttpRequest,
    resolve: (response: HttpResponse) => void,
    reject: (error: Error) => void,
  ) {
    this.url = request.url;
    this.#request = request;
    this.#settle = { resolve, reject };
    this.#onAbort = () => {
      const error = abortedError(request.signal);
      // A request that still waits for a connection has no controller; the caller need not wait with it.
      if (this.#controller === undefined) this.#finish(error);
      else this.#controller.abort(error);
    };
    request.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (request.signal?.aborted === true) this.#onAbort();
  }

  header(name: string): string | undefined {
    return this.headers(name)[0];
  }

  headers(name: string): readonly string[] {
    const value = Object.hasOwn(this.#headers, name) ? this.#headers[name] : undefined;
    if (value === undefined) return [];
    return typeof value === 'string' ? [value] : value;
  }

  start(sink: BodySink): void {
    if (this.#outcome !== undefined) {
      deliver(sink, this.#outcome.error);
      return;
    }
    this.#sink = sink;
    this.resume();
  }

  resume(): void {
    if (this.#controller?.paused === true) this.#controller.resume();
  }

  destroy(): void {
    this.#sink = undefined;
    this.#release();
    if (this.#outcome === undefined) this.#controller?.abort(abortedError());
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#outcome !== undefined) controller.abort(this.#outcome.error ?? abortedError());
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    if (status < 200) return;
    this.status = status;
    this.#headers = headers;
    controller.pause();
    this.#settle.resolve(this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#sink?.data(chunk) === false) controller.pause();
  }

  onResponseEnd(): void {
    this.#finish();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#finish(networkError(error, this.#request));
  }

  #finish(error?: Error): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = error === undefined ? {} : { error };
    this.#release();
    if (this.#sink !== undefined) deliver(this.#sink, error);
    // Without effect once the headers are there.
    if (error !== undefined) this.#settle.reject(error);
  }

  #release(): void {
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
  }
}

function deliver(sink: BodySink, error: Error | undefined): void {
  if (error === undefined) sink.end();
  else sink.error(error);
}
