import { type Digest, isDigest } from '../../spec/index.js';

/** What something that refers to an image is for. */
export type ReferrerKind = 'signature' | 'SBOM' | 'attestation' | 'other';

/** By words that the artifact types of the tools at hand hold. */
const WORDS: readonly (readonly [words: RegExp, kind: ReferrerKind])[] = [
  [/spdx|cyclonedx|sbom|syft/i, 'SBOM'],
  [/in-toto|attestation|dsse|provenance|slsa/i, 'attestation'],
  [/sign|sigstore|notary|cosign/i, 'signature'],
];

/** @param artifactType as its publisher wrote it */
export function referrerKind(artifactType: string): ReferrerKind {
  return WORDS.find(([words]) => words.test(artifactType))?.[1] ?? 'other';
}

const TAG_KINDS: Readonly<Record<string, ReferrerKind>> = {
  sig: 'signature',
  att: 'attestation',
  sbom: 'SBOM',
};

/** What a tag says that cosign keeps something under: `sha256-HEX.sig`; undefined for any other. */
export function referrerTagOf(tag: string): { subject: Digest; kind: ReferrerKind } | undefined {
  const [, algorithm = '', encoded = '', suffix = ''] =
    /^(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})\.(sig|att|sbom)$/.exec(tag) ?? [];
  const subject = `${algorithm}:${encoded}`;
  const kind = TAG_KINDS[suffix];
  return kind === undefined || !isDigest(subject) ? undefined : { subject, kind };
}
