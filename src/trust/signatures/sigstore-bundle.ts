import { createHash } from 'node:crypto';
import {
  type Bundle,
  bundleFromJSON,
  type BundleWithDsseEnvelope,
  type BundleWithMessageSignature,
  isBundleWithDsseEnvelope,
  isBundleWithMessageSignature,
  type TransparencyLogEntry,
} from '@sigstore/bundle';
import { dsse } from '@sigstore/core';
import { HashAlgorithm } from '@sigstore/protobuf-specs';
import { toSignedEntity } from '@sigstore/verify';
import { type Digest, isDigest, isVerifiable, quoted } from '../../spec/index.js';
import {
  objectOf,
  parseSignatureJson,
  Refusal,
  type SentCertificates,
  type SignatureContent,
  type SignedClaim,
  type SignedMaterial,
} from './signed-material.js';
import { type FoundSignature, SIGN_PREDICATE } from './find-signatures.js';
import { BundleSignature } from './simple-signing.js';

/*
 * Signatures as sigstore bundles, of the versions 0.1 to 0.3 (https://docs.sigstore.dev/about/bundle/).
 */

const IN_TOTO = 'application/vnd.in-toto+json';
const STATEMENTS: readonly unknown[] = [
  'https://in-toto.io/Statement/v1',
  'https://in-toto.io/Statement/v0.1',
];

/** @throws Refusal for what is no bundle, and for a bundle that is an attestation */
export function parseSigstoreBundle(signature: FoundSignature): SignedMaterial {
  const json = parseSignatureJson(signature.bytes, 'its bundle');
  let bundle: Bundle;
  try {
    bundle = bundleFromJSON(json);
  } catch (error) {
    // Some of its messages repeat what stands in the bundle.
    const why = error instanceof Error ? `: ${quoted(error.message)}` : '';
    throw new Refusal(`it is no sigstore bundle that can be understood${why}`, 'signer', error);
  }
  if (isBundleWithDsseEnvelope(bundle)) return new SignedStatement(bundle);
  if (isBundleWithMessageSignature(bundle)) return new SignedManifest(bundle, signature.manifest.subject);
  throw new Refusal('it is a sigstore bundle without a signature');
}

/** What is the same in both kinds of bundle. */
abstract class BundleMaterial<B extends Bundle> {
  protected readonly bundle: B;

  constructor(bundle: B) {
    this.bundle = bundle;
  }

  certificates(): SentCertificates | undefined {
    return certificatesOf(this.bundle);
  }

  logEntries(): readonly TransparencyLogEntry[] {
    return this.bundle.verificationMaterial.tlogEntries;
  }
}

/** An in-toto statement in an envelope (https://github.com/secure-systems-lab/dsse). */
class SignedStatement extends BundleMaterial<BundleWithDsseEnvelope> implements SignedMaterial {
  readonly overManifest = false;
  readonly logKinds: readonly string[] = ['dsse', 'intoto'];
  readonly #claims: readonly SignedClaim[];

  constructor(bundle: BundleWithDsseEnvelope) {
    super(bundle);
    const { payloadType, payload } = bundle.content.dsseEnvelope;
    if (payloadType !== IN_TOTO) throw new Refusal(`its content is ${quoted(payloadType)}, no statement`);
    this.#claims = parseStatement(payload);
  }

  content(): SignatureContent {
    const { payloadType, payload } = this.bundle.content.dsseEnvelope;
    const { signature } = toSignedEntity(withoutRest(this.bundle));
    return new BundleSignature(signature, dsse.preAuthEncoding(payloadType, payload));
  }

  claims(): readonly SignedClaim[] {
    return this.#claims;
  }
}

const DIGESTS: ReadonlyMap<HashAlgorithm, string> = new Map([
  [HashAlgorithm.SHA2_256, 'sha256'],
  [HashAlgorithm.SHA2_384, 'sha384'],
  [HashAlgorithm.SHA2_512, 'sha512'],
]);

/** A signature over the manifest's own bytes; it names nothing. */
class SignedManifest extends BundleMaterial<BundleWithMessageSignature> implements SignedMaterial {
  readonly overManifest = true;
  readonly logKinds: readonly string[] = ['hashedrekord'];
  readonly #subject: Digest;

  constructor(bundle: BundleWithMessageSignature, subject: Digest) {
    super(bundle);
    this.#subject = subject;
  }

  content(manifest: Buffer): SignatureContent {
    const { algorithm, digest } = this.bundle.content.messageSignature.messageDigest;
    const name = DIGESTS.get(algorithm);
    if (name === undefined) throw new Refusal('it is over a kind of digest that is not known');
    // A log's entry is held against this digest, so it has to be that of what was signed.
    if (!createHash(name).update(manifest).digest().equals(digest)) {
      throw new Refusal(`it is for ${name}:${digest.toString('hex')}`);
    }
    const { signature } = toSignedEntity(withoutRest(this.bundle), manifest);
    return new BundleSignature(signature, manifest);
  }

  claims(): readonly SignedClaim[] {
    return [{ digest: this.#subject, identity: undefined }];
  }
}

/**
 * A bundle with nothing but its signature: what else stands in it is none of the library's business until a
 * policy asks for it.
 */
function withoutRest(bundle: Bundle): Bundle {
  return {
    ...bundle,
    verificationMaterial: {
      content: { $case: 'publicKey', publicKey: { hint: '' } },
      tlogEntries: [],
      timestampVerificationData: undefined,
    },
  };
}

function certificatesOf({ verificationMaterial: { content } }: Bundle): SentCertificates | undefined {
  switch (content.$case) {
    case 'publicKey':
      return undefined;
    case 'certificate':
      return { leaf: content.certificate.rawBytes, chain: [] };
    case 'x509CertificateChain': {
      const [leaf, ...chain] = content.x509CertificateChain.certificates.map(({ rawBytes }) => rawBytes);
      return leaf === undefined ? undefined : { leaf, chain };
    }
  }
}

/**
 * What a statement says (https://github.com/in-toto/attestation, Statement v1), where it is a signature and
 * nothing else.
 */
function parseStatement(payload: Buffer): readonly SignedClaim[] {
  const what = 'its statement';
  const { _type: type, subject, predicateType } = objectOf(parseSignatureJson(payload, what), what);
  if (!STATEMENTS.includes(type)) throw new Refusal('its content is no in-toto statement');
  if (predicateType !== SIGN_PREDICATE) {
    const kind = typeof predicateType === 'string' ? quoted(predicateType) : 'no kind';
    throw new Refusal(`it is an attestation of ${kind}, not a signature`, 'attestation');
  }
  if (!Array.isArray(subject)) throw new Refusal(`${what} is about nothing`);
  return subject.flatMap((one: unknown) => claimsOf(one));
}

/** One for each digest that can be computed here. */
function claimsOf(subject: unknown): SignedClaim[] {
  const { name, digest } = objectOf(subject, 'a subject of its statement');
  if (name !== undefined && typeof name !== 'string') {
    throw new Refusal('a subject of its statement has no name that is one');
  }
  const digests = Object.entries(objectOf(digest, 'the digest of its statement'));
  return digests.flatMap(([algorithm, hex]) => {
    const text = typeof hex === 'string' ? `${algorithm}:${hex}` : '';
    if (!isDigest(text) || !isVerifiable(text)) return [];
    return [{ digest: text, identity: name === undefined || name === '' ? undefined : name }];
  });
}
