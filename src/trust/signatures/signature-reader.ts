import { addAbortSignal, type Readable } from 'node:stream';
import { type Abortable, ContentError, SpecError, throwIfAborted } from '../../errors.js';
import { createDigester, type Descriptor, type Digest, LIMITS } from '../../spec/index.js';

/**
 * Reads what a source has of the signatures for one digest, each content once. No byte counts before its digest and size do, and no
 * more are taken than {@link LIMITS}.allSignatureBytes, whatever there is.
 */
export class SignatureReader {
  readonly #source: SignatureSource;
  readonly #options: Abortable;
  readonly #read = new Map<Digest, Promise<Buffer>>();
  #left: number = LIMITS.allSignatureBytes;

  constructor(source: SignatureSource, options: Abortable = {}) {
    this.#source = source;
    this.#options = options;
  }

  /**
   * @param maxBytes how much it may have at most
   * @throws SpecError LIMIT_EXCEEDED, INVALID_DIGEST (not one that can be verified); ContentError DIGEST_MISMATCH, SIZE_MISMATCH;
   *   those of the source; ABORTED
   */
  async bytes(descriptor: Descriptor, maxBytes: number): Promise<Buffer> {
    const { digest, size } = descriptor;
    if (size > maxBytes) throw tooLarge(`${digest} has ${size} bytes, more than ${maxBytes}`, size, maxBytes);
    let read = this.#read.get(digest);
    if (read === undefined) {
      if (size > this.#left) {
        const limit = LIMITS.allSignatureBytes;
        throw tooLarge(
          `the signatures have more than ${limit} bytes, so ${digest} was not read`,
          size,
          limit,
        );
      }
      this.#left -= size;
      read = this.#fetched(descriptor);
      this.#read.set(digest, read);
    }
    const bytes = await read;
    if (bytes.length !== size) throw wrongSize(descriptor, bytes.length);
    return bytes;
  }

  async #fetched(descriptor: Descriptor): Promise<Buffer> {
    const { signal } = this.#options;
    const digester = createDigester(descriptor.digest);
    const stream = await this.#source.fetch(descriptor, this.#options);
    try {
      const bytes = await collected(
        signal === undefined ? stream : addAbortSignal(signal, stream),
        descriptor,
      );
      const actual = digester.update(bytes).digest();
      if (actual !== descriptor.digest) throw wrongDigest(descriptor.digest, actual);
      return bytes;
    } catch (error) {
      throwIfAborted(signal);
      throw error;
    }
  }
}

async function collected(stream: Readable, descriptor: Descriptor): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop destroys the stream, so that what is too long is not read to its end.
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > descriptor.size) throw wrongSize(descriptor, length);
    chunks.push(chunk);
  }
  if (length !== descriptor.size) throw wrongSize(descriptor, length);
  return Buffer.concat(chunks);
}

function wrongSize({ digest, size }: Descriptor, actual: number): ContentError {
  return new ContentError('SIZE_MISMATCH', `${digest} has not the ${size} bytes that it should have`, {
    details: { digest, expected: size, actual },
  });
}

function wrongDigest(expected: Digest, actual: Digest): ContentError {
  return new ContentError('DIGEST_MISMATCH', `what was sent for ${expected} is ${actual}`, {
    details: { digest: expected, expected, actual },
  });
}

function tooLarge(message: string, actual: number, limit: number): SpecError {
  return new SpecError('LIMIT_EXCEEDED', message, { details: { actual, limit } });
}

/** Where signatures are looked for: the repository of the image, at its registry, in a store, a layout or an archive. */
export interface SignatureSource {
  /** How a person would write it: `docker://quay.io/team/app`. */
  readonly location: string;
  /** What a tag names; undefined where it names nothing. Errors: those of the place, NOT_FOUND not among them. */
  resolve(tag: string, options?: Abortable): Promise<Descriptor | undefined>;
  /** What refers to a digest (distribution-spec: Listing Referrers). */
  referrers(subject: Digest, options?: Abortable): AsyncIterable<Descriptor>;
  /** The bytes of content. Whoever receives them verifies them. Errors: BLOB_NOT_FOUND or NOT_FOUND, and those of the place. */
  fetch(descriptor: Descriptor, options?: Abortable): Promise<Readable>;
}
