import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { type Credentials, defaultCredentials } from '../../../src/registry/index.js';
import { placeHelper, placeKeepingHelper } from '../../support/fake-helper.js';
import { failure } from '../../support/registry-fixture.js';
import { secret } from '../../support/secrets.js';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'docker-config-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

const auth = (text: string): { auth: string } => ({ auth: Buffer.from(text).toString('base64') });
const PASSWORD = secret('boat-hook-17');
const OTHERS = secret('of-another-user');
const IDENTITY = secret('identity-in-a-file');
const REGISTRY_TOKEN = secret('registry-token-in-a-file');
const LEAK = secret('s3cret-not-to-tell');
const pilot = { username: 'pilot', password: PASSWORD };
const AUTH = auth(`pilot:${PASSWORD}`);

async function find(
  manifest: unknown,
  registry: string,
  repository?: string,
  helperTimeoutMs = 20_000,
): Promise<Credentials | undefined> {
  const authFile = join(dir, 'auth.json');
  await writeFile(authFile, typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  const env = { PATH: `${dir}:${process.env['PATH'] ?? ''}` };
  return await defaultCredentials({ authFile, env, helperTimeoutMs })(registry, repository);
}

describe('finds', () => {
  const rows: [name: string, auths: object, registry: string, expected: Credentials | undefined][] = [
    ['a pair', { 'quay.io': AUTH }, 'quay.io', pilot],
    [
      'a password with colons',
      { 'quay.io': auth(`pilot:with:${PASSWORD}`) },
      'quay.io',
      { username: 'pilot', password: `with:${PASSWORD}` },
    ],
    ['a password that docker padded', { 'quay.io': auth(`pilot:${PASSWORD}\0\0`) }, 'quay.io', pilot],
    ['a pair in two fields', { 'quay.io': pilot }, 'quay.io', pilot],
    [
      'an identity token',
      { 'quay.io': { ...auth('x:'), identitytoken: IDENTITY } },
      'quay.io',
      { identityToken: IDENTITY },
    ],
    [
      'an identity token as a password',
      { 'quay.io': auth(`<token>:${IDENTITY}`) },
      'quay.io',
      { identityToken: IDENTITY },
    ],
    [
      'a registry token',
      { 'quay.io': { registrytoken: REGISTRY_TOKEN } },
      'quay.io',
      { registryToken: REGISTRY_TOKEN },
    ],
    ['Docker Hub by its old key', { 'https://index.docker.io/v1/': AUTH }, 'docker.io', pilot],
    ['Docker Hub by its name', { 'docker.io': AUTH }, 'docker.io', pilot],
    ['a key that is a URL', { 'https://quay.io/v2/': AUTH }, 'quay.io', pilot],
    [
      'the exact key first',
      { 'https://quay.io': auth(`other:${OTHERS}`), 'quay.io': AUTH },
      'quay.io',
      pilot,
    ],
    ['a port', { '127.0.0.1:5000': AUTH }, '127.0.0.1:5000', pilot],
    ['nothing for another port', { '127.0.0.1:5000': AUTH }, '127.0.0.1:5001', undefined],
    ['nothing for another host', { 'quay.io': AUTH }, 'evil-quay.io', undefined],
    ['nothing in a key for one repository', { 'quay.io/team/app': AUTH }, 'quay.io', undefined],
    ['nothing in an empty entry', { 'quay.io': {} }, 'quay.io', undefined],
  ];
  it.each(rows)('%s', async (_name, auths, registry, expected) => {
    expect(await find({ auths }, registry)).toEqual(expected);
  });

  it('nothing where there are no auths', async () => {
    expect(await find({ HttpHeaders: { 'X-Team': 'harbour' } }, 'quay.io')).toBeUndefined();
  });

  it('nothing in an empty file', async () => {
    expect(await find('', 'quay.io')).toBeUndefined();
  });

  it('what is for a repository, by the longest path', async () => {
    const auths = {
      'quay.io': auth(`all:${PASSWORD}`),
      'quay.io/team': auth(`team:${PASSWORD}`),
      'quay.io/team/app': auth(`app:${PASSWORD}`),
      'quay.io/empty': {},
    };
    const userFor = async (repository?: string): Promise<unknown> =>
      await find({ auths }, 'quay.io', repository);
    expect(await userFor('team/app')).toMatchObject({ username: 'app' });
    expect(await userFor('team/other')).toMatchObject({ username: 'team' });
    expect(await userFor('teamwork/app')).toMatchObject({ username: 'all' });
    expect(await userFor('empty/app')).toMatchObject({ username: 'all' });
    expect(await userFor()).toMatchObject({ username: 'all' });
  });
});

describe('reads', () => {
  const inner = { auths: { '*.example.com': AUTH } };
  const encoded = Buffer.from(JSON.stringify(inner)).toString('base64');
  const old = { 'reg.example.com': { ...AUTH, email: 'p@example.com' } };
  const encodedOld = Buffer.from(JSON.stringify(old)).toString('base64');
  const kubernetes = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'pull' } };
  it.each<[string, unknown]>([
    ['what a secret holds', inner],
    [
      'a secret of Kubernetes',
      { ...kubernetes, type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': encoded } },
    ],
    ['a secret in plain text', { ...kubernetes, stringData: { '.dockerconfigjson': JSON.stringify(inner) } }],
    [
      'a secret of the old kind',
      { ...kubernetes, type: 'kubernetes.io/dockercfg', data: { '.dockercfg': encodedOld } },
    ],
    ['docker’s old .dockercfg', old],
  ])('%s', async (_name, manifest) => {
    expect(await find(manifest, 'reg.example.com', 'team/app')).toEqual(pilot);
    expect(await find(manifest, 'reg.example.org', 'team/app')).toBeUndefined();
  });
});

