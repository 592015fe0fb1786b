import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { isIPv6, type Socket } from 'node:net';
import { Limiter } from '../concurrency/index.js';
import { ReferrerFinder } from '../content/index.js';
import { LandfallError, systemCode } from '../errors.js';
import type { TlsIdentity } from './access/tls-files.js';
import {
  refuseRequest,
  type RegistryServerOptions,
  type ServeLimits,
  serveRequest,
  type Serving,
} from './serve-request.js';

/** Where a server listens. */
export interface ListenAddress {
  /** A numeric IP address. */
  readonly address: string;
  /** From 1. */
  readonly port: number;
  /** `127.0.0.1:5000`, `[::1]:5000`: as it stands in a URL or in front of a repository. */
  readonly host: string;
}

/**
 * A registry that can be pulled from, and pushed to where it has a target. Made by {@link
 * createRegistryServer}.
 */
export interface RegistryServer {
  /**
   * Begins to listen; port 0 takes a free one. Errors: IN_USE (the port is taken), INVALID_CONFIG (the
   * address is not this machine's, or the port needs a right that the process lacks).
   */
  listen(at: { readonly host: string; readonly port: number }): Promise<ListenAddress>;
  /**
   * Takes another certificate and key for connections from now on. Does nothing where it does not speak TLS.
   */
  identify(tls: TlsIdentity): void;
  /**
   * Stops: takes no more connections, closes idle ones, and gives the answers under way `graceMs` (default
   * 2000) to end before it cuts them off; when it resolves, nothing uses source and target any more. May be
   * called twice.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>;
  /** Requests that are being answered. */
  readonly requestsInFlight: number;
}

/**
 * The distribution specification over a source: `/v2/`, manifests and blobs with HEAD, GET, Range and
 * conditions, and the lists of tags, repositories and referrers; with a target also uploads, mounts,
 * manifests and deletions.
 */
export function createRegistryServer(options: RegistryServerOptions): RegistryServer {
  const limits = { ...DEFAULT_SERVE_LIMITS, ...options.limits };
  const slow = new SlowClients(limits);
  const finder = new ReferrerFinder(options.source.blobs);
  const serving: Serving = { ...options, limits, finder, manifests: new Limiter(MANIFESTS_AT_ONCE) };
  let [closing, inFlight] = [false, 0];
  /** They go on for a moment when their connections are gone. */
  const underWay = new Set<Promise<void>>();
  const listener: RequestListener = (request, response) => {
    slow.watch(request, response);
    const isFull = inFlight >= limits.requests;
    inFlight += 1;
    response.once('close', () => {
      inFlight -= 1;
      // Node closes idle connections when asked to close, but not those that become idle later.
      if (closing) setImmediate(() => server.closeIdleConnections());
    });
    const served = (isFull ? refuseRequest : serveRequest)(serving, request, response);
    underWay.add(served);
    void served.finally(() => underWay.delete(served));
  };
  const server = createListening(options.tls, limits, listener);
  return {
    listen: (at) => listen(server, at),
    identify: (tls) => {
      if ('setSecureContext' in server) server.setSecureContext(secureContext(tls));
    },
    close: async ({ graceMs = 2000 } = {}) => {
      closing = true;
      slow.close();
      await close(server, graceMs);
      // Nothing uses the source any more when this resolves.
      await Promise.allSettled(underWay);
    },
    get requestsInFlight() {
      return inFlight;
    },
  };
}

/** The pushed manifests that are in memory at once, of at most 4 MiB each. */
const MANIFESTS_AT_ONCE = 16;

function createListening(
  tls: TlsIdentity | undefined,
  limits: ServeLimits,
  listener: RequestListener,
): Server | TlsServer {
  const timing: ServerOptions = {
    headersTimeout: limits.headMs,
    keepAliveTimeout: limits.idleMs,
    // The time of a whole request depends on its body; SlowClients finds the slow ones.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.max(250, Math.min(5000, limits.headMs / 2)),
  };
  const server =
    tls === undefined
      ? createServer(timing, listener)
      : createTlsServer({ ...timing, ...secureContext(tls), handshakeTimeout: limits.headMs }, listener);
  server.maxConnections = limits.connections;
  // The request is admitted before its body is asked for.
  server.on('checkContinue', listener);
  return server;
}

