import { addAbortSignal, type Readable } from 'node:stream';
import { Limiter } from '../../concurrency/index.js';
import { type Abortable, ContentError, isLandfallError, SpecError, throwIfAborted } from '../../errors.js';
import {
  algorithmOf,
  createDigester,
  type Descriptor,
  type Digest,
  encodedOf,
  exactSize,
  formatSize,
  type ImageManifest,
  isManifestType,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
} from '../../spec/index.js';

/** Requests at once for the signatures of one digest. */
const CONCURRENCY = 4;

/** A manifest that may hold signatures. */
interface Candidate {
  readonly descriptor: Descriptor;
  readonly tag: string | undefined;
}

interface ReadManifest {
  readonly manifest: SignatureManifest;
  readonly signatures: readonly FoundSignature[];
}

/**
 * All signatures for a digest in one place: under cosign's tag, and what refers to the digest
 * (distribution-spec: Listing Referrers). What cannot be asked, read or understood hides nothing else; it
 * becomes one of the set's problems.
 *
 * @throws ABORTED
 */
export async function findSignatures(
  source: SignatureSource,
  subject: Digest,
  options: Abortable = {},
): Promise<SignatureSet> {
  return await new Search(source, subject, options).run();
}

class Search {
  readonly #source: SignatureSource;
  readonly #subject: Digest;
  readonly #options: Abortable;
  readonly #reader: SignatureReader;
  readonly #limiter = new Limiter(CONCURRENCY);
  readonly #tried: string[] = [];
  readonly #problems: Error[] = [];
  #count = 0;
  #overfull = false;

  constructor(source: SignatureSource, subject: Digest, options: Abortable) {
    this.#source = source;
    this.#subject = subject;
    this.#options = options;
    this.#reader = new SignatureReader(source, options);
  }

  async run(): Promise<SignatureSet> {
    throwIfAborted(this.#options.signal);
    const [tagged, referring] = await Promise.all([this.#tagged(), this.#referring()]);
    const seen = new Set<Digest>();
    const candidates = [...tagged, ...referring].filter(({ descriptor: { digest } }) => {
      if (seen.has(digest)) return false;
      seen.add(digest);
      return true;
    });
    const read = await Promise.all(candidates.map((one) => this.#attempt(() => this.#read(one))));
    const found = read.filter((one) => one !== undefined).filter(({ signatures }) => signatures.length > 0);
    return {
      subject: this.#subject,
      location: this.#source.location,
      manifests: found.map(({ manifest }) => manifest),
      signatures: found.flatMap(({ signatures }) => signatures),
      tried: this.#tried,
      problems: this.#problems,
    };
  }

  async #tagged(): Promise<Candidate[]> {
    const tag = signatureTag(this.#subject);
    if (tag === undefined) return [];
    this.#tried.push(`${this.#source.location}:${tag}`);
    const descriptor = await this.#attempt(() => this.#source.resolve(tag, this.#options));
    return descriptor === undefined ? [] : [{ descriptor, tag }];
  }

  async #referring(): Promise<Candidate[]> {
    this.#tried.push(`the referrers of ${this.#source.location}@${this.#subject}`);
    const found: Candidate[] = [];
    await this.#attempt(async () => {
      let listed = 0;
      for await (const descriptor of this.#source.referrers(this.#subject, this.#options)) {
        listed += 1;
        if (listed > LIMITS.indexManifests) throw this.#tooMany('referrers', LIMITS.indexManifests);
        if (!isManifestType(descriptor.mediaType) || !mayHoldSignatures(descriptor)) continue;
        if (found.length === LIMITS.signatures) {
          throw this.#tooMany('referrers that may hold signatures', LIMITS.signatures);
        }
        found.push({ descriptor, tag: undefined });
      }
    });
    return found;
  }

  async #read({ descriptor, tag }: Candidate): Promise<ReadManifest> {
    const bytes = await this.#limiter.run(() => this.#reader.bytes(descriptor, LIMITS.manifestBytes));
    const document = parseManifest(bytes, descriptor.mediaType);
    if (document.kind !== 'manifest') throw this.#unfit(descriptor, 'is an index');
    if (tag === undefined && document.subject?.digest !== this.#subject) {
      throw this.#unfit(descriptor, `does not refer to ${this.#subject}`);
    }
    const blobs = new Map([[descriptor.digest, bytes]]);
    const manifest: SignatureManifest = { subject: this.#subject, descriptor, tag, blobs };
    const signatures = await Promise.all(
      this.#layersOf(document).map(async ({ layer, format }) => {
        const content = await this.#attempt(() =>
          this.#limiter.run(() => this.#reader.bytes(layer, LIMITS.signatureBytes)),
        );
        if (content === undefined) return undefined;
        blobs.set(layer.digest, content);
        return { manifest, format, layer, bytes: content };
      }),
    );
    return { manifest, signatures: signatures.filter((one) => one !== undefined) };
  }

  /** The signatures of a manifest, as long as there are not too many in all. */
  #layersOf({
    layers,
    artifactType,
  }: ImageManifest): { layer: Descriptor; format: FoundSignature['format'] }[] {
    const found = layers.flatMap((layer) => {
      const format = signatureFormat(layer, artifactType);
      return format === undefined ? [] : [{ layer, format }];
    });
    const taken = found.slice(0, LIMITS.signatures - this.#count);
    this.#count += taken.length;
    if (taken.length < found.length && !this.#overfull) {
      this.#overfull = true;
      this.#problems.push(this.#tooMany('signatures', LIMITS.signatures));
    }
    return taken;
  }

  /** Undefined for what fails; why goes with the problems. */
  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      throwIfAborted(this.#options.signal);
      if (isLandfallError(error) && error.code === 'ABORTED') throw error;
      this.#problems.push(error instanceof Error ? error : new TypeError(String(error)));
      return undefined;
    }
  }

  #unfit({ digest }: Descriptor, what: string): SpecError {
    return new SpecError('INVALID_MANIFEST', `${digest} at ${this.#source.location} ${what}`);
  }

  #tooMany(what: string, limit: number): SpecError {
    const message = `${this.#subject} has more than ${limit} ${what} at ${this.#source.location}; the others were not looked at`;
    return new SpecError('LIMIT_EXCEEDED', message, { details: { limit } });
  }
}

