import { ContentError, RegistryError } from '../errors.js';
import type { Descriptor } from '../spec/index.js';
import { BlobBody, type BlobBodyOptions, type BlobPace } from './blob-body.js';
import { appliedEncoding, contentLength, decodedBody } from './http/content-encoding.js';
import { parseContentRange } from './http/content-range.js';
import type { HttpResponse } from './http/http.js';
import { redactUrl } from './http/urls.js';

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
