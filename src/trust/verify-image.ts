import { setImmediate } from 'node:timers/promises';
import { Limiter } from '../concurrency/index.js';
import {
  type Abortable,
  ContentError,
  errorFromJSON,
  isLandfallError,
  RegistryError,
  SpecError,
  throwIfAborted,
  TrustError,
  type TrustErrorCode,
} from '../errors.js';
import type { Digest } from '../spec/index.js';
import { matchesIdentity, type PolicyImage } from './policy/policy-image.js';
import type { SignatureRequirement, SignatureRuling } from './policy/requirement.js';
import type { SignatureVerdict } from './signatures/check-signature.js';
import {
  findSignatures,
  type FoundSignature,
  type SignatureSet,
  type SignatureSource,
} from './signatures/find-signatures.js';

/** That a requirement is met, and by what. */
export interface MetRequirement {
  /** See `SignatureRequirement`. */
  readonly fingerprint: string;
  /** Of the manifest or index that was signed. */
  readonly digest: Digest;
  /** `key sha256:…`, `ci@example.com (https://issuer.example)`. */
  readonly signedBy: string;
  readonly format: 'simple-signing' | 'bundle';
  /** What the signature says that it is for; undefined where it does not say. */
  readonly identity: string | undefined;
  /** Of the signature's manifest. */
  readonly signature: Digest;
}

export interface VerifyImageOptions extends Abortable {
  readonly ruling: SignatureRuling;
  readonly image: PolicyImage;
  /**
   * For each manifest that is to be used, the digests that lead to it: the image's target first, itself last.
   * A signature for any of these counts for it.
   */
  readonly paths: readonly (readonly Digest[])[];
  /** The bytes that a digest of a path names, verified: some signatures are of them. */
  readonly bytesOf: (digest: Digest) => Promise<Buffer>;
  /** Asked one after the other, until all is met. */
  readonly sources: readonly SignatureSource[];
  /** What was met before, by the same requirement and for an image of the same name. */
  readonly remembered?: readonly MetRequirement[];
}

export interface VerifiedImage {
  /** For each requirement and each path, what meets it; each once. */
  readonly met: readonly MetRequirement[];
  /** What was found on the way; empty where all was remembered. */
  readonly sets: readonly SignatureSet[];
}

/**
 * Says whether an image has all the signatures that a policy asks for.
 *
 * @throws TrustError SIGNATURE_MISSING (there is none), SIGNATURE_INVALID (none of those that are there meets
 *   a requirement), with what was tried and what each lacked; what a source throws, where it stands in the
 *   way of finding one; ABORTED
 */
export async function verifyImage(options: VerifyImageOptions): Promise<VerifiedImage> {
  return await new ImageVerification(options).run();
}

/** A path for which a requirement is still to be met. */
interface UnmetPath {
  readonly requirement: SignatureRequirement;
  readonly path: readonly Digest[];
}

