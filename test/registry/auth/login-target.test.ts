import { describe, expect, it } from 'vitest';

import { parseLoginTarget } from '../../../src/registry/auth/credential-store.js';

describe('somebody logs in to', () => {
  it.each([
    ['quay.io', { registry: 'quay.io', path: '', name: 'quay.io', key: 'quay.io' }],
    ['https://quay.io/', { registry: 'quay.io', path: '', name: 'quay.io', key: 'quay.io' }],
    ['https://quay.io/v2/', { registry: 'quay.io', path: '', name: 'quay.io', key: 'quay.io' }],
    ['quay.io/team', { registry: 'quay.io', path: 'team', name: 'quay.io/team', key: 'quay.io/team' }],
    ['docker.io', { registry: 'docker.io', path: '', name: 'docker.io', key: 'https://index.docker.io/v1/' }],
    [
      'https://index.docker.io/v1/',
      { registry: 'docker.io', path: '', name: 'docker.io', key: 'https://index.docker.io/v1/' },
    ],
    [
      'docker.io/team',
      { registry: 'docker.io', path: 'team', name: 'docker.io/team', key: 'docker.io/team' },
    ],
    ['127.0.0.1:5000', { registry: '127.0.0.1:5000', name: '127.0.0.1:5000' }],
    ['[::1]:5000', { registry: '[::1]:5000' }],
    ['localhost', { registry: 'localhost' }],
  ])('%s', (text, expected) => {
    expect(parseLoginTarget(text)).toMatchObject(expected);
  });
});

describe('nobody logs in to', () => {
  it.each([
    ['nothing', ''],
    ['what no reference takes for a registry', 'harbour'],
    ['a tag', 'quay.io/team:1'],
    ['a pattern', '*.example.com'],
    ['white space', 'quay.io '],
    ['another scheme', 'ftp://quay.io'],
    ['a path in upper case', 'quay.io/Team'],
  ])('%s', (_name, text) => {
    expect(() => parseLoginTarget(text)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }));
  });

  it('a URL with a password, which is not repeated', () => {
    expect(() => parseLoginTarget('https://pilot:s3cret@quay.io')).toThrow(/^This is not the address/);
  });
});
