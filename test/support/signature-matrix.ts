import { EMAIL, type Signers } from './signers.js';

type Code = 'SIGNATURE_MISSING' | 'SIGNATURE_INVALID' | 'POLICY_REJECTED' | 'UNSUPPORTED';
const CODES: readonly Code[] = ['SIGNATURE_MISSING', 'SIGNATURE_INVALID', 'POLICY_REJECTED', 'UNSUPPORTED'];

/** What a policy makes of images, which are called as in `signed-images.ts`. */
export interface ExpectedVerdicts {
  readonly accepts?: readonly string[];
  /** By the code of the error. */
  readonly refuses?: Readonly<Partial<Record<Code, readonly string[]>>>;
  /** Where skopeo says the opposite, and why. */
  readonly skopeo?: Readonly<Partial<Record<string, string>>>;
  /** How cosign is asked, which has to accept what is accepted here. */
  readonly cosign?: (signers: Signers) => readonly string[];
  /** What refusals name as the scope; default: the registry's. */
  readonly scope?: (address: string) => string;
  /** Where the policy cannot be understood. */
  readonly line?: number;
}

const BY_INDEX =
  'skopeo copies one platform and asks for a signature of its manifest; here the one of the index that leads to it counts too';
const OWN_TYPE = "matchDigest is landfall's own: skopeo refuses every image under a policy that has it";

const byAuthority = ({ trust }: Signers): readonly string[] => [
  '--ca-roots',
  trust.roots,
  '--insecure-ignore-sct',
  '--certificate-identity',
  EMAIL,
  '--certificate-oidc-issuer-regexp',
  '.*',
];

/** A policy that cannot be understood refuses all, and names the line. */
function broken(line: number): ExpectedVerdicts {
  return { refuses: { POLICY_REJECTED: ['ours'] }, line };
}

