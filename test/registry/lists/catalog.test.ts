import { expect, test } from 'vitest';

import { listCatalog } from '../../../src/registry/lists/tag-list.js';
import { failure } from '../../support/registry-fixture.js';
import { errorReply, ScriptedRegistry } from '../../support/scripted-registry.js';
import { collect, listedMirrors } from './list-mirrors.js';

test('repositories come in pages', async () => {
  await using registry = await ScriptedRegistry.start([
    {
      on: 'GET /v2/_catalog?n=2',
      headers: { link: '</v2/_catalog?last=b&n=2>; rel="next"' },
      body: '{"repositories":["a","b"]}',
    },
    { on: 'GET /v2/_catalog?last=b&n=2', body: '{"repositories":["team/c"]}' },
  ]);
  await using target = listedMirrors(registry.address);
  expect(await collect(listCatalog(target.mirrors, { pageSize: 2 }))).toEqual(['a', 'b', 'team/c']);
});

test('a token for them must allow the catalog', async () => {
  await using registry = await ScriptedRegistry.start([]);
  const realm = `${registry.origin}/token`;
  registry.expect(
    {
      on: 'GET /v2/_catalog',
      ...errorReply(401, 'UNAUTHORIZED', 'no', { 'www-authenticate': `Bearer realm="${realm}",service="s"` }),
    },
    { on: 'GET /token?service=s&scope=registry%3Acatalog%3A*', body: '{"token":"t0ken"}' },
    { on: 'GET /v2/_catalog', expect: { authorization: 'Bearer t0ken' }, body: '{"repositories":[]}' },
  );
  await using target = listedMirrors(registry.address);
  expect(await collect(listCatalog(target.mirrors))).toEqual([]);
});

test('many registries refuse them', async () => {
  await using registry = await ScriptedRegistry.start([
    { on: 'GET /v2/_catalog', ...errorReply(404, 'UNSUPPORTED') },
  ]);
  await using target = listedMirrors(registry.address);
  const error = await failure(collect(listCatalog(target.mirrors)));
  expect(error).toMatchObject({ code: 'NOT_FOUND' });
  expect(error.message).toContain('the repositories of registry.example');
});
