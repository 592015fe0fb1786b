import { createHash } from 'node:crypto';

import {
  bundleToJSON,
  type SerializedBundle,
  toDSSEBundle,
  toMessageSignatureBundle,
} from '@sigstore/bundle';
import { dsse } from '@sigstore/core';

import { algorithmOf, type Descriptor, type Digest, encodedOf, MEDIA_TYPES } from '../../src/spec/index.js';
import type { SigningLeaf } from './signing-authority.js';
import { signedBy, type SigningKey } from './signing-keys.js';
import { addBlob, type Logged, type SignatureArtifact, type Signer } from './simple-signing.js';
import { dsseEntry, hashedRekord, intotoEntry, type LoggedEntry } from './transparency-log.js';

/*
 * Signatures as sigstore bundles (https://docs.sigstore.dev/about/bundle/), right ones and others, and the referrers that they lie in.
 */

export const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
export const SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1';
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
const IN_TOTO = 'application/vnd.in-toto+json';
/** cosign's default. */
const VERSION = '0.3';

export interface StatementOptions {
  /** `name` of its subject: what it says that it is for. Default: none, as cosign makes it. */
  readonly name?: string;
  readonly predicateType?: string;
  readonly type?: string;
  /** In place of the one subject. */
  readonly subjects?: readonly object[];
}

export interface BundleOptions extends StatementOptions {
  /** Default `0.3`, which has one certificate and no chain. */
  readonly version?: '0.1' | '0.2' | '0.3';
  readonly logged?: Logged;
  /** How an envelope stands in the log. Default `dsse`. */
  readonly entry?: 'dsse' | 'intoto';
  /** With `0.1` and `0.2`, in place of the leaf's own. */
  readonly chain?: readonly { readonly raw: Buffer }[];
  /** The digest that is signed with. Default SHA-256. */
  readonly digest?: 'sha256' | 'sha384' | 'sha512';
  /** Signed in place of what stands in it, which then does not fit. */
  readonly signed?: Buffer;
  readonly payloadType?: string;
}

export function statement(subject: string, options: StatementOptions = {}): Buffer {
  const [algorithm = '', hex = ''] = subject.split(':');
  return Buffer.from(
    JSON.stringify({
      _type: options.type ?? STATEMENT_TYPE,
      subject: options.subjects ?? [
        { ...(options.name === undefined ? {} : { name: options.name }), digest: { [algorithm]: hex } },
      ],
      predicateType: options.predicateType ?? SIGN_PREDICATE,
      predicate: {},
    }),
  );
}

/** A bundle with an envelope: what `cosign sign` of version 3 makes. */
export async function statementBundle(
  subject: string,
  signer: Signer,
  options: BundleOptions = {},
): Promise<SerializedBundle> {
  const payload = statement(subject, options);
  const payloadType = options.payloadType ?? IN_TOTO;
  const signature = signedBy(
    keyOf(signer),
    dsse.preAuthEncoding(payloadType, options.signed ?? payload),
    options.digest,
  );
  const bundle = toDSSEBundle({
    artifact: payload,
    artifactType: payloadType,
    signature,
    ...certificateOf(signer),
  });
  const entryOf = options.entry === 'intoto' ? intotoEntry : dsseEntry;
  const entry = entryOf({ signature, payload, signer: pemOfSigner(signer) });
  return await completed(bundleToJSON(bundle), entry, signer, options);
}

/** A bundle with a signature over bytes: what `cosign sign-blob` makes. */
export async function messageBundle(
  message: Buffer,
  signer: Signer,
  options: BundleOptions = {},
): Promise<SerializedBundle> {
  const signature = signedBy(keyOf(signer), options.signed ?? message, options.digest);
  const bundle = toMessageSignatureBundle({
    digest: createHash('sha256').update(message).digest(),
    signature,
    ...certificateOf(signer),
  });
  const entry = hashedRekord({ signature, payload: message, signer: pemOfSigner(signer) });
  return await completed(bundleToJSON(bundle), entry, signer, options);
}

