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
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  encodedOf,
  isDigest,
  isVerifiable,
  LIMITS,
  MEDIA_TYPES,
  quoted,
} from '../../spec/index.js';
import {
  objectOf,
  parseSignatureJson,
  Refusal,
  type SentCertificates,
  type SignatureContent,
  type SignedClaim,
  type SignedMaterial,
} from './signed-material.js';
import type { FoundSignature } from './found-signature.js';
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

/** An in-toto statement in an envelope (https://github.com/secure-systems-lab/dsse). */
class SignedStatement implements SignedMaterial {
  readonly overManifest = false;
  readonly logKinds: readonly string[] = ['dsse', 'intoto'];
  readonly #bundle: BundleWithDsseEnvelope;
  readonly #claims: readonly SignedClaim[];

  constructor(bundle: BundleWithDsseEnvelope) {
    const { payloadType, payload } = bundle.content.dsseEnvelope;
    if (payloadType !== IN_TOTO) throw new Refusal(`its content is ${quoted(payloadType)}, no statement`);
    this.#bundle = bundle;
    this.#claims = parseStatement(payload);
  }

  content(): SignatureContent {
    const { payloadType, payload } = this.#bundle.content.dsseEnvelope;
    const { signature } = toSignedEntity(withoutRest(this.#bundle));
    return new BundleSignature(signature, dsse.preAuthEncoding(payloadType, payload));
  }

  certificates(): SentCertificates | undefined {
    return certificatesOf(this.#bundle);
  }

  logEntries(): readonly TransparencyLogEntry[] {
    return this.#bundle.verificationMaterial.tlogEntries;
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
class SignedManifest implements SignedMaterial {
  readonly overManifest = true;
  readonly logKinds: readonly string[] = ['hashedrekord'];
  readonly #bundle: BundleWithMessageSignature;
  readonly #subject: Digest;

  constructor(bundle: BundleWithMessageSignature, subject: Digest) {
    this.#bundle = bundle;
    this.#subject = subject;
  }

  content(manifest: Buffer): SignatureContent {
    const { algorithm, digest } = this.#bundle.content.messageSignature.messageDigest;
    const name = DIGESTS.get(algorithm);
    if (name === undefined) throw new Refusal('it is over a kind of digest that is not known');
    // A log's entry is held against this digest, so it has to be that of what was signed.
    if (!createHash(name).update(manifest).digest().equals(digest)) {
      throw new Refusal(`it is for ${name}:${digest.toString('hex')}`);
    }
    const { signature } = toSignedEntity(withoutRest(this.#bundle), manifest);
    return new BundleSignature(signature, manifest);
  }

  certificates(): SentCertificates | undefined {
    return certificatesOf(this.#bundle);
  }

  logEntries(): readonly TransparencyLogEntry[] {
    return this.#bundle.verificationMaterial.tlogEntries;
  }

  claims(): readonly SignedClaim[] {
    return [{ digest: this.#subject, identity: undefined }];
  }
}

/** A bundle with nothing but its signature: what else stands in it is none of the library's business until a policy asks for it. */
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

/** What a statement says (https://github.com/in-toto/attestation, Statement v1), where it is a signature and nothing else. */
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

/*
 * How signatures are found: by the tags and media types that those who make them give them (cosign: SIGNATURE_SPEC.md;
 * https://docs.sigstore.dev/about/bundle/).
 */

/** cosign's payload. */
const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** What cosign calls its signatures where it lets them refer to an image rather than tags them. */
const COSIGN_SIGNATURES = 'application/vnd.dev.cosign.artifact.sig.v1+json';
/** Of every version, in either way that they are written: `….bundle.v0.3+json` and `….bundle+json;version=0.2`. */
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle(\.v\d+\.\d+\+json|\+json(;.*)?)$/;
/** Predicate of the statement in a bundle, which cosign and others write beside it. */
const PREDICATE_ANNOTATION = 'dev.sigstore.bundle.predicateType';
/** The predicate of a statement that is a signature and nothing else. */
const SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1';

/** What a descriptor calls a referrer of which nobody said what it is, so that only its manifest can say. */
const UNTOLD: ReadonlySet<string> = new Set(['', MEDIA_TYPES.ociEmpty, MEDIA_TYPES.ociConfig]);

/**
 * The tag of the signatures of a digest; undefined where there can be none, since it would be longer than tags may be: with sha512.
 */
export function signatureTag(subject: Digest): string | undefined {
  const tag = `${algorithmOf(subject)}-${encodedOf(subject)}.sig`;
  return tag.length > LIMITS.tagLength ? undefined : tag;
}

/** Whether a referrer is worth reading: it is known to hold signatures, or nobody said what it holds. */
export function mayHoldSignatures({ artifactType = '', annotations }: Descriptor): boolean {
  // Bundles are attestations more often than not, and an image may have many.
  if ((annotations?.[PREDICATE_ANNOTATION] ?? SIGN_PREDICATE) !== SIGN_PREDICATE) return false;
  return UNTOLD.has(artifactType) || artifactType === COSIGN_SIGNATURES || BUNDLE.test(artifactType);
}

/** What a layer holds of a manifest of this type; undefined for what is no signature. */
export function signatureFormat(
  { mediaType }: Descriptor,
  artifactType: string | undefined,
): 'simple-signing' | 'bundle' | undefined {
  if (mediaType === SIMPLE_SIGNING) return 'simple-signing';
  if (BUNDLE.test(mediaType)) return 'bundle';
  // Some push a bundle as a plain file and name the type of the whole only.
  return artifactType !== undefined && BUNDLE.test(artifactType) ? 'bundle' : undefined;
}