/** The manifest that a signature lies in: of a tag by cosign's scheme, or a referrer. */
export interface SignatureManifest {
  /** Of the manifest or index that it is for. */
  readonly subject: Digest;
  readonly descriptor: Descriptor;
  /** `sha256-….sig`; undefined for a referrer. */
  readonly tag: string | undefined;
  /** What of it was read: itself, and the signatures in it. */
  readonly blobs: ReadonlyMap<Digest, Buffer>;
}

/**
 * A signature as it was found: its bytes are those that their digests name, and nothing else about it is
 * known to be true.
 */
export interface FoundSignature {
  readonly manifest: SignatureManifest;
  readonly format: 'simple-signing' | 'bundle';
  /** The layer that has it. */
  readonly layer: Descriptor;
  /** cosign's payload, or the bundle's JSON. */
  readonly bytes: Buffer;
}

/** All signatures that were found for one digest in one place. */
export interface SignatureSet {
  readonly subject: Digest;
  readonly location: string;
  readonly manifests: readonly SignatureManifest[];
  readonly signatures: readonly FoundSignature[];
  /** For people: where it was looked: `docker://quay.io/team/app:sha256-….sig`. */
  readonly tried: readonly string[];
  /** Why the set may lack something: what could not be asked, or could not be read. */
  readonly problems: readonly Error[];
}

/**
 * Reads what a source has of the signatures for one digest, each content once. No byte counts before its
 * digest and size do, and no more are taken than {@link LIMITS}.allSignatureBytes, whatever there is.
 */
