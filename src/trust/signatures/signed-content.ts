import { createHash, type KeyObject, timingSafeEqual, verify } from 'node:crypto';

import type { SignatureContent } from './signed-material.js';

/**
 * A signature over bytes as cosign makes it, whatever the curve: by ECDSA or RSA (PKCS #1 v1.5) with SHA-256, or by Ed25519. The
 * library has this only for bundles.
 */
export class SignedBytes implements SignatureContent {
  readonly signature: Buffer;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, signature: Buffer) {
    this.#bytes = bytes;
    this.signature = signature;
  }

  compareSignature(signature: Buffer): boolean {
    return equal(signature, this.signature);
  }

  compareDigest(digest: Buffer): boolean {
    return equal(digest, createHash('sha256').update(this.#bytes).digest());
  }

  verifySignature(key: KeyObject): boolean {
    return verified(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', this.#bytes, key, this.signature);
  }
}

/**
 * The signature of a bundle. To what the library verifies it adds two ways in which others sign: ECDSA with the digest that fits the
 * curve, and Ed25519 over the bytes themselves.
 */
export class BundleSignature implements SignatureContent {
  readonly #ofLibrary: SignatureContent;
  readonly #bytes: Buffer;

  constructor(ofLibrary: SignatureContent, bytes: Buffer) {
    this.#ofLibrary = ofLibrary;
    this.#bytes = bytes;
  }

  get signature(): Buffer {
    return this.#ofLibrary.signature;
  }

  compareSignature(signature: Buffer): boolean {
    return this.#ofLibrary.compareSignature(signature);
  }

  compareDigest(digest: Buffer): boolean {
    return this.#ofLibrary.compareDigest(digest);
  }

  verifySignature(key: KeyObject): boolean {
    if (this.#ofLibrary.verifySignature(key)) return true;
    const algorithm = ownDigest(key);
    return algorithm !== undefined && verified(algorithm, this.#bytes, key, this.signature);
  }
}

/** The digest that a key is used with by nature; null for Ed25519, which has it within. */
function ownDigest({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | null | undefined {
  if (asymmetricKeyType === 'ed25519') return null;
  switch (asymmetricKeyDetails?.namedCurve) {
    case 'secp384r1':
      return 'sha384';
    case 'secp521r1':
      return 'sha512';
    default:
      return undefined;
  }
}

function verified(algorithm: string | null, bytes: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify(algorithm, bytes, key, signature);
  } catch {
    // As of a signature that is not even of the form that the key's kind has.
    return false;
  }
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