function secureContext({ cert, key }: TlsIdentity): TlsIdentity & { readonly minVersion: 'TLSv1.2' } {
  return { cert, key, minVersion: 'TLSv1.2' };
}

async function listen(
  server: Server | TlsServer,
  at: { readonly host: string; readonly port: number },
): Promise<ListenAddress> {
  server.listen(at.port, at.host);
  // Rejects with the error, should the server emit one first.
  await once(server, 'listening').catch((cause: unknown) => {
    throw listenError(cause, at);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string')
    throw new LandfallError('INVALID_CONFIG', 'not a TCP address');
  const { address, port } = bound;
  return { address, port, host: isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}` };
}

/** The reason and the remedy, by the code of the system. */
const LISTEN_FAULTS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  EADDRINUSE: ['the port is taken', 'Listen on another port, or on port 0 to take a free one.'],
  EACCES: ['ports below 1024 need more rights', 'Listen on a port above 1023.'],
};
const OTHER_FAULT = [
  'it is not an address of this machine',
  'Listen on 127.0.0.1, or on 0.0.0.0 for all addresses.',
] as const;

function listenError(cause: unknown, at: { readonly host: string; readonly port: number }): LandfallError {
  const system = systemCode(cause) ?? '';
  const [reason, hint] = LISTEN_FAULTS[system] ?? OTHER_FAULT;
  const code = system === 'EADDRINUSE' ? 'IN_USE' : 'INVALID_CONFIG';
  return new LandfallError(code, `cannot listen on ${at.host}, port ${at.port}: ${reason}`, { cause, hint });
}

async function close(server: Server | TlsServer, graceMs: number): Promise<void> {
  if (!server.listening) return;
  const cutOff = setTimeout(() => server.closeAllConnections(), graceMs);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearTimeout(cutOff);
}

/** How often is looked, as a part of the time that a client has. */
const LOOKS = 4;

interface Watched {
  readonly socket: Socket;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  moved: number;
  since: number;
}

/**
 * Cuts off clients that keep a request open and hardly move bytes: that drip an upload, or do not read their
 * answer. Only the time in which the server waits for the client counts, never that of this machine or an
 * upstream.
 */
class SlowClients {
  readonly #limits: ServeLimits;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: ServeLimits) {
    this.#limits = limits;
  }

  /** Watches a request until its answer has ended. */
  watch(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const watched = { socket, request, response, moved: movedOn(socket), since: Date.now() };
    this.#watched.add(watched);
    response.once('close', () => this.#watched.delete(watched));
    this.#timer ??= setInterval(() => this.#look(), this.#limits.stallMs / LOOKS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const { stallMs, leastBytesPerSecond } = this.#limits;
    const now = Date.now();
    for (const watched of this.#watched) {
      const moved = movedOn(watched.socket);
      const least = (leastBytesPerSecond * (now - watched.since)) / 1000;
      if (moved - watched.moved >= least || !isWaitedFor(watched)) {
        watched.moved = moved;
        watched.since = now;
      } else if (now - watched.since >= stallMs) {
        watched.socket.destroy();
      }
    }
  }
}

/** What the client has taken counts, and not what waits here for it. */
function movedOn(socket: Socket): number {
  return socket.bytesRead + socket.bytesWritten - socket.writableLength;
}

function isWaitedFor({ socket, request, response }: Watched): boolean {
  // Bytes wait to be taken, or the request is not whole and all that came of it was read.
  return (
    socket.writableLength > 0 || (!request.complete && !response.headersSent && request.readableLength === 0)
  );
}

const GIB = 1024 ** 3;

export const DEFAULT_SERVE_LIMITS: ServeLimits = {
  connections: 4096,
  requests: 2048,
  uploadBytes: 512 * GIB,
  headMs: 15_000,
  idleMs: 65_000,
  stallMs: 60_000,
  leastBytesPerSecond: 256,
};
