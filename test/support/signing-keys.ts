import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';

/** What cosign makes and reads: ECDSA over three curves, RSA (PKCS #1 v1.5) and Ed25519. */
export const SIGNING_ALGORITHMS = ['p256', 'p384', 'p521', 'rsa', 'ed25519'] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** The public key in PEM, as a policy's `keyPath` names it. */
  readonly pem: string;
  /** `sha256:…` of the public key in DER. */
  readonly fingerprint: string;
}

/** A new key pair. */
export function signingKey(algorithm: SigningAlgorithm = 'p256'): SigningKey {
  return withPem(keyPair(algorithm));
}

/** The same Ed25519 key for the same number, which signs the same bytes the same way each time. */
export function fixedSigningKey(seed: number): SigningKey {
  const secret = createHash('sha256').update(String(seed)).digest();
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), secret]);
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return withPem({ privateKey, publicKey: createPublicKey(privateKey) });
}

function withPem({ privateKey, publicKey }: Pick<SigningKey, 'privateKey' | 'publicKey'>): SigningKey {
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return {
    privateKey,
    publicKey,
    pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    fingerprint: `sha256:${createHash('sha256').update(der).digest('hex')}`,
  };
}

/** Signs as cosign does: with SHA-256 whatever the curve, and Ed25519 without a digest of its own. */
export function signedBy(
  { privateKey }: Pick<SigningKey, 'privateKey'>,
  bytes: Uint8Array,
  digest: 'sha256' | 'sha384' | 'sha512' = 'sha256',
): Buffer {
  return sign(privateKey.asymmetricKeyType === 'ed25519' ? null : digest, bytes, privateKey);
}

function keyPair(algorithm: SigningAlgorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (algorithm) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'p521':
      return generateKeyPairSync('ec', { namedCurve: 'P-521' });
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
  }
}
