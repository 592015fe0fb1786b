import type { Descriptor, Digest } from '../../spec/index.js';

/** The manifest that a signature lies in: of a tag by cosign's scheme, or a referrer. */
export interface SignatureManifest {
  /** Of the manifest or index that it is for. */
  readonly subject: Digest;
  readonly descriptor: Descriptor;
  /** `sha256-….sig`; undefined for a referrer. */
  readonly tag: string | undefined;
  /** What of it was read: itself, and the signatures in it. */
  readonly blobs: ReadonlyMap<Digest, Buffer>;
}

/** A signature as it was found: its bytes are those that their digests name, and nothing else about it is known to be true. */
export interface FoundSignature {
  readonly manifest: SignatureManifest;
  readonly format: 'simple-signing' | 'bundle';
  /** The layer that has it. */
  readonly layer: Descriptor;
  /** cosign's payload, or the bundle's JSON. */
  readonly bytes: Buffer;
}

/** All signatures that were found for one digest in one place. */
export interface SignatureSet {
  readonly subject: Digest;
  readonly location: string;
  readonly manifests: readonly SignatureManifest[];
  readonly signatures: readonly FoundSignature[];
  /** For people: where it was looked: `docker://quay.io/team/app:sha256-….sig`. */
  readonly tried: readonly string[];
  /** Why the set may lack something: what could not be asked, or could not be read. */
  readonly problems: readonly Error[];
}
