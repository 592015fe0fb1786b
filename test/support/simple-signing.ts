import {
  algorithmOf,
  type Descriptor,
  type Digest,
  digestOf,
  encodedOf,
  MEDIA_TYPES,
} from '../../src/spec/index.js';
import { pemOf } from './der.js';
import type { SigningLeaf } from './signing-authority.js';
import { signedBy, type SigningKey } from './signing-keys.js';
import { hashedRekord, type LoggedEntry, type TransparencyLog } from './transparency-log.js';

/*
 * Signatures by cosign's tag scheme (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md), right ones and others.
 */

export const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json';
export const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature';
export const CERTIFICATE_ANNOTATION = 'dev.sigstore.cosign/certificate';
export const CHAIN_ANNOTATION = 'dev.sigstore.cosign/chain';
export const BUNDLE_ANNOTATION = 'dev.sigstore.cosign/bundle';

/** Something that signatures lie in, with its blobs. */
export interface SignatureArtifact {
  readonly manifest: Descriptor;
  readonly blobs: ReadonlyMap<Digest, Buffer>;
  /** Of cosign's scheme. */
  readonly tag?: string;
}

/** Who signs: a key, or a certificate with its key. */
export type Signer = { readonly key: SigningKey } | { readonly leaf: SigningLeaf };

/** When, and in which log, a signature was entered. */
export interface Logged {
  readonly log: TransparencyLog;
  /** Default: now. */
  readonly time?: Date;
}

export interface SimpleSignatureOptions {
  /** Its docker-reference. Default `quay.io/team/app`. */
  readonly identity?: string;
  readonly logged?: Logged;
  /** In place of the payload that `subject` and `identity` make. */
  readonly payload?: string | Buffer;
  /** Signed in place of the payload, which then does not fit. */
  readonly signed?: Buffer;
  /** Of the authorities above the certificate. Default: the leaf's own. */
  readonly chain?: readonly { readonly raw: Buffer }[];
}

/** A payload and what stands beside it. */
export interface SimpleSignature {
  readonly payload: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What cosign signs. */
export function simplePayload(subject: string, identity = 'quay.io/team/app'): Buffer {
  return Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': identity },
        image: { 'docker-manifest-digest': subject },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  );
}

export async function simpleSignature(
  subject: string,
  signer: Signer,
  options: SimpleSignatureOptions = {},
): Promise<SimpleSignature> {
  const payload = Buffer.from(options.payload ?? simplePayload(subject, options.identity));
  const key = 'key' in signer ? signer.key : signer.leaf.key;
  const signature = signedBy(key, options.signed ?? payload);
  const annotations: Record<string, string> = { [SIGNATURE_ANNOTATION]: signature.toString('base64') };
  if ('leaf' in signer) {
    annotations[CERTIFICATE_ANNOTATION] = signer.leaf.pem;
    const chain = options.chain ?? signer.leaf.chain;
    annotations[CHAIN_ANNOTATION] = chain.map(({ raw }) => pemOf('CERTIFICATE', raw)).join('');
  }
  if (options.logged !== undefined) {
    const { log, time } = options.logged;
    const pem = 'key' in signer ? signer.key.pem : signer.leaf.pem;
    const entry = await log.log(hashedRekord({ signature, payload, signer: pem }), time);
    annotations[BUNDLE_ANNOTATION] = promiseAnnotation(entry);
  }
  return { payload, annotations };
}

/** A log's promise as cosign writes it down. */
export function promiseAnnotation({
  body,
  integratedTime,
  logIndex,
  logID,
  verification,
}: LoggedEntry): string {
  return JSON.stringify({
    SignedEntryTimestamp: verification.signedEntryTimestamp,
    Payload: { body, integratedTime, logIndex, logID },
  });
}

/** The tag under which cosign keeps the signatures of a digest. */
export function signatureTag(subject: Digest): string {
  return `${algorithmOf(subject)}-${encodedOf(subject)}.sig`;
}

/** The manifest that signatures lie in. */
export function simpleSigningManifest(
  subject: Digest,
  signatures: readonly SimpleSignature[],
): Required<SignatureArtifact> {
  const blobs = new Map<Digest, Buffer>();
  const config = addBlob(
    blobs,
    MEDIA_TYPES.ociConfig,
    Buffer.from('{"rootfs":{"type":"layers","diff_ids":[]}}'),
  );
  const layers = signatures.map(({ payload, annotations }) => ({
    ...addBlob(blobs, SIMPLE_SIGNING, payload),
    annotations,
  }));
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers };
  const manifest = addBlob(blobs, MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(document)));
  return { manifest, blobs, tag: signatureTag(subject) };
}

/** Puts bytes among blobs and says what they are. */
export function addBlob(blobs: Map<Digest, Buffer>, mediaType: string, bytes: Buffer): Descriptor {
  const digest = digestOf(bytes);
  blobs.set(digest, bytes);
  return { mediaType, digest, size: bytes.length };
}
