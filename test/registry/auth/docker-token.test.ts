import { describe, expect, it } from 'vitest';

import type { Credentials } from '../../../src/registry/index.js';
import { parseReference } from '../../../src/spec/index.js';
import { REGISTRY_USER, startDockerRegistry } from '../../support/docker-registry.js';
import { needsPeer } from '../../support/peers.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { secret } from '../../support/secrets.js';
import { startTokenServer, type TokenServer, type TokenServerOptions } from '../../support/token-server.js';

const IDENTITY = secret('identity-of-pilot');

/**
 * Asks for images that are not there. A registry says so only to those who may read: to others it says
 * nothing but that they may not.
 */
async function codesOf(
  options: TokenServerOptions,
  credentials: Credentials | undefined,
  names: readonly string[],
): Promise<{ codes: string[]; server: TokenServer }> {
  await using server = await startTokenServer(options);
  await using registry = await startDockerRegistry({ token: server.token });
  await using client = fastClient({ credentials: () => Promise.resolve(credentials) });
  const codes: string[] = [];
  for (const name of names) {
    const reference = parseReference(`${registry.address}/${name}`);
    codes.push((await failure(client.resolver().resolve(reference))).code);
  }
  return { codes, server };
}

describe.skipIf(needsPeer('docker-registry') !== undefined)(
  'docker-registry takes the token that is had',
  () => {
    const user = REGISTRY_USER;
    const rows: [name: string, options: TokenServerOptions, credentials: Credentials, methods: string[]][] = [
      ['with a password by GET', { user }, user, ['GET', 'GET']],
      ['with a password by POST', { user, methods: ['POST'] }, user, ['GET', 'POST', 'POST']],
      [
        'with an identity token by POST',
        { identityToken: IDENTITY },
        { identityToken: IDENTITY },
        ['POST', 'POST'],
      ],
      [
        'with an identity token by GET',
        { identityToken: IDENTITY, methods: ['GET'] },
        { identityToken: IDENTITY },
        ['POST', 'GET', 'GET'],
      ],
      ['with a refresh token', { user, methods: ['POST'], refresh: true }, user, ['GET', 'POST', 'POST']],
      ['from a server that says not how long it is good', { user, silent: true }, user, ['GET', 'GET']],
    ];
    it.each(rows)('%s', async (_name, options, credentials, methods) => {
      const { codes, server } = await codesOf(options, credentials, ['a/b:1', 'a/b:2', 'c/d:1']);
      expect(codes).toEqual(['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND']);
      expect(server.methods).toEqual(methods);
      const grants = server.asked.map((form) => form.get('grant_type')).filter((grant) => grant !== null);
      if (options.refresh === true) expect(grants).toEqual(['password', 'refresh_token']);
    });

    it.each<[string, TokenServerOptions, Credentials | undefined]>([
      ['a wrong password', { user }, { ...user, password: secret('not-the-password') }],
      ['a wrong identity token', { identityToken: IDENTITY }, { identityToken: secret('not-the-identity') }],
      ['no credentials', { user }, undefined],
      ['a registry token that is none', { user }, { registryToken: secret('not-the-token') }],
    ])('but none for %s', async (_name, options, credentials) => {
      expect((await codesOf(options, credentials, ['a/b:1'])).codes).toEqual(['UNAUTHORIZED']);
    });
  },
);
