import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { digestAt, requestsOf, tagsOf } from '../support/registry-facts.js';
import { selfSigned } from '../support/self-signed.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const FIXTURE = `oci:${resolve('fixtures/image')}:landfall/demo:1.0`;

interface Copied {
  readonly digest: string;
  readonly sourceDigest?: string;
  readonly outcome: string;
  readonly contents: Readonly<Record<string, { readonly count: number }>>;
  readonly omitted: readonly { readonly platform?: string }[];
}

describe.skipIf(needsPeer('docker-registry') !== undefined)('copy, push, tag and delete', () => {
  let work: string;
  let root: string;
  let registry: DockerRegistry;
  let digest: string;
  let repositories = 0;
  let app: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-copy-'));
    root = join(work, 'root');
    registry = await startDockerRegistry();
    ({ digest } = await landfallJson<Copied>([
      'copy',
      '--all',
      FIXTURE,
      `docker://${registry.address}/seed:1`,
    ]));
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(() => {
    app = `team/app-${(repositories += 1)}`;
  });

  const at = (tag: string): string => `docker://${registry.address}/${app}:${tag}`;
  const copy = (...args: string[]): Promise<Copied> =>
    landfallJson<Copied>(['copy', '--root', root, ...args]);

  it('mounts within a registry: no byte of a blob moves', async () => {
    const before = requestsOf(await registry.accessLog()).length;
    const copied = await copy('--all', `docker://${registry.address}/seed:1`, at('1'));
    expect(copied).toMatchObject({ digest, outcome: 'copied', contents: { copied: { count: 3 } } });
    const requests = requestsOf(await registry.accessLog()).slice(before);
    expect(requests.filter((request) => /^(GET|PUT|PATCH) \S+\/blobs\//.test(request))).toEqual([]);
    // Looked for once, and then put.
    expect(requests.filter((request) => request.endsWith(`${app}/manifests/1`))).toEqual([
      `HEAD /v2/${app}/manifests/1`,
      `PUT /v2/${app}/manifests/1`,
    ]);
  });

  it('takes one platform by itself unless told otherwise, and says what it was of', async () => {
    const copied = await copy(FIXTURE, at('1'));
    expect(copied.digest).not.toBe(digest);
    expect(copied.sourceDigest).toBe(digest);
    expect(await digestAt(registry.address, app, '1')).toBe(copied.digest);
  });

  it('keeps an index whole and declares what was left out, where the place takes that', async () => {
    const copied = await copy('--platform', 'linux/arm64', FIXTURE, `oci:${join(work, 'sparse')}:1`);
    expect(copied).toMatchObject({ digest, omitted: [{ platform: 'linux/amd64' }] });
    const verified = await landfall(['verify', '--root', root, `oci:${join(work, 'sparse')}:1`]);
    expect(verified.code).toBe(0);
  });

  it('says what to do where a registry takes no such index, and makes a new one when told', async () => {
    const refused = await landfall(['copy', '--root', root, '--platform', 'linux/arm64', FIXTURE, at('1')]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('--rewrite-index');
    expect(await tagsOf(registry.address, app)).toEqual([]);
    const copied = await copy('--platform', 'linux/arm64', '--rewrite-index', FIXTURE, at('1'));
    expect(copied).toMatchObject({ sourceDigest: digest, outcome: 'copied' });
    expect(await digestAt(registry.address, app, '1')).toBe(copied.digest);
  });

  it('looks and does nothing in a dry run', async () => {
    const planned = await copy('--all', '--dry-run', FIXTURE, at('1'));
    expect(planned).toMatchObject({ digest, outcome: 'planned', contents: { copied: { count: 0 } } });
    expect(await tagsOf(registry.address, app)).toEqual([]);
  });

  it('pushes an image of the store to the registry of its name, and to another one', async () => {
    const name = `${registry.address}/${app}:1`;
    await copy('--all', FIXTURE, name);
    expect(await landfallJson(['push', '--root', root, '--all', name])).toMatchObject({ digest });
    expect(await landfallJson(['push', '--root', root, '--all', name, `${name}-2`])).toMatchObject({
      digest,
    });
    expect(await tagsOf(registry.address, app)).toEqual(['1', '1-2']);
  });

  it('fetches again what the store dropped once it was unpacked', async () => {
    const lean = join(work, 'lean');
    await landfallJson(['pull', '--root', lean, '--discard-layers', `${registry.address}/seed:1`]);
    const copied = await landfallJson<Copied>([
      'copy',
      '--root',
      lean,
      `${registry.address}/seed:1`,
      at('1'),
    ]);
    expect(copied.outcome).toBe('copied');
    expect(await tagsOf(registry.address, app)).toEqual(['1']);
  });

  it('gives an image at a registry one more tag, with nothing but its manifest', async () => {
    await copy('--all', FIXTURE, at('1'));
    const before = requestsOf(await registry.accessLog()).length;
    expect(await landfallJson(['tag', '--root', root, at('1'), 'stable'])).toMatchObject({ digest });
    const requests = requestsOf(await registry.accessLog()).slice(before);
    expect(requests.filter((request) => request.includes('/blobs/'))).toEqual([]);
    expect(await digestAt(registry.address, app, 'stable')).toBe(digest);
    const other = await landfall(['tag', '--root', root, at('1'), `docker://${registry.address}/other:1`]);
    expect(other).toMatchObject({ code: 2 });
  });

  it('deletes what one tag names, and nothing that another tag names too', async () => {
    await copy('--all', FIXTURE, at('1'));
    await landfallJson(['tag', '--root', root, at('1'), 'stable']);
    const kept = await landfall(['delete', at('1')]);
    expect(kept.code).toBe(1);
    expect(kept.stderr).toContain('another tag names');
    expect(await tagsOf(registry.address, app)).toEqual(['1', 'stable']);
    const by = `docker://${registry.address}/${app}@${digest}`;
    expect(await landfallJson(['delete', by])).toEqual([{ name: by, deleted: true }]);
    expect(await digestAt(registry.address, app, 'stable')).toBeUndefined();
    expect((await landfall(['delete', at('1')])).code).toBe(3);
  });

  it('deletes from a layout, and not from the store', async () => {
    const layout = `oci:${join(work, 'deleting')}:1`;
    await copy('--all', FIXTURE, layout);
    expect((await landfall(['delete', layout])).stdout).toContain('deleted oci:');
    expect((await landfall(['copy', '--root', root, layout, at('1')])).code).toBe(3);
    const store = await landfall(['delete', 'alpine']);
    expect(store.code).toBe(2);
    expect(store.stderr).toContain('landfall rmi alpine');
  });

  it('shows each side its own credentials', async () => {
    await using closed = await startDockerRegistry({ htpasswd: true });
    const { username, password } = REGISTRY_USER;
    const to = `docker://${closed.address}/${app}:1`;
    const denied = await landfall(['copy', '--root', root, '--all', at('seed'), to]);
    expect(denied.code).not.toBe(0);
    const creds = `${username}:${password}`;
    await copy('--all', '--dest-creds', creds, `docker://${registry.address}/seed:1`, to);
    const back = await copy('--all', '--src-creds', creds, to, at('back'));
    expect(back.digest).toBe(digest);
    expect((await landfall(['copy', '--root', root, '--all', to, at('x')])).code).toBe(4);
  });

  it('reaches each side in its own way, and so does sync', async () => {
    const authority = selfSigned();
    const ca = join(work, 'side-ca.pem');
    await writeFile(ca, authority.cert);
    await using secure = await startDockerRegistry({ tls: authority });
    const to = `docker://${secure.address}/${app}:1`;
    const from = `docker://${registry.address}/seed:1`;
    const unknown = await landfall(['copy', '--root', root, '--all', from, to]);
    expect(unknown.stderr).toContain('unknown authority');
    expect((await landfall(['copy', '--root', root, '--all', '--src-ca', ca, from, to])).code).not.toBe(0);
    await copy('--all', '--src-plain-http', '--dest-ca', ca, from, to);
    expect((await copy('--all', '--src-insecure', to, at('side'))).digest).toBe(digest);
    const file = join(work, 'sides.yaml');
    await writeFile(
      file,
      `sources:\n  - registry: ${registry.address}\n    images: [seed:1]\ndestinations:\n  - docker://${secure.address}/sides\n`,
    );
    const sync = (...options: string[]): ReturnType<typeof landfall> =>
      landfall(['sync', '--root', root, '-f', file, ...options]);
    expect((await sync('--src-ca', ca)).code).not.toBe(0);
    expect(await sync('--src-plain-http', '--dest-ca', ca)).toMatchObject({ code: 0 });
  });

  it.each([
    ['an image that is not there', ['SEED:9', 'oci:NOWHERE:1'], 3],
    ['a layout that is not there', ['oci:NOWHERE:1', 'TO'], 3],
    ['an archive that is not there', ['oci-archive:NOWHERE', 'TO'], 3],
    ['a digest at the destination', ['SEED:1', `docker://registry.test/app@sha256:${'0'.repeat(64)}`], 2],
    ['a platform that is not there', ['--platform', 'linux/s390x', 'SEED:1', 'TO'], 3],
    ['a transport that nobody knows', ['ostree:/srv', 'TO'], 2],
    ['a transport of another program', ['docker-daemon:app:1', 'TO'], 1],
    ['a directory in which no image lies', ['dir:/srv', 'TO'], 3],
    ['a dry run into an archive', ['--dry-run', 'SEED:1', 'oci-archive:NOWHERE'], 2],
  ])('refuses %s', async (_, args, code) => {
    const words = args.map((word) =>
      word
        .replace('SEED', `docker://${registry.address}/seed`)
        .replace('NOWHERE', join(work, 'nowhere'))
        .replace('TO', at('1')),
    );
    const { code: exit, stdout, stderr } = await landfall(['copy', '--root', root, ...words]);
    expect({ exit, stdout }, stderr).toEqual({ exit: code, stdout: '' });
    expect(await tagsOf(registry.address, app)).toEqual([]);
  });
});
