import { describe, expect, it, test } from 'vitest';

import { parseReference } from '../../../src/spec/index.js';
import {
  matchesIdentity,
  type PolicyImage,
  type SignedIdentity,
} from '../../../src/trust/policy/policy-image.js';

/*
 * The rows are those of containers/image (signature/policy_reference_match_test.go), and a few of our own.
 */

const RHEL = 'registry.access.redhat.com/rhel7/rhel:7.2.3';
const RHEL_UNTAGGED = 'registry.access.redhat.com/rhel7/rhel';
const DIGEST = `@sha256:${'0123456789abcdef'.repeat(4)}`;
const OTHER = `@sha256:${'a'.repeat(64)}`;

const image = (reference: string | undefined): PolicyImage => ({
  transport: 'docker',
  scopes: [],
  reference: reference === undefined ? undefined : parseReference(reference),
  name: reference ?? 'oci:/srv/layout',
});
const matches = (
  identity: SignedIdentity,
  reference: string | undefined,
  claimed: string | undefined,
): boolean => matchesIdentity(identity, image(reference), claimed) === true;

type Row = readonly [a: string, b: string, matches: boolean];

/** The same in both directions. */
const EXACT: readonly Row[] = [
  ['busybox:latest', 'busybox:latest', true],
  [RHEL, RHEL, true],
  [`busybox${DIGEST}`, `busybox${DIGEST}`, true],
  ['library/busybox:latest', 'busybox:latest', true],
  ['docker.io/library/busybox:latest', 'busybox:latest', true],
  ['index.docker.io/library/busybox:latest', 'busybox:latest', true],
  [`library/busybox${DIGEST}`, `busybox${DIGEST}`, true],
  ['busybox:latest', 'busybox:notlatest', false],
  ['busybox:latest', 'notbusybox:latest', false],
  ['busybox:latest', 'hostname/library/busybox:notlatest', false],
  ['hostname/library/busybox:latest', 'busybox:notlatest', false],
  ['localhost/library/busybox:latest', 'busybox:latest', false],
  ['quay.io:443/a/b:1', 'quay.io/a/b:1', false],
  ['busybox:latest', RHEL, false],
  [`busybox${DIGEST}`, `notbusybox${DIGEST}`, false],
  ['busybox:latest', `busybox${DIGEST}`, false],
  [`busybox${DIGEST}`, `busybox${OTHER}`, false],
  ['busybox', 'busybox:latest', false],
  ['busybox', `busybox${DIGEST}`, false],
  ['busybox', 'busybox', false],
  [`busybox:latest${DIGEST}`, `busybox:latest${DIGEST}`, true],
  [`busybox:latest${DIGEST}`, `busybox:latest${OTHER}`, false],
  [`busybox:latest${DIGEST}`, `busybox:notlatest${DIGEST}`, false],
  [`busybox:latest${DIGEST}`, `busybox${DIGEST}`, false],
  [`busybox:latest${DIGEST}`, 'busybox:latest', false],
];

/** The same in both directions. */
const REPOSITORY: readonly Row[] = [
  ['busybox:latest', 'busybox:latest', true],
  [RHEL, RHEL, true],
  [`busybox${DIGEST}`, `busybox${DIGEST}`, true],
  ['library/busybox:latest', 'busybox:latest', true],
  ['docker.io/library/busybox:latest', 'busybox:latest', true],
  ['busybox:latest', 'busybox:notlatest', true],
  [`${RHEL}tagsuffix`, RHEL, true],
  ['docker.io/library/busybox:notlatest', 'busybox:latest', true],
  ['busybox:latest', `busybox${DIGEST}`, true],
  [`busybox${DIGEST}`, `busybox${OTHER}`, true],
  ['busybox', 'busybox:notlatest', true],
  [RHEL, RHEL_UNTAGGED, true],
  ['busybox', `busybox${DIGEST}`, true],
  ['docker.io/library/busybox', 'busybox', true],
  ['busybox:latest', 'notbusybox:latest', false],
  ['hostname/library/busybox:latest', 'busybox:notlatest', false],
  ['quay.io:443/a/b', 'quay.io/a/b', false],
  ['quay.io/a', 'quay.io/a/b', false],
  ['busybox:latest', RHEL, false],
  [`busybox${DIGEST}`, `notbusybox${DIGEST}`, false],
  [`busybox:latest${DIGEST}`, `busybox:notlatest${OTHER}`, true],
  [`busybox:latest${DIGEST}`, 'busybox:latest', true],
];

