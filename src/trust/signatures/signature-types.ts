import {
  type Descriptor,
  type Digest,
  algorithmOf,
  encodedOf,
  LIMITS,
  MEDIA_TYPES,
} from '../../spec/index.js';

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
export const SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1';

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