/** Digests whose signatures are looked for at once. */
const CONCURRENCY = 4;
/** Of signatures that are given back, in bytes; those beyond have been looked at like all others. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

class ImageVerification {
  readonly #options: VerifyImageOptions;
  readonly #limiter = new Limiter(CONCURRENCY);
  readonly #met = new Set<MetRequirement>();
  readonly #sets: SignatureSet[] = [];
  readonly #findings: Findings = new Findings();
  #unmet: readonly UnmetPath[];
  /** What is known to stay unmet, while others have not been asked for: an index may list thousands. */
  #lost: readonly UnmetPath[] | undefined;
  #keptBytes = 0;

  constructor(options: VerifyImageOptions) {
    this.#options = options;
    const { ruling, paths } = options;
    this.#unmet = ruling.requirements.flatMap((requirement) => paths.map((path) => ({ requirement, path })));
  }

  async run(): Promise<VerifiedImage> {
    const { image, paths } = this.#options;
    throwIfAborted(this.#options.signal);
    if (paths.length === 0) {
      throw new TrustError(
        'SIGNATURE_MISSING',
        `${image.name} has no manifest that a signature could be for`,
      );
    }
    for (const met of this.#options.remembered ?? []) this.#meet(met);
    for (const source of this.#options.sources) await this.#search(source);
    if (this.#unmet.length > 0) {
      const looked = this.#lost ?? this.#unmet;
      throw unmetError(this.#options, { unmet: this.#unmet, looked }, this.#findings);
    }
    return { met: [...this.#met], sets: this.#sets };
  }

  /**
   * All that leads to one manifest is asked for at once. Of several, what they share comes first, since it
   * mostly decides.
   */
  async #search(source: SignatureSource): Promise<void> {
    const paths = new Set(this.#unmet.map(({ path }) => path));
    const asked = new Set<Digest>();
    const depth = Math.max(0, ...[...paths].map(({ length }) => length));
    const isLast = paths.size > 1 && source === this.#options.sources.at(-1);
    const stages = paths.size === 1 ? [0] : Array.from({ length: depth }, (_, level) => level);
    for (const level of stages) {
      const digests = new Set(
        this.#unmet.flatMap(({ path }) => (paths.size === 1 ? path : path.slice(level, level + 1))),
      );
      const fresh = [...digests].filter((digest) => !asked.has(digest));
      for (const digest of fresh) asked.add(digest);
      await Promise.all(
        fresh.map((digest) =>
          this.#limiter.run(async () => {
            if (this.#lost !== undefined) return;
            await this.#examine(await findSignatures(source, digest, { signal: this.#options.signal }));
            const ended = this.#unmet.filter(({ path }) => path.at(-1) === digest);
            if (isLast && ended.length > 0) this.#lost = ended;
          }),
        ),
      );
    }
  }

  async #examine(set: SignatureSet): Promise<void> {
    this.#findings.addSet(set);
    this.#keep(set);
    if (set.signatures.length === 0) return;
    // It loads the libraries of sigstore, which only an image with signatures needs.
    const { checkSignature } = await import('./signatures/check-signature.js');
    const { image, bytesOf } = this.#options;
    let bytes: Promise<Buffer> | undefined;
    const options = { image, bytesOf: async (digest: Digest) => await (bytes ??= bytesOf(digest)) };
    for (const signature of set.signatures) {
      // Verifying takes the processor: hundreds of signatures are not to keep others waiting.
      await setImmediate();
      for (const requirement of this.#askedOf(set.subject)) {
        throwIfAborted(this.#options.signal);
        const check = async (): Promise<SignatureVerdict> =>
          await checkSignature(signature, requirement, options);
        await this.#check(check, { set, signature, requirement });
      }
    }
  }

  async #check(
    check: () => Promise<SignatureVerdict>,
    { set, signature, requirement }: SignatureCase,
  ): Promise<void> {
    let verdict: SignatureVerdict;
    try {
      verdict = await check();
    } catch (error) {
      throwIfAborted(this.#options.signal);
      if (!(error instanceof Error) || (isLandfallError(error) && error.code === 'ABORTED')) throw error;
      this.#findings.addProblem(set, error);
      return;
    }
    if (!verdict.holds) {
      this.#findings.addRefusal({ set, signature, requirement, verdict });
      return;
    }
    this.#meet({
      fingerprint: requirement.fingerprint,
      digest: set.subject,
      signedBy: verdict.signedBy,
      format: signature.format,
      identity: verdict.identity,
      signature: signature.manifest.descriptor.digest,
    });
  }

  /** What is still asked of a digest, each once. */
  #askedOf(subject: Digest): readonly SignatureRequirement[] {
    const asked = this.#unmet.filter(({ path }) => path.includes(subject));
    return [...new Map(asked.map(({ requirement }) => [requirement.fingerprint, requirement])).values()];
  }

  #meet(met: MetRequirement): void {
    const unmet = this.#unmet.filter(
      ({ requirement, path }) => requirement.fingerprint !== met.fingerprint || !path.includes(met.digest),
    );
    if (unmet.length < this.#unmet.length) this.#met.add(met);
    this.#unmet = unmet;
  }

  #keep(set: SignatureSet): void {
    const blobs = set.manifests.flatMap((manifest) => [...manifest.blobs.values()]);
    this.#keptBytes += blobs.reduce((sum, { length }) => sum + length, 0);
    if (set.manifests.length > 0 && this.#keptBytes <= MAX_KEPT_BYTES) this.#sets.push(set);
  }
}

interface SignatureCase {
  readonly set: SignatureSet;
  readonly signature: FoundSignature;
  readonly requirement: SignatureRequirement;
}

/** What a message names of a list; the details have more. */
const SHOWN = 4;

/**
 * Why an image has not the signatures that it needs. Where something could not be asked, that is why: it may
 * have been the very signature.
 */
function unmetError(options: VerifyImageOptions, unmet: Unmet, findings: Findings): Error {
  const shortfall = new Shortfall(options, unmet, findings);
  const unasked = findings.unasked(shortfall.digests);
  return unasked === undefined ? shortfall.error() : unaskedError(options, unasked);
}

