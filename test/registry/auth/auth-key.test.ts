import { describe, expect, it } from 'vitest';

import { matchingKeys, parseAuthKey } from '../../../src/registry/auth/auth-file.js';

describe('a key is for', () => {
  it.each([
    ['quay.io', 'quay.io', ''],
    ['QUAY.io', 'quay.io', ''],
    ['quay.io/', 'quay.io', ''],
    ['https://quay.io/v2/', 'quay.io', ''],
    ['https://quay.io/v2/team', 'quay.io', 'team'],
    ['quay.io/v2/team', 'quay.io', 'v2/team'],
    ['quay.io/team/app', 'quay.io', 'team/app'],
    ['http://127.0.0.1:5000', '127.0.0.1:5000', ''],
    ['https://index.docker.io/v1/', 'docker.io', ''],
    ['registry-1.docker.io', 'docker.io', ''],
    ['index.docker.io/team', 'docker.io', 'team'],
    ['[::1]:5000/team', '[::1]:5000', 'team'],
  ])('%s: %s and %s', (key, host, path) => {
    expect(parseAuthKey(key)).toEqual({ host, path });
  });
});

describe('of several keys', () => {
  const rows: [
    name: string,
    keys: string[],
    registry: string,
    repository: string | undefined,
    expected: string[],
  ][] = [
    [
      'the longest path comes first',
      ['quay.io', 'quay.io/team', 'quay.io/team/app', 'quay.io/team/app/part'],
      'quay.io',
      'team/app',
      ['quay.io/team/app', 'quay.io/team', 'quay.io'],
    ],
    ['a path is whole names', ['quay.io/tea', 'quay.io/team'], 'quay.io', 'team/app', ['quay.io/team']],
    ['none with a path is for the registry', ['quay.io/team', 'quay.io'], 'quay.io', undefined, ['quay.io']],
    [
      'the plain name comes first',
      ['https://quay.io', 'quay.io'],
      'quay.io',
      'x',
      ['quay.io', 'https://quay.io'],
    ],
    [
      'a host’s own come before patterns',
      ['*.example.com/team', '*.example.com', 'reg.example.com'],
      'reg.example.com',
      'team/app',
      ['reg.example.com', '*.example.com/team', '*.example.com'],
    ],
  ];
  it.each(rows)('%s', (_name, keys, registry, repository, expected) => {
    expect(matchingKeys(keys, registry, repository)).toEqual(expected);
  });
});

describe('the pattern', () => {
  it.each<[string, string, boolean]>([
    ['*.example.com', 'reg.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'a.b.example.com', false],
    ['*.*.example.com', 'a.b.example.com', true],
    ['*.example.com', 'reg.example.com:5000', false],
    ['*.example.com:5000', 'reg.example.com:5000', true],
    ['*.example.com', 'reg.example.com.evil.net', false],
    ['reg?.example.com', 'reg1.example.com', true],
    ['reg?.example.com', 'reg.example.com', false],
    ['reg[0-9].example.com', 'reg1.example.com', true],
    ['reg[0-9].example.com', 'regx.example.com', false],
    ['reg[^0-9].example.com', 'regx.example.com', true],
    ['reg[9-0].example.com', 'reg1.example.com', false],
    ['*.exampleXcom', 'reg.example.com', false],
    ['reg.example.com', 'regXexample.com', false],
  ])('%s for %s: %s', (pattern, registry, expected) => {
    expect(matchingKeys([pattern], registry, undefined)).toHaveLength(expected ? 1 : 0);
  });
});
