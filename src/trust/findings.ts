import { isLandfallError, SpecError } from '../errors.js';
import type { Digest } from '../spec/index.js';
import type { SignatureRequirement } from './policy/signature-ruling.js';
import type { SignatureVerdict } from './signatures/check-signature.js';
import type { FoundSignature, SignatureSet } from './signatures/found-signature.js';

/** That a signature does not meet a requirement. */
export interface RefusedSignature {
  readonly set: Pick<SignatureSet, 'subject' | 'location' | 'signatures'>;
  readonly signature: FoundSignature;
  readonly requirement: SignatureRequirement;
  readonly verdict: Extract<SignatureVerdict, { holds: false }>;
}

/** What could not be asked or read. */
export interface FoundProblem {
  readonly subject: Digest;
  readonly location: string;
  readonly error: Error;
}

/** What a refused signature lacks, and how it is called: its bytes are not kept for that. */
export interface Refused {
  readonly subject: Digest;
  readonly fingerprint: string;
  /** `docker://quay.io/team/app@sha256:…`; `(2 of 3)` behind it where several lie in one manifest. */
  readonly name: string;
  readonly verdict: RefusedSignature['verdict'];
}

/** More of anything than these are counted only: an index of thousands that an attacker has made must not fill the memory. */
const MAX_NOTED = 256;

/** What came to light while an image's signatures were looked for, for the error that says so. */
export class Findings {
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
