import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { type Abortable, LandfallError, RegistryError, SpecError } from '../../errors.js';
import { formatSize, LIMITS } from '../../spec/index.js';

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * How an origin is connected to, where it is not as everywhere else. Connections are pooled by the object's
 * identity, so one is made for each host and kept.
 */
export interface ConnectionOptions {
  /** PEM, trusted besides the public authorities. */
  readonly ca?: readonly (string | Buffer)[];
  /** PEM, shown to a server that asks for a client certificate. */
  readonly client?: readonly {
    /** The certificate, and those between it and one that the server knows. */
    readonly cert: Buffer;
    /** Of the certificate. */
    readonly key: Buffer;
  }[];
  /** Takes any certificate. */
  readonly insecure?: boolean | undefined;
  /** Until the connection stands, TLS included, in milliseconds. */
  readonly dialTimeoutMs?: number | undefined;
}

export interface HttpRequest extends Abortable {
  readonly method: HttpMethod;
  readonly url: URL;
  /**
   * Path and query as they are sent, where that is not as the URL has them: it writes `'` in a query as
   * `%27`, which an address that was signed may not bear.
   */
  readonly target?: string | undefined;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is read once; it is destroyed when the exchange fails. */
  readonly body?: string | Uint8Array | Readable;
  /** Which try of the same request this is, from 1. */
  readonly attempt: number;
  readonly connection?: ConnectionOptions | undefined;
  /** From the request to the last of the answer's headers, in milliseconds. Default: the sender's own. */
  readonly headersMs?: number | undefined;
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

/** Whatever makes single HTTP exchanges. It neither redirects, authenticates nor retries. */
export interface HttpSender {
  /** Resolves with the headers. @throws {RegistryError} UNAVAILABLE, PROTOCOL; ABORTED */
  send(request: HttpRequest): Promise<HttpResponse>;
}

/** A URL as it may be shown: without user info, query and fragment, any of which may hold a secret. */
export function redactUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** A URL from text, relative to `base` if there is one; undefined when it is none. */
export function parseUrl(text: string, base?: URL): URL | undefined {
  return URL.canParse(text, base?.href) ? new URL(text, base) : undefined;
}

/** Whether a registry's words echo something that no message may hold, as it is or percent-encoded. */
export function holdsSecret(text: string, secrets: readonly string[]): boolean {
  const forms = [text, decoded(text)];
  return secrets.some((secret) => forms.some((form) => form.includes(secret)));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu;

/**
 * Words of a registry made fit for a message: one line, nothing that a terminal would act on, and no query of
 * a URL, which may hold a signature.
 *
 * @param maxLength UTF-16 code units; what is longer ends in an ellipsis
 */
export function plainText(text: string, maxLength: number): string {
  const plain = text
    .replace(UNPRINTABLE, ' ')
    .replace(/ {2,}/g, ' ')
    .replace(/(https?:\/\/[^\s?]*)\?\S*/gi, '$1')
    .trim();
  if (plain.length <= maxLength) return plain;
  // Not between the two halves of a character.
  return `${plain.slice(0, maxLength).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/**
 * A body that is pushed to one sink. The transport pushes straight from the parser into whatever needs the
 * bytes, with no stream between: at loopback speed every layer between costs as much as the socket does.
 */
export interface BodySource {
  /** Begins the flow, once. The sink may be called before this returns. */
  start(sink: BodySink): void;
  /** Goes on after {@link BodySink.data} answered false; otherwise without effect. */
  resume(): void;
  /** Stops, and closes the connection if bytes are still to come. The sink hears nothing more. */
  destroy(): void;
}

export interface BodySink {
  /** False asks for a pause until {@link BodySource.resume}. The chunk is the sink's to keep. */
  data(chunk: Buffer): boolean;
  /**
   * Called when a limit of this client begins to hold bytes back, and when it ends: then the host is not the
   * cause of the delay.
   */
  limited?(isHeldBack: boolean): void;
  end(): void;
  /** A LandfallError. Last call, as `end` is. */
  error(error: Error): void;
}

/**
 * The whole body, where it is small, with a coding undone that was applied on the way.
 *
 * @param limit bytes; beyond it the connection is closed and `tooLong` is thrown
 */
export async function wholeBody(
  response: HttpResponse,
  limit: number,
  tooLong: () => Error,
): Promise<Buffer> {
  return await collectBody(decodedBody(response, appliedEncoding(response, undefined)), limit, tooLong);
}

/** A manifest or an index. @param what for messages: `manifest of quay.io/team/app:1` */
export async function wholeManifest(response: HttpResponse, what: string): Promise<Buffer> {
  const limit = LIMITS.manifestBytes;
  const tooLong = (): Error =>
    new SpecError('LIMIT_EXCEEDED', `the ${what} is longer than ${formatSize(limit)}`);
  return await wholeBody(response, limit, tooLong);
}

/** The same of bytes that are as they are. */
export async function collectBody(source: BodySource, limit: number, tooLong: () => Error): Promise<Buffer> {
  const { chunks, outcome } = await collected(source, limit);
  if (outcome === 'more') throw tooLong();
  if (outcome !== 'end') throw outcome;
  return Buffer.concat(chunks);
}

/** Of an error's body, in bytes; more is noise or a trap. */
const ERROR_BODY_BYTES: number = 64 * 1024;

/** The first bytes of a body, whatever happens to the rest; read so that the connection can be used again. */
export async function collectBeginning(
  source: BodySource,
  limit: number = ERROR_BODY_BYTES,
): Promise<Buffer> {
  return Buffer.concat((await collected(source, limit)).chunks).subarray(0, limit);
}

async function collected(
  source: BodySource,
  limit: number,
): Promise<{ readonly chunks: Buffer[]; readonly outcome: 'end' | 'more' | Error }> {
  const chunks: Buffer[] = [];
  let length = 0;
  const outcome = await new Promise<'end' | 'more' | Error>((resolve) => {
    source.start({
      data: (chunk) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > limit) {
          source.destroy();
          resolve('more');
        }
        return true;
      },
      end: () => resolve('end'),
      error: resolve,
    });
  });
  // undici offers a connection again one turn of the event loop after its answer has ended. A request
  // that is made sooner opens another one, and pays for its handshake.
  await new Promise((resolve) => setImmediate(resolve));
  return { chunks, outcome };
}

/** An answer that says once when it is over: read to its end, broken, or destroyed. */
export class WatchedResponse implements HttpResponse {
  readonly status: number;
  readonly url: URL;
  readonly #response: HttpResponse;
  readonly #over: () => void;

  constructor(response: HttpResponse, over: () => void) {
    this.status = response.status;
    this.url = response.url;
    this.#response = response;
    this.#over = over;
  }

  header(name: string): string | undefined {
    return this.#response.header(name);
  }

  headers(name: string): readonly string[] {
    return this.#response.headers(name);
  }

  start(sink: BodySink): void {
    this.#response.start({
      data: (chunk) => sink.data(chunk),
      limited: (isHeldBack) => sink.limited?.(isHeldBack),
      end: () => {
        this.#over();
        sink.end();
      },
      error: (error) => {
        this.#over();
        sink.error(error);
      },
    });
  }

  resume(): void {
    this.#response.resume();
  }

  destroy(): void {
    this.#over();
    this.#response.destroy();
  }
}

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
};

/**
 * The coding that a proxy applied although none was asked for; undefined when there is none.
 *
 * Buckets often carry `Content-Encoding: gzip` as a label of a blob that is itself a .tar.gz. Where the
 * length is that of the blob, the bytes are the blob's, whatever the label says.
 *
 * @param size the bytes that are expected once decoded, if known
 */
export function appliedEncoding(response: HttpResponse, size: number | undefined): string | undefined {
  const encoding = response.header('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return undefined;
  return size !== undefined && contentLength(response) === size ? undefined : encoding;
}

/** `Content-Length`, or undefined where it is absent or no number. */
export function contentLength(response: HttpResponse): number | undefined {
  const text = response.header('content-length') ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/**
 * The body with a coding undone. @throws {RegistryError} PROTOCOL for a coding that is unknown, or several
 */
export function decodedBody(response: HttpResponse, encoding: string | undefined): BodySource {
  if (encoding === undefined) return response;
  const create = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (create === undefined) {
    response.destroy();
    throw encodingError(response, 'comes in an encoding that was not requested');
  }
  return new DecodedBody(response, create());
}

function encodingError(response: HttpResponse, fault: string, cause?: unknown): RegistryError {
  return new RegistryError('PROTOCOL', `what ${response.url.host} sends ${fault}`, {
    hint: 'A proxy on the way changes content; have it leave this registry alone.',
    details: { url: redactUrl(response.url), status: response.status },
    cause,
  });
}

class DecodedBody implements BodySource {
  readonly #response: HttpResponse;
  readonly #decoder: Transform;
  #sink: BodySink | undefined;

  constructor(response: HttpResponse, decoder: Transform) {
    this.#response = response;
    this.#decoder = decoder;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    const decoder = this.#decoder;
    decoder.on('drain', () => this.#response.resume());
    decoder.on('data', (chunk: Buffer) => {
      if (this.#sink?.data(chunk) === false) decoder.pause();
    });
    decoder.on('end', () => this.#sink?.end());
    decoder.on('error', (error) => {
      const failed = this.#sink;
      this.destroy();
      failed?.error(
        error instanceof LandfallError
          ? error
          : encodingError(this.#response, 'is not encoded as it says', error),
      );
    });
    this.#response.start({
      data: (chunk) => decoder.write(chunk),
      limited: (isHeldBack) => this.#sink?.limited?.(isHeldBack),
      end: () => void decoder.end(),
      error: (error) => void decoder.destroy(error),
    });
  }

  resume(): void {
    this.#decoder.resume();
  }

  destroy(): void {
    this.#sink = undefined;
    this.#response.destroy();
    this.#decoder.destroy();
  }
}

/** A `Content-Range` of bytes (RFC 9110, 14.4). `end` is the last byte's offset; the total may be unknown. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly total?: number;
}

/** Undefined where the header is absent, or not a range of bytes. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^\s*bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)\s*$/i.exec(header ?? '');
  if (match === null) return undefined;
  const [, start, end, total] = match;
  const range = { start: Number(start), end: Number(end) };
  if (range.end < range.start) return undefined;
  return total === '*' ? range : { ...range, total: Number(total) };
}

/** A place within the line of a header, moved on by sticky patterns. */
export class HeaderCursor {
  readonly #line: string;
  #at = 0;

  constructor(line: string) {
    this.#line = line;
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#line);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  /** What is behind `"` and before the next one, without its escapes. */
  takeQuoted(): string | undefined {
    return this.take(QUOTED)?.[1]?.replace(/\\(.)/g, '$1');
  }

  get isAtEnd(): boolean {
    return this.#at === this.#line.length;
  }

  /** Whether the item of a list ends here. */
  get isAtItemsEnd(): boolean {
    return this.isAtEnd || this.#line[this.#at] === ',';
  }
}

/**
 * The parts of a header's value (RFC 9110, 5.6): a list may have empty items, so several commas part two of
 * them.
 */
export const FIELD: Readonly<Record<'commas' | 'blanks' | 'equals' | 'token', RegExp>> = {
  commas: /[ \t,]*/y,
  blanks: /[ \t]*/y,
  equals: /[ \t]*=[ \t]*/y,
  token: /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y,
};
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;

/**
 * Of all lines together (distribution-spec: Warnings); a registry that sends more is not listened to further.
 */
const MAX_CHARACTERS = 4096;
/** Of one text: a few lines of a terminal. */
const TEXT_LENGTH = 500;

// RFC 7234, 5.5: warn-code SP warn-agent SP warn-text [SP warn-date], the last two quoted.
const WARNING = /(\d{3}) +([^\s",]+) +"((?:[^"\\]|\\.)*)"( +"[^"]*")?[ \t]*(?=,|$)/y;
/**
 * The texts of the `Warning` headers that a registry means for people (distribution-spec: Warnings), each
 * once and fit for a terminal. Those that have another code than 299 or name an agent were added by a cache
 * on the way, and one with a date is not a registry's either; what comes after a fault in a line is left out.
 */
export function parseWarnings(lines: readonly string[]): string[] {
  const texts = new Set<string>();
  let left = MAX_CHARACTERS;
  for (const line of lines) {
    for (const text of textsOf(line.slice(0, left))) texts.add(text);
    left -= Math.min(left, line.length);
  }
  return [...texts];
}

function textsOf(line: string): string[] {
  const texts: string[] = [];
  const at = new HeaderCursor(line);
  for (;;) {
    at.take(FIELD.commas);
    const match = at.take(WARNING);
    if (match === undefined) return texts;
    const [, code, agent, quoted = '', date] = match;
    if (code !== '299' || agent !== '-' || date !== undefined) continue;
    const text = plainText(quoted.replace(/\\(.)/g, '$1'), TEXT_LENGTH);
    if (text !== '') texts.push(text);
  }
}
