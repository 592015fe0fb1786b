import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Limiter } from '../concurrency/index.js';
import { BLOB_CHUNK_BYTES, BlobFileStream, type ReferrerFinder } from '../content/index.js';
import { isLandfallError } from '../errors.js';
import type { Access } from './access/access.js';
import type { TlsIdentity } from './access/tls-files.js';
import { type Answer, isReading, type Page, RegistryFault } from './http/answer.js';
import { hasBody, receivedBytes } from './http/request-body.js';
import { noEndpoint, parseRoute, type Route } from './http/route.js';
import type { ServedRequest } from './observe/access-line.js';
import {
  answerBlob,
  answerCatalog,
  answerManifest,
  answerReferrers,
  answerTags,
} from './pull/answer-pull.js';
import type { PullThrough } from './pull-through/pull-through.js';
import type { ServeSource } from './pull/serve-source.js';
import { answerPush, PUSH_METHODS } from './push/answer-push.js';
import type { ServeTarget } from './push/serve-target.js';

export interface RegistryServerOptions {
  readonly source: ServeSource;
  /** Brings here what the source lacks of its upstreams; without it, what is not here is not found. */
  readonly pullThrough?: Pick<PullThrough, 'forRequest'> | undefined;
  /** Where pushes and deletions go; without one the registry is read-only. */
  readonly target?: ServeTarget | undefined;
  /** The pages for people, outside of `/v2/`; without it there are none. */
  readonly page?: Page | undefined;
  /** The rights of users; without it every client may do everything. */
  readonly access?: Access | undefined;
  /** Speaks TLS with this; without it plain HTTP. */
  readonly tls?: TlsIdentity | undefined;
  /** Those that are not given are {@link DEFAULT_SERVE_LIMITS}. */
  readonly limits?: Partial<ServeLimits> | undefined;
  /** Called once for each request, when its answer has ended or its client has gone. */
  readonly onRequest?: ((event: ServedRequest) => void) | undefined;
  /** Called for each part of a body that was given to a connection, in bytes. */
  readonly onSent?: ((bytes: number) => void) | undefined;
}

/** What a registry server holds its clients to. */
export interface ServeLimits {
  /** Connections that are open at once; further ones are closed at once. */
  readonly connections: number;
  /** Requests that are answered at once; further ones get a 429 with `Retry-After`. */
  readonly requests: number;
  /** One pushed blob, in bytes. */
  readonly uploadBytes: number;
  /** A client has so long for the head of a request, in ms. */
  readonly headMs: number;
  /** A connection without requests is closed after so long, in ms. */
  readonly idleMs: number;
  /** Over this time a client that is waited for has to move {@link leastBytesPerSecond} on average, in ms. */
  readonly stallMs: number;
  /** Bytes a second. Far below any line that an image could be pulled over. */
  readonly leastBytesPerSecond: number;
}

/** A server's options, and what its requests share. */
export interface Serving extends RegistryServerOptions {
  readonly limits: ServeLimits;
  readonly finder: ReferrerFinder;
  /** Limits how many pushed manifests are in memory. */
  readonly manifests: Limiter;
}

/** Answers one request. Never rejects: an error goes to the client and to `onRequest`. */
export async function serveRequest(
  serving: Serving,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const exchange = new Exchange(serving, request, response);
  await exchange.send(await exchange.answer());
}

/** Answers a request beyond the limit with a 429. */
export async function refuseRequest(
  serving: Serving,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const headers = { 'Retry-After': '1', Connection: 'close' };
  const fault = new RegistryFault(429, 'TOOMANYREQUESTS', 'too many requests are being answered', headers);
  await new Exchange(serving, request, response).send(fault.answer());
}

/** An answer whose body is open: an error until here can still become a status. */
type OpenAnswer = Omit<Answer, 'body'> & { readonly body?: string | Buffer | Readable };

/** One request, its answer, and what its log entry says. */
class Exchange {
  readonly #serving: Serving;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #startedAt = new Date();
  readonly #start = performance.now();
  /** A destroyed request has no socket any more. */
  readonly #socket: Socket;
  readonly #client: string;
  #user: string | undefined;
  #failure: { readonly error: unknown } | undefined;
  #bytes = 0;

