import { execFile } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  type CredentialStoreOptions,
  editAuthFile,
  eraseCredentials,
  parseLoginTarget,
  storeCredentials,
} from '../../../src/registry/auth/credential-store.js';
import { defaultCredentials } from '../../../src/registry/auth/auth-file.js';
import { placeHelper, placeKeepingHelper } from '../../support/fake-helper.js';
import { needsPeer } from '../../support/peers.js';
import { failure } from '../../support/registry-fixture.js';
import { secret } from '../../support/secrets.js';

const PASSWORD = secret('pa:ss-wörd');
const IDENTITY = secret('identity-to-keep');
const REGISTRY_TOKEN = secret('registry-token-to-keep');
const pilot = { username: 'pilot', password: PASSWORD };
const AUTH = Buffer.from(`pilot:${PASSWORD}`).toString('base64');
const QUAY = parseLoginTarget('quay.io');
const TEAM = parseLoginTarget('quay.io/team');
const HUB = parseLoginTarget('docker.io');

let dir = '';
let file = '';
let options: CredentialStoreOptions = {};
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'credential-store-'));
  file = join(dir, '.docker/config.json');
  options = {
    env: { HOME: dir, XDG_RUNTIME_DIR: join(dir, 'run'), PATH: `${dir}:/usr/bin:/bin` },
    helperTimeoutMs: 20_000,
  };
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function write(manifest: unknown, path = file): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
}

const read = async (path = file): Promise<unknown> => JSON.parse(await readFile(path, 'utf8')) as unknown;
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

describe('a login is kept in a file', () => {
  it('that is made, for nobody else to read, in a directory of the same kind', async () => {
    expect(await storeCredentials(QUAY, pilot, options)).toEqual({
      kept: 'file',
      path: file,
      key: 'quay.io',
    });
    expect(await readFile(file, 'utf8')).toBe(
      `{\n\t"auths": {\n\t\t"quay.io": {\n\t\t\t"auth": "${AUTH}"\n\t\t}\n\t}\n}\n`,
    );
    expect([await modeOf(file), await modeOf(join(dir, '.docker'))]).toEqual([0o600, 0o700]);
    expect(await readdir(join(dir, '.docker'))).toEqual(['config.json']);
    expect(await defaultCredentials(options)('quay.io', 'team/app')).toEqual(pilot);
  });

  it('of which the rest stays, in its order and its form', async () => {
    const before = `{
  "z": [1, 2],
  "auths": {
    "gcr.io": { "auth": "eA==", "email": "x@example.com" }
  },
  "a": {}
}`;
    await write(before);
    await chmod(file, 0o644);
    await storeCredentials(QUAY, pilot, options);
    const text = await readFile(file, 'utf8');
    expect(text.split('\n').slice(0, 5)).toEqual(['{', '  "z": [', '    1,', '    2', '  ],']);
    expect(text.endsWith('}')).toBe(true);
    expect(Object.keys((await read()) as object)).toEqual(['z', 'auths', 'a']);
    expect(await read()).toEqual({
      z: [1, 2],
      auths: { 'gcr.io': { auth: 'eA==', email: 'x@example.com' }, 'quay.io': { auth: AUTH } },
      a: {},
    });
    expect(await modeOf(file)).toBe(0o600);
  });

  it('under the key that docker knows Docker Hub by', async () => {
    await storeCredentials(HUB, pilot, options);
    expect(await read()).toEqual({ auths: { 'https://index.docker.io/v1/': { auth: AUTH } } });
  });

  it('in the place of what is there for the same, under whichever name', async () => {
    await write({ auths: { 'docker.io': { auth: 'eA==' }, x: {}, 'index.docker.io': { auth: 'eQ==' } } });
    expect(await storeCredentials(HUB, pilot, options)).toMatchObject({ key: 'docker.io' });
    expect(await read()).toEqual({ auths: { 'docker.io': { auth: AUTH }, x: {} } });
  });

  it('for a path of a registry, beside the one for the registry', async () => {
    await write({ auths: { 'quay.io': { auth: 'eA==' } } });
    await storeCredentials(TEAM, pilot, options);
    expect(await read()).toEqual({ auths: { 'quay.io': { auth: 'eA==' }, 'quay.io/team': { auth: AUTH } } });
  });

  it.each([
    ['an identity token', { identityToken: IDENTITY }, { identitytoken: IDENTITY }],
    ['a registry token', { registryToken: REGISTRY_TOKEN }, { registrytoken: REGISTRY_TOKEN }],
  ])('as %s', async (_name, credentials, entry) => {
    await storeCredentials(QUAY, credentials, options);
    expect(await read()).toEqual({ auths: { 'quay.io': entry } });
    expect(await defaultCredentials(options)('quay.io')).toEqual(credentials);
  });

  it('that is named, or that the environment names', async () => {
    const named = { ...options, authFile: join(dir, 'named.json') };
    expect(await storeCredentials(QUAY, pilot, named)).toMatchObject({ path: named.authFile });
    const env = { ...options.env, REGISTRY_AUTH_FILE: join(dir, 'chosen.json') };
    expect(await storeCredentials(QUAY, pilot, { env })).toMatchObject({ path: join(dir, 'chosen.json') });
    await expect(stat(file)).rejects.toThrow('ENOENT');
  });

  it.each([
    ['a file that is there', true],
    ['a file that is yet to be made', false],
  ])('behind a symbolic link to %s', async (_name, present) => {
    const target = join(dir, 'dotfiles/docker.json');
    await mkdir(join(dir, 'dotfiles'));
    await mkdir(join(dir, '.docker'));
    if (present) await writeFile(target, '{"x": 1}');
    await symlink('../dotfiles/docker.json', file);
    await storeCredentials(QUAY, pilot, options);
    expect(await read(target)).toMatchObject({ auths: { 'quay.io': { auth: AUTH } } });
    expect(await readdir(join(dir, 'dotfiles'))).toEqual(['docker.json']);
  });

  const refused: [name: string, manifest: unknown][] = [
    ['is not JSON', '{"auths": '],
    ['is a list', []],
    ['has auths of another form', { auths: [] }],
    ['is a secret of Kubernetes', { kind: 'Secret', data: { '.dockerconfigjson': 'e30=' } }],
    ['is of docker’s old form', { 'quay.io': { auth: 'eA==' } }],
  ];
  it.each(refused)('unless it %s: then it stays as it is', async (_name, manifest) => {
    await write(manifest);
    const before = await readFile(file, 'utf8');
    expect((await failure(storeCredentials(QUAY, pilot, options))).code).toBe('INVALID_CONFIG');
    expect(await readFile(file, 'utf8')).toBe(before);
    expect(await readdir(join(dir, '.docker'))).toEqual(['config.json']);
  });

  it('unless it cannot be written', async () => {
    const authFile = join(dir, 'file/auth.json');
    await writeFile(join(dir, 'file'), '');
    const error = await failure(storeCredentials(QUAY, pilot, { ...options, authFile }));
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', details: { path: authFile } });
  });

  it('unless the user could not be told from the password', async () => {
    const error = await failure(storeCredentials(QUAY, { username: 'a:b', password: PASSWORD }, options));
    expect(error.code).toBe('INVALID_CONFIG');
  });
});