/** What is not met, and what of that was looked for to its end. */
export interface Unmet {
  readonly unmet: readonly UnmetPath[];
  readonly looked: readonly UnmetPath[];
}

/** The same error, saying what it was in the way of. */
function unaskedError({ image }: VerifyImageOptions, { location, error }: FoundProblem): Error {
  if (!isLandfallError(error)) return error;
  const message = `the signatures of ${image.name} could not be fetched from ${location}: ${error.message}`;
  const { retryable, hint, details } = error;
  const options = { cause: error, retryable, hint };
  if (error instanceof RegistryError) {
    return new RegistryError(error.code, message, { ...options, details: error.details });
  }
  if (error instanceof ContentError) {
    return new ContentError(error.code, message, { ...options, details: error.details });
  }
  return errorFromJSON({ ...error.toJSON(), message, details });
}

/** What the first requirement that is not met lacks. */
class Shortfall {
  /** Digests of which a signature would have met the requirement. */
  readonly digests: ReadonlySet<Digest>;
  readonly #options: VerifyImageOptions;
  readonly #requirement: SignatureRequirement | undefined;
  /** The manifests that lack it; empty if all do. */
  readonly #only: readonly Digest[];
  readonly #refused: readonly Refused[];
  readonly #unreadable: readonly FoundProblem[];
  readonly #findings: Findings;

  constructor(options: VerifyImageOptions, { unmet, looked }: Unmet, findings: Findings) {
    this.#options = options;
    this.#requirement = looked[0]?.requirement;
    const fingerprint = this.#requirement?.fingerprint;
    const pathsIn = (all: readonly UnmetPath[]): ReadonlySet<readonly Digest[]> =>
      new Set(
        all.filter(({ requirement }) => requirement.fingerprint === fingerprint).map(({ path }) => path),
      );
    const paths = pathsIn(looked);
    const ends = [...paths].flatMap((path) => path.slice(-1));
    this.#only = pathsIn(unmet).size < options.paths.length ? ends : [];
    const digests = new Set([...paths].flat());
    this.digests = digests;
    this.#unreadable = findings.unreadable.filter(({ subject }) => digests.has(subject));
    this.#refused = findings.refused.filter(
      (refused) => refused.fingerprint === fingerprint && digests.has(refused.subject),
    );
    this.#findings = findings;
  }

  error(): TrustError {
    const signatures = [
      ...this.#refused.map(({ name, verdict }) => `${name}: ${verdict.reason}`),
      ...this.#unreadable.map(({ location, error }) => `${location}: ${error.message}`),
    ];
    const none = ![...this.digests].some((digest) => this.#findings.signed.has(digest));
    const code: TrustErrorCode = none ? 'SIGNATURE_MISSING' : 'SIGNATURE_INVALID';
    const { ruling, image } = this.#options;
    const hint = this.#hint();
    return new TrustError(code, none ? this.#missing(signatures) : this.#invalid(signatures), {
      hint,
      details: {
        policy: ruling.policy,
        scope: ruling.scope,
        line: ruling.line,
        image: image.name,
        requirement: this.#requirement?.description ?? '',
        tried: this.#findings.tried,
        ...(signatures.length === 0 ? {} : { signatures }),
      },
    });
  }

  #missing(attestations: readonly string[]): string {
    const places = [...this.#findings.locations];
    const where = places.length === 0 ? 'there is nowhere to look for one' : `none at ${list(places)}`;
    const beside = attestations.length === 0 ? '' : `; ${list(attestations)}`;
    return `${this.#what()} is not signed: ${this.#asks()}; ${where}${beside}`;
  }

  #invalid(signatures: readonly string[]): string {
    return `${this.#what()} has no signature that will do: ${this.#asks()}; ${list(signatures, '; ')}`;
  }

  #what(): string {
    const { name } = this.#options.image;
    return this.#only.length === 0 ? name : `of ${name}, ${list(this.#only)}`;
  }

  /** `docker:quay.io/team in /etc/containers/policy.json:12 asks for a signature by the key sha256:…` */
  #asks(): string {
    const { policy, scope, line } = this.#options.ruling;
    return `${scope} in ${policy}:${line} asks for ${this.#requirement?.description ?? 'a signature'}`;
  }

  #hint(): string | undefined {
    const { image, ruling } = this.#options;
    const misnamed = this.#refused.filter(({ verdict }) => verdict.kind === 'identity');
    const place = `${ruling.policy}:${ruling.line}`;
    const passes = (type: 'matchRepository' | 'matchDigest'): boolean =>
      misnamed.some(({ verdict }) => matchesIdentity({ type }, image, verdict.identity) === true);
    if (passes('matchRepository')) {
      return `cosign's signatures name a repository and no tag; if that is enough, write "signedIdentity": {"type": "matchRepository"} at ${place}.`;
    }
    if (passes('matchDigest')) {
      return `Sigstore bundles name no repository; if the digest is enough, write "signedIdentity": {"type": "matchDigest"} at ${place}.`;
    }
    if (this.#only.length > 0) {
      return 'Sign the index, which counts for all of its platforms, or each of them: cosign sign --recursive.';
    }
    if (this.#refused.some(({ verdict }) => verdict.kind === 'attestation')) {
      return 'An attestation says how an image was built; ask the publisher for a signature: cosign sign.';
    }
    return undefined;
  }
}

