import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import type { PolicyImage, SignatureRequirement } from '../../src/trust/index.js';
import { checkSignature } from '../../src/trust/signatures/check-signature.js';
import { findSignatures } from '../../src/trust/signatures/find-signatures.js';
import { MemorySignatureSource } from './memory-signature-source.js';
import { bundleReferrer } from './signature-bundle.js';
import { imageAt } from './signature-requirements.js';
import { type SimpleSignature, simpleSigningManifest } from './simple-signing.js';

/** What is signed in tests: a manifest, whatever it says. */
export const MANIFEST: Buffer = Buffer.from('{"schemaVersion":2,"config":{},"layers":[]}');
export const SUBJECT: Digest = digestOf(MANIFEST);
export const DESCRIPTOR: Descriptor = {
  mediaType: MEDIA_TYPES.ociManifest,
  digest: SUBJECT,
  size: MANIFEST.length,
};

/** Signatures, by tag or as bundles. */
export interface SignedBy {
  readonly tagged?: readonly SimpleSignature[];
  readonly bundles?: readonly (object | Buffer)[];
}

/**
 * What becomes of each signature for {@link SUBJECT}: `holds: key sha256:…`, or why it does not. They are
 * found as they would be at a registry.
 */
export async function verdicts(
  requirement: SignatureRequirement,
  { tagged = [], bundles = [] }: SignedBy,
  image: PolicyImage = imageAt(),
): Promise<string[]> {
  const source = new MemorySignatureSource();
  if (tagged.length > 0) source.addTagged(simpleSigningManifest(SUBJECT, tagged));
  if (bundles.length > 0) source.addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, bundles));
  const { signatures, problems } = await findSignatures(source, SUBJECT);
  const all = problems.map(({ message }) => `problem: ${message}`);
  for (const signature of signatures) {
    const verdict = await checkSignature(signature, requirement, {
      image,
      bytesOf: () => Promise.resolve(MANIFEST),
    });
    all.push(verdict.holds ? `holds: ${verdict.signedBy}` : verdict.reason);
  }
  return all;
}

/** What becomes of one. */
export async function verdict(
  requirement: SignatureRequirement,
  signed: SignedBy,
  image?: PolicyImage,
): Promise<string> {
  const [first = 'not found', ...others] = await verdicts(requirement, signed, image);
  if (others.length > 0) throw new Error(`more than one: ${others.join('; ')}`);
  return first;
}