export interface BundleReferrerOptions {
  /** Of the manifest; `null` leaves it out. Default: the bundle's. */
  readonly artifactType?: string | null;
  readonly layerType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The manifest by which bundles refer to what they sign. */
export function bundleReferrer(
  subject: Descriptor,
  bundles: readonly (object | Buffer)[],
  options: BundleReferrerOptions = {},
): SignatureArtifact {
  const { artifactType = BUNDLE_TYPE, layerType = BUNDLE_TYPE, annotations } = options;
  const blobs = new Map<Digest, Buffer>();
  const config = addBlob(blobs, MEDIA_TYPES.ociEmpty, Buffer.from('{}'));
  const layers = bundles.map((bundle) =>
    addBlob(blobs, layerType, Buffer.isBuffer(bundle) ? bundle : Buffer.from(JSON.stringify(bundle))),
  );
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    ...(artifactType === null ? {} : { artifactType }),
    config,
    layers,
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    ...(annotations === undefined ? {} : { annotations }),
  };
  const manifest = addBlob(blobs, MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(document)));
  return {
    manifest: {
      ...manifest,
      ...(artifactType === null ? {} : { artifactType }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    blobs,
  };
}

/** `{ sha256: '…' }`, as a statement's subject has it. */
export function digestSet(digest: Digest): Record<string, string> {
  return { [algorithmOf(digest)]: encodedOf(digest) };
}

async function completed(
  bundle: SerializedBundle,
  entry: object,
  signer: Signer,
  { version = VERSION, logged, chain }: BundleOptions,
): Promise<SerializedBundle> {
  const { verificationMaterial } = bundle;
  const json = {
    ...bundle,
    mediaType:
      version === '0.3' ? BUNDLE_TYPE : `application/vnd.dev.sigstore.bundle+json;version=${version}`,
    verificationMaterial: {
      ...('leaf' in signer && version !== '0.3'
        ? { x509CertificateChain: chainOf(signer.leaf, chain) }
        : 'leaf' in signer
          ? { certificate: { rawBytes: signer.leaf.certificate.raw.toString('base64') } }
          : { publicKey: { hint: 'whatever' } }),
      tlogEntries:
        logged === undefined ? [] : [transparencyEntry(entry, await logged.log.log(entry, logged.time))],
      timestampVerificationData: verificationMaterial.timestampVerificationData,
    },
  };
  return json as unknown as SerializedBundle;
}

/** A log's answer as it stands in a bundle. */
export function transparencyEntry(entry: object, logged: LoggedEntry): object {
  const { inclusionProof, signedEntryTimestamp } = logged.verification;
  const { kind, apiVersion } = entry as { kind: string; apiVersion: string };
  return {
    logIndex: String(logged.logIndex),
    logId: { keyId: Buffer.from(logged.logID, 'hex').toString('base64') },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(logged.integratedTime),
    inclusionPromise: { signedEntryTimestamp },
    inclusionProof: {
      logIndex: String(inclusionProof.logIndex),
      rootHash: Buffer.from(inclusionProof.rootHash, 'hex').toString('base64'),
      treeSize: String(inclusionProof.treeSize),
      hashes: inclusionProof.hashes.map((hash) => Buffer.from(hash, 'hex').toString('base64')),
      checkpoint: { envelope: inclusionProof.checkpoint },
    },
    canonicalizedBody: logged.body,
  };
}

function chainOf(leaf: SigningLeaf, chain: BundleOptions['chain'] = leaf.chain): object {
  return {
    certificates: [leaf.certificate, ...chain].map(({ raw }) => ({ rawBytes: raw.toString('base64') })),
  };
}

function keyOf(signer: Signer): SigningKey {
  return 'key' in signer ? signer.key : signer.leaf.key;
}

function pemOfSigner(signer: Signer): string {
  return 'key' in signer ? signer.key.pem : signer.leaf.pem;
}

function certificateOf(signer: Signer): { certificate?: Buffer; keyHint?: string } {
  return 'leaf' in signer ? { certificate: signer.leaf.certificate.raw } : { keyHint: 'whatever' };
}
