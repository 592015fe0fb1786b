import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { defaultHost, type HostConfig, type HostsProvider } from '../../../src/registry/hosts/host-config.js';
import { hostsFromDirectories } from '../../../src/registry/hosts/hosts-directory.js';
import { CertificateAuthority } from '../../support/certificate-authority.js';
import { failure } from '../../support/registry-fixture.js';

let top = '';
let now = 0;
let warnings: string[] = [];
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'hosts-'));
  now = 0;
  warnings = [];
});
afterEach(async () => {
  await rm(top, { recursive: true });
});

/** Long ago, so that the file counts as settled. */
const LONG_AGO = new Date('2020-01-01T00:00:00Z');

async function place(name: string, content: string, modified: Date = LONG_AGO): Promise<string> {
  const path = join(top, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  await utimes(path, modified, modified);
  await utimes(dirname(path), modified, modified);
  return path;
}

const provider = (...directories: string[]): HostsProvider =>
  hostsFromDirectories(
    directories.map((name) => join(top, name)),
    { onWarning: (text) => warnings.push(text), now: () => now },
  );
const mirror = (name: string): string => `server = "https://upstream.lan"\n[host."https://${name}"]\n`;
const names = (hosts: readonly HostConfig[]): string[] => hosts.map(({ base }) => base.host);

const authority = new CertificateAuthority();
const client = authority.client();
const otherKey = authority.client().key;
const encrypted = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 's3cret' })
  .toString();

describe('without configuration', () => {
  it.each<[registry: string, base: string, mayBePlain: boolean]>([
    ['docker.io', 'https://registry-1.docker.io/v2', false],
    ['quay.io', 'https://quay.io/v2', false],
    ['quay.io:443', 'https://quay.io/v2', false],
    ['registry.lan:5000', 'https://registry.lan:5000/v2', false],
    ['localhost:5000', 'https://localhost:5000/v2', true],
    ['127.0.0.254', 'https://127.0.0.254/v2', true],
    ['[::1]:5000', 'https://[::1]:5000/v2', true],
    ['127.0.0.1.nip.io', 'https://127.0.0.1.nip.io/v2', false],
  ])('%s is at its own address', async (registry, base, mayBePlain) => {
    const [host, ...more] = await provider('a', 'b')(registry);
    expect(host).toMatchObject({
      base: new URL(base),
      role: 'upstream',
      capabilities: new Set(['pull', 'resolve', 'push']),
      connection: {},
      headers: {},
      credentials: 'own',
      rewrite: [],
      why: 'the registry itself',
    });
    expect(host?.mayBePlain).toBe(mayBePlain ? true : undefined);
    expect(more).toEqual([]);
  });

  it.each<[registry: string, why: string]>([
    ['registry.lan:99999', 'no such port'],
    ['1.2.3.999', 'no address'],
    ['a/b', 'a path'],
    ['..', 'a path'],
    ['_default', 'the name of an entry'],
    ['user@host', 'a user'],
    ['', 'nothing'],
  ])('%j is none: %s', async (registry) => {
    expect(await failure(provider('a')(registry))).toMatchObject({ code: 'INVALID_REFERENCE' });
  });
});