/** By the names of `signature-policies.ts`: what landfall makes of each pair, and skopeo where it differs. */
export const MATRIX: Readonly<Record<string, ExpectedVerdicts>> = {
  'no signatures': { accepts: ['unsigned', 'ours', 'an edited signature', 'the index'] },
  'no signatures here': { accepts: ['unsigned', 'theirs'] },
  nothing: {
    refuses: { POLICY_REJECTED: ['unsigned', 'ours'] },
    scope: () => 'default',
  },
  'nothing here': { refuses: { POLICY_REJECTED: ['unsigned', 'ours', 'the index'] } },
  'our key': {
    accepts: [
      'ours',
      'ours as its tag',
      'ours as another tag',
      'both',
      'the index',
      'the manifest of this machine',
      'index and manifests',
    ],
    refuses: {
      SIGNATURE_MISSING: ['unsigned', 'the manifest of another machine'],
      SIGNATURE_INVALID: [
        'theirs',
        'ours as quay.io/team/app:1',
        'ours, from another repository',
        'the signature of another image',
        'an edited payload',
        'an edited signature',
        'an Ed25519 key',
        'an RSA key',
        'a certificate',
        'keyless',
        'a logged key',
      ],
    },
    skopeo: { 'the index': BY_INDEX },
    cosign: ({ ours }) => ['--key', ours.public],
  },
  'our key, in the policy': {
    accepts: ['ours', 'both'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['theirs', 'an edited payload'] },
  },
  'either key': {
    accepts: ['ours', 'theirs', 'both'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['an Ed25519 key'] },
  },
  'either key, in the policy': {
    accepts: ['ours', 'theirs', 'both'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['an edited signature'] },
  },
  'both keys': {
    accepts: ['both'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['ours', 'theirs'] },
  },
  'our key, and whatever': {
    accepts: ['ours', 'both'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['theirs'] },
  },
  'our key, and nothing': { refuses: { POLICY_REJECTED: ['unsigned', 'ours', 'both'] } },
  'the Ed25519 key': {
    accepts: ['an Ed25519 key'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['ours', 'an RSA key'] },
    cosign: ({ ed25519 }) => ['--key', ed25519.public],
  },
  'the RSA key': {
    accepts: ['an RSA key'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['ours', 'an Ed25519 key'] },
    cosign: ({ rsa }) => ['--key', rsa.public],
  },
  'our authority': {
    accepts: ['a certificate'],
    refuses: {
      SIGNATURE_MISSING: ['unsigned'],
      SIGNATURE_INVALID: [
        'ours',
        'an expired certificate',
        'a certificate of another address',
        'a certificate of another authority',
        "a host's certificate",
        'keyless',
      ],
    },
    cosign: byAuthority,
  },
  'our authority and its intermediates': {
    accepts: ['a certificate'],
    refuses: { SIGNATURE_INVALID: ['an expired certificate', 'a certificate of another authority'] },
  },
  'our authority, in the policy': {
    accepts: ['a certificate'],
    refuses: { SIGNATURE_INVALID: ['a certificate of another address'] },
  },
  'our authority, for a host': {
    accepts: ["a host's certificate"],
    refuses: { SIGNATURE_INVALID: ['a certificate', 'a certificate of another authority'] },
  },
  'our authority, for both': {
    refuses: { SIGNATURE_INVALID: ['a certificate', "a host's certificate"] },
  },
  Fulcio: {
    accepts: ['keyless'],
    refuses: {
      SIGNATURE_MISSING: ['unsigned'],
      SIGNATURE_INVALID: [
        'ours',
        'a certificate',
        'a logged key',
        'keyless, of another issuer',
        'keyless, logged after its time',
        'keyless, in another log',
        'keyless, in no log',
      ],
    },
  },
  'Fulcio, in the policy': {
    accepts: ['keyless'],
    refuses: { SIGNATURE_INVALID: ['keyless, in another log'] },
  },
  'Fulcio, and either log': {
    accepts: ['keyless', 'keyless, in another log'],
    refuses: { SIGNATURE_INVALID: ['keyless, in no log'] },
  },
  'a logged key': {
    accepts: ['a logged key'],
    refuses: { SIGNATURE_INVALID: ['a logged key, in no log', 'ours', 'keyless'] },
  },
  'a key in another log': { refuses: { SIGNATURE_INVALID: ['a logged key', 'a logged key, in no log'] } },
  'no identity named': {
    accepts: ['ours as its tag'],
    refuses: { SIGNATURE_INVALID: ['ours', 'ours as another tag'] },
  },
  matchExact: {
    accepts: ['ours as its tag'],
    refuses: { SIGNATURE_INVALID: ['ours', 'ours as another tag', 'ours as quay.io/team/app:1'] },
  },
  matchRepoDigestOrExact: {
    accepts: ['ours as its tag'],
    refuses: { SIGNATURE_INVALID: ['ours', 'ours as another tag'] },
  },
  matchDigest: {
    accepts: ['ours', 'ours as its tag', 'ours as another tag'],
    refuses: {
      SIGNATURE_MISSING: ['unsigned'],
      SIGNATURE_INVALID: ['theirs', 'ours as quay.io/team/app:1', 'ours, from another repository'],
    },
    skopeo: { ours: OWN_TYPE, 'ours as its tag': OWN_TYPE, 'ours as another tag': OWN_TYPE },
  },
  exactReference: {
    accepts: ['ours as quay.io/team/app:1'],
    refuses: { SIGNATURE_INVALID: ['ours', 'ours as its tag'] },
  },
  exactRepository: {
    accepts: ['ours as quay.io/team/app:1'],
    refuses: { SIGNATURE_INVALID: ['ours', 'ours as its tag'] },
  },
  'exactRepository of another': { refuses: { SIGNATURE_INVALID: ['ours as quay.io/team/app:1', 'ours'] } },
  remapIdentity: {
    accepts: ['ours as quay.io/team/app:1', 'ours as its tag'],
    refuses: { SIGNATURE_INVALID: ['ours', 'ours as another tag'] },
  },
  'remapIdentity of another': {
    accepts: ['ours as its tag'],
    refuses: { SIGNATURE_INVALID: ['ours as quay.io/team/app:1'] },
  },
  "the transport's default": {
    accepts: ['ours'],
    refuses: { SIGNATURE_MISSING: ['unsigned'] },
    scope: () => 'docker:',
  },
  'a namespace': {
    accepts: ['ours'],
    refuses: { SIGNATURE_MISSING: ['unsigned'] },
    scope: (address) => `docker:${address}/team`,
  },
  'a part of a namespace': { refuses: { POLICY_REJECTED: ['unsigned', 'ours'] }, scope: () => 'default' },
  'a repository': {
    accepts: ['ours'],
    refuses: { POLICY_REJECTED: ['unsigned', 'both'] },
    scope: () => 'default',
  },
  'a tag': { accepts: ['ours'], refuses: { POLICY_REJECTED: ['unsigned', 'both'] }, scope: () => 'default' },
  'another tag': { refuses: { POLICY_REJECTED: ['ours'] }, scope: () => 'default' },
  'a wildcard': {
    accepts: ['ours'],
    refuses: { SIGNATURE_MISSING: ['unsigned'], SIGNATURE_INVALID: ['theirs'] },
    scope: () => 'docker:*.0.0.1',
  },
  'a wildcard of others': { refuses: { POLICY_REJECTED: ['ours'] }, scope: () => 'default' },
  'a namespace without signatures': {
    accepts: ['unsigned', 'theirs'],
    refuses: { SIGNATURE_INVALID: ['ours as quay.io/team/app:1', 'ours, from another repository'] },
  },
  'signed by GPG': { refuses: { UNSUPPORTED: ['unsigned', 'ours'] } },
  'a syntax error': broken(3),
  'an unknown type': broken(4),
  'an unknown type elsewhere': broken(11),
  'an unknown field': broken(16),
  'a field twice': broken(1),
  'a scope twice': broken(1),
  'no default': broken(1),
  'no requirement': broken(9),
  'two kinds of keys': broken(16),
  'Fulcio without a log': broken(10),
  'an unknown identity': broken(13),
  'a key that is not there': broken(15),
  'a key that is none': broken(15),
  'two keys in one file': {
    ...broken(15),
    skopeo: { ours: 'skopeo takes the first key of a file and says nothing of the others' },
  },
  'a relative path': {
    ...broken(15),
    skopeo: {
      ours: 'skopeo looks from the directory where it was started, which whoever chooses that could use',
    },
  },
};

/** A pair. */
export interface MatrixRow {
  readonly policy: string;
  readonly image: string;
  /** Undefined where the image is accepted. */
  readonly code: Code | undefined;
  /** Whether it is copied too, as the first of those that are answered alike. */
  readonly copied: boolean;
}

export const ROWS: readonly MatrixRow[] = Object.entries(MATRIX).flatMap(
  ([policy, { accepts = [], refuses = {} }]) => [
    ...rowsOf(policy, undefined, accepts),
    ...CODES.flatMap((code) => rowsOf(policy, code, refuses[code] ?? [])),
  ],
);

function rowsOf(policy: string, code: Code | undefined, images: readonly string[]): readonly MatrixRow[] {
  return images.map((image, at) => ({ policy, image, code, copied: at === 0 }));
}
