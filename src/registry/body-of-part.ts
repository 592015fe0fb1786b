import { Readable } from 'node:stream';
import { ContentError, RegistryError } from '../errors.js';
import { createDigester, type Descriptor, type Digest, LIMITS, type Reference } from '../spec/index.js';
import { BlobBody, type BlobBodyOptions, type BlobPace, type PartBody } from './blob-body.js';
import {
  appliedEncoding,
  contentLength,
  decodedBody,
  type HttpResponse,
  parseContentRange,
  redactUrl,
} from './http/http.js';

/** A part of some content: `length` bytes from `offset`. */
export interface Part {
  readonly descriptor: Descriptor;
  readonly offset: number;
  readonly length: number;
  /** A host that knows no ranges may go on to the end. */
  readonly orMore: boolean;
}

export interface PartOptions extends Pick<BlobBodyOptions, 'onProgress' | 'onOver'> {
  /** Asks for the content with this `Range` header, or for the whole. Resolves to 200, 206 or 416. */
  readonly request: (range: string | undefined) => Promise<HttpResponse>;
  /** How often the host is asked, this time included. */
  readonly attempt: number;
  readonly pace?: BlobPace | undefined;
}

/** What asks for credentials, or for patience, is no answer to the range. */
const NO_ANSWERS_TO_RANGES: ReadonlySet<number> = new Set([401, 408, 425, 429]);

/**
 * A part of a blob, whatever the server makes of a range (RFC 9110, 14.2): all of it, another one, a shorter one, or a refusal.
 */
export async function bodyOfPart(part: Part, options: PartOptions): Promise<BlobBody> {
  const { descriptor, offset, length } = part;
  if (length < descriptor.size) {
    const response = await answerToRange(`bytes=${offset}-${offset + length - 1}`, options);
    const body =
      response?.status === 200 ? wholeBody(response, part, options) : rangeBody(response, part, options);
    if (body !== undefined) return body;
    // The server cannot do this range, or answered another one: the whole is asked for, and the rest left out.
    response?.destroy();
  }
  return wholeBody(await options.request(undefined), part, options);
}

/**
 * Undefined where the range was refused. Servers, buckets and what stands before them have many ways to say that they can do
 * none; where it may be something else, such as an address that has expired, the range is asked for once more first.
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
    ...watching(options),
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
    ...watching(options),
  });
}

function watching({ pace, onProgress, onOver }: PartOptions): Partial<BlobBodyOptions> {
  return {
    ...(pace === undefined ? {} : { pace }),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(onOver === undefined ? {} : { onOver }),
  };
}

/** `actual` is undefined where the body just went on. */
function sizeMismatch(
  response: HttpResponse,
  { descriptor }: Part,
  actual: number | undefined,
): ContentError {
  response.destroy();
  const { digest, size } = descriptor;
  const has = actual === undefined ? 'more' : String(actual);
  return new ContentError(
    'SIZE_MISMATCH',
    `${digest} should have ${size} bytes, and ${response.url.host} sends ${has}`,
    {
      hint: 'The image was pushed wrongly, or the registry has changed it.',
      details: { digest, expected: size, ...(actual === undefined ? {} : { actual }) },
    },
  );
}

function shortBody(response: HttpResponse, part: Part, received: number): RegistryError {
  const { host } = response.url;
  return new RegistryError(
    'UNAVAILABLE',
    `${host} stopped after ${received} of ${part.length} bytes of ${part.descriptor.digest}`,
    {
      retryable: true,
      details: { method: 'GET', url: redactUrl(response.url), status: response.status },
    },
  );
}

/** A body as a stream, for who wants one. Destroying it destroys the body. */
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
 * The content that a descriptor carries itself, verified (image-spec: descriptor.md, `data`); undefined where it carries
 * none.
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
      `${digest} should have ${size} bytes, and its descriptor carries ${bytes.length}`,
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

/** The last manifests that came with their names, verified, so that they need not be asked for once more by their digests. */
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