describe('finds the entry', () => {
  const rows: [name: string, registry: string, entries: string[], expected: string | undefined][] = [
    ['by name', 'quay.io', ['a/quay.io', 'a/docker.io'], 'a/quay.io'],
    ['by name and port', 'reg.lan:5000', ['a/reg.lan:5000', 'a/reg.lan'], 'a/reg.lan:5000'],
    [
      'of a port between underscores first',
      'reg.lan:5000',
      ['a/reg.lan:5000', 'a/reg.lan_5000_'],
      'a/reg.lan_5000_',
    ],
    ['of an IPv6 address', '[::1]:5000', ['a/[::1]_5000_'], 'a/[::1]_5000_'],
    ['for all', 'quay.io', ['a/_default', 'a/docker.io'], 'a/_default'],
    ['of its own before that for all', 'quay.io', ['a/_default', 'a/quay.io'], 'a/quay.io'],
    ['of no other port', 'reg.lan:5000', ['a/reg.lan', 'a/reg.lan_5001_'], undefined],
    ['in the first directory that has one', 'quay.io', ['a/quay.io', 'b/quay.io'], 'a/quay.io'],
    ['in the second', 'quay.io', ['a/docker.io', 'b/quay.io'], 'b/quay.io'],
    [
      'for all in the first before its own in the second',
      'quay.io',
      ['a/_default', 'b/quay.io'],
      'a/_default',
    ],
  ];
  it.each(rows)('%s', async (_name, registry, entries, expected) => {
    for (const [at, entry] of entries.entries())
      await place(`${entry}/hosts.toml`, mirror(`mirror${at}.lan`));
    const hosts = await provider('a', 'b')(registry);
    if (expected === undefined) expect(names(hosts)).toEqual([registry]);
    else expect(hosts[0]?.why).toBe(`mirror 1 in ${join(top, expected, 'hosts.toml')}`);
  });

  it('behind links, as a ConfigMap lies', async () => {
    await place('..data/hosts.toml', mirror('mirror.lan'));
    await mkdir(join(top, 'a'));
    await symlink(join(top, '..data'), join(top, 'a/quay.io'));
    expect(names(await provider('a')('quay.io'))).toEqual(['mirror.lan', 'upstream.lan']);
  });
});

