import { describe, expect, it } from 'vitest';

import { challengedScopes } from '../../../src/registry/auth/authenticate.js';

const rows: [name: string, wanted: string[], named: string[], expected: string[]][] = [
  ['what is wanted, where the challenge names nothing', ['repository:a:pull'], [], ['repository:a:pull']],
  [
    'what the challenge names, where it has another name for the repository',
    ['repository:a:pull'],
    ['repository:mapped/a:pull'],
    ['repository:mapped/a:pull'],
  ],
  [
    'the actions of both, since the challenge is about one request only',
    ['repository:a:pull,push'],
    ['repository:a:pull'],
    ['repository:a:pull,push'],
  ],
  [
    'what the challenge adds',
    ['repository:a:pull'],
    ['repository:a:pull', 'registry:catalog:*'],
    ['registry:catalog:*', 'repository:a:pull'],
  ],
  [
    'the source of a mount, which the challenge may leave out',
    ['repository:a:pull,push', 'repository:b:pull'],
    ['repository:a:pull,push'],
    ['repository:a:pull,push', 'repository:b:pull'],
  ],
  [
    'a name with a port',
    ['repository:h:5000/a:push'],
    ['repository:h:5000/a:pull'],
    ['repository:h:5000/a:push,pull'],
  ],
  ['each once', ['repository:a:pull', 'repository:a:pull'], [], ['repository:a:pull']],
  ['a scope of no known form', ['repository:a:pull'], ['everything'], ['everything']],
];

describe('a token is asked for with', () => {
  it.each(rows)('%s', (_name, wanted, named, expected) => {
    expect(challengedScopes(wanted, named)).toEqual(expected);
  });
});
