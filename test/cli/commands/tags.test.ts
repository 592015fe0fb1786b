import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { run, type ServedLists, serveLists } from './serve-lists.js';

describe('tags', () => {
  let served: ServedLists;
  beforeAll(async () => {
    served = await serveLists();
  });
  afterAll(() => served[Symbol.asyncDispose]());

  test.each(['', 'docker://'])('prints one a line of %sREPOSITORY', async (prefix) => {
    expect(await run('tags', `${prefix}${served.host}/team/app`)).toEqual({
      code: 0,
      out: '1\n2\n3\n',
      err: '',
    });
  });

  test('prints so many at most', async () => {
    expect((await run('tags', '--limit', '2', `${served.host}/team/app`)).out).toBe('1\n2\n');
  });

  const TAGS = ['1.9', 'latest', '1.10', '2.0-rc.1', 'edge', '1.9-slim'];
  test.each<[argv: string[], tags: string]>([
    [['--sort', 'name'], '1.10 1.9 1.9-slim 2.0-rc.1 edge latest'],
    [['--sort', 'version'], '2.0-rc.1 1.10 1.9 1.9-slim edge latest'],
    [['--sort', 'version', '--limit', '2'], '2.0-rc.1 1.10'],
    [['--filter', '1.?*'], '1.9 1.10 1.9-slim'],
    [['--filter', '*-slim'], '1.9-slim'],
    [['--semver', '^1.9'], '1.9 1.10'],
    [['--semver', '>=1.10', '--filter', '1*'], '1.10'],
  ])('%j lists %s', async (argv, tags) => {
    await using registry = await ScriptedRegistry.start([
      { on: 'GET /v2/team/app/tags/list', body: JSON.stringify({ tags: TAGS }) },
    ]);
    const { out } = await run('tags', ...argv, `${registry.address}/team/app`);
    expect(out.trim().split('\n').join(' ')).toBe(tags);
  });

  test('as JSON', async () => {
    const { out } = await run('tags', '--output', 'json', '--limit', '2', `${served.host}/team/app`);
    expect(JSON.parse(out)).toEqual({ repository: `${served.host}/team/app`, tags: ['1', '2'] });
  });

  test('asks for no page that it does not print, and prints nothing that moves a cursor', async () => {
    await using registry = await ScriptedRegistry.start([
      {
        on: 'GET /v2/team/app/tags/list',
        headers: { link: '</v2/team/app/tags/list?last=b>; rel="next"' },
        body: JSON.stringify({ tags: ['a\u001b[2J', 'b'] }),
      },
    ]);
    const { out } = await run('tags', '--limit', '2', `${registry.address}/team/app`);
    expect(out).toBe('a\\u001b[2J\nb\n');
  });

  const faults: [name: string, argv: string[], code: number, message: string][] = [
    ['a repository that is not there', ['HOST/team/none'], 3, 'not found'],
    ['an image', ['HOST/team/app:1'], 2, 'is an image, not a repository'],
    ['what is no range', ['--semver', '=>1.2', 'HOST/team/app'], 2, '"=>1.2" is not a range of versions'],
    ['no limit', ['--limit', '0', 'HOST/team/app'], 2, 'It is not a positive whole number.'],
  ];
  test.each(faults)('%s', async (_name, argv, code, message) => {
    const words = argv.map((word) => word.replace('HOST', served.host));
    const ran = await run('tags', ...words);
    expect(ran).toMatchObject({ code, out: '' });
    expect(ran.err).toContain(message);
  });
});

describe('catalog', () => {
  const start = (): Promise<ScriptedRegistry> =>
    ScriptedRegistry.start([
      {
        on: 'GET /v2/_catalog',
        body: JSON.stringify({ repositories: ['library/debian', 'team/app', 'team/b\u001b[2J'] }),
      },
    ]);

  test.each(['', 'docker://'])(
    'prints one a line of %sHOST, and nothing that moves a cursor',
    async (prefix) => {
      await using registry = await start();
      expect(await run('catalog', `${prefix}${registry.address}`)).toEqual({
        code: 0,
        out: 'library/debian\nteam/app\nteam/b\\u001b[2J\n',
        err: '',
      });
    },
  );

  test('of what matches, so many at most, as JSON', async () => {
    await using registry = await start();
    const argv = ['--output', 'json', '--filter', 'team/*', '--limit', '1', `${registry.address}/`];
    expect(JSON.parse((await run('catalog', ...argv)).out)).toEqual({
      registry: registry.address,
      repositories: ['team/app'],
    });
  });

  test('says that a registry has no list', async () => {
    await using registry = await ScriptedRegistry.start([{ on: 'GET /v2/_catalog', status: 404 }]);
    const { code, err } = await run('catalog', registry.address);
    expect(code).not.toBe(0);
    expect(err).toContain(registry.address);
  });
});
