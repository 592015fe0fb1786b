import type { TransparencyLogEntry } from '@sigstore/bundle';
import type { SignedEntity } from '@sigstore/verify';
import { isLandfallError, TrustError } from '../../errors.js';
import { type Digest, type JsonObject, type JsonValue, LIMITS, parseJson, quoted } from '../../spec/index.js';
import { decodeBase64 } from '../policy/pem.js';

/**
 * What the verifier of sigstore asks of a signature: whether a key made it, and whether a log's entry is
 * about it.
 */
export type SignatureContent = SignedEntity['signature'];

/** What a signature says of an image. */
export interface SignedClaim {
  /** Of the manifest or index. */
  readonly digest: Digest;
  /** `quay.io/team/app`; undefined where it names nothing. */
  readonly identity: string | undefined;
}

/** A leaf and what was sent along with it, in DER. */
export interface SentCertificates {
  readonly leaf: Buffer;
  /** Of authorities, in no order that counts. */
  readonly chain: readonly Buffer[];
}

/**
 * A signature in either format, taken apart. Nothing of it is known to be true; what a policy does not ask
 * for is not even parsed, so that it cannot stand in the way.
 *
 * All of it throws Refusal for what is malformed.
 */
export interface SignedMaterial {
  /** Whether it is over the bytes of the manifest itself, which {@link SignedMaterial.content} needs then. */
  readonly overManifest: boolean;
  /** Kinds of entries that a log has of such signatures (Rekor's `kind`). */
  readonly logKinds: readonly string[];
  content(manifest: Buffer): SignatureContent;
  certificates(): SentCertificates | undefined;
  logEntries(): readonly TransparencyLogEntry[];
  /** What it says, one of which has to be right; to be believed once the signature has been verified. */
  claims(): readonly SignedClaim[];
}

/**
 * Why a signature does not count: `attestation`, it is none; `identity`, whoever was asked for has signed
 * this very content, only under another name; `other-signer`, it says itself that another has made it;
 * `signer`, all else.
 */
export type RefusalKind = 'attestation' | 'identity' | 'other-signer' | 'signer';

/**
 * What one signature lacks, in words that follow its name: `made by another key`. It never leaves this
 * folder.
 */
export class Refusal extends TrustError {
  readonly kind: RefusalKind;

  constructor(reason: string, kind: RefusalKind = 'signer', cause?: unknown) {
    super('SIGNATURE_INVALID', reason, { cause });
    this.kind = kind;
  }
}

/**
 * Parses JSON of a signature. Throws Refusal also for a key that stands twice, and nesting beyond the limit.
 *
 * @param what what it is, for messages: `its payload`
 */
export function parseSignatureJson(bytes: Uint8Array, what: string): unknown {
  try {
    return parseJson(bytes, what.replace(/^its /, ''), LIMITS.signatureBytes);
  } catch (error) {
    throw isLandfallError(error) ? new Refusal(error.message, 'signer', error) : error;
  }
}

/** An object of these keys, all of them and no others. */
export function exactFields<K extends string>(
  value: unknown,
  keys: readonly K[],
  what: string,
): Readonly<Record<K, JsonValue>> {
  const object = objectOf(value, what);
  for (const key of Object.keys(object)) {
    if (!keys.some((known) => known === key)) {
      throw new Refusal(`${what} has the unknown field ${quoted(key)}`);
    }
  }
  for (const key of keys) {
    if (!Object.hasOwn(object, key)) throw new Refusal(`${what} has no ${quoted(key)}`);
  }
  return object as Readonly<Record<K, JsonValue>>;
}

export function objectOf(value: unknown, what: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new Refusal(`${what} is no JSON object`);
}

export function stringOf(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw new Refusal(`${what} is no string`);
}

/** base64 with its padding, and with nothing between but line breaks (RFC 4648, 4). */
export function base64Of(value: unknown, what: string): Buffer {
  const bytes = decodeBase64(stringOf(value, what).replace(/[\r\n]/g, ''));
  if (bytes === undefined) throw new Refusal(`${what} is not base64`);
  return bytes;
}
