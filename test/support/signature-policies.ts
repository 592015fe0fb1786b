import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

import { EMAIL, HOSTNAME, OIDC_ISSUER, type Signers } from './signers.js';

/** Where the images are, and who signs. */
export interface PolicyPlace extends Signers {
  readonly address: string;
}

/** What a policy is, where the images are; a text is written down as it is. */
export type MakePolicy = (place: PolicyPlace) => object | string;

/** A requirement, as a policy has it. */
export type RequirementJson = Readonly<Record<string, unknown>>;

const REJECT = { type: 'reject' };
const ANYTHING = { type: 'insecureAcceptAnything' };
const identity = (type: string, more: object = {}): object => ({ signedIdentity: { type, ...more } });
const SAME_REPOSITORY = identity('matchRepository');

/** A signature; by what `by` says, and of the image's repository unless it says otherwise. */
export function signature(by: object): RequirementJson {
  return { type: 'sigstoreSigned', ...SAME_REPOSITORY, ...by };
}

/** Rejects all but what is in a scope, and asks for signatures there. */
export function policyFor(scope: string, ...requirements: readonly RequirementJson[]): object {
  return { default: [REJECT], transports: { docker: { [scope]: requirements } } };
}

const here = (make: (place: PolicyPlace) => readonly RequirementJson[]) => (place: PolicyPlace) =>
  policyFor(place.address, ...make(place));
const base64 = (path: string): string => readFileSync(path).toString('base64');
const ours = ({ ours: { public: keyPath } }: PolicyPlace): { keyPath: string } => ({ keyPath });
const oursAs =
  (type: string, more: (place: PolicyPlace) => object = () => ({})) =>
  (place: PolicyPlace): object =>
    policyFor(place.address, signature({ ...ours(place), ...identity(type, more(place)) }));
const inScope =
  (scope: (address: string) => string) =>
  (place: PolicyPlace): object =>
    policyFor(scope(place.address), signature(ours(place)));
const fulcio = ({ trust }: PolicyPlace): object => ({
  fulcio: { caPath: trust.fulcio, oidcIssuer: OIDC_ISSUER, subjectEmail: EMAIL },
});
const pki = (subject: object) =>
  here(({ trust }) => [signature({ pki: { caRootsPath: trust.roots, ...subject } })]);

