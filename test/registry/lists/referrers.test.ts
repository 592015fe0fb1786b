import { describe, expect, test } from 'vitest';

import { listReferrers, referrersTag } from '../../../src/registry/lists/referrers.js';
import { type Descriptor, type Digest, digestOf, LIMITS, MEDIA_TYPES } from '../../../src/spec/index.js';
import { failure } from '../../support/registry-fixture.js';
import { errorReply, type Reply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { collect, listedMirrors } from './list-mirrors.js';

const SUBJECT = digestOf(Buffer.from('the image'));
const SBOM = 'application/vnd.example.sbom';
const SIGNATURE = 'application/vnd.example.signature';

const LIST = `GET /v2/team/app/referrers/${SUBJECT}`;
const FILTERED = `${LIST}?artifactType=${encodeURIComponent(SBOM)}`;
const TAG = `GET /v2/team/app/manifests/${SUBJECT.replace(':', '-')}`;

function referrer(name: string, artifactType?: string): Descriptor {
  const bytes = Buffer.from(name);
  return {
    mediaType: MEDIA_TYPES.ociManifest,
    digest: digestOf(bytes),
    size: bytes.length,
    ...(artifactType === undefined ? {} : { artifactType }),
    annotations: { name },
  };
}

const sbom = referrer('sbom', SBOM);
const signature = referrer('signature', SIGNATURE);
const untyped = referrer('untyped');

function index(manifests: readonly unknown[], headers: Record<string, string> = {}): Reply {
  return {
    headers: { 'content-type': MEDIA_TYPES.ociIndex, ...headers },
    body: JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }),
  };
}

const absent = (on: string): Step => ({ on, status: 404, body: '404 page not found\n' });

async function referrersBy(
  steps: readonly Step[],
  artifactType?: string,
  subject: Digest = SUBJECT,
): Promise<Descriptor[]> {
  await using registry = await ScriptedRegistry.start(steps);
  await using target = listedMirrors(registry.address);
  return await collect(listReferrers(target, subject, artifactType === undefined ? {} : { artifactType }));
}

describe('referrers', () => {
  const rows: [name: string, steps: Step[], found: Descriptor[]][] = [
    ['that the registry lists', [{ on: LIST, ...index([sbom, untyped]) }], [sbom, untyped]],
    ['of which there are none', [{ on: LIST, ...index([]) }], []],
    ['that are listed twice', [{ on: LIST, ...index([sbom, signature, sbom]) }], [sbom, signature]],
    [
      'in pages',
      [
        { on: LIST, ...index([sbom], { link: `</v2/team/app/referrers/${SUBJECT}?p=2>; rel="next"` }) },
        { on: `${LIST}?p=2`, ...index([sbom, signature]) },
      ],
      [sbom, signature],
    ],
    [
      'that come with parameters of their type',
      [{ on: LIST, ...index([sbom], { 'content-type': `${MEDIA_TYPES.ociIndex}; charset=utf-8` }) }],
      [sbom],
    ],
    ['that clients keep under a tag', [absent(LIST), { on: TAG, ...index([sbom]) }], [sbom]],
    ['that nobody keeps', [absent(LIST), { on: TAG, ...errorReply(404, 'MANIFEST_UNKNOWN') }], []],
    [
      'where the tag is an image',
      [
        absent(LIST),
        { on: TAG, headers: { 'content-type': MEDIA_TYPES.ociManifest }, body: '{"schemaVersion":2}' },
      ],
      [],
    ],
  ];
  test.each(rows)('%s', async (_name, steps, found) => {
    expect(await referrersBy(steps)).toEqual(found);
  });

  const without: [name: string, reply: Reply][] = [
    ['not found', errorReply(404, 'NAME_UNKNOWN')],
    ['a bad request', errorReply(400, 'NAME_INVALID')],
    ['a method that it lacks', { status: 405 }],
    ['a type that it lacks', { status: 406 }],
    ['what it has not implemented', { status: 501 }],
    ['a page for people', { headers: { 'content-type': 'text/html' }, body: '<html>welcome</html>' }],
    ['something else', { headers: { 'content-type': 'application/json' }, body: '{"ok":true}' }],
  ];
  test.each(without)('a registry that answers with %s has no list', async (_name, reply) => {
    expect(
      await referrersBy([
        { on: LIST, ...reply },
        { on: TAG, ...index([sbom]) },
      ]),
    ).toEqual([sbom]);
  });

  const faults: [name: string, steps: Step[], code: string][] = [
    ['that are denied', [{ on: LIST, ...errorReply(403, 'DENIED') }], 'DENIED'],
    ['whose registry is away', [{ on: LIST, times: 3, ...errorReply(503, 'UNAVAILABLE') }], 'UNAVAILABLE'],
    ['of no repository', [absent(LIST), { on: TAG, ...errorReply(404, 'NAME_UNKNOWN') }], 'NOT_FOUND'],
    ['that are not JSON', [{ on: LIST, ...index([]), body: '{' }], 'INVALID_MANIFEST'],
    [
      'that are an image',
      [{ on: LIST, ...index([]), body: JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }) }],
      'INVALID_MANIFEST',
    ],
    [
      'one of which has no size',
      [{ on: LIST, ...index([{ ...sbom, size: undefined }]) }],
      'INVALID_MANIFEST',
    ],
    ['one of which has no digest', [{ on: LIST, ...index([{ ...sbom, digest: 'x' }]) }], 'INVALID_DIGEST'],
    [
      'that are too long',
      [{ on: LIST, ...index([]), body: Buffer.alloc(LIMITS.manifestBytes + 1, ' ') }],
      'PROTOCOL',
    ],
    [
      'that clients keep wrongly',
      [absent(LIST), { on: TAG, ...index([{ ...sbom, size: -1 }]) }],
      'INVALID_MANIFEST',
    ],
    [
      'whose list is gone on the second page',
      [{ on: LIST, ...index([sbom], { link: '<?p=2>; rel="next"' }) }, absent(`${LIST}?p=2`)],
      'PROTOCOL',
    ],
    [
      'that go round',
      [
        { on: LIST, ...index([sbom], { link: '<?p=2>; rel="next"' }) },
        {
          on: `${LIST}?p=2`,
          ...index([signature], { link: '<?p=2>; rel="next"' }),
        },
      ],
      'PROTOCOL',
    ],
  ];
  test.each(faults)('%s', async (_name, steps, code) => {
    expect(await failure(referrersBy(steps))).toMatchObject({ code });
  });
});

