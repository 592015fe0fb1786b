import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { LandfallError, RegistryError } from '../../errors.js';
import { type BodySink, type BodySource, type HttpResponse, redactUrl } from './http.js';

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
};

/**
 * The coding that somebody on the way applied although none was asked for; undefined when there is none.
 *
 * Buckets often carry `Content-Encoding: gzip` as a label of a blob that is itself a .tar.gz. Where the length is that
 * of the blob, the bytes are the blob's, whatever the label says.
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

/** The body with a coding undone. @throws {RegistryError} PROTOCOL for a coding that is unknown, or several */
export function decodedBody(response: HttpResponse, encoding: string | undefined): BodySource {
  if (encoding === undefined) return response;
  const create = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (create === undefined) {
    response.destroy();
    throw encodingError(response, 'comes in an encoding that nobody asked for');
  }
  return new DecodedBody(response, create());
}

function encodingError(response: HttpResponse, fault: string, cause?: unknown): RegistryError {
  return new RegistryError('PROTOCOL', `what ${response.url.host} sends ${fault}`, {
    hint: 'A proxy on the way changes content; have it leave this registry alone.',
    details: { url: redactUrl(response.url), status: response.status },
    ...(cause === undefined ? {} : { cause }),
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
