import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { formatReference, parseReference } from '../../../src/spec/index.js';
import { parsePolicy } from '../../../src/trust/policy/parse-policy.js';
import { governingRule } from '../../../src/trust/policy/policy-file.js';
import { fileImage, type PolicyImage, registryImage } from '../../../src/trust/policy/policy-image.js';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('an image at a registry', () => {
  // As containers/image: docker/policyconfiguration/naming_test.go.
  it.each<[string, readonly string[]]>([
    ['example.com/ns/repo', ['example.com/ns/repo', 'example.com/ns', 'example.com', '*.com']],
    ['example.com/repo', ['example.com/repo', 'example.com', '*.com']],
    ['localhost/ns/repo', ['localhost/ns/repo', 'localhost/ns', 'localhost']],
    ['localhost/repo', ['localhost/repo', 'localhost']],
    ['localhost:5000/repo', ['localhost:5000/repo', 'localhost:5000']],
    ['notlocalhost/repo', ['docker.io/notlocalhost/repo', 'docker.io/notlocalhost', 'docker.io', '*.io']],
    ['docker.io/ns/repo', ['docker.io/ns/repo', 'docker.io/ns', 'docker.io', '*.io']],
    ['docker.io/library/repo', ['docker.io/library/repo', 'docker.io/library', 'docker.io', '*.io']],
    ['docker.io/repo', ['docker.io/library/repo', 'docker.io/library', 'docker.io', '*.io']],
    ['ns/repo', ['docker.io/ns/repo', 'docker.io/ns', 'docker.io', '*.io']],
    ['library/repo', ['docker.io/library/repo', 'docker.io/library', 'docker.io', '*.io']],
    ['repo', ['docker.io/library/repo', 'docker.io/library', 'docker.io', '*.io']],
    [
      'yet.another.example.com:8443/ns/repo',
      [
        'yet.another.example.com:8443/ns/repo',
        'yet.another.example.com:8443/ns',
        'yet.another.example.com:8443',
        '*.another.example.com',
        '*.example.com',
        '*.com',
      ],
    ],
    ['127.0.0.1:5000/a', ['127.0.0.1:5000/a', '127.0.0.1:5000', '*.0.0.1', '*.0.1', '*.1']],
    ['[::1]:5000/a', ['[::1]:5000/a', '[::1]:5000']],
  ])('%s is found under its own name and all above it', (text, above) => {
    for (const suffix of [':tag', `@${DIGEST}`]) {
      const image = registryImage(parseReference(text + suffix));
      expect(image.scopes).toEqual([`${above[0] ?? ''}${suffix}`, ...above]);
      expect(image.name).toBe(`${above[0] ?? ''}${suffix}`);
      expect(image.reference).toEqual(parseReference(text + suffix));
      expect(image.transport).toBe('docker');
    }
  });

  it.each([
    ['LocalHost:5000', 'localhost:5000'],
    ['localhost:05000', 'localhost:5000'],
    ['reg.example:80', 'reg.example'],
    ['reg.example:080', 'reg.example'],
    ['reg.example:443', 'reg.example'],
    ['127.1:5000', '127.0.0.1:5000'],
    ['0x7f.0.0.01:5000', '127.0.0.1:5000'],
    ['2130706433:5000', '127.0.0.1:5000'],
    ['[0:0::1]:5000', '[::1]:5000'],
    ['[::1]:80', '[::1]'],
  ])('at %s is found under %s, which is the same host', (written, canonical) => {
    const image = registryImage(parseReference(`${written}/a:1`));
    expect(image.scopes.slice(0, 3)).toEqual([`${canonical}/a:1`, `${canonical}/a`, canonical]);
    expect(image.name).toBe(`${written}/a:1`);
  });

  it('with tag and digest is told by the digest alone', () => {
    const image = registryImage(parseReference(`quay.io/a:1@${DIGEST}`));
    expect(image.scopes).toEqual([`quay.io/a@${DIGEST}`, 'quay.io/a', 'quay.io', '*.io']);
    expect(image.reference).toEqual(parseReference(`quay.io/a@${DIGEST}`));
    expect(image.name).toBe(`quay.io/a:1@${DIGEST}`);
  });

  it('without either is latest', () => {
    const image = registryImage(parseReference('quay.io/a'));
    expect(image.scopes).toEqual(['quay.io/a:latest', 'quay.io/a', 'quay.io', '*.io']);
    expect(image.reference).toEqual(parseReference('quay.io/a:latest'));
  });
});