describe('logins at once', () => {
  it('are all kept', async () => {
    const hosts = Array.from({ length: 20 }, (_, at) => `reg${at}.example.com`);
    await Promise.all(hosts.map((host) => storeCredentials(parseLoginTarget(host), pilot, options)));
    expect(Object.keys(((await read()) as { auths: object }).auths).sort()).toEqual(hosts.sort());
  });

  it('with another tool, which takes no lock, are all kept', async () => {
    await write({ auths: { 'gcr.io': { auth: 'eA==' } } });
    let edits = 0;
    await editAuthFile(file, (manifest) => {
      edits += 1;
      Object.assign(manifest['auths'] as object, { 'quay.io': { auth: AUTH } });
      // It writes after we have read.
      if (edits === 1) writeTheirs({ auths: { 'ghcr.io': { auth: 'eQ==' } } });
      return true;
    });
    expect(edits).toBe(2);
    expect(await read()).toEqual({ auths: { 'ghcr.io': { auth: 'eQ==' }, 'quay.io': { auth: AUTH } } });
  });

  /** In one step, as docker does, and before anything else that is under way goes on. */
  function writeTheirs(manifest: unknown): void {
    writeFileSync(`${file}.theirs`, JSON.stringify(manifest));
    renameSync(`${file}.theirs`, file);
  }
});

describe('a login is kept by a helper', () => {
  it.each([
    ['for all', { credsStore: 'keeping' }],
    ['of the registry', { credsStore: 'missing', credHelpers: { 'quay.io': 'keeping' } }],
  ])('%s, which is told on its standard input alone', async (_name, manifest) => {
    const { kept, calls } = await placeKeepingHelper(dir, 'keeping');
    await write(manifest);
    const stored = await storeCredentials(QUAY, pilot, options);
    expect(stored).toEqual({ kept: 'helper', helper: 'docker-credential-keeping', path: file });
    const reported = { ServerURL: 'quay.io', Username: 'pilot', Secret: pilot.password };
    expect(JSON.parse(await kept())).toEqual(reported);
    expect(await calls()).toEqual([`store ${JSON.stringify(reported)}`]);
    expect(await read()).toEqual(manifest);
    expect(await defaultCredentials(options)('quay.io')).toEqual(pilot);
  });

  it('and no longer in the file', async () => {
    await placeKeepingHelper(dir, 'keeping');
    await write({ credsStore: 'keeping', auths: { 'https://quay.io': { auth: 'eA==' } } });
    await storeCredentials(QUAY, pilot, options);
    expect(await read()).toEqual({ credsStore: 'keeping', auths: { 'https://quay.io': {} } });
  });

  it('for Docker Hub by its old URL', async () => {
    const { kept } = await placeKeepingHelper(dir, 'keeping');
    await write({ credsStore: 'keeping' });
    await storeCredentials(HUB, { identityToken: IDENTITY }, options);
    const reported = { ServerURL: 'https://index.docker.io/v1/', Username: '<token>', Secret: IDENTITY };
    expect(JSON.parse(await kept())).toEqual(reported);
  });

  it('unless it is for a path, which goes to the file', async () => {
    await write({ credsStore: 'missing' });
    expect(await storeCredentials(TEAM, pilot, options)).toMatchObject({ kept: 'file', key: 'quay.io/team' });
  });

  it('or nowhere when the helper fails', async () => {
    await placeHelper(dir, 'failing', 'cat; exit 1');
    await write({ credsStore: 'failing' });
    const error = await failure(storeCredentials(QUAY, pilot, options));
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', details: { helper: 'docker-credential-failing' } });
    expect(JSON.stringify(error) + String(error.stack)).not.toContain(pilot.password);
    expect(await read()).toEqual({ credsStore: 'failing' });
  });
});

