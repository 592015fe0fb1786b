import { createHash, type KeyObject } from 'node:crypto';

/** How a public key is called for people: `key sha256:` and the first 16 digits of the digest of its SPKI in DER. */
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
