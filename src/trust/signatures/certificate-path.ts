import { type KeyObject, X509Certificate as NodeCertificate } from 'node:crypto';
import { isIP } from 'node:net';
import { X509Certificate } from '@sigstore/core';
import { Refusal } from './signed-material.js';

export interface PathOptions {
  /** What the policy trusts; each ends a path, whoever has signed it. */
  readonly anchors: readonly CertificateInfo[];
  /** What may lead there: of the policy, and what came with the signature. */
  readonly intermediates: readonly CertificateInfo[];
  /** When all of it has to be valid. */
  readonly time: Date;
  /** Why that time: ` when it was logged at 2026-…`. */
  readonly timeSays: string;
}

/**
 * Signatures of certificates that are verified for one leaf: what came with a signature could be made to fit
 * in any number of ways.
 */
const MAX_CHECKS = 32;
/** Authorities between the leaf and the anchor. */
const MAX_DEPTH = 8;

/**
 * Refuses a certificate that no trusted one has signed, directly or by authorities between them, or that is
 * not for signing code.
 *
 * The verifier of sigstore-js has a check of its own that cannot be used for this: it takes no intermediates
 * but trusted ones, wants every anchor to be signed by itself, knows no extended key usage and insists on
 * logs of certificates, which policies do not name. The rules are those that Go's crypto/x509 has, since
 * peers use it (RFC 5280, 6.1).
 *
 * @throws Refusal
 */