  constructor(serving: Serving, request: IncomingMessage, response: ServerResponse) {
    this.#serving = serving;
    this.#request = request;
    this.#response = response;
    this.#socket = request.socket;
    this.#client = request.socket.remoteAddress ?? '';
  }

  async answer(): Promise<OpenAnswer> {
    try {
      const { access, target } = this.#serving;
      const request = this.#request;
      const admitted = await access?.admit(request);
      this.#user = admitted?.user;
      if (target !== undefined && request.headers.expect !== undefined) this.#response.writeContinue();
      const { body, headers, ...head } = await answerRequest(this.#serving, request);
      const common = { ...head, headers: { ...headers, ...admitted?.headers } };
      if (body === undefined || request.method === 'HEAD') return common;
      return { ...common, body: typeof body === 'function' ? await body() : body };
    } catch (error) {
      const fault = faultOf(error);
      if (fault.status >= 500) this.#failure = { error };
      return fault.answer();
    }
  }

  async send(answer: OpenAnswer): Promise<void> {
    try {
      await this.#write(answer);
    } catch (error) {
      this.#failure = { error };
      // Part of the answer may be out already, so only a broken connection shows the client that it is
      // incomplete.
      this.#socket.destroy();
      // A body of which nothing was sent is still open.
      if (answer.body instanceof Readable) answer.body.destroy();
    }
    leaveRest(this.#request);
    const { method = '', url: path = '', headers, httpVersion } = this.#request;
    this.#serving.onRequest?.({
      method,
      path,
      status: answer.status,
      bytes: this.#bytes,
      receivedBytes: receivedBytes(this.#request),
      startedAt: this.#startedAt,
      durationMs: performance.now() - this.#start,
      client: this.#client,
      httpVersion,
      user: this.#user,
      userAgent: headers['user-agent'],
      referer: headers.referer,
      ...this.#failure,
    });
  }

  async #write({ status, headers, body }: OpenAnswer): Promise<void> {
    const response = this.#response;
    // A browser is never to take stored bytes for a page of this origin.
    const common = { 'Docker-Distribution-Api-Version': 'registry/2.0', 'X-Content-Type-Options': 'nosniff' };
    response.writeHead(status, { ...common, ...headers });
    const count = (length: number): void => {
      this.#bytes += length;
      this.#serving.onSent?.(length);
    };
    if (!(body instanceof Readable)) {
      const sent = this.#request.method === 'HEAD' ? undefined : body;
      if (sent !== undefined) count(Buffer.byteLength(sent));
      response.end(sent);
      return;
    }
    if (body instanceof BlobFileStream) {
      await sendFile(body, response, count);
    } else {
      body.on('data', (chunk: Buffer) => count(chunk.length));
      // Ends both when either breaks: a client that goes away closes the file.
      await pipeline(body, response);
    }
    const announced = Number(headers['Content-Length']);
    if (this.#bytes === announced) return;
    // The head has promised a length, and on a connection that stays open the client would wait for the rest.
    throw new Error(`the body is ${announced - this.#bytes} of ${announced} bytes shorter than announced`);
  }
}

/** The error for the client. An unexpected one stays here: its message may hold paths of this machine. */
function faultOf(error: unknown): RegistryFault {
  if (error instanceof RegistryFault) return error;
  const code = isLandfallError(error) ? error.code : undefined;
  if (code === 'BLOB_NOT_FOUND')
    return new RegistryFault(404, 'BLOB_UNKNOWN', 'the content is no longer here');
  if (code === 'NO_SPACE') return new RegistryFault(507, 'UNKNOWN', 'the registry has no space left');
  return new RegistryFault(500, 'UNKNOWN', 'the registry failed to use its store');
}

/** How much of an unwanted body is read, in bytes, so that a client which sends first sees its answer. */
const LEFT_OVER_BYTES = 1024 * 1024;

/** Reads the rest of an unwanted body and drops it, up to a limit: then the connection ends. */
function leaveRest(request: IncomingMessage): void {
  if (request.complete || request.destroyed || !hasBody(request)) return;
  let left = LEFT_OVER_BYTES;
  request.on('error', () => undefined);
  request.on('data', (part: Buffer) => {
    left -= part.length;
    if (left < 0) request.socket.destroySoon();
  });
}

/** So many that are not in use are kept, in bytes of {@link BLOB_CHUNK_BYTES} each: 16 MiB. */
const MOST_SPARE = 64;

/**
 * Buffers that no connection is writing from. Making one for each part of a blob costs more than copying the
 * part.
 */
const spare: Buffer[] = [];

/**
 * Sends a file as the body of an answer, one part at a time: the next is read when the connection has taken
 * the last, so that a client which takes long holds one buffer. Half the time that a stream of fresh buffers
 * takes.
 *
 * @param onBytes called for every part that was given to the connection
 * @throws what reading throws, or an error where the client has gone; the file is closed in any case
 */
async function sendFile(
  file: BlobFileStream,
  response: ServerResponse,
  onBytes: (length: number) => void,
): Promise<void> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(BLOB_CHUNK_BYTES);
  let inUse = false;
  try {
    for (;;) {
      const length = await file.readNext(buffer);
      if (length === 0) break;
      onBytes(length);
      inUse = true;
      await untilDone(response, (done) => response.write(buffer.subarray(0, length), done));
      inUse = false;
    }
    await untilDone(response, (done) => response.end(done));
  } finally {
    file.destroy();
    // What a broken connection has not written may still be looked at.
    if (!inUse && spare.length < MOST_SPARE) spare.push(buffer);
  }
}

