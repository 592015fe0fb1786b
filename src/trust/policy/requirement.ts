import type { KeyObject, X509Certificate } from 'node:crypto';
import type { SignedIdentity } from './policy-image.js';

/*
 * What a policy asks for, parsed: containers-policy.json(5), Policy Requirements.
 */

/** What stands in a file that the policy names, or in the policy itself. */
export type PolicyBytes = (
  | { /** Absolute. */ readonly path: string }
  /** Decoded. */
  | { readonly data: Buffer }
) & {
  /** Where the policy has it, from 1; undefined where it is of no file. */
  readonly line?: number;
};

/** Whose signatures count: exactly one of these stands in a requirement. */
export type PolicySigners =
  /** PEM public keys, any of which will do. */
  | { readonly kind: 'keys'; readonly keys: readonly PolicyBytes[] }
  /** A certificate that Fulcio has given to somebody, at the time that a transparency log vouches for. */
  | {
      readonly kind: 'fulcio';
      /** PEM, one or more certificates. */
      readonly ca: PolicyBytes;
      readonly oidcIssuer: string;
      readonly subjectEmail: string;
    }
  /** A certificate of any other authority, which is to be valid now. */
  | {
      readonly kind: 'pki';
      readonly roots: PolicyBytes;
      readonly intermediates?: PolicyBytes | undefined;
      readonly subjectEmail?: string | undefined;
      readonly subjectHostname?: string | undefined;
    };

export interface SigstoreSigned {
  readonly type: 'sigstoreSigned';
  readonly signers: PolicySigners;
  /**
   * PEM public keys of transparency logs, one of which is to have promised to log the signature; empty: that
   * is not asked for.
   */
  readonly rekorKeys: readonly PolicyBytes[];
  readonly signedIdentity: SignedIdentity;
}

export type PolicyRequirement =
  | { readonly type: 'insecureAcceptAnything' }
  | { readonly type: 'reject' }
  /** Signatures by GPG, and what peers know by name only: neither is verified here. */
  | { readonly type: 'signedBy' | 'signedBaseLayer' }
  | SigstoreSigned;

/** The requirements of one scope, all of which are to be met. */
export interface PolicyRule {
  readonly requirements: readonly PolicyRequirement[];
  /** Where it stands in the file, from 1. */
  readonly line: number;
}

/** A policy in its file, in bytes. One that lists a thousand repositories on their own has some 300 KiB. */
export const MAX_POLICY_BYTES: number = 1024 * 1024;

/** A policy, understood as a whole. Made by `parsePolicy`. */
export interface Policy {
  /** What holds where nothing else does. */
  readonly default: PolicyRule;
  /** By transport, then by scope; `''` is the transport's own default. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, PolicyRule>>;
}

/** What a requirement trusts, read from where the policy says. */
export type TrustRoots =
  | { readonly kind: 'keys'; readonly keys: readonly KeyObject[] }
  | {
      readonly kind: 'fulcio';
      readonly ca: readonly X509Certificate[];
      readonly oidcIssuer: string;
      readonly subjectEmail: string;
    }
  | {
      readonly kind: 'pki';
      readonly roots: readonly X509Certificate[];
      readonly intermediates: readonly X509Certificate[];
      readonly subjectEmail: string | undefined;
      readonly subjectHostname: string | undefined;
    };

/** A requirement that a signature can meet, with all that it takes to say whether it does. */
export interface SignatureRequirement {
  readonly requirement: SigstoreSigned;
  readonly roots: TrustRoots;
  readonly rekorKeys: readonly KeyObject[];
  /**
   * `sha256:…` of all that it asks for, the bytes of keys and certificates included: equal for requirements
   * that are met by the same signatures, whatever files they are written in.
   */
  readonly fingerprint: string;
  /**
   * For people: `a signature by the key sha256:3f2a…`, `a signature by ci@example.com
   * (https://issuer.example)`.
   */
  readonly description: string;
}

/** What a policy says of one image, where it asks for signatures. */
export interface SignatureRuling {
  /** Path of the policy's file. */
  readonly policy: string;
  /** `docker:quay.io/team`, `docker:` for a transport's own default, `default`. */
  readonly scope: string;
  /** From 1. */
  readonly line: number;
  /** All of them are to be met; at least one. */
  readonly requirements: readonly SignatureRequirement[];
}
