import { formatReference, parseReference, quoted, type Reference, repositoryName } from '../../spec/index.js';
import type { PolicyImage } from './policy-image.js';

/**
 * How what a signature says that it is for has to fit the image (containers-policy.json(5): `signedIdentity`). Without one in the
 * policy it is `matchRepoDigestOrExact`.
 *
 * `matchDigest` is landfall's own, for signatures that name no repository, as cosign's bundles do: a name that is there has to be
 * of the image's repository, and none will do.
 */
export type SignedIdentity =
  | { readonly type: 'matchExact' }
  | { readonly type: 'matchRepoDigestOrExact' }
  | { readonly type: 'matchRepository' }
  | { readonly type: 'matchDigest' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

/**
 * Whether a signature is for the image.
 *
 * @param claimed what the signature says that it is for; undefined or empty where it does not say
 * @returns true, or in words why not: `it is for quay.io/other/app:1, not for quay.io/team/app:1`
 */
export function matchesIdentity(
  identity: SignedIdentity,
  image: PolicyImage,
  claimed: string | undefined,
): true | string {
  if (claimed === undefined || claimed === '') {
    if (identity.type === 'matchDigest') return true;
    return 'it names no repository, which only the signedIdentity "matchDigest" allows';
  }
  const signed = referenceIn(claimed);
  if (signed === undefined) return `it is for ${quoted(claimed)}, which is no reference`;
  switch (identity.type) {
    case 'exactReference':
      return matchesExactly(referenceIn(identity.dockerReference), signed);
    case 'exactRepository':
      return matchesRepository(referenceIn(identity.dockerRepository), signed);
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
    case 'matchDigest':
    case 'remapIdentity':
      return matchesImage(identity, image, signed);
  }
}

function matchesImage(
  identity: Exclude<SignedIdentity, { type: 'exactReference' | 'exactRepository' }>,
  { reference, name }: PolicyImage,
  signed: Reference,
): true | string {
  if (reference === undefined) {
    return `it is for ${formatReference(signed)}, and ${name} has no name to hold that against`;
  }
  switch (identity.type) {
    case 'matchExact':
      return matchesExactly(reference, signed);
    case 'matchRepoDigestOrExact':
      return matchesRepoDigestOrExact(reference, signed);
    case 'matchRepository':
    case 'matchDigest':
      return matchesRepository(reference, signed);
    case 'remapIdentity':
      return matchesRepoDigestOrExact(remapped(reference, identity), signed);
  }
}

function matchesRepository(intended: Reference | undefined, signed: Reference): true | string {
  if (intended !== undefined && repositoryName(intended) === repositoryName(signed)) return true;
  return isNotFor(signed, intended === undefined ? undefined : repositoryName(intended));
}

/** A name without tag and digest is never exact, not even where both are the same. */
function matchesExactly(intended: Reference | undefined, signed: Reference): true | string {
  if (isNameOnly(signed)) return namesNoTag(signed);
  if (
    intended === undefined ||
    isNameOnly(intended) ||
    formatReference(intended) !== formatReference(signed)
  ) {
    return isNotFor(signed, intended === undefined ? undefined : formatReference(intended));
  }
  return true;
}

/** Whoever asks by digest has said which content it is, and that the signature is for it has been verified. */
function matchesRepoDigestOrExact(intended: Reference | undefined, signed: Reference): true | string {
  if (isNameOnly(signed)) return namesNoTag(signed);
  const byDigest = intended?.tag === undefined && intended?.digest !== undefined;
  return byDigest ? matchesRepository(intended, signed) : matchesExactly(intended, signed);
}

/** What the image is called where it was signed; undefined where that would be no name. */
function remapped(
  reference: Reference,
  { prefix, signedPrefix }: { prefix: string; signedPrefix: string },
): Reference | undefined {
  const name = repositoryName(reference);
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return reference;
  return explicitReference(signedPrefix + formatReference(reference).slice(prefix.length));
}

/** A reference in its full form, with its registry; undefined for everything else. */
export function explicitReference(text: string): Reference | undefined {
  const reference = referenceIn(text);
  return reference !== undefined && formatReference(reference) === text ? reference : undefined;
}

function referenceIn(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

function isNameOnly({ tag, digest }: Reference): boolean {
  return tag === undefined && digest === undefined;
}

function namesNoTag(signed: Reference): string {
  return `it is for ${formatReference(signed)} without a tag, as cosign's are, which only "matchRepository", "exactRepository" and "matchDigest" allow`;
}

function isNotFor(signed: Reference, intended: string | undefined): string {
  const is = `it is for ${formatReference(signed)}`;
  return intended === undefined
    ? `${is}, which the policy's prefixes map to nothing`
    : `${is}, not for ${intended}`;
}
