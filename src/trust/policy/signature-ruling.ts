import type { KeyObject, X509Certificate } from 'node:crypto';

import type { SigstoreSigned } from './requirement.js';

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
   * `sha256:…` of all that it asks for, the bytes of keys and certificates included: equal for requirements that are met by the same
   * signatures, whatever files they are written in.
   */
  readonly fingerprint: string;
  /** For people: `a signature by the key sha256:3f2a…`, `a signature by ci@example.com (https://issuer.example)`. */
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