describe('a credential helper', () => {
  const answers = (username: string, password: string): string =>
    `cat > /dev/null; echo '${JSON.stringify({ ServerURL: 'x', Username: username, Secret: password })}'`;
  const NOT_FOUND = 'echo credentials not found in native keychain; exit 1';

  it('is asked about the registry, by its standard input', async () => {
    const { calls } = await placeKeepingHelper(dir, 'noting');
    expect(await find({ credsStore: 'noting' }, 'quay.io', 'team/app')).toBeUndefined();
    expect(await calls()).toEqual(['get quay.io']);
  });

  it('is asked about Docker Hub by its old URL, then by its name', async () => {
    const { calls } = await placeKeepingHelper(dir, 'hub');
    await find({ credHelpers: { 'docker.io': 'hub' } }, 'docker.io', 'library/alpine');
    expect(await calls()).toEqual(['get https://index.docker.io/v1/', 'get docker.io']);
  });

  const rows: [name: string, manifest: object, expected: Credentials | undefined][] = [
    ['for all gives the answer', { credsStore: 'pilot' }, pilot],
    [
      'for the registry comes before the one for all',
      { credsStore: 'other', credHelpers: { 'quay.io': 'pilot' } },
      pilot,
    ],
    ['for another registry is not asked', { credHelpers: { 'gcr.io': 'missing' } }, undefined],
    ['with an identity token says so by the user', { credsStore: 'token' }, { identityToken: IDENTITY }],
    [
      'comes before the file’s own entry',
      { credsStore: 'pilot', auths: { 'quay.io': auth(`old:${OTHERS}`) } },
      pilot,
    ],
    [
      'comes after an entry for the repository',
      { credsStore: 'other', auths: { 'quay.io/team': AUTH } },
      pilot,
    ],
    ['that has nothing leaves it to the file', { credsStore: 'empty', auths: { 'quay.io': AUTH } }, pilot],
    ['that has nothing is no failure', { credsStore: 'empty' }, undefined],
    ['that answers no secret has nothing', { credsStore: 'blank' }, undefined],
    ['that is missing leaves it to the file', { credsStore: 'missing', auths: { 'quay.io': AUTH } }, pilot],
    ['that fails leaves it to the file', { credsStore: 'failing', auths: { 'quay.io': AUTH } }, pilot],
    ['without a name is none', { credsStore: 'other', credHelpers: { 'quay.io': '' } }, undefined],
  ];
  it.each(rows)('%s', async (_name, manifest, expected) => {
    await placeHelper(dir, 'pilot', answers('pilot', PASSWORD));
    await placeHelper(dir, 'other', answers('other', OTHERS));
    await placeHelper(dir, 'token', answers('<token>', IDENTITY));
    await placeHelper(dir, 'blank', answers('', ''));
    await placeHelper(dir, 'empty', NOT_FOUND);
    await placeHelper(dir, 'failing', `echo ${LEAK}; exit 3`);
    expect(await find(manifest, 'quay.io', 'team/app')).toEqual(expected);
  });

  const broken: [name: string, script: string | undefined, fault: string, timeoutMs?: number][] = [
    ['is missing', undefined, 'is not on PATH'],
    ['fails', `echo ${LEAK}; echo ${LEAK} >&2; exit 3`, 'failed to get (exit code 3)'],
    ['prints garbage', `echo ${LEAK}`, 'prints something that is not JSON'],
    ['prints a list', `echo '["${LEAK}"]'`, 'prints something that is not JSON'],
    [
      'prints a number for the secret',
      `echo '{"Username":"${LEAK}","Secret":7}'`,
      'prints no user and secret',
    ],
    ['prints without end', `yes ${LEAK}`, 'prints more than credentials can have'],
    ['hangs', 'exec sleep 600', 'does not answer', 50],
    ['is killed', 'kill -9 $$', 'failed to get (exit code none: it was killed)'],
  ];
  it.each(broken)(
    'that %s is named, without a word of what it prints',
    async (_name, script, fault, timeoutMs) => {
      if (script !== undefined) await placeHelper(dir, 'broken', script);
      const name = script === undefined ? 'missing' : 'broken';
      const error = await failure(
        find({ credHelpers: { 'quay.io': name } }, 'quay.io', undefined, timeoutMs),
      );
      expect(error).toMatchObject({
        code: 'INVALID_CONFIG',
        message: `docker-credential-${name}, which ${join(dir, 'auth.json')} names, ${fault}`,
      });
      expect(JSON.stringify(error) + String(error.stack)).not.toContain('s3cret');
    },
  );

  it('cannot be a path', async () => {
    const error = await failure(find({ credsStore: '../../tmp/evil' }, 'quay.io'));
    expect(error).toMatchObject({
      code: 'INVALID_CONFIG',
      message: `${join(dir, 'auth.json')} names a credential helper that cannot be one`,
    });
  });

  it('may say what it likes on standard error', async () => {
    await placeHelper(dir, 'chatty', `head -c 1000000 /dev/zero >&2\n${answers('pilot', PASSWORD)}`);
    expect(await find({ credsStore: 'chatty' }, 'quay.io', undefined, 5_000)).toEqual(pilot);
  });

  it('that hangs keeps nothing of ours, though what it has started goes on', async () => {
    const pipes = (): number => process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;
    const before = pipes();
    await placeHelper(dir, 'hanging', 'sleep 10');
    expect((await failure(find({ credsStore: 'hanging' }, 'quay.io', undefined, 50))).code).toBe(
      'INVALID_CONFIG',
    );
    await vi.waitFor(() => expect(pipes()).toBe(before), 5_000);
  });

  it('is asked once by all who want its registry at one moment', async () => {
    const log = join(dir, 'many.log');
    // Slow enough that all of them wait for it.
    await placeHelper(dir, 'many', `echo "$1 $(cat)" >> '${log}'; sleep 0.3; ${NOT_FOUND}`);
    await writeFile(join(dir, 'auth.json'), JSON.stringify({ credsStore: 'many' }));
    const env = { PATH: `${dir}:/usr/bin:/bin` };
    const provider = defaultCredentials({ authFile: join(dir, 'auth.json'), env });
    await Promise.all(['a', 'b', 'c', 'd'].map((repository) => provider('quay.io', repository)));
    expect(await readFile(log, 'utf8')).toBe('get quay.io\n');
  });
});