describe('an image in a file', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await realpath(await mkdtemp(join(tmpdir(), 'landfall-policy-image-')));
    await mkdir(join(dir, 'images/layout'), { recursive: true });
    await writeFile(join(dir, 'images/archive.tar'), '');
    await symlink(join(dir, 'images'), join(dir, 'link'));
    await symlink('images/layout', join(dir, 'direct'));
  });
  afterAll(async () => {
    await rm(dir, { recursive: true, force: true });
  });
  const scopesOf = async (
    transport: 'oci' | 'oci-archive' | 'docker-archive',
    path: string | undefined,
  ): Promise<readonly string[]> => (await fileImage({ transport, path, tag: undefined, name: 'it' })).scopes;
  const parents = (): readonly string[] => {
    const parts = dir.split('/').slice(1);
    return parts.map((_, index) => `/${parts.slice(0, parts.length - index).join('/')}`);
  };

  it('is found under its path and all directories above it, but not under /', async () => {
    const layout = join(dir, 'images/layout');
    expect(await scopesOf('oci', layout)).toEqual([layout, join(dir, 'images'), ...parents()]);
    const archive = join(dir, 'images/archive.tar');
    expect(await scopesOf('oci-archive', archive)).toEqual([archive, join(dir, 'images'), ...parents()]);
    expect(await scopesOf('oci', '/')).toEqual([]);
  });

  it.each<[string, (dir: string) => string]>([
    ['through a link above it', (at) => join(at, 'link/layout')],
    ['through a link', (at) => join(at, 'direct')],
    ['with ways that lead back', (at) => `${at}/images/../images/./layout/`],
    ['from here', (at) => relative(process.cwd(), join(at, 'link/layout'))],
  ])('is found under its real path %s', async (_name, path) => {
    expect((await scopesOf('oci', path(dir)))[0]).toBe(join(dir, 'images/layout'));
  });

  it('that is not there is found below what is', async () => {
    expect((await scopesOf('oci', join(dir, 'link/absent/layout')))[0]).toBe(
      join(dir, 'images/absent/layout'),
    );
  });

  it('has no scope but its transport where it is a docker-archive or a stream', async () => {
    expect(await scopesOf('docker-archive', join(dir, 'images/archive.tar'))).toEqual([]);
    expect(await scopesOf('oci-archive', undefined)).toEqual([]);
  });

  it.each<[tag: string | undefined, reference: string | undefined]>([
    [undefined, undefined],
    ['app', undefined],
    ['1.0', undefined],
    ['busybox:1', undefined],
    ['library/busybox:1', undefined],
    ['docker.io/busybox:1', undefined],
    ['UPPER CASE', undefined],
    ['docker.io/library/busybox:1', 'docker.io/library/busybox:1'],
    ['quay.io/a', 'quay.io/a'],
    [`quay.io/a:1@${DIGEST}`, `quay.io/a@${DIGEST}`],
  ])('that is called %s there has the name %s', async (tag, reference) => {
    const image = await fileImage({ transport: 'oci', path: dir, tag, name: `oci:${dir}` });
    expect(image.reference && formatReference(image.reference)).toBe(reference);
    expect(image.name).toBe(`oci:${dir}`);
  });
});