describe('a logout', () => {
  it('removes the entry, under all of its names, and nothing else', async () => {
    await write({
      auths: {
        'docker.io': { auth: AUTH },
        'https://index.docker.io/v1/': {},
        'docker.io/team': { auth: AUTH },
      },
      x: 1,
    });
    expect(await eraseCredentials(HUB, options)).toEqual({
      removed: [{ kept: 'file', path: file, key: 'docker.io' }],
      remaining: [],
    });
    expect(await read()).toEqual({ auths: { 'docker.io/team': { auth: AUTH } }, x: 1 });
  });

  it('of somebody who is not logged in changes nothing, and makes nothing', async () => {
    expect(await eraseCredentials(QUAY, options)).toEqual({ removed: [], remaining: [] });
    await expect(stat(join(dir, '.docker'))).rejects.toThrow('ENOENT');
    await write('{"auths":{"gcr.io":{}}}');
    await eraseCredentials(QUAY, options);
    expect(await readFile(file, 'utf8')).toBe('{"auths":{"gcr.io":{}}}');
  });

  it('asks the helper to forget', async () => {
    const { kept, calls } = await placeKeepingHelper(dir, 'keeping');
    await write({ credsStore: 'keeping', auths: { 'quay.io': {} } });
    await storeCredentials(QUAY, pilot, options);
    expect((await eraseCredentials(QUAY, options)).removed).toEqual([
      { kept: 'helper', helper: 'docker-credential-keeping', path: file },
    ]);
    expect(await kept()).toBe('');
    expect((await calls()).at(-1)).toBe('erase quay.io');
    expect(await read()).toEqual({ credsStore: 'keeping', auths: {} });
    expect((await eraseCredentials(QUAY, options)).removed).toEqual([]);
  });

  it('with a helper that is missing says so, after the file is clean', async () => {
    await write({ credsStore: 'missing', auths: { 'quay.io': { auth: AUTH } } });
    expect(await failure(eraseCredentials(QUAY, options))).toMatchObject({ code: 'INVALID_CONFIG' });
    expect(await read()).toEqual({ credsStore: 'missing', auths: {} });
  });

  it('says where else there still is an entry, and with everywhere removes it and those below', async () => {
    const other = join(dir, '.config/containers/auth.json');
    await write({ auths: { 'quay.io': { auth: AUTH }, 'quay.io/team': { auth: AUTH }, 'gcr.io': {} } });
    await write({ auths: { 'quay.io': { auth: AUTH } } }, other);
    const there = { kept: 'file', path: other, key: 'quay.io' };
    expect(await eraseCredentials(QUAY, options)).toMatchObject({ remaining: [there] });
    expect(await defaultCredentials(options)('quay.io', 'team/app')).toEqual(pilot);
    const { removed, remaining } = await eraseCredentials(QUAY, { ...options, everywhere: true });
    expect(removed).toEqual([{ kept: 'file', path: file, key: 'quay.io/team' }, there]);
    expect(remaining).toEqual([]);
    expect(await defaultCredentials(options)('quay.io', 'team/app')).toBeUndefined();
    expect(await read()).toEqual({ auths: { 'gcr.io': {} } });
  });

  it('from a path leaves the registry alone', async () => {
    await write({
      auths: { 'quay.io': { auth: AUTH }, 'quay.io/team': { auth: AUTH }, 'quay.io/teams': {} },
    });
    await eraseCredentials(TEAM, { ...options, everywhere: true });
    expect(await read()).toEqual({ auths: { 'quay.io': { auth: AUTH }, 'quay.io/teams': {} } });
  });
});

describe.skipIf(needsPeer('skopeo') !== undefined)('skopeo', () => {
  const skopeo = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('skopeo', args, { env: { ...process.env, HOME: dir, XDG_RUNTIME_DIR: dir } }))
      .stdout;

  it('finds what landfall has stored', async () => {
    const authFile = join(dir, 'auth.json');
    await storeCredentials(HUB, pilot, { ...options, authFile });
    expect(await skopeo('login', '--get-login', '--authfile', authFile, 'docker.io')).toBe('pilot\n');
  });
});
