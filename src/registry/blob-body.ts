import { performance } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { type Deferred, deferred } from '../concurrency/index.js';
import { ContentError, RegistryError } from '../errors.js';
import {
  createDigester,
  type Descriptor,
  type Digest,
  exactSize,
  LIMITS,
  type Reference,
} from '../spec/index.js';
import type { BlobOutcome } from './hosts/mirror-list.js';
import {
  appliedEncoding,
  type BodySource,
  contentLength,
  decodedBody,
  type HttpResponse,
  parseContentRange,
  redactUrl,
} from './http/http.js';

/**
 * So much is gathered while the reader is busy with what it took before; then the connection is paused.
 * Together with that, a connection holds at most twice as many bytes, and one chunk. Enough that the reader
 * writes it with one call.
 */
const BATCH_BYTES = 512 * 1024;
/** The same for a body that comes in tiny chunks, of which each costs some memory of its own. */
const BATCH_CHUNKS = 1024;

/** The bytes of a part as they arrive, for one reader. */
export interface PartBody {
  /**
   * All that has arrived since the last call, at least a byte; waits where nothing has; undefined at the end.
   * One call at a time. What is given is the caller's to keep.
   *
   * @throws what ended the body early, after everything that did arrive was given
   */
  next(): Promise<readonly Uint8Array[] | undefined>;
  /** Ends it, and closes the connection if bytes are still to come. Twice does no harm. */
  destroy(): void;
}

export interface BlobBodyOptions {
  /** Bytes to leave out at the start: the server sent more than was asked for. */
  readonly skip: number;
  /** Bytes to give after them. */
  readonly length: number;
  /** What further bytes mean: the server ignored the range, or the content is not what was promised. */
  readonly surplus: 'ignore' | (() => Error);
  /** The error for a body that ends early without a fault of the connection. */
  readonly shortfall: (received: number) => Error;
  /** A body that comes more slowly than this ends with the error. Default: however slow. */
  readonly pace?: BlobPace | undefined;
  readonly onProgress?: (received: number) => void;
  /** Called once: all that was wanted has come, or it broke, or was destroyed by its reader. */
  readonly onOver?: (outcome: BlobOutcome) => void;
}

export interface BlobPace {
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
  readonly tooSlow: (bytesPerSecond: number) => Error;
}

/** How it ended: `error` where not all that was wanted has come. */
interface BodyEnd {
  readonly error?: Error;
}

interface BodyReader {
  readonly resolve: (batch: readonly Uint8Array[] | undefined) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A body as exactly the bytes wanted. When the connection breaks, what has arrived is given before the error
 * is met, so that a resumed download need not fetch it again.
 */
export class BlobBody implements PartBody {
  readonly #source: BodySource;
  readonly #options: BlobBodyOptions;
  readonly #watch: RateWatch | undefined;
  readonly #begun: Deferred<undefined> = deferred();
  readonly #arrived: Deferred<undefined> = deferred();
  #skip: number;
  #remaining: number;
  /** What has arrived and was not given yet. */
  #batch: Buffer[] = [];
  #batchBytes = 0;
  #end: BodyEnd | undefined;
  #reader: BodyReader | undefined;
  #over = false;

  constructor(source: BodySource, options: BlobBodyOptions) {
    this.#source = source;
    this.#options = options;
    this.#skip = options.skip;
    this.#remaining = options.length;
    // Nothing may wait for it any more by then.
    this.#begun.promise.catch(() => undefined);
    this.#arrived.promise.catch(() => undefined);
    const { pace } = options;
    this.#watch =
      pace === undefined
        ? undefined
        : new RateWatch({
            ...pace,
            onSlow: (bytesPerSecond) => this.#fail(pace.tooSlow(bytesPerSecond), true),
          });
    source.start({
      data: (chunk) => this.#take(chunk),
      limited: (isHeldBack) => {
        if (isHeldBack) this.#watch?.pause('limit');
        else this.#watch?.resume('limit');
      },
      end: () => {
        if (this.#remaining === 0) this.#complete();
        else this.#fail(options.shortfall(this.#received));
      },
      error: (error) => this.#fail(error),
    });
  }

  /** Bytes that it is to give. */
  get wanted(): number {
    return this.#options.length;
  }

  /** Resolves with the first byte, wanted or not, or an orderly end; rejects when it fails before. */
  get begun(): Promise<undefined> {
    return this.#begun.promise;
  }

  /** The same with the first byte that is wanted. */
  get arrived(): Promise<undefined> {
    return this.#arrived.promise;
  }

  next(): Promise<readonly Uint8Array[] | undefined> {
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#give();
    });
  }