/** Resolves when the connection has taken what was given to it; rejects when it ends before. */
function untilDone(
  response: ServerResponse,
  give: (done: (error?: Error | null) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error('the client has gone'));
    if (response.destroyed || response.closed) {
      gone();
      return;
    }
    response.once('close', gone);
    give((error) => {
      response.off('close', gone);
      if (error) reject(error);
      else resolve();
    });
  });
}

/**
 * Answers a request that was admitted.
 *
 * @throws {RegistryFault} the error body for the client; any other error of the source or the target
 */
async function answerRequest(serving: Serving, request: IncomingMessage): Promise<Answer> {
  const { method = '', url = '' } = request;
  const { source, target } = serving;
  if (isReading(method)) {
    const route = parseRoute(url);
    const brought = await serving.pullThrough?.forRequest(route, request.headers);
    const answer = await read({ ...serving, source: brought?.source ?? source }, request, method, route);
    const namespace = 'ns' in route ? { 'OCI-Namespace': route.ns } : {};
    return { ...answer, headers: { ...answer.headers, ...namespace, ...brought?.headers } };
  }
  if (target === undefined || !PUSH_METHODS.has(method)) {
    const allowed = target === undefined ? 'GET, HEAD' : ['GET', 'HEAD', ...PUSH_METHODS].join(', ');
    // Closed afterwards, so that an upload is not read to its end only to be thrown away.
    const headers = { Allow: allowed, Connection: 'close' };
    const message = target === undefined ? 'this registry is read-only' : `there is no method ${method} here`;
    throw new RegistryFault(405, 'UNSUPPORTED', message, headers);
  }
  return answerPush({ ...serving, target, request }, method, parseRoute(url));
}

async function read(
  serving: Serving,
  request: IncomingMessage,
  method: 'GET' | 'HEAD',
  route: Route,
): Promise<Answer> {
  const { source, finder, page, target } = serving;
  const { headers } = request;
  switch (route.kind) {
    case 'page': {
      const answer = await page?.(route.path, { method, query: route.query, headers });
      if (answer === undefined) throw noEndpoint();
      return answer;
    }
    case 'base': {
      const base = { 'Content-Type': 'application/json', 'Content-Length': 2 };
      return { status: 200, headers: base, body: '{}' };
    }
    case 'catalog':
      return answerCatalog(source, route);
    case 'tags':
      return answerTags(source, route);
    case 'referrers':
      return answerReferrers(source, finder, route);
    case 'manifest':
      return answerManifest(source, route, headers);
    case 'blob': {
      // A range of HEAD has no meaning (RFC 9110, 14.2).
      const { range, ...head } = headers;
      // A client that finds a blob before it pushes an image relies on it.
      if (method === 'HEAD') await target?.keep(route.digest);
      return answerBlob(source, route, method === 'HEAD' ? head : { ...head, range });
    }
    case 'upload':
      if (target === undefined) throw noEndpoint();
      return answerPush({ ...serving, target, request }, method, route);
    case 'uploads':
      throw noEndpoint();
  }
}
