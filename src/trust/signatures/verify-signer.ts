import type { X509Certificate } from 'node:crypto';

import { quoted } from '../../spec/index.js';
import { keyName, shortKeyName, spkiOf } from '../policy/load-requirement.js';
import type { SignatureRequirement, TrustRoots } from '../policy/requirement.js';
import { CertificateInfo, checkCertificatePath } from './certificate-path.js';
import { verifyLogged, verifySignedBy } from './logged-signature.js';
import { Refusal, type SignatureContent, type SignedMaterial } from './signed-material.js';

type KeyRoots = Extract<TrustRoots, { kind: 'keys' }>;
type FulcioRoots = Extract<TrustRoots, { kind: 'fulcio' }>;
type PkiRoots = Extract<TrustRoots, { kind: 'pki' }>;

/** Authorities that a signature brings along. Real ones have one or two. */
const MAX_SENT = 8;

/**
 * Verifies that a signature was made by whom a requirement asks for, and says who that was: `key sha256:…`,
 * `ci@example.com (https://issuer.example)`. What it is over is not looked at. The rules are those of
 * containers/image (signature/policy_eval_sigstore.go).
 *
 * @throws Refusal
 */
export function verifySigner(
  material: SignedMaterial,
  content: SignatureContent,
  requirement: SignatureRequirement,
): string {
  const { roots } = requirement;
  switch (roots.kind) {
    case 'keys':
      return verifyKey(material, content, requirement, roots);
    case 'fulcio':
      return verifyFulcio(material, content, requirement, roots);
    case 'pki':
      return verifyPki(material, content, roots);
  }
}

/** One key will do; with logs in the policy it has to be the one that the log knows the signature by. */
function verifyKey(
  material: SignedMaterial,
  content: SignatureContent,
  { rekorKeys }: SignatureRequirement,
  { keys }: KeyRoots,
): string {
  let why: Refusal | undefined;
  for (const key of keys) {
    try {
      // Entries of logs that the policy does not name say nothing.
      if (rekorKeys.length === 0) verifySignedBy(content, key);
      else verifyLogged(material, content, { key, der: spkiOf(key) }, rekorKeys);
      return keyName(key);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // What a log says of the very key says more than that it is for another.
      if (why === undefined || error.kind !== 'other-signer') why = error;
    }
  }
  const [only, other] = keys;
  if (only !== undefined && other === undefined && rekorKeys.length === 0) {
    const reason = `it was made by another key than ${shortKeyName(only)}, or the signed content was changed`;
    throw new Refusal(reason, 'signer', why);
  }
  throw why ?? new Refusal('the policy has no key');
}

/**
 * A certificate that was valid at the time when a log took the signature (containers/image:
 * signature/fulcio_cert.go).
 */
function verifyFulcio(
  material: SignedMaterial,
  content: SignatureContent,
  { rekorKeys }: SignatureRequirement,
  { ca, oidcIssuer, subjectEmail }: FulcioRoots,
): string {
  const { leaf, chain } = certificatesOf(material, content);
  const times = verifyLogged(material, content, { key: leaf.publicKey, der: leaf.der }, rekorKeys);
  const anchors = trusted(ca);
  anyOf(times, (time) => {
    const timeSays = `, and it was logged ${time.toISOString()}`;
    checkCertificatePath(leaf, { anchors, intermediates: chain, time, timeSays });
  });
  const issuer = leaf.oidcIssuer();
  if (issuer !== oidcIssuer) {
    const said = issuer === undefined ? 'nobody' : quoted(issuer);
    throw new Refusal(`its certificate was given on the word of ${said}, not of ${oidcIssuer}`);
  }
  checkEmail(leaf, subjectEmail);
  return `${subjectEmail} (${oidcIssuer})`;
}

/** A certificate that is valid now; no log is asked (containers/image: signature/pki_cert.go). */
function verifyPki(material: SignedMaterial, content: SignatureContent, roots: PkiRoots): string {
  const { leaf, chain } = certificatesOf(material, content);
  verifySignedBy(content, leaf.publicKey);
  const intermediates = [...trusted(roots.intermediates), ...chain];
  checkCertificatePath(leaf, {
    anchors: trusted(roots.roots),
    intermediates,
    time: new Date(),
    timeSays: '',
  });
  const { subjectEmail, subjectHostname } = roots;
  if (subjectEmail === undefined && subjectHostname === undefined) {
    throw new Refusal('the policy names no subject for its certificate');
  }
  if (subjectEmail !== undefined) checkEmail(leaf, subjectEmail);
  if (subjectHostname !== undefined && !leaf.isForHost(subjectHostname)) {
    throw new Refusal(`its certificate is not for the host ${subjectHostname}`);
  }
  return [subjectEmail, subjectHostname].filter((name) => name !== undefined).join(', ');
}

interface SignerCertificates {
  readonly leaf: CertificateInfo;
  readonly chain: readonly CertificateInfo[];
}

function certificatesOf(material: SignedMaterial, content: SignatureContent): SignerCertificates {
  const sent = material.certificates();
  if (sent === undefined) throw new Refusal('it has no certificate');
  if (sent.chain.length > MAX_SENT) throw new Refusal(`it came with more than ${MAX_SENT} certificates`);
  const leaf = new CertificateInfo(sent.leaf, 'its certificate');
  if (!content.verifySignature(leaf.publicKey)) throw new Refusal('the signed content was changed');
  return { leaf, chain: readable(sent.chain) };
}

/** What cannot be read leads nowhere; it does not stand in the way of what can. */
function readable(chain: readonly Buffer[]): CertificateInfo[] {
  return chain.flatMap((der) => {
    try {
      return [new CertificateInfo(der, 'a certificate that came with it')];
    } catch (error) {
      if (error instanceof Refusal) return [];
      throw error;
    }
  });
}

function trusted(certificates: readonly X509Certificate[]): CertificateInfo[] {
  return readable(certificates.map(({ raw }) => raw));
}

function checkEmail(leaf: CertificateInfo, email: string): void {
  const emails = leaf.emails();
  if (emails.includes(email)) return;
  const named = emails.length === 0 ? 'no e-mail address' : emails.map((one) => quoted(one)).join(', ');
  throw new Refusal(`its certificate is for ${named}, not for ${email}`);
}

/** Runs a check for each until one passes; the last refusal otherwise. */
function anyOf<T>(all: readonly T[], check: (one: T) => void): void {
  let why: unknown = new Refusal('it has no entry in a transparency log');
  for (const one of all) {
    try {
      check(one);
      return;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      why = error;
    }
  }
  throw why;
}