describe('of a hosts.toml', () => {
  it('makes hosts in order, and says why each is there', async () => {
    const file = await place(
      'a/docker.io/hosts.toml',
      `
server = "https://docker.io"
ca = "ca.pem"
[landfall]
max_connections = 8

[host."http://10.0.0.1:5000"]
capabilities = ["pull"]
skip_verify = true
dial_timeout = "2s"
client = [["tls/client.cert", "tls/client.key"]]
header.X-Team = ["a", "b"]
[host."http://10.0.0.1:5000".landfall]
credentials = "upstream"
requests_per_second = 3
rewrite = { "^library/" = "hub/" }
`,
    );
    await place('a/docker.io/ca.pem', `Some words.\n${authority.cert}`);
    await place('a/docker.io/tls/client.cert', client.cert);
    await place('a/docker.io/tls/client.key', client.key);
    expect(await provider('a')('docker.io')).toEqual([
      {
        base: new URL('https://10.0.0.1:5000/v2'),
        mayBePlain: true,
        role: 'mirror',
        capabilities: new Set(['pull']),
        connection: {
          insecure: true,
          dialTimeoutMs: 2_000,
          client: [{ cert: Buffer.from(client.cert), key: Buffer.from(client.key) }],
        },
        headers: { 'x-team': 'a, b' },
        credentials: 'upstream',
        rewrite: [{ pattern: /^library\//g, replacement: 'hub/' }],
        requestsPerSecond: 3,
        why: `mirror 1 in ${file}`,
      },
      {
        ...defaultHost('docker.io'),
        connection: { ca: [authority.cert.trim()] },
        maxConnections: 8,
        why: `server in ${file}`,
      },
    ]);
  });

  it('passes over what is no certificate beside one that is', async () => {
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    await place('a/quay.io/hosts.toml', 'ca = ["ca.pem"]');
    await place('a/quay.io/ca.pem', broken + authority.cert);
    const [host] = await provider('a')('quay.io');
    expect(host?.connection.ca).toEqual([authority.cert.trim()]);
  });

  it('takes the registry itself, with the fields at the top, where there is no server', async () => {
    await place('a/localhost:5000/hosts.toml', 'skip_verify = true\n[host."https://mirror.lan"]');
    expect((await provider('a')('localhost:5000'))[1]).toEqual({
      ...defaultHost('localhost:5000'),
      connection: { insecure: true },
    });
  });

  it.each<[name: string, registry: string, address: string, role: HostConfig['role']]>([
    ['another host', 'quay.io', 'https://mirror.lan', 'mirror'],
    ['its own host', 'quay.io', 'https://quay.io', 'upstream'],
    ['its own host at another port', 'quay.io', 'https://quay.io:5000', 'mirror'],
    ['its own host with the usual port', 'quay.io', 'https://quay.io:443', 'upstream'],
    ['its own host without TLS', 'reg.lan:80', 'http://reg.lan', 'upstream'],
    ['Docker Hub', 'docker.io', 'https://registry-1.docker.io', 'upstream'],
    ['Docker Hub by its old name', 'docker.io', 'https://index.docker.io/v2', 'upstream'],
    ['Docker Hub for others', 'quay.io', 'https://registry-1.docker.io', 'mirror'],
  ])('gives credentials by where a host is: %s', async (_name, registry, address, role) => {
    await place('a/_default/hosts.toml', `server = "${address}"\n[host."${address}"]`);
    expect((await provider('a')(registry)).map((host) => host.role)).toEqual([role, role]);
  });

  it('has a host find its credentials in a file of its own, as the file is then', async () => {
    const auth = (user: string): string =>
      JSON.stringify({ auths: { 'mirror.lan': { auth: Buffer.from(`${user}:pass`).toString('base64') } } });
    await place(
      'a/quay.io/hosts.toml',
      '[host."https://mirror.lan"]\nlandfall.credentials.file = "auth.json"',
    );
    const [host] = await provider('a')('quay.io');
    if (typeof host?.credentials !== 'function') throw new Error('no provider');
    await place('a/quay.io/auth.json', auth('one'));
    expect(await host.credentials('quay.io')).toEqual({ username: 'one', password: 'pass' });
    await place('a/quay.io/auth.json', auth('two'));
    expect(await host.credentials('quay.io', 'team/app')).toEqual({ username: 'two', password: 'pass' });
  });
});

describe('of docker’s certificates', () => {
  beforeEach(async () => {
    await place('a/reg.lan:5000/ca.crt', authority.cert);
    await place('a/reg.lan:5000/client.cert', client.cert + client.key);
    await mkdir(join(top, 'a/reg.lan:5000/directory.crt'));
  });

  it.each<[string, string | undefined]>([
    ['where there is no hosts.toml', undefined],
    ['where it is empty', ''],
  ])('makes the registry itself %s', async (_name, toml) => {
    if (toml !== undefined) await place('a/reg.lan:5000/hosts.toml', toml);
    const both = Buffer.from(client.cert + client.key);
    expect(await provider('a')('reg.lan:5000')).toEqual([
      {
        ...defaultHost('reg.lan:5000'),
        connection: { ca: [authority.cert.trim()], client: [{ cert: both, key: both }] },
      },
    ]);
  });

  it('takes none where there is a hosts.toml, though it says nothing', async () => {
    await place('a/reg.lan:5000/hosts.toml', '# nothing');
    expect(await provider('a')('reg.lan:5000')).toEqual([defaultHost('reg.lan:5000')]);
  });

  it('says which file is at fault', async () => {
    const path = await place('a/reg.lan:5000/other.cert', client.cert);
    expect(await failure(provider('a')('reg.lan:5000'))).toMatchObject({
      code: 'INVALID_CONFIG',
      message: `${path} has no private key in PEM`,
    });
  });
});

describe('refuses', () => {
  const rows: [name: string, toml: string, file: string, content: string | undefined, what: string][] = [
    ['an authority that is not there', 'ca = "ca.pem"', 'ca.pem', undefined, 'is not there'],
    ['an authority without a certificate', 'ca = ["ca.pem"]', 'ca.pem', 's3cret', 'holds no certificate'],
    [
      'an authority that is too large',
      'ca = "ca.pem"',
      'ca.pem',
      authority.cert + ' '.repeat(1 << 20),
      'has more than 1.0 MB',
    ],
    ['an authority that is a directory', 'ca = ""', '', undefined, 'is not a file'],
    ['a device', 'ca = "/dev/zero"', '/dev/zero', undefined, 'is not a file'],
    ['a client that is not there', 'client = "c.pem"', 'c.pem', undefined, 'is not there'],
    ['a client without a key', 'client = "c.pem"', 'c.pem', client.cert, 'has no private key'],
    ['a client without a certificate', 'client = "c.pem"', 'c.pem', client.key, 'holds no certificate'],
    [
      'a client with another’s key',
      'client = "c.pem"',
      'c.pem',
      client.cert + otherKey,
      'has the key of another certificate',
    ],
    [
      'a client with an encrypted key',
      'client = "c.pem"',
      'c.pem',
      client.cert + encrypted,
      'has a key that cannot be used',
    ],
    ['a key that is not there', 'client = [["hosts.toml", "c.key"]]', 'c.key', undefined, 'is not there'],
  ];
  it.each(rows)('%s, naming file, line and key', async (_name, toml, name, content, what) => {
    const file = await place('a/quay.io/hosts.toml', `# s3cret\n${toml}`);
    if (content !== undefined) await place(`a/quay.io/${name}`, content);
    const error = await failure(provider('a')('quay.io'));
    const [key = ''] = toml.split(' ');
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', details: { file, line: 2, key } });
    const named = name.startsWith('/') ? name : join(top, 'a/quay.io', name).replace(/\/$/, '');
    expect(error.message).toContain(`${file}:2: ${key} names ${named}, which ${what}`);
    expect(JSON.stringify(error) + String(error.stack) + String(error.cause)).not.toContain('s3cret');
  });

  it.each<[name: string, prepare: () => Promise<unknown>, says: string]>([
    ['a file that is no TOML', () => place('a/quay.io/hosts.toml', 'server = "'), 'hosts.toml:1: not TOML'],
    [
      'a hosts.toml that is a directory',
      () => place('a/quay.io/hosts.toml/x', ''),
      'hosts.toml is not a file',
    ],
    ['an entry that is a file', () => place('a/quay.io', ''), 'quay.io is not a directory'],
    ['a directory that is a file', () => place('a', ''), 'cannot be read (ENOTDIR)'],
    ['a loop of links', () => symlink('a', join(top, 'a')), 'cannot be read (ELOOP)'],
  ])('%s', async (_name, prepare, says) => {
    await prepare();
    const error = await failure(provider('a')('quay.io'));
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringContaining(says) as string });
  });

  it('text in another encoding', async () => {
    const path = await place('a/quay.io/hosts.toml', '');
    await writeFile(path, Buffer.from('# b\xfccher', 'latin1'));
    expect(await failure(provider('a')('quay.io'))).toMatchObject({
      code: 'INVALID_CONFIG',
      message: `${path} is not text in UTF-8`,
    });
  });

  it('a directory that may not be read', async () => {
    await place('a/quay.io/hosts.toml', '');
    await chmod(join(top, 'a'), 0);
    await chmod(top, 0o755);
    const hosts = provider('a');
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      expect(await failure(hosts('quay.io'))).toMatchObject({
        code: 'INVALID_CONFIG',
        message: expect.stringContaining('cannot be read (EACCES)') as string,
      });
    } finally {
      if (isRoot) process.seteuid?.(0);
      await chmod(join(top, 'a'), 0o755);
    }
  });
});