export function checkCertificatePath(leaf: CertificateInfo, options: PathOptions): void {
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
  reaches(child: CertificateInfo, above: readonly CertificateInfo[]): boolean {
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

  #hasSigned(authority: CertificateInfo, child: CertificateInfo, above: readonly CertificateInfo[]): boolean {
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

function checkAuthority(authority: CertificateInfo, below: number, options: PathOptions): void {
  const what = "the certificate of its certificate's authority";
  if (!authority.isAuthority) throw new Refusal('its certificate was signed by one that is no authority');
  if (below > authority.pathLength) throw new Refusal(`${what} allows no further authority below it`);
  if (!authority.signsCode) throw new Refusal(`${what} is not for signing code`);
  if (authority.restrictsNames) throw new Refusal(`${what} restricts names, which is not understood`);
  checkTime(authority, what, options);
}

function checkTime(
  { notBefore, notAfter }: CertificateInfo,
  what: string,
  { time, timeSays }: PathOptions,
): void {
  if (!(time <= notAfter)) throw new Refusal(`${what} expired ${notAfter.toISOString()}${timeSays}`);
  if (!(time >= notBefore))
    throw new Refusal(`${what} is valid only from ${notBefore.toISOString()}${timeSays}`);
}

/** In DER. Those with a company's whole policy within have some 5 KiB. */
const MAX_CERTIFICATE_BYTES = 64 * 1024;

const KEY_USAGE = '2.5.29.15';
const ALTERNATIVE_NAMES = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const NAME_CONSTRAINTS = '2.5.29.30';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const ISSUER_V1 = '1.3.6.1.4.1.57264.1.1';
const ISSUER_V2 = '1.3.6.1.4.1.57264.1.8';
const ANY_PURPOSE = '2.5.29.37.0';
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';
/**
 * Critical extensions that are heeded here, or say nothing that matters here: key identifiers, revocation
 * lists, policies.
 */
const KNOWN: ReadonlySet<string> = new Set([
  KEY_USAGE,
  ALTERNATIVE_NAMES,
  BASIC_CONSTRAINTS,
  EXTENDED_KEY_USAGE,
  '2.5.29.14',
  '2.5.29.31',
  '2.5.29.32',
  '2.5.29.35',
]);
/** Tags of ASN.1's strings that can hold a URL: UTF8String, PrintableString, IA5String. */
const STRING_TAGS: readonly number[] = [0x0c, 0x13, 0x16];
const RFC822_NAME = 1;

/**
 * A certificate (RFC 5280) and what of it decides. Made only of what is well-formed and understood; throws
 * Refusal otherwise.
 */
export class CertificateInfo {
  readonly der: Buffer;
  /** Compared with `subject` of its issuer byte by byte. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** Whether it may sign others. */
  readonly isAuthority: boolean;
  /** How many authorities may follow below it. */
  readonly pathLength: number;
  /** Whether it restricts the names below it, which is not understood here. */
  readonly restrictsNames: boolean;
  /** Also where it says nothing of what it is for, which is anything then. */
  readonly signsCode: boolean;
  readonly #certificate: X509Certificate;
  readonly #node: NodeCertificate;

  constructor(der: Buffer, what: string) {
    if (der.length > MAX_CERTIFICATE_BYTES) throw new Refusal(`${what} is larger than any honest one`);
    try {
      this.#node = new NodeCertificate(der);
      // It would take PEM too, and leave what stands behind; the other reader is to see the same.
      this.der = this.#node.raw;
      if (!this.der.equals(der)) throw new Refusal(`${what} is not in DER`);
      this.#certificate = X509Certificate.parse(Buffer.from(der));
      refuseUnknown(this.#certificate, what);
      this.issuer = this.#certificate.issuer;
      this.subject = this.#certificate.subject;
      this.notBefore = this.#certificate.notBefore;
      this.notAfter = this.#certificate.notAfter;
      this.publicKey = this.#node.publicKey;
      this.isAuthority = this.#certificate.isCA;
      this.pathLength = pathLengthOf(this.#certificate);
      this.restrictsNames = this.#certificate.extension(NAME_CONSTRAINTS) !== undefined;
      this.signsCode = signsCode(this.#certificate);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal(`${what} cannot be read`, 'signer', error);
    }
  }

  equals({ der }: CertificateInfo): boolean {
    return this.der.equals(der);
  }

  /** Whether another's key has signed it. */
  isSignedBy(issuer: CertificateInfo): boolean {
    try {
      return this.#certificate.verify(issuer.#certificate);
    } catch {
      return false;
    }
  }

  /** The e-mail addresses that it is for, by its alternative names only. */
  emails(): string[] {
    const names = this.#certificate.extension(ALTERNATIVE_NAMES)?.valueObj.subs[0]?.subs ?? [];
    return names
      .filter(({ tag }) => tag.isContextSpecific(RFC822_NAME))
      .map(({ value }) => value.toString('latin1'));
  }

  /** Whether it is for a host or an address, by its alternative names only. */
  isForHost(host: string): boolean {
    if (isIP(host) !== 0) return this.#node.checkIP(host) !== undefined;
    const options = { subject: 'never', partialWildcards: false, multiLabelWildcards: false } as const;
    return this.#node.checkHost(host, options) !== undefined;
  }

  /**
   * On whose word Fulcio gave it, in both forms that it has had; undefined where it does not say. Throws
   * Refusal where they differ.
   */
  oidcIssuer(): string | undefined {
    const v1 = this.#certificate.extension(ISSUER_V1)?.value.toString('utf8');
    const v2 = this.#issuerV2();
    if (v1 !== undefined && v2 !== undefined && v1 !== v2) {
      throw new Refusal('its certificate names two issuers of its identity that differ');
    }
    return v1 ?? v2;
  }

  #issuerV2(): string | undefined {
    const extension = this.#certificate.extension(ISSUER_V2);
    if (extension === undefined) return undefined;
    const [tag = 0, length = 0, ...text] = extension.value;
    // Longer ones have their length in several bytes; no issuer's URL is of that length.
    if (!STRING_TAGS.includes(tag) || length >= 0x80 || length !== text.length) {
      throw new Refusal('its certificate names the issuer of its identity in a form that is not understood');
    }
    return Buffer.from(text).toString('utf8');
  }
}

function refuseUnknown({ extensions }: X509Certificate, what: string): void {
  const seen = new Set<string>();
  for (const { subs } of extensions) {
    const oid = subs[0]?.toOID() ?? '';
    if (seen.has(oid)) throw new Refusal(`${what} has the extension ${oid} twice`);
    seen.add(oid);
    const critical = subs.length === 3 && subs[1]?.toBoolean() === true;
    if (critical && !KNOWN.has(oid) && oid !== NAME_CONSTRAINTS) {
      throw new Refusal(`${what} has the critical extension ${oid}, which is not understood`);
    }
  }
}

function pathLengthOf({ extBasicConstraints }: X509Certificate): number {
  const length = extBasicConstraints?.pathLenConstraint;
  return length === undefined ? Infinity : Number(length);
}

function signsCode(certificate: X509Certificate): boolean {
  const extension = certificate.extension(EXTENDED_KEY_USAGE);
  if (extension === undefined) return true;
  const purposes = extension.valueObj.subs[0]?.subs.map((purpose) => purpose.toOID()) ?? [];
  return purposes.includes(CODE_SIGNING) || purposes.includes(ANY_PURPOSE);
}
