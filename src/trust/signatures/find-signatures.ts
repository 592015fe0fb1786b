import { Limiter } from '../../concurrency/index.js';
import { type Abortable, isLandfallError, SpecError, throwIfAborted } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  type ImageManifest,
  isManifestType,
  LIMITS,
  parseManifest,
} from '../../spec/index.js';
import type { FoundSignature, SignatureManifest, SignatureSet } from './found-signature.js';
import { SignatureReader, type SignatureSource } from './signature-reader.js';
import { mayHoldSignatures, signatureFormat, signatureTag } from './signature-types.js';

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
 * All signatures for a digest in one place: under cosign's tag, and what refers to the digest (distribution-spec: Listing Referrers).
 * What cannot be asked, read or understood hides nothing else; it becomes one of the set's problems.
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
