import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { LandfallError, systemCode } from '../errors.js';
import { answerBlob } from './answer-blob.js';
import { answerCatalog, answerTags } from './answer-list.js';
import { answerManifest } from './answer-manifest.js';
import { answerReferrers } from './answer-referrers.js';
import type { Answer } from './answer.js';
import { ReferrerFinder } from './referrer-finder.js';
import { RegistryFault } from './registry-fault.js';
import { parseRoute } from './route.js';
import type { ServeSource } from './serve-source.js';

export interface RegistryServerOptions {
  readonly source: ServeSource;
  /** Told once for each request, when its answer has ended or its client has gone. */
  readonly onRequest?: (event: ServedRequest) => void;
}

export interface ServedRequest {
  readonly method: string;
  /** As the client sent it, with its query. */
  readonly path: string;
  readonly status: number;
  /** Bytes of body that were given to the connection. */
  readonly bytes: number;
  readonly durationMs: number;
  /** What broke, where the answer is a 500 or ended early. */
  readonly error?: unknown;
}

/** Where a server listens. */
export interface ListenAddress {
  /** A numeric IP address. */
  readonly address: string;
  readonly port: number;
  /** `127.0.0.1:5000`, `[::1]:5000`: as it stands in a URL or in front of a repository. */
  readonly host: string;
}

/** A registry that can be pulled from. Made by {@link createRegistryServer}. */
export interface RegistryServer {
  /**
   * Begins to listen; port 0 takes a free one. Errors: IN_USE (the port is taken), INVALID_CONFIG (the address is
   * not this machine's, or the port needs a right that the process lacks).
   */
  listen(at: { readonly host: string; readonly port: number }): Promise<ListenAddress>;
  /**
   * Stops: takes no more connections, closes idle ones, and gives the answers under way `graceMs` (default 2000)
   * to end before it cuts them off. May be called twice.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/**
 * The pulling half of the distribution specification over a source, read-only: `/v2/`, manifests, blobs with HEAD,
 * GET and Range, and the lists of tags, repositories and referrers. Without TLS and without authentication: whoever reaches the address may read.
 */
export function createRegistryServer(options: RegistryServerOptions): RegistryServer {
  let closing = false;
  const finder = new ReferrerFinder(options.source.blobs);
  const server = createServer((request, response) => {
    // Node closes idle connections when asked to close, but not those that become idle later.
    response.once('close', () => closing && setImmediate(() => server.closeIdleConnections()));
    void serve({ ...options, finder }, request, response);
  });
  return {
    listen: (at) => listen(server, at),
    close: async ({ graceMs = 2000 } = {}) => {
      closing = true;
      await close(server, graceMs);
    },
  };
}

interface Serving extends RegistryServerOptions {
  readonly finder: ReferrerFinder;
}

/** Answers one request. Never rejects: what breaks is told to the client and to `onRequest`. */
async function serve(options: Serving, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const startedAt = performance.now();
  let bytes = 0;
  let failure: { error: unknown } | undefined;
  const answer = await preparedAnswer(options, request).catch((error: unknown) => {
    const fault = faultOf(error);
    if (fault.status >= 500) failure = { error };
    return answerOf(fault);
  });
  try {
    await send(request, response, answer, (length) => (bytes += length));
  } catch (error) {
    failure = { error };
    // Part of the answer may be out already, so that only a broken connection tells the client that it is not whole.
    request.socket.destroy();
  }
  options.onRequest?.({
    method: request.method ?? '',
    path: request.url ?? '',
    status: answer.status,
    bytes,
    durationMs: performance.now() - startedAt,
    ...failure,
  });
}

/** An answer whose body is open: what fails until here can still be told by a status. */
type PreparedAnswer = Omit<Answer, 'body'> & { readonly body?: string | Buffer | Readable };

async function preparedAnswer(serving: Serving, request: IncomingMessage): Promise<PreparedAnswer> {
  const { body, ...head } = await answerTo(serving, request);
  if (body === undefined || request.method === 'HEAD') return head;
  return { ...head, body: typeof body === 'function' ? await body() : body };
}

async function answerTo({ source, finder }: Serving, request: IncomingMessage): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    // Closed afterwards, so that an upload is not read to its end only to be thrown away.
    const headers = { Allow: 'GET, HEAD', Connection: 'close' };
    throw new RegistryFault(405, 'UNSUPPORTED', 'this registry is read-only', headers);
  }
  const route = parseRoute(request.url ?? '');
  switch (route.kind) {
    case 'base':
      return {
        status: 200,
        headers: { 'Content-Type': 'application/json', 'Content-Length': 2 },
        body: '{}',
      };
    case 'catalog':
      return answerCatalog(source, route);
    case 'tags':
      return answerTags(source, route);
    case 'referrers':
      return answerReferrers(source, finder, route);
    case 'manifest':
      return answerManifest(source, route, request.headers);
    case 'blob': {
      // A range of HEAD has no meaning (RFC 9110, 14.2).
      const { range, ...head } = request.headers;
      return answerBlob(
        source.restoring ?? source.blobs,
        route.digest,
        request.method === 'HEAD' ? head : { ...head, range },
      );
    }
  }
}

