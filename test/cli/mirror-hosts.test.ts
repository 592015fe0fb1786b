import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { mirrorHosts, mirrorUrl, parseUpstream } from '../../src/cli/commands/serve-plan.js';
import { hostsFromDirectories } from '../../src/registry/index.js';

const PLAIN = { ca: undefined, skipVerify: false, plainHttp: false };

describe('the hosts.toml of a mirror', () => {
  it('asks the mirror first, and then the registry itself', () => {
    const [file] = mirrorHosts({ ...PLAIN, upstreams: ['docker.io'], url: 'http://mirror.lan:5000' });
    expect(file).toEqual({
      path: 'docker.io/hosts.toml',
      content:
        'server = "https://registry-1.docker.io"\n\n[host."http://mirror.lan:5000"]\n  capabilities = ["pull", "resolve"]\n',
    });
  });

  it('says how the mirror is known by TLS', () => {
    const [file] = mirrorHosts({
      upstreams: ['quay.io'],
      url: 'https://mirror.lan',
      ca: '/etc/ssl/mirror "ca".pem',
      skipVerify: true,
      plainHttp: false,
    });
    expect(file?.content).toContain('  ca = "/etc/ssl/mirror \\"ca\\".pem"\n  skip_verify = true\n');
  });

  it.each([
    ['quay.io', 'https://quay.io'],
    ['reg.lan:5000', 'https://reg.lan:5000'],
    ['127.0.0.1:5000', 'http://127.0.0.1:5000'],
    ['localhost:5000', 'http://localhost:5000'],
  ])('goes on to %s at %s', (upstream, server) => {
    const [file] = mirrorHosts({ ...PLAIN, upstreams: [upstream], url: 'http://mirror.lan:5000' });
    expect(file?.content).toContain(`server = "${server}"\n`);
  });

  it('is read by landfall as it is meant', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-hosts-'));
    try {
      const upstreams = ['docker.io', 'reg.lan:5000'];
      for (const { path, content } of mirrorHosts({ ...PLAIN, upstreams, url: 'http://mirror.lan:5001' })) {
        await mkdir(dirname(join(directory, path)), { recursive: true });
        await writeFile(join(directory, path), content);
      }
      const hosts = hostsFromDirectories([directory], { onWarning: (text) => expect(text).toBe('') });
      const bases = async (registry: string): Promise<string[]> =>
        (await hosts(registry)).map(({ base, role }) => `${role} ${base.href}`);
      expect(await bases('docker.io')).toEqual([
        'mirror http://mirror.lan:5001/v2',
        'upstream https://registry-1.docker.io/v2',
      ]);
      expect(await bases('reg.lan:5000')).toEqual([
        'mirror http://mirror.lan:5001/v2',
        'upstream https://reg.lan:5000/v2',
      ]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('where a mirror is reached', () => {
  it.each([
    [undefined, { host: '127.0.0.1', port: 5000 }, false, 'http://127.0.0.1:5000'],
    [undefined, { host: '::1', port: 5000 }, true, 'https://[::1]:5000'],
    [undefined, { host: '0.0.0.0', port: 5000 }, false, `http://${hostname()}:5000`],
    ['mirror.lan:5000', { host: '0.0.0.0', port: 1 }, false, 'http://mirror.lan:5000'],
    ['mirror.lan', { host: '0.0.0.0', port: 1 }, true, 'https://mirror.lan'],
    ['https://mirror.lan:443/', { host: '0.0.0.0', port: 1 }, false, 'https://mirror.lan'],
  ])('is %s, or %j', (given, at, secure, url) => {
    expect(mirrorUrl(given, { at, secure })).toBe(url);
  });

  it.each(['', 'https://mirror.lan/v2', 'ftp://mirror.lan', 'http://a:b@mirror.lan', 'not a host'])(
    'is not %j',
    (given) => {
      const at = { host: '0.0.0.0', port: 1 };
      expect(() => mirrorUrl(given, { at, secure: false })).toThrow(/is not where nodes reach a mirror/);
    },
  );
});

describe('the name of an upstream', () => {
  it.each([
    ['docker.io', 'docker.io'],
    ['index.docker.io', 'docker.io'],
    ['reg.lan:5000', 'reg.lan:5000'],
    ['localhost', 'localhost'],
    ['[::1]:5000', '[::1]:5000'],
  ])('%s is %s', (text, registry) => {
    expect(parseUpstream(text)).toBe(registry);
  });

  it.each(['', 'hub', 'https://quay.io', 'quay.io/team', 'quay.io@x', 'a b.c', '1.2.3.999'])(
    'is not %j',
    (text) => {
      expect(() => parseUpstream(text)).toThrow(/is not a registry/);
    },
  );
});
