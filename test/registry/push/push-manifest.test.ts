import { describe, expect, it } from 'vitest';

import {
  type Descriptor,
  type Digest,
  digestOf,
  encodedOf,
  LIMITS,
  MEDIA_TYPES,
} from '../../../src/spec/index.js';
import { deferred } from '../../../src/concurrency/index.js';
import { referrersTag } from '../../../src/registry/lists/referrers.js';
import { addReferrer } from '../../../src/registry/push/referrers-index.js';
import { pushFixture, sourceOf } from '../../support/push-fixture.js';
import { failure } from '../../support/registry-fixture.js';
import { errorReply, manifestReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';

const BASE = '/v2/team/app';

function json(manifestOrIndex: object): Buffer {
  return Buffer.from(JSON.stringify(manifestOrIndex));
}

function described(bytes: Buffer, mediaType: string = MEDIA_TYPES.ociManifest): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

const config = described(json({}), MEDIA_TYPES.ociEmpty);
const manifest = json({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] });
const target = described(manifest);
const PUT: Step = {
  on: `PUT ${BASE}/manifests/v1`,
  expect: { 'content-type': MEDIA_TYPES.ociManifest, 'content-length': String(manifest.length) },
  status: 201,
  headers: { 'docker-content-digest': target.digest, location: `${BASE}/manifests/${target.digest}` },
};
const absent = (at: string): Step => ({ on: `HEAD ${BASE}/manifests/${at}`, status: 404 });

async function push(
  steps: readonly Step[],
  { bytes = manifest, descriptor = described(bytes), tag = 'v1' } = {},
): Promise<{ outcome: string; registry: ScriptedRegistry }> {
  await using registry = await ScriptedRegistry.start(steps);
  await using fixture = pushFixture(registry.address);
  const outcome = await fixture.pusher.push(descriptor, sourceOf(bytes).open, tag === '' ? {} : { tag });
  return { outcome, registry };
}