  destroy(): void {
    this.#source.destroy();
    this.#batch = [];
    this.#end ??= {};
    this.#reportOver({});
    this.#give();
  }

  /** Gives the reader that waits, if there is one, what there is: bytes before the end. */
  #give(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    if (this.#batch.length > 0) {
      const batch = this.#batch;
      this.#reader = undefined;
      this.#batch = [];
      this.#batchBytes = 0;
      reader.resolve(batch);
      this.#watch?.resume('reader');
      this.#source.resume();
    } else if (this.#end !== undefined) {
      this.#reader = undefined;
      if (this.#end.error === undefined) reader.resolve(undefined);
      else reader.reject(this.#end.error);
    }
  }

  /** @returns whether more may come at once */
  #take(chunk: Buffer): boolean {
    if (this.#skip >= chunk.length) {
      this.#skip -= chunk.length;
      // The reader may not want to wait for all that is left out.
      this.#begun.resolve(undefined);
      return true;
    }
    let wanted = this.#skip === 0 ? chunk : chunk.subarray(this.#skip);
    this.#skip = 0;
    if (wanted.length > this.#remaining) {
      if (this.#options.surplus !== 'ignore') {
        this.#fail(this.#options.surplus());
        return true;
      }
      wanted = wanted.subarray(0, this.#remaining);
    }
    this.#keep(wanted);
    this.#begun.resolve(undefined);
    if (wanted.length > 0) this.#arrived.resolve(undefined);
    if (this.#remaining === 0 && this.#options.surplus === 'ignore') {
      this.#source.destroy();
      this.#complete();
    }
    this.#give();
    const more = this.#batchBytes < BATCH_BYTES && this.#batch.length < BATCH_CHUNKS;
    if (!more) this.#watch?.pause('reader');
    return more;
  }

  #keep(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#batch.push(chunk);
    this.#batchBytes += chunk.length;
    this.#remaining -= chunk.length;
    this.#watch?.came(chunk.length);
    this.#options.onProgress?.(this.#received);
  }

  get #received(): number {
    return this.#options.length - this.#remaining;
  }

  #complete(): void {
    this.#reportOver({ whole: true });
    this.#begun.resolve(undefined);
    this.#arrived.resolve(undefined);
    this.#end ??= {};
    this.#give();
  }

  #fail(error: Error, slow = false): void {
    this.#reportOver({ error, slow });
    this.#begun.reject(error);
    this.#arrived.reject(error);
    this.#source.destroy();
    this.#end ??= { error };
    this.#give();
  }

  #reportOver(outcome: Omit<BlobOutcome, 'bytes'>): void {
    this.#watch?.stop();
    if (this.#over) return;
    this.#over = true;
    this.#options.onOver?.({ ...outcome, bytes: this.#received });
  }
}

/** How often it looks, in a window. */
const LOOKS = 4;

export interface RateWatchOptions {
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
  /** Called once, with the bytes per second of the last window. */
  readonly onSlow: (bytesPerSecond: number) => void;
}

/** The causes of a pause: the reader is busy, or the limit of bytes per second is reached. */
export type Holder = 'reader' | 'limit';

/** Watches how fast bytes come. Time during which none were wanted does not count. */
export class RateWatch {
  readonly #options: RateWatchOptions;
  readonly #timer: NodeJS.Timeout;
  /** Of the last looks, the newest last. */
  readonly #looks: { bytes: number; wantedMs: number }[] = [];
  readonly #holders = new Set<Holder>();
  #bytes = 0;
  #wantedMs = 0;
  /** Since when bytes have been wanted, by `performance.now()`. */
  #wantedSince: number | undefined = performance.now();

