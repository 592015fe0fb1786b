import { setMaxListeners } from 'node:events';
import type { Dispatcher } from 'undici';

import { abortedError } from '../../errors.js';
import type { BodySink, HttpRequest, HttpResponse } from './http.js';
import type { ByteRateLimit } from './byte-rate-limit.js';
import { networkError } from './network-error.js';
import { ProxyFailure } from './proxy.js';

type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface ExchangeOptions {
  readonly request: HttpRequest;
  /** Through which it goes. */
  readonly proxy: URL | undefined;
  readonly rateLimit: ByteRateLimit | undefined;
  /** Called with the bytes of its body as they come. */
  readonly onReceived: ((host: string, bytes: number) => void) | undefined;
  /** Called once, when it has ended in whatever way. */
  readonly onOver: () => void;
  readonly resolve: (response: HttpResponse) => void;
  readonly reject: (error: Error) => void;
}

/** The handler of one request, and the answer to it. Paused between the headers and {@link start}. */
export class Exchange implements HttpResponse, Dispatcher.DispatchHandler {
  readonly url: URL;
  status = 0;
  readonly #options: ExchangeOptions;
  readonly #onAbort: () => void;
  #headers: ResponseHeaders = {};
  #controller: Dispatcher.DispatchController | undefined;
  #sink: BodySink | undefined;
  /** The sink has asked for a pause. */
  #full = false;
  /** Set while the rate limit wants a pause. */
  #heldBack: NodeJS.Timeout | undefined;
  /** How it ended before there was a sink. */
  #outcome: { error?: Error } | undefined;

  constructor(options: ExchangeOptions) {
    const { request } = options;
    this.url = request.url;
    this.#options = options;
    this.#onAbort = () => {
      const error = abortedError(request.signal);
      // A request that still waits for a connection has no controller; the caller need not wait with it.
      if (this.#controller === undefined) this.#finish(error);
      else this.#controller.abort(error);
    };
    // That many requests at once are under one signal is no leak.
    if (request.signal !== undefined) setMaxListeners(0, request.signal);
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
    this.#full = false;
    if (this.#heldBack === undefined && this.#controller?.paused === true) this.#controller.resume();
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
    const { proxy } = this.#options;
    // Only a proxy answers so (RFC 9110, 15.5.8).
    if (status === 407 && proxy !== undefined) {
      controller.abort(new ProxyFailure(proxy, { status }));
      return;
    }
    this.status = status;
    this.#headers = headers;
    controller.pause();
    this.#options.resolve(this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    try {
      this.#options.onReceived?.(this.url.host, chunk.length);
    } catch (error) {
      // As it is, before undici gives its own reason: it is no fault of the network, and no other host is
      // asked.
      const thrown = error instanceof Error ? error : new Error(String(error));
      this.#finish(thrown);
      controller.abort(thrown);
      return;
    }
    if (this.#sink?.data(chunk) === false) this.#full = true;
    this.#holdBack(this.#options.rateLimit?.take(chunk.length) ?? 0);
    if (this.#full || this.#heldBack !== undefined) controller.pause();
  }

  onResponseEnd(): void {
    this.#finish();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const { method, url, signal } = this.#options.request;
    this.#finish(networkError(error, { method, url, signal, begun: this.status !== 0 }));
  }

  #holdBack(milliseconds: number): void {
    if (milliseconds <= 0 || this.#sink === undefined) return;
    clearTimeout(this.#heldBack);
    this.#sink.limited?.(true);
    this.#heldBack = setTimeout(() => {
      this.#heldBack = undefined;
      this.#sink?.limited?.(false);
      if (!this.#full) this.resume();
    }, milliseconds);
  }

  #finish(error?: Error): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = error === undefined ? {} : { error };
    this.#release();
    this.#options.onOver();
    if (this.#sink !== undefined) deliver(this.#sink, error);
    // Without effect once the headers are there.
    if (error !== undefined) this.#options.reject(error);
  }

  #release(): void {
    clearTimeout(this.#heldBack);
    this.#heldBack = undefined;
    this.#options.request.signal?.removeEventListener('abort', this.#onAbort);
  }
}

function deliver(sink: BodySink, error: Error | undefined): void {
  if (error === undefined) sink.end();
  else sink.error(error);
}