describe('a manifest', () => {
  const rows: [name: string, outcome: string, steps: Step[], options?: { tag: string }][] = [
    ['is pushed by its tag, as it is', 'pushed', [absent('v1'), PUT]],
    [
      'is pushed by its digest where it has no tag',
      'pushed',
      [absent(target.digest), { ...PUT, on: `PUT ${BASE}/manifests/${target.digest}` }],
      { tag: '' },
    ],
    [
      'is not pushed where the tag names it',
      'exists',
      [{ on: `HEAD ${BASE}/manifests/v1`, ...manifestReply(manifest) }],
    ],
    [
      'is not pushed where its digest is there',
      'exists',
      [{ on: `HEAD ${BASE}/manifests/${target.digest}`, status: 200 }],
      { tag: '' },
    ],
    [
      'is pushed where the tag names another one',
      'pushed',
      [{ on: `HEAD ${BASE}/manifests/v1`, ...manifestReply('{}') }, PUT],
    ],
    [
      'is pushed where nobody says what the tag names',
      'pushed',
      [{ on: `HEAD ${BASE}/manifests/v1`, status: 200 }, PUT],
    ],
    ['is pushed where it may not be asked for', 'pushed', [{ ...absent('v1'), status: 403 }, PUT]],
    ...(
      [
        ['is not implemented', { status: 501 }],
        ['fails', { status: 500, times: 2 }],
        ['cannot be answered', { status: 503, times: 2 }],
        ['comes too often twice', { status: 429, times: 2 }],
        ['is hung up on', { dropAfter: -1, times: 2 }],
        ['is asked for credentials without a challenge', { status: 401 }],
      ] satisfies [string, Partial<Step>][]
    ).flatMap(([name, reply]): [string, string, Step[]][] => {
      const head = { on: `HEAD ${BASE}/manifests/v1`, ...reply };
      const get = `GET ${BASE}/manifests/v1`;
      return [
        [
          `is not pushed where the tag names it by GET and HEAD ${name}`,
          'exists',
          [head, { on: get, body: manifest }],
        ],
        [
          `is pushed where GET knows no tag and HEAD ${name}`,
          'pushed',
          [head, { on: get, status: 404 }, PUT],
        ],
      ];
    }),
    ['is pushed after a 500', 'pushed', [absent('v1'), { ...PUT, status: 500, headers: {} }, PUT]],
    ['is pushed after a break', 'pushed', [absent('v1'), { ...PUT, dropAfter: -1 }, PUT]],
    ['is pushed where the answer says little', 'pushed', [absent('v1'), { ...PUT, headers: {} }]],
  ];
  it.each(rows)('%s', async (_name, outcome, steps, options) => {
    const result = await push(steps, options ?? {});
    expect(result.outcome).toBe(outcome);
    const last = result.registry.requests.at(-1);
    if (outcome === 'pushed') expect(last?.bytes.equals(manifest)).toBe(true);
  });

  it('under a sha512 digest is pushed by both digest and tag', async () => {
    const descriptor = { ...target, digest: digestOf(manifest, 'sha512') };
    const byDigest = `PUT ${BASE}/manifests/${descriptor.digest}?tag=v1`;
    await push([absent('v1'), { ...PUT, on: byDigest, headers: { 'oci-tag': 'v0, v1' } }], { descriptor });
    // One that knows nothing of tags in the query, and calls it by sha256.
    await push([absent('v1'), { ...PUT, on: byDigest }, PUT], { descriptor });
  });

  it('is put again where somebody else is just putting one of its blobs', async () => {
    const errors = ['DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN'].map((code) => ({ code, message: 'no' }));
    const busy = { ...errorReply(400, 'DIGEST_INVALID'), body: JSON.stringify({ errors }) };
    await push([absent('v1'), { ...PUT, ...busy, times: 2 }, PUT]);
  });

  const faults: [
    name: string,
    expected: object,
    steps: Step[],
    options?: { bytes?: Buffer; descriptor?: Descriptor },
  ][] = [
    [
      'whose blobs are not there',
      { code: 'PROTOCOL', hint: expect.stringContaining('push its config') as unknown },
      [absent('v1'), { ...PUT, ...errorReply(400, 'MANIFEST_BLOB_UNKNOWN') }],
    ],
    [
      'that is too large for the registry',
      { code: 'PROTOCOL', hint: expect.stringContaining('as large') as unknown },
      [absent('v1'), { ...PUT, ...errorReply(413, 'SIZE_INVALID') }],
    ],
    ['that may not be pushed', { code: 'DENIED' }, [absent('v1'), { ...PUT, ...errorReply(403, 'DENIED') }]],
    [
      'that the registry changes',
      { code: 'DIGEST_MISMATCH' },
      [absent('v1'), { ...PUT, headers: { 'docker-content-digest': config.digest } }],
    ],
    [
      'that the registry changes, by its Location',
      { code: 'DIGEST_MISMATCH' },
      [absent('v1'), { ...PUT, headers: { location: `https://r.lan/v2/x/manifests/${config.digest}?a=b` } }],
    ],
    [
      'with other bytes',
      { code: 'DIGEST_MISMATCH' },
      [],
      { descriptor: target, bytes: Buffer.alloc(target.size) },
    ],
    [
      'with too few bytes',
      { code: 'SIZE_MISMATCH' },
      [],
      { descriptor: target, bytes: manifest.subarray(1) },
    ],
    [
      'with another type than it says',
      { code: 'INVALID_MANIFEST' },
      [],
      { descriptor: { ...target, mediaType: MEDIA_TYPES.dockerManifest } },
    ],
    ['that is none', { code: 'INVALID_MANIFEST' }, [], { bytes: Buffer.from('[]') }],
    [
      'that is too large',
      { code: 'LIMIT_EXCEEDED' },
      [],
      { descriptor: { ...target, size: LIMITS.manifestBytes + 1 } },
    ],
    ['that is a blob, with a tag', { code: 'INVALID_CONFIG' }, [], { descriptor: config, bytes: json({}) }],
  ];
  it.each(faults)('%s is an error', async (_name, expected, steps, options) => {
    expect(await failure(push(steps, options))).toMatchObject(expected);
  });
});

