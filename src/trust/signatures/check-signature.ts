import {
  algorithmOf,
  type Digest,
  digestOf,
  isVerifiable,
  quoted,
  type VerifiableAlgorithm,
} from '../../spec/index.js';
import { matchesIdentity, type PolicyImage } from '../policy/policy-image.js';
import type { SignatureRequirement } from '../policy/requirement.js';
import type { FoundSignature } from './find-signatures.js';
import { Refusal, type RefusalKind, type SignedClaim, type SignedMaterial } from './signed-material.js';
import { parseSigstoreBundle } from './sigstore-bundle.js';
import { SimpleSigning } from './simple-signing.js';
import { verifySigner } from './verify-signer.js';

/** Whether a signature meets a requirement. */
export type SignatureVerdict =
  | {
      readonly holds: true;
      /** `key sha256:…`, `ci@example.com (https://issuer.example)`. */
      readonly signedBy: string;
      /** What it says that it is for; undefined where it does not say. */
      readonly identity: string | undefined;
    }
  | {
      readonly holds: false;
      /** For people, to follow the signature's name: `it was made by another key`. */
      readonly reason: string;
      readonly kind: RefusalKind;
      readonly identity: string | undefined;
    };

export interface CheckSignatureOptions {
  readonly image: PolicyImage;
  /** See `VerifyImageOptions`. What it throws is what {@link checkSignature} throws. */
  readonly bytesOf: (digest: Digest) => Promise<Buffer>;
}

/**
 * Says whether a signature is by whom a requirement asks for, over what it was found for, under a name that
 * fits. Whatever stands in the signature, the answer is a verdict.
 *
 * This is the one door to sigstore's libraries, which are loaded with it.
 */
export async function checkSignature(
  signature: FoundSignature,
  requirement: SignatureRequirement,
  { image, bytesOf }: CheckSignatureOptions,
): Promise<SignatureVerdict> {
  const { subject } = signature.manifest;
  let unread: { error: unknown } | undefined;
  const read = async (): Promise<Buffer> => {
    try {
      return await bytesOf(subject);
    } catch (error) {
      unread = { error };
      throw error;
    }
  };
  try {
    const material = materialOf(signature);
    const content = material.content(material.overManifest ? await read() : Buffer.alloc(0));
    const signedBy = verifySigner(material, content, requirement);
    const claims = await aboutSubject(material.claims(), subject, read);
    return { holds: true, signedBy, identity: identityOf(claims, requirement, image) };
  } catch (error) {
    // That the manifest could not be had says nothing of its signature.
    if (unread !== undefined) throw unread.error;
    return refused(error);
  }
}

function materialOf(signature: FoundSignature): SignedMaterial {
  switch (signature.format) {
    case 'simple-signing':
      return new SimpleSigning(signature);
    case 'bundle':
      return parseSigstoreBundle(signature);
  }
}

/** Those of the claims that are about a digest, or about the same bytes by another algorithm. */
async function aboutSubject(
  claims: readonly SignedClaim[],
  subject: Digest,
  read: () => Promise<Buffer>,
): Promise<readonly SignedClaim[]> {
  const right = new Set<Digest>([subject]);
  const others = claims.map(({ digest }) => digest).filter((digest) => !sameAlgorithm(digest, subject));
  for (const algorithm of new Set(others.filter(isVerifiable).map(algorithmOf))) {
    right.add(digestOf(await read(), algorithm as VerifiableAlgorithm));
  }
  const about = claims.filter(({ digest }) => right.has(digest));
  if (about.length > 0) return about;
  const [first] = claims;
  throw new Refusal(first === undefined ? 'it is for no digest' : `it is for ${first.digest}`);
}

function sameAlgorithm(a: Digest, b: Digest): boolean {
  return algorithmOf(a) === algorithmOf(b);
}

/** What the first claim that fits says that it is for. */
function identityOf(
  claims: readonly SignedClaim[],
  { requirement }: SignatureRequirement,
  image: PolicyImage,
): string | undefined {
  let why: Misnamed | undefined;
  for (const { identity } of claims) {
    const fits = matchesIdentity(requirement.signedIdentity, image, identity);
    if (fits === true) return identity;
    why ??= new Misnamed(fits, identity);
  }
  throw why ?? new Refusal('it is for nothing');
}

/** All is right but the name. */
class Misnamed extends Refusal {
  readonly identity: string | undefined;

  constructor(reason: string, identity: string | undefined) {
    super(reason, 'identity');
    this.identity = identity;
  }
}

function refused(error: unknown): SignatureVerdict {
  if (error instanceof Misnamed) return verdictOf(error.message, error.kind, error.identity);
  if (error instanceof Refusal) return verdictOf(error.message, error.kind);
  // The readers of sigstore throw many things at what is malformed.
  const why = error instanceof Error ? `: ${quoted(error.message)}` : '';
  return verdictOf(`it is malformed${why}`, 'signer');
}

function verdictOf(reason: string, kind: RefusalKind, identity?: string): SignatureVerdict {
  return { holds: false, reason, kind, identity };
}