describe('refuses, without a word of what the file holds,', () => {
  it.each<[string, unknown]>([
    ['what is not JSON', `{"auths": {"quay.io": {"auth": "${LEAK}`],
    ['a list', [LEAK]],
    ['auths that are a list', { auths: [LEAK] }],
    ['an entry that is a string', { auths: { 'quay.io': LEAK } }],
    ['an auth without a colon', { auths: { 'quay.io': auth(LEAK) } }],
  ])('%s', async (_name, manifest) => {
    const error = await failure(find(manifest, 'quay.io'));
    expect(error.code).toBe('INVALID_CONFIG');
    expect(JSON.stringify(error) + String(error.stack)).not.toContain('s3cret');
  });
});

describe('looks', () => {
  async function place(name: string, user: string): Promise<string> {
    await writeFile(join(dir, name), JSON.stringify({ auths: { 'quay.io': auth(`${user}:${PASSWORD}`) } }));
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

  it('in docker’s file, then in that of this session, then in the lasting one of containers’ tools', async () => {
    const home = join(dir, 'home');
    const runtime = join(dir, 'runtime');
    const files: [string, string][] = [
      [join(home, '.docker'), 'config.json'],
      [join(runtime, 'containers'), 'auth.json'],
      [join(home, '.config/containers'), 'auth.json'],
    ];
    const env = { HOME: home, XDG_RUNTIME_DIR: runtime };
    const users = ['docker', 'session', 'lasting'];
    for (const [at, [folder, name]] of [...files.entries()].reverse()) {
      await mkdir(folder, { recursive: true });
      await writeFile(
        join(folder, name),
        JSON.stringify({ auths: { 'quay.io': auth(`${users[at]}:${PASSWORD}`) } }),
      );
      expect(await userOf({ env })).toBe(users[at]);
    }
    const reported = { authFile: await place('empty.json', ''), env };
    await writeFile(reported.authFile, '{}');
    expect(await userOf(reported)).toBeUndefined();
    expect(await userOf({ env: { ...env, REGISTRY_AUTH_FILE: reported.authFile } })).toBeUndefined();
  });

  it('past a helper that is missing, in a later file', async () => {
    const home = join(dir, 'home');
    await writeFile(join(home, '.docker/config.json'), JSON.stringify({ credsStore: 'missing' }));
    await rm(join(dir, 'runtime'), { recursive: true });
    const env = { HOME: home, XDG_RUNTIME_DIR: join(dir, 'runtime'), PATH: dir };
    expect(await userOf({ env })).toBe('lasting');
    expect(await failure(defaultCredentials({ env })('ghcr.io'))).toMatchObject({
      details: { helper: 'docker-credential-missing' },
    });
  });

  it('last in further files, where they are there, each time anew', async () => {
    const further = join(dir, 'pull-secret.json');
    const furtherFiles = [join(dir, 'never-there.json'), further];
    const authFile = await place('told.json', 'told');
    const empty = await place('empty.json', '');
    await writeFile(empty, '{}');
    expect(await userOf({ authFile: empty, furtherFiles })).toBeUndefined();
    await place('pull-secret.json', 'further');
    expect(await userOf({ authFile: empty, furtherFiles })).toBe('further');
    expect(await userOf({ authFile, furtherFiles })).toBe('told');
    expect(await userOf({ env: { REGISTRY_AUTH_FILE: empty }, furtherFiles })).toBe('further');
    expect(await userOf({ env: { HOME: join(dir, 'nobody') }, furtherFiles })).toBe('further');
    const absent = defaultCredentials({ authFile: join(dir, 'absent'), furtherFiles });
    expect(await failure(absent('quay.io'))).toMatchObject({ code: 'INVALID_CONFIG' });
  });

  it('below HOME, where a missing file is none', async () => {
    expect(await userOf({ env: { HOME: join(dir, 'nobody') } })).toBeUndefined();
  });

  it('in vain where it is told of a file that is not there', async () => {
    const provider = defaultCredentials({ authFile: join(dir, 'absent') });
    expect(await failure(provider('quay.io'))).toMatchObject({ code: 'INVALID_CONFIG' });
  });
});