describe('a manifest with a subject', () => {
  const subject = described(json({ a: 'base image' }));
  const annotations = { 'org.example.by': 'me' };
  const referrer = json({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: 'application/spdx+json',
    config,
    layers: [],
    subject,
    annotations,
  });
  const entry = { ...described(referrer), artifactType: 'application/spdx+json', annotations };
  const tag = `sha256-${encodedOf(subject.digest)}`;
  const other = { ...described(json({ an: 'other one' })), artifactType: 'application/x' };
  const indexOf = (...manifests: object[]): Buffer =>
    json({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests });
  const stored = (bytes: Buffer): Step => ({
    on: `GET ${BASE}/manifests/${tag}`,
    ...manifestReply(bytes, MEDIA_TYPES.ociIndex),
  });
  const none: Step = { on: `GET ${BASE}/manifests/${tag}`, ...errorReply(404, 'MANIFEST_UNKNOWN') };
  const putIndex: Step = { on: `PUT ${BASE}/manifests/${tag}`, status: 201 };
  const putReferrer: Step = { ...PUT, expect: {}, headers: {} };
  const api = `GET ${BASE}/referrers/${subject.digest}`;

  async function lists(steps: Step[], bytes = referrer): Promise<{ outcome: string; indexes: unknown[] }> {
    const { outcome, registry } = await push(steps, { bytes });
    const puts = registry.requests.filter(({ line }) => line === putIndex.on);
    return { outcome, indexes: puts.map(({ body }) => JSON.parse(body) as unknown) };
  }

  it('is left to a registry that lists it', async () => {
    const step = { ...putReferrer, headers: { 'oci-subject': subject.digest } };
    expect(await lists([absent('v1'), step])).toEqual({ outcome: 'pushed', indexes: [] });
  });

  const rows: [name: string, steps: Step[], expected: object[][]][] = [
    ['is listed in a new index', [none, putIndex, stored(indexOf(entry))], [[entry]]],
    [
      'is listed behind the others',
      [stored(indexOf(other)), putIndex, stored(indexOf(other, entry))],
      [[other, entry]],
    ],
    ['is not listed twice', [stored(indexOf(entry, other))], []],
    [
      'is listed again where others have overwritten the list',
      [none, putIndex, stored(indexOf(other)), putIndex, stored(indexOf(other, entry))],
      [[entry], [other, entry]],
    ],
  ];
  it.each(rows)('%s', async (_name, steps, expected) => {
    const { outcome, indexes } = await lists([absent('v1'), putReferrer, ...steps]);
    expect(outcome).toBe('pushed');
    expect(indexes).toEqual(
      expected.map((manifests) => ({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests })),
    );
  });

  it('is listed where the registry takes in another subject than its own', async () => {
    const step = { ...putReferrer, headers: { 'oci-subject': other.digest } };
    const steps = [absent('v1'), step, none, putIndex, stored(indexOf(entry))];
    expect((await lists(steps)).indexes).toHaveLength(1);
  });

  it('is listed by the type of its config where it has none of its own', async () => {
    const plain = json({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [], subject });
    const listed = { ...described(plain), artifactType: MEDIA_TYPES.ociEmpty };
    const steps = [absent('v1'), putReferrer, none, putIndex, stored(indexOf(listed))];
    expect((await lists(steps, plain)).indexes).toMatchObject([{ manifests: [listed] }]);
  });

  it('leaves everything else in the list as it is', async () => {
    const list = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ ...other, 'x-new': [1] }],
      'x-own': 1,
    };
    const steps = [absent('v1'), putReferrer, stored(json(list)), putIndex, stored(indexOf(entry))];
    expect((await lists(steps)).indexes).toEqual([{ ...list, manifests: [...list.manifests, entry] }]);
  });

  it('is listed although it exists, where that was not done', async () => {
    const there: Step = { on: `HEAD ${BASE}/manifests/v1`, ...manifestReply(referrer) };
    const index = { status: 200, headers: { 'content-type': MEDIA_TYPES.ociIndex } };
    expect(await lists([there, { on: api, ...index }])).toEqual({ outcome: 'exists', indexes: [] });
    for (const answer of [
      { status: 404 },
      { status: 405 },
      { status: 200, headers: { 'content-type': 'text/html' } },
    ]) {
      const steps = [there, { on: api, ...answer }, none, putIndex, stored(indexOf(entry))];
      expect(await lists(steps)).toMatchObject({ outcome: 'exists', indexes: [{ manifests: [entry] }] });
    }
  });

  const faults: [name: string, code: string, steps: Step[]][] = [
    [
      'is an error where the tag names an image',
      'INVALID_MANIFEST',
      [{ on: `GET ${BASE}/manifests/${tag}`, ...manifestReply(manifest) }],
    ],
    ['is an error where the list is none', 'INVALID_MANIFEST', [stored(Buffer.from('[]'))]],
    [
      'is an error where others always overwrite it',
      'UNAVAILABLE',
      [
        { ...none, times: 6 },
        { ...putIndex, times: 5 },
      ],
    ],
    ['is an error where the list may not be pushed', 'DENIED', [none, { ...putIndex, status: 403 }]],
  ];
  it.each(faults)('%s', async (_name, code, steps) => {
    expect(await failure(lists([absent('v1'), putReferrer, ...steps]))).toMatchObject({ code });
  });

  it('among many at once is listed, with all of the others', async () => {
    let list: Buffer | undefined;
    const steps: Step[] = [
      { on: `HEAD ${BASE}/manifests/*`, status: 404, times: 'any' },
      {
        on: `GET ${BASE}/manifests/${tag}`,
        times: 'any',
        reply: () => (list === undefined ? { status: 404 } : manifestReply(list, MEDIA_TYPES.ociIndex)),
      },
      {
        on: `PUT ${BASE}/manifests/*`,
        times: 'any',
        reply: ({ line, bytes }) => {
          if (line.endsWith(tag)) list = bytes;
          return { status: 201 };
        },
      },
    ];
    await using registry = await ScriptedRegistry.start(steps);
    await using fixture = pushFixture(registry.address);
    const many = Array.from({ length: 8 }, (_, at) =>
      json({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config,
        layers: [],
        subject,
        annotations: { at: String(at) },
      }),
    );
    await Promise.all(many.map((bytes) => fixture.pusher.push(described(bytes), sourceOf(bytes).open)));
    const { manifests } = JSON.parse(String(list)) as { manifests: { digest: string }[] };
    expect(manifests.map(({ digest }) => digest).sort()).toEqual(many.map((bytes) => digestOf(bytes)).sort());
    expect(registry.lines().filter((line) => line === putIndex.on)).toHaveLength(many.length);
  });
});

