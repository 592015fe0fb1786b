import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { TrustError } from '../../errors.js';
import { formatReference, formatSize, parseReference, quoted, repositoryName } from '../../spec/index.js';
import { type PemBlock, readPem } from './pem.js';
import { readRegularFile } from './regular-file.js';
import type {
  PolicyBytes,
  PolicySigners,
  SignatureRequirement,
  SigstoreSigned,
  TrustRoots,
} from './requirement.js';
import type { SignedIdentity } from './policy-image.js';

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
 * The digest of what is asked for, written in one way only: each list of keys or certificates is the sorted
 * digests of their DER, and references are in their full form.
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

/** One key, in bytes: an RSA key of 16384 bits has 3 KiB in PEM. */
const MAX_KEY_BYTES = 64 * 1024;
/** Certificates, in bytes: all authorities that browsers trust have 250 KiB in PEM. */
const MAX_CERTIFICATE_BYTES = 4 * 1024 * 1024;

/** Where the requirement stands whose keys are loaded. */
export interface RequirementPlace {
  /** Path of the policy's file. */
  readonly policy: string;
  readonly scope: string;
  /** Of the rule, from 1. */
  readonly line: number;
}

/** All keys and certificates of a requirement. */
export interface LoadedTrust {
  readonly roots: TrustRoots;
  readonly rekorKeys: readonly KeyObject[];
}

/**
 * Reads the keys and certificates that a requirement names. A file that holds anything else beside them is
 * refused, since peers differ in what of it they take.
 *
 * @throws TrustError POLICY_REJECTED, naming the line of the policy and the file
 */
export async function loadTrustRoots(
  { signers, rekorKeys }: SigstoreSigned,
  place: RequirementPlace,
): Promise<LoadedTrust> {
  return {
    roots: await rootsOf(signers, place),
    rekorKeys: await loadKeys(rekorKeys, place, REKOR_TYPES),
  };
}

async function rootsOf(signers: PolicySigners, place: RequirementPlace): Promise<TrustRoots> {
  switch (signers.kind) {
    case 'keys':
      return { kind: 'keys', keys: await loadKeys(signers.keys, place, KEY_TYPES) };
    case 'fulcio':
      return {
        kind: 'fulcio',
        ca: await loadCertificates(signers.ca, place),
        oidcIssuer: signers.oidcIssuer,
        subjectEmail: signers.subjectEmail,
      };
    case 'pki':
      return {
        kind: 'pki',
        roots: await loadCertificates(signers.roots, place),
        intermediates:
          signers.intermediates === undefined ? [] : await loadCertificates(signers.intermediates, place),
        subjectEmail: signers.subjectEmail,
        subjectHostname: signers.subjectHostname,
      };
  }
}

type KeyType = 'ec' | 'rsa' | 'ed25519';
const KEY_TYPES: readonly KeyType[] = ['ec', 'rsa', 'ed25519'];
/** What the logs of sigstore sign with, and all that peers take. */
const REKOR_TYPES: readonly KeyType[] = ['ec'];

/**
 * One after the other, so that of several faults the first is told, and a long list opens no more than one
 * file.
 */
async function loadKeys(
  all: readonly PolicyBytes[],
  place: RequirementPlace,
  types: readonly KeyType[],
): Promise<readonly KeyObject[]> {
  const keys: KeyObject[] = [];
  for (const from of all) keys.push(await loadKey(from, place, types));
  return keys;
}

async function loadKey(
  from: PolicyBytes,
  place: RequirementPlace,
  types: readonly KeyType[],
): Promise<KeyObject> {
  const bytes = await bytesOf(from, place, MAX_KEY_BYTES);
  const pem = readPem(bytes);
  if (pem === undefined || pem.blocks.length === 0) throw fault(from, place, 'is no public key in PEM');
  const [block, other] = pem.blocks;
  if (block === undefined || other !== undefined) {
    throw fault(from, place, 'has more than one key; give each a file of its own, in a list');
  }
  if (pem.rest !== '') throw fault(from, place, 'has something beside the public key');
  const key = publicKeyOf(block);
  if (typeof key === 'string') throw fault(from, place, key);
  const weakness = weaknessOf(key, types);
  if (weakness !== undefined) throw fault(from, place, weakness);
  return key;
}