function list(items: readonly string[], separator = ', '): string {
  const more = items.length - SHOWN;
  return items.slice(0, SHOWN).join(separator) + (more > 0 ? `${separator}and ${more} more` : '');
}

/** That a signature does not meet a requirement. */
export interface RefusedSignature {
  readonly set: Pick<SignatureSet, 'subject' | 'location' | 'signatures'>;
  readonly signature: FoundSignature;
  readonly requirement: SignatureRequirement;
  readonly verdict: Extract<SignatureVerdict, { holds: false }>;
}

/** What could not be asked or read. */
interface FoundProblem {
  readonly subject: Digest;
  readonly location: string;
  readonly error: Error;
}

/** What a refused signature lacks, and how it is called: its bytes are not kept for that. */
interface Refused {
  readonly subject: Digest;
  readonly fingerprint: string;
  /** `docker://quay.io/team/app@sha256:…`; `(2 of 3)` behind it where several lie in one manifest. */
  readonly name: string;
  readonly verdict: RefusedSignature['verdict'];
}

/**
 * More of anything than these are counted only: an index of thousands that an attacker has made must not fill
 * the memory.
 */
const MAX_NOTED = 256;

/** What came to light while an image's signatures were looked for, for the error that says so. */
class Findings {
  readonly tried: string[] = [];
  readonly locations: Set<string> = new Set<string>();
  /** What is there and cannot be read. */
  readonly unreadable: FoundProblem[] = [];
  readonly refused: Refused[] = [];
  /** For which digests there are signatures, or what cannot be read as one. */
  readonly signed: Set<Digest> = new Set<Digest>();
  readonly #unasked = new Map<Digest, FoundProblem>();
  readonly #seen = new Set<string>();

  addSet(set: SignatureSet): void {
    this.locations.add(set.location);
    this.tried.push(...set.tried.slice(0, MAX_NOTED - this.tried.length));
    for (const error of set.problems) this.addProblem(set, error);
  }

  addProblem({ subject, location }: Pick<SignatureSet, 'subject' | 'location'>, error: Error): void {
    const problem = { subject, location, error };
    if (!isAboutContent(error)) {
      if (!this.#unasked.has(subject)) this.#unasked.set(subject, problem);
      return;
    }
    this.signed.add(subject);
    if (this.unreadable.length < MAX_NOTED) this.unreadable.push(problem);
  }

  addRefusal({ set, signature, requirement, verdict }: RefusedSignature): void {
    const { subject, location, signatures } = set;
    if (verdict.kind !== 'attestation') this.signed.add(subject);
    const { digest } = signature.manifest.descriptor;
    const beside = signatures.filter(({ manifest }) => manifest === signature.manifest);
    const at = beside.indexOf(signature) + 1;
    // Signatures that a store keeps are those of the registry once more.
    const seen = `${requirement.fingerprint} ${subject} ${digest} ${at}`;
    if (this.refused.length >= MAX_NOTED || this.#seen.has(seen)) return;
    this.#seen.add(seen);
    const place = beside.length > 1 ? ` (${at} of ${beside.length})` : '';
    const name = `${location}@${digest}${place}`;
    this.refused.push({ subject, fingerprint: requirement.fingerprint, name, verdict });
  }

  /** The first that could not be asked of the signatures of these, for whatever reason. */
  unasked(digests: Iterable<Digest>): FoundProblem | undefined {
    for (const digest of digests) {
      const problem = this.#unasked.get(digest);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
}

/** Whether what was asked for is not there, or is not what it should be: asking again would not help. */
function isAboutContent(error: Error): boolean {
  if (!isLandfallError(error)) return false;
  if (error instanceof SpecError) return true;
  return ['NOT_FOUND', 'BLOB_NOT_FOUND', 'DIGEST_MISMATCH', 'SIZE_MISMATCH'].includes(error.code);
}