describe('when files change', () => {
  const LATER = new Date('2021-01-01T00:00:00Z');

  it.each<[name: string, change: () => Promise<unknown>, expected: string[]]>([
    [
      'a hosts.toml',
      () => place('b/quay.io/hosts.toml', mirror('new.lan'), LATER),
      ['new.lan', 'upstream.lan'],
    ],
    [
      'a directory that comes',
      () => place('a/quay.io/hosts.toml', mirror('new.lan')),
      ['new.lan', 'upstream.lan'],
    ],
    ['an entry for all that comes before', () => place('a/_default/hosts.toml', ''), ['quay.io']],
    ['an entry that goes', () => rm(join(top, 'b/quay.io'), { recursive: true }), ['quay.io']],
    ['a hosts.toml that goes', () => rm(join(top, 'b/quay.io/hosts.toml')), ['quay.io']],
  ])('notices %s after a second, not before', async (_name, change, expected) => {
    await place('b/quay.io/hosts.toml', mirror('old.lan'));
    const hosts = provider('a', 'b');
    const before = await hosts('quay.io');
    expect(names(before)).toEqual(['old.lan', 'upstream.lan']);
    await change();
    now += 999;
    expect(await hosts('quay.io')).toBe(before);
    now += 1;
    expect(names(await hosts('quay.io'))).toEqual(expected);
  });

  it('notices another certificate', async () => {
    await place('a/quay.io/hosts.toml', 'ca = "../../ca.pem"');
    await place('ca.pem', new CertificateAuthority('old').cert);
    const hosts = provider('a');
    await hosts('quay.io');
    await place('ca.pem', authority.cert, LATER);
    now += 1_000;
    expect((await hosts('quay.io'))[0]?.connection.ca).toEqual([authority.cert.trim()]);
  });

  it('notices one of docker’s certificates that comes', async () => {
    await place('a/quay.io/other', '');
    const hosts = provider('a');
    expect((await hosts('quay.io'))[0]?.connection.ca).toBeUndefined();
    await place('a/quay.io/ca.crt', authority.cert, LATER);
    now += 1_000;
    expect((await hosts('quay.io'))[0]?.connection.ca).toEqual([authority.cert.trim()]);
  });

  it('notices a second change within one tick of the clock', async () => {
    const tick = new Date(Math.floor(Date.now() / 1000) * 1000);
    await place('a/quay.io/hosts.toml', mirror('one.lan'), tick);
    const hosts = provider('a');
    expect(names(await hosts('quay.io'))).toContain('one.lan');
    await place('a/quay.io/hosts.toml', mirror('two.lan'), tick);
    now += 1_000;
    expect(names(await hosts('quay.io'))).toContain('two.lan');
  });

  it('gives the same objects while they say the same, and warns once', async () => {
    const file = await place('a/quay.io/hosts.toml', `${mirror('mirror.lan')}odd = 1`);
    const hosts = provider('a');
    const [first, ...others] = await Promise.all(Array.from({ length: 20 }, () => hosts('quay.io')));
    for (const other of others) expect(other).toBe(first);
    now += 1_000;
    expect(await hosts('quay.io')).toBe(first);
    await utimes(file, LATER, LATER);
    expect((await stat(file)).mtime).toEqual(LATER);
    now += 1_000;
    expect(await hosts('quay.io')).toBe(first);
    expect(warnings).toEqual([expect.stringContaining(`${file}:3: host."https://mirror.lan".odd`)]);
  });

  it('gives registries of one entry hosts of their own', async () => {
    await place('a/_default/hosts.toml', '[host."https://mirror.lan"]');
    const hosts = provider('a');
    expect(names(await hosts('quay.io'))).toEqual(['mirror.lan', 'quay.io']);
    expect(names(await hosts('ghcr.io'))).toEqual(['mirror.lan', 'ghcr.io']);
  });

  it('fails while they are broken, and then goes on where it was', async () => {
    await place('a/quay.io/hosts.toml', mirror('mirror.lan'));
    const hosts = provider('a');
    const before = await hosts('quay.io');
    await place('a/quay.io/hosts.toml', 'server = ', LATER);
    now += 1_000;
    expect(await failure(hosts('quay.io'))).toMatchObject({ code: 'INVALID_CONFIG' });
    expect(await failure(hosts('quay.io'))).toMatchObject({ code: 'INVALID_CONFIG' });
    await place('a/quay.io/hosts.toml', mirror('mirror.lan'));
    expect(await hosts('quay.io')).toBe(before);
  });

  it('is mended at once where it never worked', async () => {
    await place('a/quay.io/hosts.toml', 'server = ');
    const hosts = provider('a');
    expect(await failure(hosts('quay.io'))).toMatchObject({ code: 'INVALID_CONFIG' });
    await place('a/quay.io/hosts.toml', mirror('mirror.lan'));
    expect(names(await hosts('quay.io'))).toEqual(['mirror.lan', 'upstream.lan']);
  });
});