/** From the image to the signature. */
const REPO_DIGEST_OR_EXACT: readonly Row[] = [
  ...EXACT.filter(([, , same]) => same),
  ...REPOSITORY.filter(([, , same]) => !same),
  ['busybox:latest', 'busybox:notlatest', false],
  [`${RHEL}tagsuffix`, RHEL, false],
  ['library/busybox:latest', 'busybox:notlatest', false],
  ['docker.io/library/busybox:notlatest', 'busybox:latest', false],
  ['busybox', 'busybox:latest', false],
  ['busybox:latest', 'busybox', false],
  ['busybox', `busybox${DIGEST}`, false],
  [`busybox${DIGEST}`, 'busybox', false],
  [RHEL, RHEL_UNTAGGED, false],
  ['busybox', 'busybox', false],
  ['busybox:latest', `busybox${DIGEST}`, false],
  [`busybox${DIGEST}`, 'busybox:latest', true],
  [`busybox${DIGEST}`, `busybox${OTHER}`, true],
  [`busybox:latest${DIGEST}`, 'busybox:latest', false],
  [`busybox:latest${DIGEST}`, 'busybox:notlatest', false],
  ['busybox:latest', `busybox:latest${DIGEST}`, false],
  [`busybox:latest${DIGEST}`, `busybox:latest${OTHER}`, false],
];

const bothWays = (rows: readonly Row[]): Row[] =>
  rows.flatMap(([a, b, same]) => [
    [a, b, same],
    [b, a, same],
  ]);

test.each(bothWays(EXACT))('matchExact: %s and a signature for %s: %s', (reference, claimed, same) => {
  expect(matches({ type: 'matchExact' }, reference, claimed)).toBe(same);
});

test.each(bothWays(REPOSITORY))(
  'matchRepository: %s and a signature for %s: %s',
  (reference, claimed, same) => {
    expect(matches({ type: 'matchRepository' }, reference, claimed)).toBe(same);
    expect(matches({ type: 'matchDigest' }, reference, claimed)).toBe(same);
  },
);

test.each(REPO_DIGEST_OR_EXACT)(
  'matchRepoDigestOrExact: %s and a signature for %s: %s',
  (reference, claimed, same) => {
    expect(matches({ type: 'matchRepoDigestOrExact' }, reference, claimed)).toBe(same);
    const elsewhere = {
      type: 'remapIdentity',
      prefix: 'elsewhere.example',
      signedPrefix: 'else.example',
    } as const;
    expect(matches(elsewhere, reference, claimed)).toBe(same);
  },
);

test.each(bothWays(EXACT))(
  'exactReference %s and a signature for %s: %s',
  (dockerReference, claimed, same) => {
    for (const reference of ['quay.io/any/thing:1', undefined]) {
      expect(matches({ type: 'exactReference', dockerReference }, reference, claimed)).toBe(same);
    }
  },
);

test.each(bothWays(REPOSITORY))(
  'exactRepository %s and a signature for %s: %s',
  (dockerRepository, claimed, same) => {
    for (const reference of ['quay.io/any/thing:1', undefined]) {
      expect(matches({ type: 'exactRepository', dockerRepository }, reference, claimed)).toBe(same);
    }
  },
);

describe('remapIdentity', () => {
  test.each<[prefix: string, signedPrefix: string, reference: string, claimed: string, matches: boolean]>([
    ['does-not-match.com', 'does-not-match.rewritten', 'busybox:latest', 'busybox:latest', true],
    ['does-not-match.com', 'does-not-match.rewritten', 'busybox:latest', 'notbusybox:latest', false],
    ['mirror.example', 'public.com', 'mirror.example/busybox:1', 'public.com/busybox:1', true],
    ['mirror.example', 'public.com', 'mirror.example/busybox:1', 'public.com/busybox:not1', false],
    ['mirror.example', 'public.com', 'mirror.example/busybox:1', 'mirror.example/busybox:1', false],
    ['mirror.example', 'docker.io/library', 'mirror.example/busybox:latest', 'busybox:latest', true],
    ['mirror.example', 'docker.io/library', 'mirror.example/alpine:latest', 'busybox:latest', false],
    ['docker.io/library', 'original.com', 'copied:latest', 'original.com/copied:latest', true],
    ['docker.io/library', 'original.com', 'copied:latest', 'original.com/ns/copied:latest', false],
    ['docker.io', 'signed.example/ns', 'busybox:1', 'signed.example/ns/library/busybox:1', true],
    ['docker.io/library/busybox', 'signed.example/ns/other', 'busybox:1', 'signed.example/ns/other:1', true],
    ['busybox', 'example.com/busybox', 'busybox:latest', 'example.com/busybox:latest', false],
    ['docker.io/library/busybox', 'busybox', 'docker.io/library/busybox:latest', 'busybox:latest', false],
    ['mirror.example/ns', 'vendor.example', 'mirror.example/ns2/image:1', 'vendor.example2/image:1', false],
    ['mirror.example', 'vendor.example', 'mirror.example:5000/image:1', 'vendor.example:5000/image:1', false],
    ['mirror.example:5000', 'vendor.example', 'mirror.example:5000/image:1', 'vendor.example/image:1', true],
    [
      'mirror.example:5000',
      'vendor.example',
      'mirror.example:50000/image:1',
      'vendor.example/image:1',
      false,
    ],
    ['mirror.example', 'vendor.example', 'prefixmirror.example/a:1', 'prefixvendor.example/a:1', false],
    ['mirror.example', 'vendor.example', `mirror.example/a${DIGEST}`, 'vendor.example/a:1', true],
    // What comes out has no repository, and is no name: its host would be read as a name at docker.io.
    [
      'mirror.example/ns/image',
      'vendor.example:5000',
      'mirror.example/ns/image:tag',
      'vendor.example:5000:tag',
      false,
    ],
    ['mirror.example/ns/image', 'notlocalhost', 'mirror.example/ns/image:tag', 'notlocalhost:tag', false],
    [
      'mirror.example/ns/image',
      'vendor.example:5000',
      `mirror.example/ns/image${DIGEST}`,
      'vendor.example:5000/a',
      false,
    ],
  ])('%s to %s: %s and a signature for %s: %s', (prefix, signedPrefix, reference, claimed, same) => {
    expect(matches({ type: 'remapIdentity', prefix, signedPrefix }, reference, claimed)).toBe(same);
  });
});