  constructor(options: RateWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), options.windowMs / LOOKS);
    this.#timer.unref();
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  /** No more are wanted until {@link resume}. */
  pause(holder: Holder): void {
    this.#holders.add(holder);
    this.#count();
    this.#wantedSince = undefined;
  }

  resume(holder: Holder): void {
    this.#holders.delete(holder);
    if (this.#holders.size === 0) this.#wantedSince ??= performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #count(): void {
    if (this.#wantedSince === undefined) return;
    const now = performance.now();
    this.#wantedMs += now - this.#wantedSince;
    this.#wantedSince = now;
  }

  #look(): void {
    this.#count();
    this.#looks.push({ bytes: this.#bytes, wantedMs: this.#wantedMs });
    this.#bytes = 0;
    this.#wantedMs = 0;
    if (this.#looks.length > LOOKS) this.#looks.shift();
    const wantedMs = this.#looks.reduce((sum, look) => sum + look.wantedMs, 0);
    // Where it was seldom wanted, little says nothing.
    if (this.#looks.length < LOOKS || wantedMs < this.#options.windowMs * 0.75) return;
    const rate = (this.#looks.reduce((sum, look) => sum + look.bytes, 0) / wantedMs) * 1000;
    if (rate >= this.#options.minBytesPerSecond) return;
    this.stop();
    this.#options.onSlow(rate);
  }
}

/** A part of some content: `length` bytes from `offset`. */
export interface Part {
  readonly descriptor: Descriptor;
  readonly offset: number;
  readonly length: number;
  /** A host that knows no ranges may go on to the end. */
  readonly orMore: boolean;
}

export interface PartOptions extends Pick<BlobBodyOptions, 'pace' | 'onProgress' | 'onOver'> {
  /** Asks for the content with this `Range` header, or for the whole. Resolves to 200, 206 or 416. */
  readonly request: (range: string | undefined) => Promise<HttpResponse>;
  /** How often the host is asked, this time included. */
  readonly attempt: number;
}

/** What asks for credentials, or for patience, is no answer to the range. */
const NO_ANSWERS_TO_RANGES: ReadonlySet<number> = new Set([401, 408, 425, 429]);

/**
 * A part of a blob, whatever the server makes of a range (RFC 9110, 14.2): all of it, another one, a shorter
 * one, or a refusal.
 */
export async function bodyOfPart(part: Part, options: PartOptions): Promise<BlobBody> {
  const { descriptor, offset, length } = part;
  if (length < descriptor.size) {
    const response = await answerToRange(`bytes=${offset}-${offset + length - 1}`, options);
    const body =
      response?.status === 200 ? wholeBody(response, part, options) : rangeBody(response, part, options);
    if (body !== undefined) return body;
    // The server cannot do this range, or answered another one: the whole is asked for, and the rest left
    // out.
    response?.destroy();
  }
  return wholeBody(await options.request(undefined), part, options);
}

/**
 * Undefined where the range was refused. Servers, buckets and what stands before them have many ways to say
 * that they can do none; where it may be something else, such as an address that has expired, the range is
 * asked for once more first.
 */
async function answerToRange(
  range: string,
  { request, attempt }: PartOptions,
): Promise<HttpResponse | undefined> {
  try {
    return await request(range);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const { status = 0 } = error.details;
    const isRefusal = status >= 400 && status <= 501 && !NO_ANSWERS_TO_RANGES.has(status);
    const mayBeElse = error.retryable && status !== 501;
    if (!isRefusal || (mayBeElse && attempt === 1)) throw error;
    return undefined;
  }
}

/** What the answer 206 holds; undefined where it does not hold what was asked for. */
function rangeBody(
  response: HttpResponse | undefined,
  part: Part,
  options: PartOptions,
): BlobBody | undefined {
  if (response?.status !== 206) return undefined;
  const range = parseContentRange(response.header('content-range'));
  if (range?.start !== part.offset || range.end >= part.offset + part.length) return undefined;
  if (range.total !== undefined && range.total !== part.descriptor.size) {
    throw sizeMismatch(response, part, range.total);
  }
  // A coding's ranges are those of the coded bytes, of no use.
  if (appliedEncoding(response, range.end - range.start + 1) !== undefined) return undefined;
  return new BlobBody(response, {
    skip: 0,
    length: part.length,
    surplus: () => sizeMismatch(response, part, undefined),
    shortfall: (received) => shortBody(response, part, received),
    ...options,
  });
}

function wholeBody(response: HttpResponse, part: Part, options: PartOptions): BlobBody {
  const { size } = part.descriptor;
  const encoding = appliedEncoding(response, size);
  const announced = encoding === undefined ? contentLength(response) : undefined;
  if (announced !== undefined && announced !== size) throw sizeMismatch(response, part, announced);
  const length = part.orMore ? size - part.offset : part.length;
  return new BlobBody(decodedBody(response, encoding), {
    skip: part.offset,
    length,
    surplus: part.offset + length === size ? () => sizeMismatch(response, part, undefined) : 'ignore',
    shortfall: (received) => shortBody(response, part, received),
    ...options,
  });
}

/** `actual` is undefined where the body just went on. */
function sizeMismatch(
  response: HttpResponse,
  { descriptor }: Part,
  actual: number | undefined,
): ContentError {
  response.destroy();
  const { digest, size } = descriptor;
  const has = actual === undefined ? 'more' : exactSize(actual);
  return new ContentError(
    'SIZE_MISMATCH',
    `${digest} should have ${exactSize(size)}, and ${response.url.host} sends ${has}`,
    {
      hint: 'The image was pushed wrongly, or the registry has changed it.',
      details: { digest, expected: size, actual },
    },
  );
}

function shortBody(response: HttpResponse, part: Part, received: number): RegistryError {
  const { host } = response.url;
  return new RegistryError(
    'UNAVAILABLE',
    `${host} stopped after ${exactSize(received)} of ${exactSize(part.length)} of ${part.descriptor.digest}`,
    {
      retryable: true,
      details: { method: 'GET', url: redactUrl(response.url), status: response.status },
    },
  );
}

/** A body as a stream. Destroying it destroys the body. */
export class PartStream extends Readable {
  readonly #body: PartBody;
  #asking = false;
  /** What ended the body, while bytes from before are still to be read. */
  #held: unknown;

  constructor(body: PartBody) {
    super();
    this.#body = body;
  }

  override _read(): void {
    // Each chunk that is pushed may be followed by a call of this, the next of the same batch too.
    if (this.#asking) return;
    this.#asking = true;
    this.#body.next().then(
      (batch) => {
        this.#asking = false;
        if (batch === undefined) this.push(null);
        else for (const chunk of batch) this.push(chunk);
      },
      (error: unknown) => {
        if (this.readableLength === 0) this.#end(error);
        else this.#held = error;
      },
    );
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    if (this.#held !== undefined && this.readableLength === 0) this.#end(this.#held);
    return chunk;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#body.destroy();
    callback(error);
  }

  #end(error: unknown): void {
    this.destroy(error instanceof Error ? error : new Error('the body ended early', { cause: error }));
  }
}

/**
 * The content that a descriptor carries itself, verified (image-spec: descriptor.md, `data`); undefined where
 * it carries none.
 *
 * @throws {ContentError} DIGEST_MISMATCH, SIZE_MISMATCH
 */
export function inlineData({ data, digest, size }: Descriptor): Buffer | undefined {
  if (data === undefined) return undefined;
  const bytes = Buffer.from(data, 'base64');
  const hint = 'The image was put together wrongly, or tampered with; do not use it.';
  if (bytes.length !== size) {
    throw new ContentError(
      'SIZE_MISMATCH',
      `${digest} should have ${exactSize(size)}, and its descriptor carries ${exactSize(bytes.length)}`,
      { hint, details: { digest, expected: size, actual: bytes.length } },
    );
  }
  const actual = createDigester(digest).update(bytes).digest();
  if (actual === digest) return bytes;
  throw new ContentError('DIGEST_MISMATCH', `${digest} is not what its descriptor carries`, {
    hint,
    details: { digest, expected: digest, actual },
  });
}

/** The size of all manifests that are kept for the next fetch, in bytes. */
const SEEN_BYTES = 2 * LIMITS.manifestBytes;

/**
 * The last manifests that came with their names, verified, so that they need not be asked for once more by
 * their digests.
 */
export class SeenManifests {
  readonly #seen = new Map<string, Buffer>();
  #bytes = 0;

  add(of: Pick<Reference, 'registry' | 'repository'>, digest: Digest, bytes: Buffer): void {
    const key = keyOf(of, digest);
    this.#delete(key);
    this.#seen.set(key, bytes);
    this.#bytes += bytes.length;
    for (const oldest of this.#seen.keys()) {
      if (this.#bytes <= SEEN_BYTES) return;
      this.#delete(oldest);
    }
  }

  get(of: Pick<Reference, 'registry' | 'repository'>, { digest, size }: Descriptor): Buffer | undefined {
    const bytes = this.#seen.get(keyOf(of, digest));
    return bytes?.length === size ? bytes : undefined;
  }

  #delete(key: string): void {
    this.#bytes -= this.#seen.get(key)?.length ?? 0;
    this.#seen.delete(key);
  }
}

function keyOf({ registry, repository }: Pick<Reference, 'registry' | 'repository'>, digest: Digest): string {
  return `${registry}/${repository}@${digest}`;
}

/** Bytes that are here already, as a body. */
export function bodyOf(bytes: Uint8Array): PartBody {
  let left: readonly Uint8Array[] | undefined = bytes.byteLength === 0 ? undefined : [bytes];
  const take = (): readonly Uint8Array[] | undefined => {
    const batch = left;
    left = undefined;
    return batch;
  };
  return { next: () => Promise.resolve(take()), destroy: () => void take() };
}
