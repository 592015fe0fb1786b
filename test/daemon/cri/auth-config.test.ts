import { describe, expect, it } from 'vitest';
import { credentialsOf } from '../../../src/daemon/cri/pull-image.js';
import type { AuthConfig } from '../../../src/daemon/cri/messages.js';
import type { LandfallError } from '../../../src/errors.js';
import type { Credentials } from '../../../src/registry/index.js';
import { secret } from '../../support/secrets.js';

const PASSWORD = secret('cri-client-password', 'password in an AuthConfig');
const base64 = (text: string): string => Buffer.from(text).toString('base64');

const auth = (fields: Partial<AuthConfig>): AuthConfig => ({
  username: '',
  password: '',
  auth: '',
  serverAddress: '',
  identityToken: '',
  registryToken: '',
  ...fields,
});

describe('the credentials of an AuthConfig', () => {
  it.each<[string, Partial<AuthConfig>, Credentials | undefined]>([
    ['none', {}, undefined],
    ['a password alone', { password: PASSWORD }, undefined],
    [
      'username and password',
      { username: 'pilot', password: PASSWORD },
      { username: 'pilot', password: PASSWORD },
    ],
    ['auth', { auth: base64(`pilot:${PASSWORD}`) }, { username: 'pilot', password: PASSWORD }],
    [
      'auth with a colon in the password',
      { auth: base64(`pilot:a:${PASSWORD}`) },
      { username: 'pilot', password: `a:${PASSWORD}` },
    ],
    [
      'auth that is padded with zeros',
      { auth: base64(`pilot:${PASSWORD}\0\0`) },
      { username: 'pilot', password: PASSWORD },
    ],
    ['an identity token', { identityToken: PASSWORD }, { identityToken: PASSWORD }],
    [
      'an identity token with a username',
      { username: '<token>', identityToken: PASSWORD },
      { identityToken: PASSWORD },
    ],
    [
      'a registry token',
      { registryToken: PASSWORD, username: 'pilot', password: 'other' },
      { registryToken: PASSWORD },
    ],
  ])('with %s', (_, fields, expected) => {
    expect(credentialsOf(auth(fields), 'quay.io')).toEqual(expected);
  });

  it('are none where there is no AuthConfig', () => {
    expect(credentialsOf(null, 'quay.io')).toBeUndefined();
  });

  it.each<[string, string, boolean]>([
    ['', 'quay.io', true],
    ['quay.io', 'quay.io', true],
    ['https://quay.io', 'quay.io', true],
    ['https://quay.io/v2/', 'quay.io', true],
    ['QUAY.io', 'quay.io', true],
    ['127.0.0.1:5000', '127.0.0.1:5000', true],
    ['127.0.0.1', '127.0.0.1:5000', false],
    ['registry.quay.io', 'quay.io', false],
    ['https://evil.example/quay.io', 'quay.io', false],
    ['https://index.docker.io/v1/', 'docker.io', true],
    ['docker.io', 'docker.io', true],
    ['index.docker.io', 'quay.io', false],
  ])('that are for %j are shown to %s: %s', (serverAddress, registry, shown) => {
    const found = credentialsOf(auth({ username: 'pilot', password: PASSWORD, serverAddress }), registry);
    expect(found !== undefined).toBe(shown);
  });

  it.each(['pilot', ':password', '', '***'])('whose auth holds %j are refused', (text) => {
    const field = text === '***' ? text : base64(text === '' ? 'x' : text);
    expect(() => credentialsOf(auth({ auth: field }), 'quay.io')).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG' }) as LandfallError,
    );
  });
});