class SignatureReader {
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
   * @throws SpecError LIMIT_EXCEEDED, INVALID_DIGEST (not one that can be verified); ContentError
   *   DIGEST_MISMATCH, SIZE_MISMATCH; those of the source; ABORTED
   */
  async bytes(descriptor: Descriptor, maxBytes: number): Promise<Buffer> {
    const { digest, size } = descriptor;
    if (size > maxBytes)
      throw tooLarge(`${digest} has ${exactSize(size)}, more than ${formatSize(maxBytes)}`, size, maxBytes);
    let read = this.#read.get(digest);
    if (read === undefined) {
      if (size > this.#left) {
        const limit = LIMITS.allSignatureBytes;
        throw tooLarge(
          `the signatures have more than ${formatSize(limit)}, so ${digest} was not read`,
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
  return new ContentError('SIZE_MISMATCH', `${digest} has not the ${exactSize(size)} that it should have`, {
    details: { digest, expected: size, actual },
  });
}

function wrongDigest(expected: Digest, actual: Digest): ContentError {
  return new ContentError('DIGEST_MISMATCH', `the content of ${expected} has the digest ${actual}`, {
    details: { digest: expected, expected, actual },
  });
}

function tooLarge(message: string, actual: number, limit: number): SpecError {
  return new SpecError('LIMIT_EXCEEDED', message, { details: { actual, limit } });
}

/**
 * Where signatures are looked for: the repository of the image, at its registry, in a store, a layout or an
 * archive.
 */
export interface SignatureSource {
  /** How a person would write it: `docker://quay.io/team/app`. */
  readonly location: string;
  /**
   * What a tag names; undefined where it names nothing. Errors: those of the place, NOT_FOUND not among them.
   */
  resolve(tag: string, options?: Abortable): Promise<Descriptor | undefined>;
  /** What refers to a digest (distribution-spec: Listing Referrers). */
  referrers(subject: Digest, options?: Abortable): AsyncIterable<Descriptor>;
  /**
   * The bytes of content. Whoever receives them verifies them. Errors: BLOB_NOT_FOUND or NOT_FOUND, and those
   * of the place.
   */
  fetch(descriptor: Descriptor, options?: Abortable): Promise<Readable>;
}

/*
 * How signatures are found: by the tags and media types that those who make them give them (cosign: SIGNATURE_SPEC.md;
 * https://docs.sigstore.dev/about/bundle/).
 */

/** cosign's payload. */
const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** What cosign calls its signatures where it lets them refer to an image rather than tags them. */
const COSIGN_SIGNATURES = 'application/vnd.dev.cosign.artifact.sig.v1+json';
/**
 * Of every version, in either way that they are written: `….bundle.v0.3+json` and
 * `….bundle+json;version=0.2`.
 */
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle(\.v\d+\.\d+\+json|\+json(;.*)?)$/;
/** Predicate of the statement in a bundle, which cosign and others write beside it. */
const PREDICATE_ANNOTATION = 'dev.sigstore.bundle.predicateType';
/** The predicate of a statement that is a signature and nothing else. */
export const SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1';

/** What a descriptor calls a referrer of which nobody said what it is, so that only its manifest can say. */
const UNTOLD: ReadonlySet<string> = new Set(['', MEDIA_TYPES.ociEmpty, MEDIA_TYPES.ociConfig]);

/**
 * The tag of the signatures of a digest; undefined where there can be none, since it would be longer than
 * tags may be: with sha512.
 */
function signatureTag(subject: Digest): string | undefined {
  const tag = `${algorithmOf(subject)}-${encodedOf(subject)}.sig`;
  return tag.length > LIMITS.tagLength ? undefined : tag;
}

/** Whether a referrer is worth reading: it is known to hold signatures, or nobody said what it holds. */
function mayHoldSignatures({ artifactType = '', annotations }: Descriptor): boolean {
  // Bundles are attestations more often than not, and an image may have many.
  if ((annotations?.[PREDICATE_ANNOTATION] ?? SIGN_PREDICATE) !== SIGN_PREDICATE) return false;
  return UNTOLD.has(artifactType) || artifactType === COSIGN_SIGNATURES || BUNDLE.test(artifactType);
}

/** What a layer holds of a manifest of this type; undefined for what is no signature. */
function signatureFormat(
  { mediaType }: Descriptor,
  artifactType: string | undefined,
): 'simple-signing' | 'bundle' | undefined {
  if (mediaType === SIMPLE_SIGNING) return 'simple-signing';
  if (BUNDLE.test(mediaType)) return 'bundle';
  // Some push a bundle as a plain file and name the type of the whole only.
  return artifactType !== undefined && BUNDLE.test(artifactType) ? 'bundle' : undefined;
}
