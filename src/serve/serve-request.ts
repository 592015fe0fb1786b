import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BLOB_CHUNK_BYTES, BlobFileStream } from '../content/index.js';
import { isLandfallError } from '../errors.js';
import type { Access } from './access/access.js';
import { type AnswerOptions, answerRequest } from './answer-request.js';
import type { Answer } from './http/answer.js';
import { RegistryFault } from './http/registry-fault.js';
import { hasBody, receivedBytes } from './http/request-body.js';
import type { ServedRequest } from './observe/access-line.js';

export interface ServeRequestOptions extends AnswerOptions {
  /** The rights of users; without it every client may do everything. */
  readonly access?: Access | undefined;
  /** Called for each part of a body that was given to a connection, in bytes. */
  readonly onSent?: ((bytes: number) => void) | undefined;
  readonly onRequest?: ((event: ServedRequest) => void) | undefined;
}

/** Answers one request. Never rejects: an error goes to the client and to `onRequest`. */
export async function serveRequest(
  options: ServeRequestOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const log = new RequestLog(options, request);
  const answer = await preparedAnswer(options, { request, response, log }).catch((error: unknown) => {
    const fault = faultOf(error);
    if (fault.status >= 500) log.failure = { error };
    return answerOf(fault);
  });
  await sendLogged({ request, response, log }, answer);
}

/** Answers a request beyond the limit with a 429. */
export async function refuseRequest(
  options: ServeRequestOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const headers = { 'Retry-After': '1', Connection: 'close' };
  const fault = new RegistryFault(429, 'TOOMANYREQUESTS', 'too many requests are being answered', headers);
  await sendLogged({ request, response, log: new RequestLog(options, request) }, answerOf(fault));
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly log: RequestLog;
}

async function sendLogged({ request, response, log }: Exchange, answer: PreparedAnswer): Promise<void> {
  try {
    await send(request, response, { answer, onBytes: (length) => log.sent(length) });
  } catch (error) {
    log.failure = { error };
    // Part of the answer may be out already, so only a broken connection shows the client that it is
    // incomplete.
    log.socket.destroy();
    // A body of which nothing was sent is still open.
    if (answer.body instanceof Readable) answer.body.destroy();
  }
  leaveRest(request);
  log.end(answer.status);
}

/** Collects the log entry of one request. */
class RequestLog {
  failure: { readonly error: unknown } | undefined;
  user: string | undefined;
  readonly #options: ServeRequestOptions;
  readonly #request: IncomingMessage;
  readonly #startedAt = new Date();
  readonly #start = performance.now();
  readonly socket: Socket;
  readonly #client: string;
  #bytes = 0;

  constructor(options: ServeRequestOptions, request: IncomingMessage) {
    this.#options = options;
    this.#request = request;
    // A destroyed request has no socket any more.
    this.socket = request.socket;
    this.#client = request.socket.remoteAddress ?? '';
  }

  sent(bytes: number): void {
    this.#bytes += bytes;
    this.#options.onSent?.(bytes);
  }

  end(status: number): void {
    const { onRequest } = this.#options;
    const { method = '', url = '', headers, httpVersion } = this.#request;
    const { 'user-agent': userAgent, referer } = headers;
    onRequest?.({
      method,
      path: url,
      status,
      bytes: this.#bytes,
      receivedBytes: receivedBytes(this.#request),
      startedAt: this.#startedAt,
      durationMs: performance.now() - this.#start,
      client: this.#client,
      httpVersion,
      user: this.user,
      userAgent,
      referer,
      ...this.failure,
    });
  }
}

/** An answer whose body is open: an error until here can still become a status. */
type PreparedAnswer = Omit<Answer, 'body'> & { readonly body?: string | Buffer | Readable };

async function preparedAnswer(
  options: ServeRequestOptions,
  { request, response, log }: Exchange,
): Promise<PreparedAnswer> {
  const admitted = await options.access?.admit(request);
  log.user = admitted?.user;
  if (options.target !== undefined && request.headers.expect !== undefined) response.writeContinue();
  const { body, headers, ...head } = await answerRequest(options, request);
  const common = { ...head, headers: { ...headers, ...admitted?.headers } };
  if (body === undefined || request.method === 'HEAD') return common;
  return { ...common, body: typeof body === 'function' ? await body() : body };
}

/** The error for the client. An unexpected one stays here: its message may hold paths of this machine. */
function faultOf(error: unknown): RegistryFault {
  if (error instanceof RegistryFault) return error;
  if (isLandfallError(error)) {
    switch (error.code) {
      case 'BLOB_NOT_FOUND':
        return new RegistryFault(404, 'BLOB_UNKNOWN', 'the content is no longer here');
      case 'NO_SPACE':
        return new RegistryFault(507, 'UNKNOWN', 'the registry has no space left');
      default:
    }
  }
  return new RegistryFault(500, 'UNKNOWN', 'the registry failed to use its store');
}

function answerOf(fault: RegistryFault): PreparedAnswer {
  const body = Buffer.from(fault.body());
  return {
    status: fault.status,
    headers: { 'Content-Type': 'application/json', 'Content-Length': body.length, ...fault.headers },
    body,
  };
}

/** @param o `onBytes`: called for every part of the body that goes out */
async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { answer, onBytes }: { readonly answer: PreparedAnswer; readonly onBytes: (length: number) => void },
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
  const announced = Number(headers['Content-Length']);
  let missing = announced;
  const count = (length: number): void => {
    missing -= length;
    onBytes(length);
  };
  if (body instanceof BlobFileStream) {
    await sendFile(body, response, count);
  } else {
    body.on('data', (chunk: Buffer) => count(chunk.length));
    // Ends both when either breaks: a client that goes away closes the file.
    await pipeline(body, response);
  }
  // The head has promised a length, and on a connection that stays open the client would wait for the rest.
  if (missing !== 0) throw new Error(`the body is ${missing} of ${announced} bytes shorter than announced`);
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
      await write(response, buffer.subarray(0, length));
      inUse = false;
    }
    await end(response);
  } finally {
    file.destroy();
    // What a broken connection has not written may still be looked at.
    if (!inUse && spare.length < MOST_SPARE) spare.push(buffer);
  }
}

function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  return untilDone(response, (done) => response.write(chunk, done));
}

function end(response: ServerResponse): Promise<void> {
  return untilDone(response, (done) => response.end(done));
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
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}