/** What the client is told of an error. An unexpected one stays here: its message may hold paths of this machine. */
function faultOf(error: unknown): RegistryFault {
  if (error instanceof RegistryFault) return error;
  if (error instanceof LandfallError && error.code === 'BLOB_NOT_FOUND') {
    return new RegistryFault(404, 'BLOB_UNKNOWN', 'the content is no longer here');
  }
  return new RegistryFault(500, 'UNKNOWN', 'the registry failed to read its store');
}

function answerOf(fault: RegistryFault): PreparedAnswer {
  const body = Buffer.from(fault.body());
  return {
    status: fault.status,
    headers: { 'Content-Type': 'application/json', 'Content-Length': body.length, ...fault.headers },
    body,
  };
}

/** @param onBytes told of every part of the body that goes out */
async function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: PreparedAnswer,
  onBytes: (length: number) => void,
): Promise<void> {
  const { status, headers, body } = answer;
  // A browser is never to take stored bytes for a page of this origin.
  const common = { 'Docker-Distribution-Api-Version': 'registry/2.0', 'X-Content-Type-Options': 'nosniff' };
  response.writeHead(status, { ...common, ...headers });
  if (!(body instanceof Readable)) {
    const sent = request.method === 'HEAD' ? undefined : body;
    if (sent !== undefined) onBytes(Buffer.byteLength(sent));
    response.end(sent);
    return;
  }
  let missing = Number(headers['Content-Length']);
  body.on('data', (chunk: Buffer) => {
    missing -= chunk.length;
    onBytes(chunk.length);
  });
  // Ends both when either breaks: a client that goes away closes the file.
  await pipeline(body, response);
  // The head has promised a length, and on a connection that stays open the client would wait for the rest.
  if (missing !== 0) throw new Error(`the body is ${missing} bytes shorter than announced`);
}

async function listen(
  server: Server,
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

function listenError(cause: unknown, at: { readonly host: string; readonly port: number }): LandfallError {
  const message = `cannot listen on ${at.host}, port ${at.port}`;
  switch (systemCode(cause)) {
    case 'EADDRINUSE':
      return new LandfallError('IN_USE', `${message}: the port is taken`, {
        cause,
        hint: 'Listen on another port, or on port 0 to take a free one.',
      });
    case 'EACCES':
      return new LandfallError('INVALID_CONFIG', `${message}: ports below 1024 need more rights`, {
        cause,
        hint: 'Listen on a port above 1023.',
      });
    default:
      return new LandfallError('INVALID_CONFIG', `${message}: it is not an address of this machine`, {
        cause,
        hint: 'Listen on 127.0.0.1, or on 0.0.0.0 for all addresses.',
      });
  }
}

async function close(server: Server, graceMs: number): Promise<void> {
  if (!server.listening) return;
  const cutOff = setTimeout(() => server.closeAllConnections(), graceMs);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearTimeout(cutOff);
}
