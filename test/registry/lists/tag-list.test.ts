import { describe, expect, test } from 'vitest';

import { pagesOf } from '../../../src/registry/lists/paged-list.js';
import { type ListOptions, listTags } from '../../../src/registry/lists/tag-list.js';
import { failure } from '../../support/registry-fixture.js';
import { errorReply, type Reply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { collect, listedMirrors } from './list-mirrors.js';

const LIST = 'GET /v2/team/app/tags/list';
/** Longer than any page may be. */
const TOO_LONG = 16 * 1024 * 1024 + 1;

function page(tags: readonly unknown[] | null, link?: string): Reply {
  const headers = { 'content-type': 'application/json', ...(link === undefined ? {} : { link }) };
  return { headers, body: JSON.stringify({ name: 'team/app', tags }) };
}

const next = (target: string): string => `<${target}>; rel="next"`;

/** The tags that a registry with this script gives. */
async function tagsBy(
  steps: readonly Step[],
  options: ListOptions & { most?: number } = {},
): Promise<string[]> {
  await using registry = await ScriptedRegistry.start(steps);
  await using mirrors = listedMirrors(registry.address);
  const { most, ...rest } = options;
  return await collect(listTags(mirrors, rest), most);
}

describe('tags', () => {
  const rows: [name: string, steps: Step[], tags: string[]][] = [
    ['in one page', [{ on: LIST, ...page(['1', '2']) }], ['1', '2']],
    ['of which there are none', [{ on: LIST, ...page([]) }], []],
    ['of which there are none, in Go', [{ on: LIST, ...page(null) }], []],
    ['that no reference can name', [{ on: LIST, ...page(['sha256:1', '']) }], ['sha256:1', '']],
    ['in no order', [{ on: LIST, ...page(['b', 'a']) }], ['b', 'a']],
    [
      'in pages',
      [
        { on: LIST, ...page(['1'], next('/v2/team/app/tags/list?last=1&n=1')) },
        { on: `${LIST}?last=1&n=1`, ...page(['2'], next('list?last=2')) },
        { on: `${LIST}?last=2`, ...page(['3'], next('?last=3')) },
        { on: `${LIST}?last=3`, ...page(['4'], '</v2/team/app/tags/list>; rel="first"') },
      ],
      ['1', '2', '3', '4'],
    ],
    [
      'behind an absolute link, which is taken for one to the same place',
      [
        { on: LIST, ...page(['1'], next('http://internal.invalid:5000/v2/team/app/tags/list?last=1')) },
        { on: `${LIST}?last=1`, ...page(['2']) },
      ],
      ['1', '2'],
    ],
    [
      'behind an empty page',
      [
        { on: LIST, ...page([], next('?page=2')) },
        { on: `${LIST}?page=2`, ...page(['1']) },
      ],
      ['1'],
    ],
    [
      'after a page that failed at first',
      [
        { on: LIST, ...page(['1'], next('?page=2')) },
        { on: `${LIST}?page=2`, ...errorReply(503, 'UNAVAILABLE') },
        { on: `${LIST}?page=2`, ...page(['2']), dropAfter: 5 },
        { on: `${LIST}?page=2`, ...page(['2']) },
      ],
      ['1', '2'],
    ],
  ];
  test.each(rows)('%s', async (_name, steps, tags) => {
    expect(await tagsBy(steps)).toEqual(tags);
  });

  test('are asked for as JSON', async () => {
    expect(await tagsBy([{ on: LIST, expect: { accept: 'application/json' }, ...page([]) }])).toEqual([]);
  });

  test('after one, and so many at once', async () => {
    const steps = [{ on: `${LIST}?n=2&last=1`, ...page(['2', '3']) }];
    expect(await tagsBy(steps, { pageSize: 2, last: '1' })).toEqual(['2', '3']);
  });

  test('that nobody wants are not asked for', async () => {
    const steps = [{ on: LIST, ...page(['1', '2'], next('?page=2')) }];
    expect(await tagsBy(steps, { most: 1 })).toEqual(['1']);
  });

  const faults: [name: string, steps: Step[], code: string][] = [
    ['of no repository', [{ on: LIST, ...errorReply(404, 'NAME_UNKNOWN') }], 'NOT_FOUND'],
    ['that are denied', [{ on: LIST, ...errorReply(403, 'DENIED') }], 'DENIED'],
    ['that are a web page', [{ on: LIST, body: '<html>' }], 'PROTOCOL'],
    ['that are no object', [{ on: LIST, body: '["1"]' }], 'PROTOCOL'],
    ['that are null', [{ on: LIST, body: 'null' }], 'PROTOCOL'],
    ['that are missing', [{ on: LIST, body: '{"name":"team/app"}' }], 'PROTOCOL'],
    ['that are numbers', [{ on: LIST, ...page([1]) }], 'PROTOCOL'],
    ['that are too long', [{ on: LIST, body: Buffer.alloc(TOO_LONG, ' ') }], 'PROTOCOL'],
    ['behind a link that is no address', [{ on: LIST, ...page(['1'], next('http://[')) }], 'PROTOCOL'],
    ['behind a link to a file', [{ on: LIST, ...page(['1'], next('file:///etc/passwd')) }], 'PROTOCOL'],
    [
      'behind a link to themselves',
      [{ on: LIST, ...page(['1'], next('/v2/team/app/tags/list')) }],
      'PROTOCOL',
    ],
    [
      'behind a link that leads back',
      [
        { on: LIST, ...page(['1'], next('?page=2')) },
        { on: `${LIST}?page=2`, ...page(['2'], next('?page=3')) },
        { on: `${LIST}?page=3`, ...page(['2'], next('?page=2')) },
      ],
      'PROTOCOL',
    ],
  ];
  test.each(faults)('%s', async (_name, steps, code) => {
    expect(await failure(tagsBy(steps))).toMatchObject({ code });
  });

  test('that are malformed are told with the address, without its query', async () => {
    const steps = [
      { on: LIST, ...page(['1'], next('?token=secret')) },
      { on: `${LIST}?token=secret`, body: 'x' },
    ];
    const error = await failure(tagsBy(steps));
    expect(error.message).toMatch(/^the tags of registry\.example\/team\/app: the answer of 127\.0\.0\.1/);
    expect(JSON.stringify(error)).toContain('/v2/team/app/tags/list');
    expect(JSON.stringify(error)).not.toContain('secret');
  });

  test('end when they are given up', async () => {
    await using registry = await ScriptedRegistry.start([{ on: LIST, ...page(['1'], next('?page=2')) }]);
    await using mirrors = listedMirrors(registry.address);
    const abort = new AbortController();
    const tags = listTags(mirrors, { signal: abort.signal });
    expect(await tags.next()).toEqual({ done: false, value: '1' });
    abort.abort();
    expect(await failure(tags.next())).toMatchObject({ code: 'ABORTED' });
  });
});

test('pages without end are given up', async () => {
  await using registry = await ScriptedRegistry.start([
    { on: 'GET /v2/things*', times: 5, reply: (_request, nth) => page([], next(`?page=${nth}`)) },
  ]);
  await using target = listedMirrors(registry.address);
  const list = {
    path: 'things',
    accept: '*/*',
    access: { type: 'registry', name: 'things', actions: '*' },
    expected: [200],
    subject: 'things',
    maxPages: 5,
    read: () => Promise.resolve('page'),
  } as const;
  const pages: string[] = [];
  const reading = async (): Promise<void> => {
    for await (const one of pagesOf(target.mirrors, list, {})) pages.push(one);
  };
  expect(await failure(reading())).toMatchObject({ code: 'PROTOCOL' });
  expect(pages).toHaveLength(5);
});

describe('with a mirror', () => {
  test('the registry itself is asked', async () => {
    await using mirror = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([{ on: LIST, ...page(['1']) }]);
    await using mirrors = listedMirrors(mirror.address, registry.address);
    expect(await collect(listTags(mirrors))).toEqual(['1']);
  });

  test('what the registry has not is not looked for at the mirror', async () => {
    await using mirror = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([{ on: LIST, ...errorReply(404, 'NAME_UNKNOWN') }]);
    await using mirrors = listedMirrors(mirror.address, registry.address);
    expect(await failure(collect(listTags(mirrors)))).toMatchObject({ code: 'NOT_FOUND' });
  });

  test('it gives all pages where the registry cannot be reached at first', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `${LIST}?ns=registry.example`, ...page(['1'], next('/v2/team/app/tags/list?page=2')) },
      { on: `${LIST}?page=2&ns=registry.example`, ...page(['2']) },
    ]);
    await using registry = await ScriptedRegistry.start([{ on: LIST, ...errorReply(503, 'UNAVAILABLE') }]);
    await using mirrors = listedMirrors(mirror.address, registry.address);
    expect(await collect(listTags(mirrors))).toEqual(['1', '2']);
  });

  test('it goes on where it began, after it failed', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `${LIST}?ns=registry.example`, ...page(['1'], next('?page=2')) },
      { on: `${LIST}?page=2&ns=registry.example`, ...errorReply(503, 'UNAVAILABLE') },
      { on: `${LIST}?page=2&ns=registry.example`, ...page(['2']) },
    ]);
    await using registry = await ScriptedRegistry.start([{ on: LIST, ...errorReply(503, 'UNAVAILABLE') }]);
    await using mirrors = listedMirrors(mirror.address, registry.address);
    expect(await collect(listTags(mirrors))).toEqual(['1', '2']);
  });

  test('it is not asked to go on where the registry broke off', async () => {
    await using mirror = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([
      { on: LIST, ...page(['1'], next('?page=2')) },
      { on: `${LIST}?page=2`, ...errorReply(503, 'UNAVAILABLE') },
      { on: `${LIST}?page=2`, ...page(['2']) },
    ]);
    await using mirrors = listedMirrors(mirror.address, registry.address);
    expect(await collect(listTags(mirrors))).toEqual(['1', '2']);
  });

  test('it does not ask for the pages of the registry either', async () => {
    await using mirror = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([
      { on: LIST, ...page(['1'], next('?page=2')) },
      // As often as it is tried again; what the mirror would ask for came to the same address.
      { on: `${LIST}?page=2`, times: 3, ...errorReply(503, 'UNAVAILABLE') },
    ]);
    await using mirrors = listedMirrors(mirror.address, registry.address);
    const error = await failure(collect(listTags(mirrors)));
    expect(error.code).toBe('UNAVAILABLE');
    expect(error.message).toContain('only');
  });
});
