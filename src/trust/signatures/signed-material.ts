import type { TransparencyLogEntry } from '@sigstore/bundle';
import type { SignedEntity } from '@sigstore/verify';

import type { Digest } from '../../spec/index.js';

/** What the verifier of sigstore asks of a signature: whether a key made it, and whether a log's entry is about it. */
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
 * A signature in either format, taken apart. Nothing of it is known to be true; what a policy does not ask for is not even parsed, so
 * that it cannot stand in the way.
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