/** The key of a block, or why it has none. */
function publicKeyOf({ label, der }: PemBlock): KeyObject | string {
  const type = label === 'PUBLIC KEY' ? 'spki' : label === 'RSA PUBLIC KEY' ? 'pkcs1' : undefined;
  if (type === undefined) return `is no public key, but ${quoted(label)}`;
  try {
    const key = createPublicKey({ key: der, format: 'der', type });
    const again = type === 'spki' ? spkiOf(key) : key.export({ type, format: 'der' });
    return again.equals(der) ? key : 'is a public key in an unusual encoding, or with something behind it';
  } catch {
    return 'is no public key that can be read';
  }
}

/** What peers verify with too. */
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];
const MIN_RSA_BITS = 2048;

function weaknessOf(key: KeyObject, types: readonly KeyType[]): string | undefined {
  const type = types.find((known) => known === key.asymmetricKeyType);
  const { namedCurve = 'unknown', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (type) {
    case undefined:
      return `is a ${key.asymmetricKeyType ?? 'secret'} key; it has to be ${types.join(' or ')}`;
    case 'ec':
      return CURVES.includes(namedCurve)
        ? undefined
        : `is a key on the curve ${namedCurve}; it has to be ${CURVES.join(' or ')}`;
    case 'rsa':
      return modulusLength >= MIN_RSA_BITS
        ? undefined
        : `is an RSA key of ${modulusLength} bits, fewer than ${MIN_RSA_BITS}`;
    case 'ed25519':
      return undefined;
  }
}

async function loadCertificates(
  from: PolicyBytes,
  place: RequirementPlace,
): Promise<readonly X509Certificate[]> {
  const pem = readPem(await bytesOf(from, place, MAX_CERTIFICATE_BYTES));
  if (pem === undefined || pem.blocks.length === 0) throw fault(from, place, 'has no certificates in PEM');
  return pem.blocks.map(({ label, der }, index) => {
    const block = `block ${index + 1}`;
    if (label !== 'CERTIFICATE') {
      throw fault(from, place, `has ${quoted(label)} as ${block}, where only certificates may be`);
    }
    const certificate = certificateOf(der);
    if (certificate !== undefined) return certificate;
    throw fault(from, place, `has as ${block} no certificate that can be read`);
  });
}

function certificateOf(der: Buffer): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(der);
    return certificate.raw.equals(der) ? certificate : undefined;
  } catch {
    return undefined;
  }
}

async function bytesOf(from: PolicyBytes, place: RequirementPlace, maxBytes: number): Promise<Buffer> {
  if ('data' in from) {
    if (from.data.byteLength <= maxBytes) return from.data;
    throw fault(from, place, `has more than ${formatSize(maxBytes)}`);
  }
  try {
    return await readRegularFile(from.path, maxBytes);
  } catch (error) {
    throw fault(from, place, error instanceof Error ? error.message : 'cannot be read', error);
  }
}

function fault(
  from: PolicyBytes,
  { policy, scope, line }: RequirementPlace,
  what: string,
  cause?: unknown,
): TrustError {
  const at = from.line ?? line;
  const named = 'path' in from ? quoted(from.path, 300) : 'the data';
  return new TrustError('POLICY_REJECTED', `${policy}:${at}: ${named} ${what}`, {
    hint: 'Mend the file that the policy names, or the policy; until then no image is let in that it governs.',
    details: { policy, scope, line: at },
    cause,
  });
}

/**
 * How a public key is called for people: `key sha256:` and the first 16 digits of the digest of its SPKI in
 * DER.
 */
export function keyName(key: KeyObject): string {
  return `key ${shortKeyName(key)}`;
}

/** `sha256:3f2a…` */
export function shortKeyName(key: KeyObject): string {
  return `sha256:${createHash('sha256').update(spkiOf(key)).digest('hex').slice(0, 16)}`;
}

/** The key's SubjectPublicKeyInfo in DER. */
export function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}
