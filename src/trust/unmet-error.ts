import {
  ContentError,
  errorFromJSON,
  isLandfallError,
  RegistryError,
  TrustError,
  type TrustErrorCode,
} from '../errors.js';
import type { Digest } from '../spec/index.js';
import type { Findings, FoundProblem, Refused } from './findings.js';
import { matchesIdentity } from './policy/signed-identity.js';
import type { SignatureRequirement } from './policy/signature-ruling.js';
import type { UnmetPath, VerifyImageOptions } from './verify-image.js';

/** What a message names of a list; the details have more. */
const SHOWN = 4;

/**
 * Why an image has not the signatures that it needs. Where something could not be asked, that is why: it may have been the very
 * signature.
 */
export function unmetError(options: VerifyImageOptions, unmet: Unmet, findings: Findings): Error {
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
  /** Whose signatures would have done. */
  readonly digests: ReadonlySet<Digest>;
  readonly #options: VerifyImageOptions;
  readonly #requirement: SignatureRequirement | undefined;
  /** Of the manifests that lack it; none where all do. */
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
      ...(hint === undefined ? {} : { hint }),
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