const OF_THE_IMAGE: readonly SignedIdentity[] = [
  { type: 'matchExact' },
  { type: 'matchRepoDigestOrExact' },
  { type: 'matchRepository' },
  { type: 'matchDigest' },
  { type: 'remapIdentity', prefix: 'docker.io', signedPrefix: 'docker.io' },
];
const ALL: readonly SignedIdentity[] = [
  ...OF_THE_IMAGE,
  { type: 'exactReference', dockerReference: 'busybox:1' },
  { type: 'exactRepository', dockerRepository: 'busybox' },
];

test.each(ALL)('$type: what is no reference is for nothing', (identity) => {
  for (const claimed of [
    'UPPERCASE_IS_INVALID',
    'INVALID',
    ' busybox:1',
    'https://docker.io/library/busybox:1',
    'a'.repeat(70_000),
  ]) {
    const reason = matchesIdentity(identity, image('busybox:1'), claimed);
    expect(reason).toContain('which is no reference');
    expect(String(reason).length).toBeLessThan(200);
  }
});

test.each(OF_THE_IMAGE)('$type: nothing is for an image without a name', (identity) => {
  const reason = matchesIdentity(identity, image(undefined), 'busybox:1');
  expect(reason).toBe(
    'it is for docker.io/library/busybox:1, and oci:/srv/layout has no name to hold that against',
  );
});

test.each(ALL)('$type: a signature that names nothing', (identity) => {
  for (const claimed of ['', undefined]) {
    for (const reference of ['busybox:1', undefined]) {
      expect(matchesIdentity(identity, image(reference), claimed)).toBe(
        identity.type === 'matchDigest' ||
          'it names no repository, which only the signedIdentity "matchDigest" allows',
      );
    }
  }
});

describe('the reason', () => {
  it.each<[string, SignedIdentity, string, string, string]>([
    [
      'another tag',
      { type: 'matchExact' },
      'busybox:1',
      'busybox:2',
      'it is for docker.io/library/busybox:2, not for docker.io/library/busybox:1',
    ],
    [
      'another repository',
      { type: 'matchRepository' },
      'quay.io/team/app:1',
      'quay.io/other/app',
      'it is for quay.io/other/app, not for quay.io/team/app',
    ],
    [
      'a name alone',
      { type: 'matchRepoDigestOrExact' },
      'quay.io/a/b:1',
      'quay.io/a/b',
      'it is for quay.io/a/b without a tag, as cosign\'s are, which only "matchRepository", "exactRepository" and "matchDigest" allow',
    ],
    [
      'no mapping',
      { type: 'remapIdentity', prefix: 'a.io/b', signedPrefix: 'c' },
      'a.io/b:1',
      'c.io/x:1',
      "it is for c.io/x:1, which the policy's prefixes map to nothing",
    ],
    [
      'a mapping',
      { type: 'remapIdentity', prefix: 'a.io', signedPrefix: 'c.io' },
      'a.io/b:1',
      'a.io/b:1',
      'it is for a.io/b:1, not for c.io/b:1',
    ],
    ...(
      [
        { type: 'matchExact' },
        { type: 'exactReference', dockerReference: 'quay.io/a/b:1' },
        { type: 'remapIdentity', prefix: 'quay.io', signedPrefix: 'a.io' },
      ] satisfies SignedIdentity[]
    ).map((identity): [string, SignedIdentity, string, string, string] => [
      `a name alone under ${identity.type}`,
      identity,
      'quay.io/a/b:1',
      'quay.io/a/b',
      'it is for quay.io/a/b without a tag, as cosign\'s are, which only "matchRepository", "exactRepository" and "matchDigest" allow',
    ]),
  ])('is told for %s', (_name, identity, reference, claimed, reason) => {
    expect(matchesIdentity(identity, image(reference), claimed)).toBe(reason);
  });
});