/** Every policy of the matrix. */
export const POLICIES: Readonly<Record<string, MakePolicy>> = {
  'no signatures': () => ({ default: [ANYTHING] }),
  'no signatures here': here(() => [ANYTHING]),
  nothing: () => ({ default: [REJECT] }),
  'nothing here': ({ address }) => ({ default: [ANYTHING], transports: { docker: { [address]: [REJECT] } } }),
  'our key': here((place) => [signature(ours(place))]),
  'our key, in the policy': here((place) => [signature({ keyData: base64(place.ours.public) })]),
  'either key': here((place) => [signature({ keyPaths: [place.theirs.public, place.ours.public] })]),
  'either key, in the policy': here((place) => [
    signature({ keyDatas: [base64(place.theirs.public), base64(place.ours.public)] }),
  ]),
  'both keys': here((place) => [signature(ours(place)), signature({ keyPath: place.theirs.public })]),
  'our key, and whatever': here((place) => [ANYTHING, signature(ours(place))]),
  'our key, and nothing': here((place) => [signature(ours(place)), REJECT]),
  'the Ed25519 key': here((place) => [signature({ keyPath: place.ed25519.public })]),
  'the RSA key': here((place) => [signature({ keyPath: place.rsa.public })]),
  'our authority': pki({ subjectEmail: EMAIL }),
  'our authority and its intermediates': here(({ trust }) => [
    signature({
      pki: { caRootsPath: trust.roots, caIntermediatesPath: trust.intermediates, subjectEmail: EMAIL },
    }),
  ]),
  'our authority, in the policy': here(({ trust }) => [
    signature({ pki: { caRootsData: base64(trust.roots), subjectEmail: EMAIL } }),
  ]),
  'our authority, for a host': pki({ subjectHostname: HOSTNAME }),
  'our authority, for both': pki({ subjectHostname: HOSTNAME, subjectEmail: EMAIL }),
  Fulcio: here((place) => [signature({ ...fulcio(place), rekorPublicKeyPath: place.trust.rekor })]),
  'Fulcio, in the policy': here(({ trust }) => [
    signature({
      fulcio: { caData: base64(trust.fulcio), oidcIssuer: OIDC_ISSUER, subjectEmail: EMAIL },
      rekorPublicKeyData: base64(trust.rekor),
    }),
  ]),
  'Fulcio, and either log': here((place) => [
    signature({ ...fulcio(place), rekorPublicKeyPaths: [place.trust.rekor, place.trust.otherRekor] }),
  ]),
  'a logged key': here(({ logged, trust }) => [
    signature({ keyPath: logged.public, rekorPublicKeyPath: trust.rekor }),
  ]),
  'a key in another log': here(({ logged, trust }) => [
    signature({ keyPath: logged.public, rekorPublicKeyPath: trust.otherRekor }),
  ]),
  'no identity named': here((place) => [{ type: 'sigstoreSigned', ...ours(place) }]),
  matchExact: oursAs('matchExact'),
  matchRepoDigestOrExact: oursAs('matchRepoDigestOrExact'),
  matchDigest: oursAs('matchDigest'),
  exactReference: oursAs('exactReference', () => ({ dockerReference: 'quay.io/team/app:1' })),
  exactRepository: oursAs('exactRepository', () => ({ dockerRepository: 'quay.io/team/app' })),
  'exactRepository of another': oursAs('exactRepository', () => ({ dockerRepository: 'quay.io/team/other' })),
  remapIdentity: oursAs('remapIdentity', ({ address }) => ({
    prefix: `${address}/mirror`,
    signedPrefix: 'quay.io/team',
  })),
  'remapIdentity of another': oursAs('remapIdentity', ({ address }) => ({
    prefix: `${address}/elsewhere`,
    signedPrefix: 'quay.io/team',
  })),
  "the transport's default": inScope(() => ''),
  'a namespace': inScope((address) => `${address}/team`),
  'a part of a namespace': inScope((address) => `${address}/tea`),
  'a repository': inScope((address) => `${address}/team/ours`),
  'a tag': inScope((address) => `${address}/team/ours:1`),
  'another tag': inScope((address) => `${address}/team/ours:2`),
  'a wildcard': inScope(() => '*.0.0.1'),
  'a wildcard of others': inScope(() => '*.0.0.2'),
  'a namespace without signatures': (place) => ({
    default: [REJECT],
    transports: {
      docker: { [place.address]: [signature(ours(place))], [`${place.address}/team`]: [ANYTHING] },
    },
  }),
  'signed by GPG': here((place) => [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: place.ours.public }]),
  'a syntax error': () => '{\n  "default": [{"type": "insecureAcceptAnything"}],\n}\n',
  'an unknown type': () => ({ default: [{ type: 'acceptMost' }] }),
  'an unknown type elsewhere': () => ({
    default: [ANYTHING],
    transports: { docker: { 'quay.io/team': [{ type: 'acceptMost' }] } },
  }),
  'an unknown field': here((place) => [signature({ ...ours(place), keyRing: '/etc/keys' })]),
  'a field twice': () =>
    '{"default": [{"type": "insecureAcceptAnything", "type": "insecureAcceptAnything"}]}',
  'a scope twice': () =>
    '{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {"a.test": [{"type": "reject"}], "a.test": [{"type": "reject"}]}}}',
  'no default': (place) => ({ transports: { docker: { [place.address]: [ANYTHING] } } }),
  'no requirement': here(() => []),
  'two kinds of keys': here((place) => [signature({ ...ours(place), keyData: base64(place.ours.public) })]),
  'Fulcio without a log': here((place) => [signature(fulcio(place))]),
  'an unknown identity': oursAs('matchNothing'),
  'a key that is not there': here(({ dir }) => [signature({ keyPath: join(dir, 'nowhere.pub') })]),
  'a key that is none': here(({ certified }) => [signature({ keyPath: certified.certificate?.leaf ?? '' })]),
  'two keys in one file': here(({ trust }) => [signature({ keyPath: trust.twoKeys })]),
  'a relative path': here((place) => [signature({ keyPath: relative(place.dir, place.ours.public) })]),
};
