import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

import type { Reply } from './scripted-reply.js';
import { sendReply } from './send-reply.js';
import { SentBytes } from './sent-bytes.js';

export { errorReply, manifestReply, redirectReply, type RangeManners, type Reply } from './scripted-reply.js';

/** A request that must come, and what it is answered. */
export interface Step extends Reply {
  /**
   * `GET /v2/team/app/manifests/1`, with the query if there is one. A `*` at its end stands for whatever
   * follows.
   */
  on: string;
  /** Headers that the request must have; undefined: must not have. */
  expect?: Record<string, string | RegExp | undefined>;
  /** How often it comes. Default 1; `any`: also never. */
  times?: number | 'any';
  /**
   * The reply, instead of the one that the step itself is; `nth` counts what the step was asked, from 1.
   * Where it gives none, the request goes on to the steps behind this one.
   */
  reply?: (request: SeenRequest, nth: number) => Reply | undefined;
}

export interface SeenRequest {
  readonly line: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly bytes: Buffer;
  /** The bytes as text. */
  readonly body: string;
  /** Common name of the certificate that the client has shown. */
  readonly client?: string;
  /** When it came, by `performance.now()`. */
  readonly at: number;
}

/** What a server shows that speaks TLS, in PEM. */
export interface ScriptedTls {
  readonly cert: string;
  readonly key: string;
  /** Takes only clients that show a certificate of this authority. */
  readonly clientsOf?: string;
}

interface Waiting {
  readonly step: Step;
  left: number;
  asked: number;
}

/**
 * An HTTP server with a script. A request takes the first step with its method and path that is left; one
 * that finds none, or lacks a header, is a fault, and so is a step that nobody took. Disposing it throws the
 * faults.
 */
export class ScriptedRegistry implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  /** TCP connections so far. */
  connections = 0;
  /** Requests whose answers are not over. */
  readonly underWay: Set<SeenRequest> = new Set<SeenRequest>();
  /** Which bytes of the bodies were sent. */
  readonly sent: SentBytes = new SentBytes();
  readonly #server: http.Server;
  readonly #secure: boolean;
  readonly #sockets = new Set<Socket>();
  readonly #faults: string[] = [];
  #steps: Waiting[] = [];

  private constructor(tls?: ScriptedTls) {
    const listener = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      this.#answer(request, response).catch((error: unknown) => this.#faults.push(String(error)));
    };
    this.#secure = tls !== undefined;
    this.#server =
      tls === undefined ? http.createServer(listener) : https.createServer(secureOptions(tls), listener);
    // A TLS hello at the plain server: answered as Go's and nginx's do, with an HTTP error.
    this.#server.on('clientError', (_error, socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    this.#server.on('tlsClientError', () => undefined);
    this.#server.on('connection', (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(steps: readonly Step[], tls?: ScriptedTls): Promise<ScriptedRegistry> {
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
    const left = ({ times = 1 }: Step): number => (times === 'any' ? Infinity : times);
    this.#steps.push(...steps.map((step) => ({ step, left: left(step), asked: 0 })));
  }

  /** The lines of the requests so far. */
  lines(): string[] {
    return this.requests.map(({ line }) => line);
  }

  /** What went against the script so far, steps that are left included. */
  faults(): string[] {
    const left = this.#steps
      .filter((waiting) => waiting.left > 0 && waiting.step.times !== 'any')
      .map(({ step }) => `never came: ${step.on}`);
    return [...this.#faults, ...left];
  }

  /** Closes all connections, whatever is being sent on them. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
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
    const bytes = Buffer.concat(chunks);
    const seen = {
      line,
      headers: request.headers,
      bytes,
      get body(): string {
        return bytes.toString();
      },
      at,
      ...clientOf(request.socket),
    };
    this.requests.push(seen);
    this.underWay.add(seen);
    response.on('close', () => this.underWay.delete(seen));
    const reply = this.#take(seen);
    if (reply === undefined) {
      this.#faults.push(`unexpected: ${line}`);
      response.writeHead(418).end();
      return;
    }
    await sendReply(reply, request, response, this.sent);
  }

  /** The reply of the first step that has one for the request. */
  #take(request: SeenRequest): Reply | undefined {
    for (const waiting of this.#steps) {
      const { step } = waiting;
      if (waiting.left === 0 || !matches(step.on, request.line)) continue;
      waiting.asked += 1;
      const reply = step.reply === undefined ? step : step.reply(request, waiting.asked);
      if (reply === undefined) continue;
      waiting.left -= 1;
      this.#faults.push(...headerFaults(request.line, request.headers, step.expect ?? {}));
      return reply;
    }
    return undefined;
  }
}

function matches(on: string, line: string): boolean {
  return on.endsWith('*') ? line.startsWith(on.slice(0, -1)) : on === line;
}

function secureOptions({ cert, key, clientsOf }: ScriptedTls): https.ServerOptions {
  return { cert, key, ...(clientsOf === undefined ? {} : { ca: clientsOf, requestCert: true }) };
}

function clientOf(socket: Socket): { client?: string } {
  if (!(socket instanceof TLSSocket)) return {};
  // Without a certificate it is an empty object, and where the connection has ended nothing at all.
  const certificate = socket.getPeerCertificate() as { subject?: { CN?: string } } | undefined;
  const client = certificate?.subject?.CN;
  return client === undefined ? {} : { client };
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
