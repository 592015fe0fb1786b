import { buffer } from 'node:stream/consumers';

import { describe, expect, it } from 'vitest';

import { MEDIA_TYPES, parseReference } from '../../../src/spec/index.js';
import { hosts, mirrorAt, upstreamAt } from '../../support/host-configs.js';
import { blobOf, failure, fastClient, patterned } from '../../support/registry-fixture.js';
import { errorReply, manifestReply, type Reply, ScriptedRegistry } from '../../support/scripted-registry.js';

const REFERENCE = parseReference('registry.example/team/app:1');
const HEAD = 'HEAD /v2/team/app/manifests/1';
const bytes = patterned(1000);
const blob = blobOf(bytes);
const BLOB = `GET /v2/team/app/blobs/${blob.digest}`;

function warning(...lines: readonly string[]): Record<string, string[]> {
  return { warning: [...lines] };
}

function warned(reply: Reply, ...lines: readonly string[]): Reply {
  return { ...reply, headers: { ...reply.headers, ...warning(...lines) } };
}

/** What is told of the answers to a HEAD for the manifest and a GET for a blob. */
async function reported(manifest: readonly string[], body: readonly string[]): Promise<string[]> {
  await using registry = await ScriptedRegistry.start([
    { on: HEAD, ...warned(manifestReply('{}'), ...manifest) },
    { on: BLOB, ...warned({ body: bytes }, ...body) },
  ]);
  const texts: string[] = [];
  await using client = fastClient({
    hosts: hosts(upstreamAt(registry.address)),
    onWarning: (text) => texts.push(text),
  });
  await client.resolver().resolve(REFERENCE);
  await buffer(await client.repository(REFERENCE).fetch(blob));
  return texts;
}

describe('of the warnings of several answers', () => {
  it.each<[name: string, manifest: string[], blob: string[], texts: string[]]>([
    ['each is told', ['299 - "one"'], ['299 - "two"'], ['one', 'two']],
    ['the same is told once', ['299 - "one"'], ['299 - "one"'], ['one']],
    [
      'all of one answer are told',
      ['299 - "one", 299 - "two"', '299 - "three"'],
      [],
      ['one', 'two', 'three'],
    ],
    ['the new among the old is told', ['299 - "one"'], ['299 - "one", 299 - "two"'], ['one', 'two']],
    ['no other code is told', ['199 - "one"'], ['110 - "Response is Stale"', '214 - "two"'], []],
    ['none of another agent is told', ['299 cache.example "one"'], ['299 - "two"'], ['two']],
    ['nothing is told where there are none', [], [], []],
  ])('%s', async (_name, manifest, body, texts) => {
    expect(await reported(manifest, body)).toEqual(texts);
  });
});

it('the same warning is told once, however many tasks and hosts meet it', async () => {
  const ns = '?ns=registry.example';
  const answer = warned(manifestReply('{}'), '299 - "moving soon"');
  await using mirror = await ScriptedRegistry.start([
    { on: `${HEAD}${ns}`, times: 2, ...answer },
    { on: `${BLOB}${ns}`, times: 2, ...warned({ body: bytes }, '299 - "moving soon"') },
  ]);
  await using upstream = await ScriptedRegistry.start([
    {
      on: 'GET /v2/team/app/tags/list*',
      ...warned({ body: '{"name":"team/app","tags":["1"]}' }, '299 - "moving soon"'),
    },
  ]);
  const texts: string[] = [];
  await using client = fastClient({
    hosts: hosts(mirrorAt(mirror.address), upstreamAt(upstream.address)),
    onWarning: (text) => texts.push(text),
  });
  for (let task = 0; task < 2; task += 1) {
    await client.resolver().resolve(REFERENCE);
    await buffer(await client.repository(REFERENCE).fetch(blob));
  }
  for await (const tag of client.repository(REFERENCE).tags()) expect(tag).toBe('1');
  expect(texts).toEqual(['moving soon']);
});

it('another client is told the same anew', async () => {
  expect([...(await reported(['299 - "one"'], [])), ...(await reported(['299 - "one"'], []))]).toEqual([
    'one',
    'one',
  ]);
});

it.each<[name: string, path: string, ask: 'tags' | 'referrers']>([
  ['a list of tags', 'GET /v2/team/app/tags/list*', 'tags'],
  ['a list of referrers', `GET /v2/team/app/referrers/${blob.digest}`, 'referrers'],
])('those with %s are told', async (_name, path, ask) => {
  const body =
    ask === 'tags'
      ? '{"name":"team/app","tags":[]}'
      : JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] });
  await using registry = await ScriptedRegistry.start([
    {
      on: path,
      body,
      headers: { 'content-type': MEDIA_TYPES.ociIndex, ...warning('299 - "one"') },
    },
  ]);
  const texts: string[] = [];
  await using client = fastClient({
    hosts: hosts(upstreamAt(registry.address)),
    onWarning: (text) => texts.push(text),
  });
  const repository = client.repository(REFERENCE);
  const list = ask === 'tags' ? repository.tags() : repository.referrers(blob.digest);
  for await (const each of list) expect(each).toBeUndefined();
  expect(texts).toEqual(['one']);
});

it('nobody need listen', async () => {
  await using registry = await ScriptedRegistry.start([
    { on: HEAD, ...warned(manifestReply('{}'), '299 - "one"') },
  ]);
  await using client = fastClient({ hosts: hosts(upstreamAt(registry.address)) });
  await client.resolver().resolve(REFERENCE);
});

it('what is told holds no secret that a registry may have put there: no query of a URL', async () => {
  expect(await reported(['299 - "see https://registry.example/a?token=abc"'], [])).toEqual([
    'see https://registry.example/a',
  ]);
});

it('those of an answer that is an error are told', async () => {
  await using registry = await ScriptedRegistry.start([
    { on: HEAD, ...warned(errorReply(404, 'MANIFEST_UNKNOWN'), '299 - "closing down"') },
    {
      on: HEAD.replace('HEAD', 'GET'),
      ...warned(errorReply(404, 'MANIFEST_UNKNOWN'), '299 - "closing down"'),
    },
  ]);
  const texts: string[] = [];
  await using client = fastClient({
    hosts: hosts(upstreamAt(registry.address)),
    onWarning: (text) => texts.push(text),
  });
  expect((await failure(client.resolver().resolve(REFERENCE))).code).toBe('NOT_FOUND');
  expect(texts).toEqual(['closing down']);
});
