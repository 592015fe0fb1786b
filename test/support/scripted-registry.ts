import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Digest, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';

/** What the server does with one request. */
export interface Reply {
  /** Default 200. */
  status?: number;
  headers?: Record<string, string | string[]>;
  /** `Content-Length` is set from it unless `headers` do or `chunked` is set. */
  body?: string | Uint8Array;
  /** Sends the body in chunks, without a length. */
  chunked?: boolean;
  /** Waits before the headers. */
  delayMs?: number;
  /** Waits for it before the headers. */
  after?: Promise<unknown>;
  /** Closes the connection after so many bytes of the body; -1: instead of any answer. */
  dropAfter?: number;
  /** Sends so many bytes of the body and then nothing more, the connection left open; -1: no headers either. */
  stallAfter?: number;
}

/** A request that must come, and what it is answered. */
export interface Step extends Reply {
  /** `GET /v2/team/app/manifests/1`, with the query if there is one. */
  on: string;
  /** Headers that the request must have; undefined: must not have. */
  expect?: Record<string, string | RegExp | undefined>;
  /** How often it comes. Default 1. */
  times?: number;
}

export interface SeenRequest {
  readonly line: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** When it came, by `performance.now()`. */
  readonly at: number;
}

/**
 * An HTTP server with a script. A request takes the first step with its method and path that is left; one that finds
 * none, or lacks a header, is a fault, and so is a step that nobody took. Disposing it throws the faults.
 */
export class ScriptedRegistry implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  /** TCP connections so far. */
  connections = 0;
  readonly #server: http.Server;
  readonly #secure: boolean;
  readonly #sockets = new Set<Socket>();
  readonly #faults: string[] = [];
  #steps: (Step & { left: number })[] = [];

  private constructor(tls?: { cert: string; key: string }) {
    const listener = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      this.#answer(request, response).catch((error: unknown) => this.#faults.push(String(error)));
    };
    this.#secure = tls !== undefined;
    this.#server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener);
    // A TLS hello at the plain server: answered as Go's and nginx's do, with an HTTP error.
    this.#server.on('clientError', (_error, socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    this.#server.on('tlsClientError', () => undefined);
    this.#server.on('connection', (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(steps: readonly Step[], tls?: { cert: string; key: string }): Promise<ScriptedRegistry> {
    const registry = new ScriptedRegistry(tls);
    registry.expect(...steps);
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  /** `127.0.0.1:PORT` */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get origin(): string {
    return `${this.#secure ? 'https' : 'http'}://${this.address}`;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Adds steps: those that must name an address that is known only now. */
  expect(...steps: readonly Step[]): void {
    this.#steps.push(...steps.map((step) => ({ ...step, left: step.times ?? 1 })));
  }

  /** The lines of the requests so far. */
  lines(): string[] {
    return this.requests.map(({ line }) => line);
  }

  /** What went against the script so far, steps that are left included. */
  faults(): string[] {
    const left = this.#steps.filter((step) => step.left > 0).map((step) => `never came: ${step.on}`);
    return [...this.#faults, ...left];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
    const faults = this.faults();
    if (faults.length > 0) throw new Error(`scripted registry:\n${faults.join('\n')}`);
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const line = `${request.method ?? ''} ${request.url ?? ''}`;
    const at = performance.now();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.requests.push({ line, headers: request.headers, body: Buffer.concat(chunks).toString(), at });
    const step = this.#steps.find(({ on, left }) => left > 0 && on === line);
    if (step === undefined) {
      this.#faults.push(`unexpected: ${line}`);
      response.writeHead(418).end();
      return;
    }
    step.left -= 1;
    this.#faults.push(...headerFaults(line, request.headers, step.expect ?? {}));
    await perform(step, request, response);
  }
}

function headerFaults(
  line: string,
  headers: http.IncomingHttpHeaders,
  expected: Required<Step>['expect'],
): string[] {
  return Object.entries(expected).flatMap(([name, wanted]) => {
    const value = headers[name]?.toString();
    const holds = wanted instanceof RegExp ? wanted.test(value ?? '') : value === wanted;
    return holds ? [] : [`${line}: ${name} is ${value ?? 'absent'}, not ${wanted?.toString() ?? 'absent'}`];
  });
}

async function perform(
  reply: Reply,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  if (reply.delayMs !== undefined) await sleep(reply.delayMs);
  await reply.after;
  if (reply.dropAfter === -1) {
    request.socket.destroy();
    return;
  }
  if (reply.stallAfter === -1) return;
  const body = Buffer.from(reply.body ?? '');
  const length = reply.chunked === true ? {} : { 'content-length': String(body.length) };
  response.writeHead(reply.status ?? 200, { ...length, ...reply.headers });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const part = reply.dropAfter ?? reply.stallAfter;
  if (part === undefined) {
    response.end(body);
    return;
  }
  response.flushHeaders();
  await new Promise((resolve) => response.write(body.subarray(0, part), resolve));
  if (reply.dropAfter !== undefined) request.socket.destroySoon();
}

/** The reply that a registry gives for a manifest, to HEAD and GET alike. */
export function manifestReply(
  body: string | Uint8Array,
  mediaType: string = MEDIA_TYPES.ociManifest,
  digest: Digest = digestOf(Buffer.from(body)),
): Reply {
  return { body, headers: { 'content-type': mediaType, 'docker-content-digest': digest } };
}

/** The reply that a registry gives to refuse something (distribution-spec: Error Codes). */
export function errorReply(
  status: number,
  code: string,
  message = 'no',
  headers: Record<string, string> = {},
): Reply {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ errors: [{ code, message }] }),
  };
}