describe('a list of referrers that others are changing', () => {
  it('is not waited for after an abort, and is changed by those that still want it', async () => {
    const limiter = deferred<undefined>();
    let list: Buffer | undefined;
    await using registry = await ScriptedRegistry.start([
      {
        on: `GET ${BASE}/manifests/*`,
        times: 'any',
        reply: () => ({
          ...(list === undefined ? { status: 404 } : manifestReply(list, MEDIA_TYPES.ociIndex)),
          after: limiter.promise,
        }),
      },
      {
        on: `PUT ${BASE}/manifests/*`,
        times: 'any',
        reply: ({ bytes }) => {
          list = bytes;
          return { status: 201 };
        },
      },
    ]);
    await using fixture = pushFixture(registry.address, { attempts: 1 });
    const subject = digestOf(Buffer.from('a subject'));
    const access = { type: 'repository', name: 'team/app', actions: 'pull,push' } as const;
    const add = (text: string, signal?: AbortSignal): Promise<void> =>
      addReferrer(fixture.mirrors, 'team/app', subject, described(json({ text })), { access, signal });
    const leaving = new AbortController();
    const first = add('first');
    const second = failure(add('second', leaving.signal));
    const third = add('third');
    leaving.abort();
    expect(await second).toMatchObject({ code: 'ABORTED' });
    limiter.resolve(undefined);
    await Promise.all([first, third]);
    expect((JSON.parse(String(list)) as { manifests: unknown[] }).manifests).toHaveLength(2);
  });
});

describe('the tag of a list of referrers', () => {
  const rows: [digest: string, tag: string][] = [
    [`sha256:${'a'.repeat(64)}`, `sha256-${'a'.repeat(64)}`],
    [`sha512:${'a'.repeat(128)}`, `sha512-${'a'.repeat(64)}`],
    [
      'test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation',
      'test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot',
    ],
  ];
  it.each(rows)('%s', (digest, expected) => {
    expect(referrersTag(digest as Digest)).toBe(expected);
  });
});