describe('the rule that governs', () => {
  const accept = [{ type: 'insecureAcceptAnything' }];
  const policyOf = (
    transports: Readonly<Record<string, readonly string[]>>,
  ): ReturnType<typeof parsePolicy> =>
    parsePolicy(
      Buffer.from(
        JSON.stringify({
          default: accept,
          transports: Object.fromEntries(
            Object.entries(transports).map(([transport, scopes]) => [
              transport,
              Object.fromEntries(scopes.map((scope) => [scope, accept])),
            ]),
          ),
        }),
      ),
      'policy.json',
    );
  const registry = (text: string): PolicyImage => registryImage(parseReference(text));

  it.each<[string, string, Readonly<Record<string, readonly string[]>>, string]>([
    [
      'its tag before all',
      'a.b.io/n/r:1',
      { docker: ['', '*.io', '*.b.io', 'a.b.io', 'a.b.io/n', 'a.b.io/n/r', 'a.b.io/n/r:1'] },
      'docker:a.b.io/n/r:1',
    ],
    [
      'its repository',
      'a.b.io/n/r:2',
      { docker: ['a.b.io/n/r:1', '', '*.io', 'a.b.io', 'a.b.io/n', 'a.b.io/n/r'] },
      'docker:a.b.io/n/r',
    ],
    [
      'its namespace',
      'a.b.io/n/s:1',
      { docker: ['', '*.b.io', 'a.b.io', 'a.b.io/n', 'a.b.io/n/r'] },
      'docker:a.b.io/n',
    ],
    ['its host', 'a.b.io/m/s:1', { docker: ['', '*.b.io', 'a.b.io', 'a.b.io/n'] }, 'docker:a.b.io'],
    ['the nearest domain', 'a.b.io/m/s:1', { docker: ['', '*.io', '*.b.io'] }, 'docker:*.b.io'],
    ['a wider domain', 'a.b.io:5000/m/s:1', { docker: ['', '*.io', 'a.b.io'] }, 'docker:*.io'],
    [
      'the transport',
      'a.b.io/m/s:1',
      { docker: ['', 'b.io', '*.a.b.io', 'a.b.io/m/s/t', 'a.b.io/m/'] },
      'docker:',
    ],
    ['not another transport', 'a.b.io/m/s:1', { oci: [''], atomic: ['a.b.io'] }, 'default'],
    ['the default', 'a.b.io/m/s:1', { docker: [] }, 'default'],
    [
      'a digest and no tag',
      `a.b.io/r:1@${DIGEST}`,
      { docker: ['a.b.io/r:1', `a.b.io/r@${DIGEST}`] },
      `docker:a.b.io/r@${DIGEST}`,
    ],
    ['its host in another spelling', 'A.b.io:0443/r:1', { docker: ['', 'a.B.io:080'] }, 'docker:a.b.io'],
    ['an address in another spelling', '127.1:80/r:1', { docker: ['', '127.0.0.1'] }, 'docker:127.0.0.1'],
    ['a domain in another spelling', 'A.B.io/r:1', { docker: ['', '*.B.IO'] }, 'docker:*.b.io'],
    ['no familiar name', 'busybox:1', { docker: ['busybox:1', 'busybox', 'library'] }, 'default'],
  ])('is that of %s', async (_name, image, transports, scope) => {
    expect(governingRule(await policyOf(transports), registry(image)).scope).toBe(scope);
  });

  it.each<[string, readonly string[], string]>([
    ['its path', ['', '/srv', '/srv/a', '/srv/a/b'], 'oci:/srv/a/b'],
    ['a directory above it', ['', '/srv', '/srv/a', '/srv/a/bc'], 'oci:/srv/a'],
    ['the transport', ['', '/srv/b'], 'oci:'],
    ['the default', ['/srv/b'], 'default'],
  ])('is that of %s, of an image in a layout', async (_name, scopes, scope) => {
    const image: PolicyImage = {
      transport: 'oci',
      scopes: ['/srv/a/b', '/srv/a', '/srv'],
      reference: undefined,
      name: 'it',
    };
    expect(governingRule(await policyOf({ oci: scopes }), image).scope).toBe(scope);
  });

  it('is not to be chosen from two for the same host', async () => {
    const policy = policyOf({ docker: ['quay.io:8443/a', 'QUAY.io:08443/a'] });
    await expect(policy).rejects.toThrow('"QUAY.io:08443/a" is the same scope as "quay.io:8443/a"');
  });
});
