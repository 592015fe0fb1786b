import type { CertificateFacts } from './certificate-facts.js';
import { Refusal } from './refusal.js';

export interface PathOptions {
  /** What the policy trusts; each ends a path, whoever has signed it. */
  readonly anchors: readonly CertificateFacts[];
  /** What may lead there: of the policy, and what came with the signature. */
  readonly intermediates: readonly CertificateFacts[];
  /** When all of it has to be valid. */
  readonly time: Date;
  /** Why that time: ` when it was logged at 2026-…`. */
  readonly timeSays: string;
}

/** Signatures of certificates that are verified for one leaf: what came with a signature could be made to fit in any number of ways. */
const MAX_CHECKS = 32;
/** Authorities between the leaf and the anchor. */
const MAX_DEPTH = 8;

/**
 * Refuses a certificate that no trusted one has signed, directly or by authorities between them, or that is not for signing code.
 *
 * The verifier of sigstore-js has a check of its own that cannot be used for this: it takes no intermediates but trusted ones, wants
 * every anchor to be signed by itself, knows no extended key usage and insists on logs of certificates, which policies do not name.
 * The rules are those that Go's crypto/x509 has, since peers use it (RFC 5280, 6.1).
 *
 * @throws Refusal
 */
export function checkCertificatePath(leaf: CertificateFacts, options: PathOptions): void {
  checkTime(leaf, 'its certificate', options);
  if (!leaf.signsCode) throw new Refusal('its certificate is not for signing code');
  if (options.anchors.some((anchor) => anchor.equals(leaf))) return;
  const search = new PathSearch(options);
  if (!search.reaches(leaf, [])) {
    throw search.nearest ?? new Refusal("its certificate is of another authority than the policy's");
  }
}

class PathSearch {
  /** Why the last path failed that led to an authority at all. */
  nearest: Refusal | undefined;
  readonly #options: PathOptions;
  #checks = 0;

  constructor(options: PathOptions) {
    this.#options = options;
  }

  /** @param above the authorities that led here, the leaf's own first */
  reaches(child: CertificateFacts, above: readonly CertificateFacts[]): boolean {
    const { anchors, intermediates } = this.#options;
    if (anchors.some((anchor) => this.#hasSigned(anchor, child, above))) return true;
    if (above.length === MAX_DEPTH) return false;
    return intermediates.some(
      (authority) =>
        !above.some((earlier) => earlier.equals(authority)) &&
        this.#hasSigned(authority, child, above) &&
        this.reaches(authority, [...above, authority]),
    );
  }

  #hasSigned(
    authority: CertificateFacts,
    child: CertificateFacts,
    above: readonly CertificateFacts[],
  ): boolean {
    if (!authority.subject.equals(child.issuer)) return false;
    this.#checks += 1;
    if (this.#checks > MAX_CHECKS) throw new Refusal('it came with too many certificates that fit together');
    if (!child.isSignedBy(authority)) return false;
    try {
      checkAuthority(authority, above.length, this.#options);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.nearest = error;
      return false;
    }
  }
}

function checkAuthority(authority: CertificateFacts, below: number, options: PathOptions): void {
  const what = "the certificate of its certificate's authority";
  if (!authority.isAuthority) throw new Refusal('its certificate was signed by one that is no authority');
  if (below > authority.pathLength) throw new Refusal(`${what} allows no further authority below it`);
  if (!authority.signsCode) throw new Refusal(`${what} is not for signing code`);
  if (authority.restrictsNames) throw new Refusal(`${what} restricts names, which is not understood`);
  checkTime(authority, what, options);
}

function checkTime(
  { notBefore, notAfter }: CertificateFacts,
  what: string,
  { time, timeSays }: PathOptions,
): void {
  if (!(time <= notAfter)) throw new Refusal(`${what} expired ${notAfter.toISOString()}${timeSays}`);
  if (!(time >= notBefore))
    throw new Refusal(`${what} is valid only from ${notBefore.toISOString()}${timeSays}`);
}
