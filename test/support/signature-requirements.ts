import { createHash, type KeyObject, type X509Certificate } from 'node:crypto';

import { parseReference } from '../../src/spec/index.js';
import type { PolicyImage, SignatureRequirement } from '../../src/trust/index.js';

export type SignedIdentity = SignatureRequirement['requirement']['signedIdentity'];

export interface RequirementOptions {
  /** Default `matchRepository`. */
  readonly identity?: SignedIdentity;
  /** Logs that it asks for. */
  readonly rekor?: readonly { readonly key: { readonly publicKey: KeyObject } }[];
}

/** A signature by one of these keys. */
export function byKeys(
  keys: readonly { readonly publicKey: KeyObject }[],
  options: RequirementOptions = {},
): SignatureRequirement {
  return requirement({ kind: 'keys', keys: keys.map(({ publicKey }) => publicKey) }, options);
}

export interface CertificateHolder {
  readonly certificate: X509Certificate;
}

/** A signature by somebody whom Fulcio knows. */
export function byFulcio(
  ca: readonly CertificateHolder[],
  options: RequirementOptions & { readonly email?: string; readonly issuer?: string } = {},
): SignatureRequirement {
  const { email = 'ci@example.com', issuer = 'https://issuer.example' } = options;
  return requirement(
    {
      kind: 'fulcio',
      ca: ca.map(({ certificate }) => certificate),
      oidcIssuer: issuer,
      subjectEmail: email,
    },
    options,
  );
}

/** A signature by somebody whom another authority knows. */
export function byPki(
  roots: readonly CertificateHolder[],
  options: RequirementOptions & {
    readonly email?: string;
    readonly hostname?: string;
    readonly intermediates?: readonly CertificateHolder[];
  } = {},
): SignatureRequirement {
  return requirement(
    {
      kind: 'pki',
      roots: roots.map(({ certificate }) => certificate),
      intermediates: (options.intermediates ?? []).map(({ certificate }) => certificate),
      subjectEmail: options.email,
      subjectHostname: options.hostname,
    },
    options,
  );
}

function requirement(
  roots: SignatureRequirement['roots'],
  options: RequirementOptions,
): SignatureRequirement {
  const { identity = { type: 'matchRepository' }, rekor = [] } = options;
  const fingerprint = createHash('sha256').update(String(made++)).digest('hex');
  return {
    requirement: {
      type: 'sigstoreSigned',
      // What it was read from; what it means stands in the roots.
      signers: { kind: 'keys', keys: [] },
      rekorKeys: [],
      signedIdentity: identity,
    },
    roots,
    rekorKeys: rekor.map(({ key }) => key.publicKey),
    fingerprint: `sha256:${fingerprint}`,
    description: `a signature by ${roots.kind}`,
  };
}
let made = 0;

/** An image at a registry, as a policy sees it. */
export function imageAt(name = 'quay.io/team/app:1'): PolicyImage {
  return { transport: 'docker', scopes: [name], reference: parseReference(name), name };
}
