import { describe, expect, it } from 'vitest';

import { type AuthConfig, credentialsFromAuthConfig } from '../../../src/registry/auth/auth-file.js';
import type { Credentials } from '../../../src/registry/auth/credentials.js';
import { failure } from '../../support/registry-fixture.js';
import { secret } from '../../support/secrets.js';

const pilot = { username: 'pilot', password: secret('quay-side-88') };
const auth = Buffer.from(`pilot:${pilot.password}`).toString('base64');
const identityToken = secret('identity-of-a-pod');
const registryToken = secret('registry-of-a-pod');
const none = {
  username: '',
  password: '',
  auth: '',
  serverAddress: '',
  identityToken: '',
  registryToken: '',
};

describe('of an AuthConfig', () => {
  const rows: [name: string, config: AuthConfig, expected: Credentials | undefined][] = [
    ['nothing at all is nothing', {}, undefined],
    ['empty strings are nothing', none, undefined],
    ['user and password', { ...none, ...pilot }, pilot],
    ['user and password come before the rest', { ...pilot, auth: 'x', identityToken, registryToken }, pilot],
    ['an identity token', { ...none, identityToken }, { identityToken }],
    ['an identity token beside a user alone', { username: 'pilot', identityToken }, { identityToken }],
    ['both in base64', { ...none, auth }, pilot],
    ['a registry token', { ...none, registryToken }, { registryToken }],
    ['a user without a password', { username: 'pilot' }, { username: 'pilot', password: '' }],
  ];
  it.each(rows)('%s', async (_name, config, expected) => {
    expect(await credentialsFromAuthConfig(config)('quay.io', 'team/app')).toEqual(expected);
  });

  it.each<[string, string, boolean]>([
    ['quay.io', 'quay.io', true],
    ['https://quay.io/v2/', 'quay.io', true],
    ['https://index.docker.io/v1/', 'docker.io', true],
    ['quay.io', 'evil.io', false],
    ['quay.io:443', 'quay.io', false],
  ])('with the address %s something is for %s: %s', async (serverAddress, registry, expected) => {
    const found = await credentialsFromAuthConfig({ ...pilot, serverAddress })(registry);
    expect(found).toEqual(expected ? pilot : undefined);
  });

  it('what is no base64 of a pair is refused at once, and not repeated', async () => {
    const value = secret('s3cret-without-a-colon');
    const give = (): unknown => credentialsFromAuthConfig({ auth: Buffer.from(value).toString('base64') });
    expect(give).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }));
    const error = await failure(Promise.resolve().then(give));
    expect(JSON.stringify(error) + String(error.stack)).not.toMatch(/s3cret|czNjcmV0/);
  });
});
