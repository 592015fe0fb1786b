import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Credentials, defaultCredentials } from '../../src/registry/index.js';
import { failure } from '../support/registry-fixture.js';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'docker-config-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

const auth = (text: string): { auth: string } => ({ auth: Buffer.from(text).toString('base64') });
const pilot = { username: 'pilot', password: 'pass' };

async function find(document: unknown, registry: string): Promise<Credentials | undefined> {
  const authFile = join(dir, 'auth.json');
  await writeFile(authFile, typeof document === 'string' ? document : JSON.stringify(document));
  return await defaultCredentials({ authFile })(registry);
}

describe('finds', () => {
  const rows: [name: string, auths: object, registry: string, expected: Credentials | undefined][] = [
    ['a pair', { 'quay.io': auth('pilot:pass') }, 'quay.io', pilot],
    [
      'a password with colons',
      { 'quay.io': auth('pilot:a:b') },
      'quay.io',
      { username: 'pilot', password: 'a:b' },
    ],
    ['a password that docker padded', { 'quay.io': auth('pilot:pass\0\0') }, 'quay.io', pilot],
    ['a pair in two fields', { 'quay.io': pilot }, 'quay.io', pilot],
    [
      'an identity token',
      { 'quay.io': { ...auth('x:'), identitytoken: 'id' } },
      'quay.io',
      { identityToken: 'id' },
    ],
    [
      'an identity token as a password',
      { 'quay.io': auth('<token>:id') },
      'quay.io',
      { identityToken: 'id' },
    ],
    ['a registry token', { 'quay.io': { registrytoken: 'r' } }, 'quay.io', { registryToken: 'r' }],
    ['Docker Hub by its old key', { 'https://index.docker.io/v1/': auth('pilot:pass') }, 'docker.io', pilot],
    ['Docker Hub by its name', { 'docker.io': auth('pilot:pass') }, 'docker.io', pilot],
    ['a key that is a URL', { 'https://quay.io/v2/': auth('pilot:pass') }, 'quay.io', pilot],
    [
      'the exact key first',
      { 'https://quay.io': auth('a:b'), 'quay.io': auth('pilot:pass') },
      'quay.io',
      pilot,
    ],
    ['a port', { '127.0.0.1:5000': auth('pilot:pass') }, '127.0.0.1:5000', pilot],
    ['nothing for another port', { '127.0.0.1:5000': auth('pilot:pass') }, '127.0.0.1:5001', undefined],
    ['nothing for another host', { 'quay.io': auth('pilot:pass') }, 'evil-quay.io', undefined],
    ['nothing in a key for one repository', { 'quay.io/team/app': auth('pilot:pass') }, 'quay.io', undefined],
    ['nothing in an empty entry', { 'quay.io': {} }, 'quay.io', undefined],
  ];
  it.each(rows)('%s', async (_name, auths, registry, expected) => {
    expect(await find({ auths }, registry)).toEqual(expected);
  });

  it('nothing where there are no auths', async () => {
    expect(await find({ credsStore: 'desktop' }, 'quay.io')).toBeUndefined();
  });
});

describe('refuses, without a word of what the file holds,', () => {
  it.each<[string, unknown]>([
    ['what is not JSON', '{"auths": {"quay.io": {"auth": "s3cret'],
    ['a list', ['s3cret']],
    ['auths that are a list', { auths: ['s3cret'] }],
    ['an entry that is a string', { auths: { 'quay.io': 's3cret' } }],
    ['an auth without a colon', { auths: { 'quay.io': auth('s3cret') } }],
  ])('%s', async (_name, document) => {
    const error = await failure(find(document, 'quay.io'));
    expect(error.code).toBe('INVALID_CONFIG');
    expect(JSON.stringify(error) + String(error.stack)).not.toContain('s3cret');
  });
});

describe('looks', () => {
  async function place(name: string, user: string): Promise<string> {
    await writeFile(join(dir, name), JSON.stringify({ auths: { 'quay.io': auth(`${user}:pass`) } }));
    return join(dir, name);
  }
  const userOf = async (options: Parameters<typeof defaultCredentials>[0]): Promise<string | undefined> => {
    const found = await defaultCredentials(options)('quay.io');
    return found !== undefined && 'username' in found ? found.username : undefined;
  };

  it('first where it is told, then in REGISTRY_AUTH_FILE, then in DOCKER_CONFIG', async () => {
    const authFile = await place('told.json', 'told');
    await place('config.json', 'docker');
    const env = { DOCKER_CONFIG: dir, REGISTRY_AUTH_FILE: await place('containers.json', 'containers') };
    expect(await userOf({ authFile, env })).toBe('told');
    expect(await userOf({ env })).toBe('containers');
    expect(await userOf({ env: { DOCKER_CONFIG: dir, REGISTRY_AUTH_FILE: '' } })).toBe('docker');
  });

  it('below HOME, where a missing file is none', async () => {
    expect(await userOf({ env: { HOME: join(dir, 'nobody') } })).toBeUndefined();
  });

  it('in vain where it is told of a file that is not there', async () => {
    const provider = defaultCredentials({ authFile: join(dir, 'absent') });
    expect(await failure(provider('quay.io'))).toMatchObject({ code: 'INVALID_CONFIG' });
  });
});
