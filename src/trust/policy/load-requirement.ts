import { createHash, type KeyObject, type X509Certificate } from 'node:crypto';

import { formatReference, parseReference, repositoryName } from '../../spec/index.js';
import { shortKeyName, spkiOf } from './key-name.js';
import { type LoadedTrust, loadTrustRoots, type RequirementPlace } from './load-trust-roots.js';
import type { SigstoreSigned } from './requirement.js';
import type { SignatureRequirement, TrustRoots } from './signature-ruling.js';
import type { SignedIdentity } from './signed-identity.js';

/**
 * Makes of a requirement what signatures can be held against.
 *
 * @throws TrustError POLICY_REJECTED, as `loadTrustRoots`
 */
export async function loadRequirement(
  requirement: SigstoreSigned,
  place: RequirementPlace,
): Promise<SignatureRequirement> {
  const trust = await loadTrustRoots(requirement, place);
  return {
    requirement,
    ...trust,
    fingerprint: fingerprintOf(requirement.signedIdentity, trust),
    description: describe(trust),
  };
}

/**
 * The digest of what is asked for, written in one way only: each list of keys or certificates is the sorted digests of their DER, and
 * references are in their full form.
 */
function fingerprintOf(identity: SignedIdentity, { roots, rekorKeys }: LoadedTrust): string {
  const asked = ['sigstoreSigned', canonicalRoots(roots), keyDigests(rekorKeys), canonicalIdentity(identity)];
  return `sha256:${createHash('sha256').update(JSON.stringify(asked)).digest('hex')}`;
}

function canonicalRoots(roots: TrustRoots): readonly unknown[] {
  switch (roots.kind) {
    case 'keys':
      return [roots.kind, keyDigests(roots.keys)];
    case 'fulcio':
      return [roots.kind, certificateDigests(roots.ca), roots.oidcIssuer, roots.subjectEmail];
    case 'pki':
      return [
        roots.kind,
        certificateDigests(roots.roots),
        certificateDigests(roots.intermediates),
        // What is not asked for is null in JSON, which no name is.
        roots.subjectEmail,
        roots.subjectHostname,
      ];
  }
}

function canonicalIdentity(identity: SignedIdentity): readonly string[] {
  switch (identity.type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
    case 'matchDigest':
      return [identity.type];
    case 'exactReference':
      return [identity.type, formatReference(parseReference(identity.dockerReference))];
    case 'exactRepository':
      return [identity.type, repositoryName(parseReference(identity.dockerRepository))];
    case 'remapIdentity':
      return [identity.type, identity.prefix, identity.signedPrefix];
  }
}

function keyDigests(keys: readonly KeyObject[]): readonly string[] {
  return sortedDigests(keys.map(spkiOf));
}

function certificateDigests(certificates: readonly X509Certificate[]): readonly string[] {
  return sortedDigests(certificates.map(({ raw }) => raw));
}

/** Each once, since one that stands twice asks for no more. */
function sortedDigests(all: readonly Buffer[]): readonly string[] {
  const digests = all.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
  return [...new Set(digests)].sort();
}

/** More keys than these are counted rather than named. */
const NAMED_KEYS = 3;

function describe({ roots, rekorKeys }: LoadedTrust): string {
  const logged = rekorKeys.length === 0 ? '' : ', recorded in a transparency log';
  return `a signature by ${signerOf(roots)}${logged}`;
}

function signerOf(roots: TrustRoots): string {
  switch (roots.kind) {
    case 'keys': {
      const names = [...new Set(roots.keys.map(shortKeyName))];
      if (names.length === 1) return `the key ${names.join('')}`;
      if (names.length <= NAMED_KEYS) return `one of the keys ${names.join(', ')}`;
      return `one of ${names.length} keys (${names.slice(0, NAMED_KEYS).join(', ')}, …)`;
    }
    case 'fulcio':
      return `${roots.subjectEmail} (${roots.oidcIssuer})`;
    case 'pki':
      return [roots.subjectEmail, roots.subjectHostname].filter((name) => name !== undefined).join(' and ');
  }
}
