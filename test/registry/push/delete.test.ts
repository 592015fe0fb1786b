import { describe, expect, it } from 'vitest';

import type { MirrorList } from '../../../src/registry/hosts/mirror-list.js';
import { deleteBlob, deleteManifest, deleteTag } from '../../../src/registry/push/delete.js';
import { type Descriptor, digestOf, encodedOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { pushFixture } from '../../support/push-fixture.js';
import { secret } from '../../support/secrets.js';
import { failure } from '../../support/registry-fixture.js';
import { errorReply, manifestReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';

const BASE = '/v2/team/app';

function json(manifestOrIndex: object): Buffer {
  return Buffer.from(JSON.stringify(manifestOrIndex));
}

function described(bytes: Buffer): Descriptor {
  return { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length };
}

const config = described(json({}));
const manifest = json({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] });
const { digest } = described(manifest);
const GET: Step = { on: `GET ${BASE}/manifests/${digest}`, ...manifestReply(manifest) };
const DELETE = `DELETE ${BASE}/manifests/${digest}`;

async function using(
  steps: readonly Step[],
  action: (mirrors: MirrorList) => Promise<void>,
): Promise<ScriptedRegistry> {
  await using registry = await ScriptedRegistry.start(steps);
  await using fixture = pushFixture(registry.address);
  await action(fixture.mirrors);
  return registry;
}

const manifestOf = (mirrors: MirrorList): Promise<void> => deleteManifest(mirrors, 'team/app', digest);
const tagOf = (mirrors: MirrorList): Promise<void> => deleteTag(mirrors, 'team/app', 'v1');
const blobOf = (mirrors: MirrorList): Promise<void> => deleteBlob(mirrors, 'team/app', digest);

describe('is deleted', () => {
  const rows: [name: string, action: (mirrors: MirrorList) => Promise<void>, steps: Step[]][] = [
    ['a manifest', manifestOf, [GET, { on: DELETE, status: 202 }]],
    ['a manifest, with 200', manifestOf, [GET, { on: DELETE, status: 200 }]],
    ['a tag', tagOf, [{ on: `DELETE ${BASE}/manifests/v1`, status: 202 }]],
    ['a blob', blobOf, [{ on: `DELETE ${BASE}/blobs/${digest}`, status: 202 }]],
    [
      'after a 503',
      tagOf,
      [
        { on: `DELETE ${BASE}/manifests/v1`, status: 503 },
        { on: `DELETE ${BASE}/manifests/v1`, status: 202 },
      ],
    ],
    [
      'what was deleted by a try that got no answer',
      tagOf,
      [
        { on: `DELETE ${BASE}/manifests/v1`, dropAfter: -1 },
        { on: `DELETE ${BASE}/manifests/v1`, status: 404 },
      ],
    ],
    [
      'a manifest that is of no type known here',
      manifestOf,
      [
        { ...GET, headers: { 'content-type': 'application/vnd.oci.artifact.manifest.v1+json' } },
        { on: DELETE, status: 202 },
      ],
    ],
  ];
  it.each(rows)('%s', async (_name, action, steps) => {
    await using(steps, action);
  });
});

describe('is not deleted', () => {
  const byTag = `DELETE ${BASE}/manifests/v1`;
  const byBlob = `DELETE ${BASE}/blobs/${digest}`;
  const rows: [
    name: string,
    expected: object,
    action: (mirrors: MirrorList) => Promise<void>,
    steps: Step[],
  ][] = [
    [
      'a manifest that is not there',
      { code: 'NOT_FOUND' },
      manifestOf,
      [{ ...GET, ...errorReply(404, 'MANIFEST_UNKNOWN') }],
    ],
    [
      'a manifest where deletion is disabled',
      {
        code: 'UNSUPPORTED',
        hint: expect.stringContaining('disabled') as unknown,
        details: { status: 405, registryCodes: ['UNSUPPORTED'] },
      },
      manifestOf,
      [GET, { on: DELETE, ...errorReply(405, 'UNSUPPORTED') }],
    ],
    [
      'a tag where the registry deletes none, nor its manifest',
      {
        code: 'UNSUPPORTED',
        hint: expect.stringContaining('by its digest') as unknown,
      },
      tagOf,
      [{ on: byTag, ...errorReply(400, 'UNSUPPORTED') }],
    ],
    ['a tag that is not there', { code: 'NOT_FOUND' }, tagOf, [{ on: byTag, status: 404 }]],
    [
      'a blob where the registry deletes none',
      {
        code: 'UNSUPPORTED',
        hint: expect.stringContaining('garbage') as unknown,
      },
      blobOf,
      [{ on: byBlob, status: 405 }],
    ],
    [
      'a blob where the registry knows of no such thing, tried once',
      { code: 'UNSUPPORTED' },
      blobOf,
      [{ on: byBlob, status: 501 }],
    ],
    ['a blob that is not there', { code: 'NOT_FOUND' }, blobOf, [{ on: byBlob, status: 404 }]],
    ['a blob that may not be deleted', { code: 'DENIED' }, blobOf, [{ on: byBlob, status: 403 }]],
    [
      'a blob at a registry that stays away',
      { code: 'UNAVAILABLE' },
      blobOf,
      [{ on: byBlob, status: 503, times: 3 }],
    ],
    [
      'a manifest whose bytes are other ones',
      { code: 'DIGEST_MISMATCH' },
      manifestOf,
      [{ ...GET, body: Buffer.from('{}') }],
    ],
  ];
  it.each(rows)('%s', async (_name, expected, action, steps) => {
    expect(await failure(using(steps, action))).toMatchObject(expected);
  });
});

describe('a manifest with a subject', () => {
  const subject = described(json({ a: 'base image' }));
  const referrer = json({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config,
    layers: [],
    subject,
  });
  const own = described(referrer);
  const other = described(json({ an: 'other one' }));
  const tag = `sha256-${encodedOf(subject.digest)}`;
  const indexOf = (...manifests: object[]): Buffer =>
    json({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests });
  const deleted: Step[] = [
    { on: `GET ${BASE}/manifests/${own.digest}`, ...manifestReply(referrer) },
    { on: `DELETE ${BASE}/manifests/${own.digest}`, status: 202 },
  ];
  const api = `GET ${BASE}/referrers/${subject.digest}`;
  const GET_LIST = `GET ${BASE}/manifests/${tag}`;
  const PUT_LIST: Step = { on: `PUT ${BASE}/manifests/${tag}`, status: 201 };
  const listed = (...manifests: object[]): Step => ({
    on: GET_LIST,
    ...manifestReply(indexOf(...manifests), MEDIA_TYPES.ociIndex),
  });
  const rows: [name: string, steps: Step[], put: object[][]][] = [
    [
      'is left to a registry that lists referrers',
      [{ on: api, ...manifestReply(indexOf(), MEDIA_TYPES.ociIndex) }],
      [],
    ],
    [
      'is taken out of the list',
      [{ on: api, status: 404 }, listed(other, own), PUT_LIST, listed(other)],
      [[other]],
    ],
    ['leaves an empty list', [{ on: api, status: 404 }, listed(own), PUT_LIST, listed()], [[]]],
    ['may not be in the list', [{ on: api, status: 404 }, listed(other)], []],
    [
      'may have no list',
      [
        { on: api, status: 404 },
        { on: GET_LIST, status: 404 },
      ],
      [],
    ],
  ];
  it.each(rows)('%s', async (_name, steps, put) => {
    const registry = await using([...deleted, ...steps], (mirrors) =>
      deleteManifest(mirrors, 'team/app', own.digest),
    );
    const lists = registry.requests.filter(({ line }) => line === PUT_LIST.on);
    expect(lists.map(({ body }) => (JSON.parse(body) as { manifests: unknown }).manifests)).toEqual(put);
  });
});

it('asks for a token that allows to delete, also where the registry does not say what it must allow', async () => {
  await using registry = await ScriptedRegistry.start([]);
  const challenge = `Bearer realm="${registry.origin}/token",service="harbour"`;
  registry.expect(
    { on: `DELETE ${BASE}/manifests/v1`, status: 401, headers: { 'www-authenticate': challenge } },
    { on: 'GET /token*', body: JSON.stringify({ token: secret('token-to-delete-a-tag') }) },
    { on: `DELETE ${BASE}/manifests/v1`, status: 202, expect: { authorization: /^Bearer / } },
  );
  await using fixture = pushFixture(registry.address);
  await tagOf(fixture.mirrors);
  const asked = registry.lines().find((line) => line.includes('/token')) ?? '';
  expect(new URL(asked.slice(4), registry.origin).searchParams.get('scope')).toMatch(
    /^repository:team\/app:.*delete/,
  );
});
