import { Readable } from 'node:stream';

import { type Abortable, ContentError, RegistryError, SpecError } from '../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  type Descriptor,
  isDockerSchema1,
  isIndexType,
  isManifestType,
  LIMITS,
  shortDigest,
} from '../spec/index.js';
import { BlobStream } from './blob-stream.js';
import { appliedEncoding, contentLength, decodedBody } from './content-encoding.js';
import { parseContentRange } from './content-range.js';
import type { RegistryHost } from './registry-host.js';
import { type RetryOptions, withRetry } from './retry.js';
import type { HttpResponse } from './transport.js';
import { redactUrl } from './urls.js';

export interface FetchOptions extends Abortable {
  /** The first byte wanted. Default 0. */
  readonly offset?: number;
  /** How many. Default: to the end. */
  readonly length?: number;
}

/**
 * Gets content by its descriptor (distribution-spec: Pulling blobs, Pulling manifests).
 *
 * Resolves at the first byte; until then it retries. The stream yields exactly the bytes asked for, or fails: with a
 * retryable RegistryError when the connection broke or the body was short, after everything that did arrive has been
 * read, so that the caller can ask again from there. The reader ends or destroys the stream. Digests are not verified
 * here: the store does that, since it alone sees all of the bytes.
 *
 * Errors: all of RegistryError; SIZE_MISMATCH when the content is not as long as the descriptor says; LIMIT_EXCEEDED for
 * a manifest beyond the limit; UNSUPPORTED_MEDIA_TYPE for Docker schema 1.
 */
export interface Fetcher {
  fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable>;
}

export interface RemoteFetcherOptions {
  readonly host: RegistryHost;
  readonly repository: string;
  readonly retry: RetryOptions | undefined;
}

/** A part of some content: `length` bytes from `offset`. */
interface Part extends Abortable {
  readonly descriptor: Descriptor;
  readonly offset: number;
  readonly length: number;
  readonly attempt: number;
}

export class RemoteFetcher implements Fetcher {
  readonly #host: RegistryHost;
  readonly #repository: string;
  readonly #retry: RetryOptions | undefined;

  constructor({ host, repository, retry }: RemoteFetcherOptions) {
    this.#host = host;
    this.#repository = repository;
    this.#retry = retry;
  }

  async fetch(descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> {
    const { signal, offset = 0, length = descriptor.size - offset } = options;
    checkPart(descriptor, offset, length);
    if (length === 0) return Readable.from([]);
    return await withRetry(
      async (attempt) => {
        const stream = await this.#open({ descriptor, offset, length, attempt, signal });
        await stream.begun;
        return stream;
      },
      { signal, retry: this.#retry },
    );
  }

  async #open(part: Part): Promise<BlobStream> {
    const { descriptor, offset, length } = part;
    const ranged = length < descriptor.size && !isManifest(descriptor);
    if (ranged) {
      const response = await this.#request(part, { range: `bytes=${offset}-${offset + length - 1}` });
      const stream = response.status === 200 ? wholeStream(response, part) : rangeStream(response, part);
      if (stream !== undefined) return stream;
      // The server cannot do this range, or answered another one: the whole is asked for, and the rest left out.
      response.destroy();
    }
    return wholeStream(await this.#request(part, {}), part);
  }

  async #request({ descriptor, attempt, signal }: Part, range: { range?: string }): Promise<HttpResponse> {
    const manifest = isManifest(descriptor);
    const { digest, mediaType } = descriptor;
    return await this.#host.request({
      method: 'GET',
      path: `/v2/${this.#repository}/${manifest ? 'manifests' : 'blobs'}/${digest}`,
      headers: { accept: manifest ? [mediaType, ...ACCEPTED_MANIFEST_TYPES].join(', ') : '*/*', ...range },
      scope: `repository:${this.#repository}:pull`,
      expected: range.range === undefined ? [200] : [200, 206, 416],
      subject: `${manifest ? 'manifest' : 'blob'} ${shortDigest(digest)} of ${this.#host.registry}/${this.#repository}`,
      attempt,
      signal,
    });
  }
}

function isManifest({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

function checkPart(descriptor: Descriptor, offset: number, length: number): void {
  const { size, mediaType, digest } = descriptor;
  if (
    !Number.isInteger(offset) ||
    !Number.isInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > size
  ) {
    throw new RegistryError(
      'INVALID_CONFIG',
      `no ${length} bytes from ${offset} in content of ${size} bytes`,
    );
  }
  if (isDockerSchema1(mediaType)) throw schema1Error(`manifest ${shortDigest(digest)}`);
  if (isManifest(descriptor) && size > LIMITS.manifestBytes) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `manifest ${shortDigest(digest)} has ${size} bytes, more than ${LIMITS.manifestBytes}`,
    );
  }
}

export function schema1Error(subject: string): SpecError {
  return new SpecError(
    'UNSUPPORTED_MEDIA_TYPE',
    `${subject} is in Docker's schema 1, which is no longer in use`,
    {
      hint: 'Push the image again with a current tool: skopeo copy --format v2s2, or docker push.',
    },
  );
}

/** The answer 206 as a stream; undefined where it does not hold what was asked for. */
function rangeStream(response: HttpResponse, part: Part): BlobStream | undefined {
  const range = response.status === 206 ? parseContentRange(response.header('content-range')) : undefined;
  if (range?.start !== part.offset || range.end >= part.offset + part.length) return undefined;
  if (range.total !== undefined && range.total !== part.descriptor.size) {
    throw sizeMismatch(response, part, range.total);
  }
  // A coding's ranges are those of the coded bytes, of no use.
  if (appliedEncoding(response, range.end - range.start + 1) !== undefined) return undefined;
  return new BlobStream(response, {
    skip: 0,
    length: part.length,
    surplus: () => sizeMismatch(response, part, undefined),
    shortfall: (received) => shortBody(response, part, received),
  });
}

function wholeStream(response: HttpResponse, part: Part): BlobStream {
  const { size } = part.descriptor;
  const encoding = appliedEncoding(response, size);
  const announced = encoding === undefined ? contentLength(response) : undefined;
  if (announced !== undefined && announced !== size) throw sizeMismatch(response, part, announced);
  const toTheEnd = part.offset + part.length === size;
  return new BlobStream(decodedBody(response, encoding), {
    skip: part.offset,
    length: part.length,
    surplus: toTheEnd ? () => sizeMismatch(response, part, undefined) : 'ignore',
    shortfall: (received) => shortBody(response, part, received),
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