describe('referrers of one type', () => {
  test.each(['artifactType', 'other, artifactType', 'ArtifactType'])(
    'are those that the registry gives where it says %j',
    async (applied) => {
      // What it takes for that type is its affair.
      const reply = index([sbom, untyped], { 'oci-filters-applied': applied });
      expect(await referrersBy([{ on: FILTERED, ...reply }], SBOM)).toEqual([sbom, untyped]);
    },
  );

  const unfiltered: [name: string, steps: Step[]][] = [
    ['says nothing', [{ on: FILTERED, ...index([sbom, signature, untyped]) }]],
    [
      'filtered by something else',
      [{ on: FILTERED, ...index([signature, sbom], { 'oci-filters-applied': 'x' }) }],
    ],
    ['has no list', [absent(FILTERED), { on: TAG, ...index([signature, sbom]) }]],
  ];
  test.each(unfiltered)('are picked where the registry %s', async (_name, steps) => {
    expect(await referrersBy(steps, SBOM)).toEqual([sbom]);
  });

  test('are picked on every page by what it says', async () => {
    const filtered = { 'oci-filters-applied': 'artifactType' };
    const steps = [
      { on: FILTERED, ...index([untyped], { ...filtered, link: '<?p=2>; rel="next"' }) },
      { on: `${LIST}?p=2`, ...index([signature, sbom]) },
    ];
    expect(await referrersBy(steps, SBOM)).toEqual([untyped, sbom]);
  });
});

describe('the tag for the referrers of', () => {
  const rows: [digest: string, tag: string][] = [
    [`sha256:${'a'.repeat(64)}`, `sha256-${'a'.repeat(64)}`],
    [`sha512:${'a'.repeat(128)}`, `sha512-${'a'.repeat(64)}`],
    [
      'test+algorithm+using+algorithm+separators+and+lots+of+characters:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharacters',
      'test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot',
    ],
  ];
  test.each(rows)('%s', (digest, tag) => {
    expect(referrersTag(digest as Digest)).toBe(tag);
  });
});

test('the mirror is asked for both lists where the registry cannot be reached', async () => {
  await using mirror = await ScriptedRegistry.start([
    { on: `${LIST}?ns=registry.example`, status: 404 },
    { on: `${TAG}?ns=registry.example`, ...index([sbom]) },
  ]);
  await using registry = await ScriptedRegistry.start([{ on: LIST, dropAfter: -1 }]);
  await using target = listedMirrors(mirror.address, registry.address);
  expect(await collect(listReferrers(target, SUBJECT))).toEqual([sbom]);
});
