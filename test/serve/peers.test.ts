import { type ExecFileOptions, execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { DEMO_NAME } from '../../fixtures/demo-image.js';
import { OciLayout } from '../../src/content/index.js';
import { createRegistryServer, LayoutSource, type RegistryServer } from '../../src/serve/index.js';
import { type Descriptor, digestOf } from '../../src/spec/index.js';
import { needsPeer } from '../support/peers.js';

/*
 * The server as other programs see it: they pull the demo image out of its layout.
 */

const image = join(import.meta.dirname, '../../fixtures/image');

let server: RegistryServer;
let host: string;
let scratch: string;
let target: Descriptor;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'landfall-serve-'));
  const layout = await OciLayout.open(image);
  target = await layout.resolve(DEMO_NAME);
  server = createRegistryServer({ source: new LayoutSource(layout, image) });
  ({ host } = await server.listen({ host: '127.0.0.1', port: 0 }));
});

afterAll(async () => {
  await server.close();
  await rm(scratch, { recursive: true, force: true });
});

async function run(program: string, ...args: string[]): Promise<string> {
  // Nothing of the machine's own credentials or configuration.
  const options: ExecFileOptions = { env: { PATH: process.env['PATH'], HOME: scratch }, cwd: scratch };
  const { stdout } = await promisify(execFile)(program, args, { ...options, encoding: 'utf8' });
  return stdout;
}

describe.skipIf(needsPeer('skopeo') !== undefined)('skopeo', () => {
  test('inspects an image', async () => {
    const reference = `docker://${host}/${DEMO_NAME}`;
    const text = await run('skopeo', 'inspect', '--tls-verify=false', '--override-arch=amd64', reference);
    const { Digest, RepoTags, Layers } = JSON.parse(text) as Record<string, unknown>;
    expect([Digest, RepoTags]).toEqual([target.digest, ['1.0']]);
    expect(Layers).toHaveLength(6);
  });

  test('copies all platforms, by tag and by digest', async () => {
    for (const name of [DEMO_NAME, `landfall/demo@${target.digest}`]) {
      const copy = join(scratch, name.includes('@') ? 'by-digest' : 'by-tag');
      const options = ['--quiet', '--all', '--preserve-digests', '--src-tls-verify=false'];
      await run('skopeo', 'copy', ...options, `docker://${host}/${name}`, `dir:${copy}`);
      expect(digestOf(await readFile(join(copy, 'manifest.json')))).toBe(target.digest);
      // Beside manifest.json and version: two manifests and, the shared ones once, the layers and configs.
      expect(await readdir(copy)).toHaveLength(2 + 2 + 9);
    }
  });

  test('lists the tags', async () => {
    const text = await run('skopeo', 'list-tags', '--tls-verify=false', `docker://${host}/landfall/demo`);
    expect(JSON.parse(text)).toEqual({ Repository: `${host}/landfall/demo`, Tags: ['1.0'] });
  });

  test('is told that a tag is not there', async () => {
    const reference = `docker://${host}/landfall/demo:none`;
    await expect(run('skopeo', 'inspect', '--tls-verify=false', reference)).rejects.toThrow(
      /manifest unknown/,
    );
  });
});

describe.skipIf(needsPeer('oras') !== undefined)('oras', () => {
  test('resolves an image', async () => {
    expect((await run('oras', 'resolve', '--plain-http', `${host}/${DEMO_NAME}`)).trim()).toBe(target.digest);
  });

  test('fetches a manifest and a blob', async () => {
    const text = await run('oras', 'manifest', 'fetch', '--plain-http', `${host}/${DEMO_NAME}`);
    expect(digestOf(Buffer.from(text))).toBe(target.digest);
    const blob = `${host}/landfall/demo@${target.digest}`;
    await run('oras', 'blob', 'fetch', '--plain-http', '--output', join(scratch, 'blob'), blob);
    expect((await stat(join(scratch, 'blob'))).size).toBe(target.size);
  });

  test('lists repositories and tags', async () => {
    expect((await run('oras', 'repo', 'ls', '--plain-http', host)).trim()).toBe('landfall/demo');
    expect((await run('oras', 'repo', 'tags', '--plain-http', `${host}/landfall/demo`)).trim()).toBe('1.0');
  });
});

describe.skipIf(needsPeer('oras') !== undefined)('what oras attached in a layout', () => {
  let signed: RegistryServer;
  let at: string;

  beforeAll(async () => {
    const copy = join(scratch, 'signed');
    await cp(image, copy, { recursive: true });
    await writeFile(join(scratch, 'note.txt'), 'a note');
    const attach = async (type: string, to: string): Promise<string> => {
      const options = [
        '--oci-layout',
        '--artifact-type',
        type,
        '--annotation',
        'by=oras',
        '--format',
        'json',
      ];
      const text = await run('oras', 'attach', ...options, `${copy}@${to}`, 'note.txt:text/plain');
      return (JSON.parse(text) as { digest: string }).digest;
    };
    const sbom = await attach('application/vnd.example.sbom', target.digest);
    await attach('application/vnd.example.signature', sbom);
    await attach('application/vnd.example.signature', target.digest);
    signed = createRegistryServer({ source: new LayoutSource(await OciLayout.open(copy), copy) });
    ({ host: at } = await signed.listen({ host: '127.0.0.1', port: 0 }));
  });

  afterAll(() => signed.close());

  /** The types of what refers to the image, each with what refers to it in brackets. */
  async function discovered(...options: string[]): Promise<string> {
    const of = async (name: string, ...more: string[]): Promise<string> => {
      const api = ['--plain-http', '--format', 'json', '--distribution-spec', 'v1.1-referrers-api'];
      const text = await run('oras', 'discover', ...api, ...more, name);
      const { manifests } = JSON.parse(text) as { manifests: { digest: string; artifactType: string }[] };
      const reported = manifests.map(async ({ digest, artifactType }) => {
        const below = await of(`${at}/landfall/demo@${digest}`);
        return `${artifactType.replace('application/vnd.example.', '')}(${below})`;
      });
      return (await Promise.all(reported)).sort().join(' ');
    };
    return of(`${at}/${DEMO_NAME}`, ...options);
  }

  test('is discovered by oras', async () => {
    expect(await discovered()).toBe('sbom(signature()) signature()');
  });

  test('is filtered by its type', async () => {
    expect(await discovered('--artifact-type', 'application/vnd.example.sbom')).toBe('sbom(signature())');
  });

  test('is copied with its image', async () => {
    const copy = join(scratch, 'copied');
    await run(
      'oras',
      'copy',
      '--recursive',
      '--from-plain-http',
      `${at}/${DEMO_NAME}`,
      '--to-oci-layout',
      `${copy}:1`,
    );
    const text = await run('oras', 'discover', '--oci-layout', '--format', 'tree', `${copy}:1`);
    expect(text.match(/vnd\.example\.\w+/g)?.sort()).toEqual(
      ['sbom', 'signature', 'signature'].map((type) => `vnd.example.${type}`),
    );
  });
});

test('serving a layout writes nothing to it', async () => {
  const listing = async (): Promise<string[]> => {
    const names = await readdir(image, { recursive: true });
    return Promise.all(names.map(async (name) => `${name} ${(await stat(join(image, name))).mtimeMs}`));
  };
  const before = await listing();
  const reply = await fetch(`http://${host}/v2/landfall/demo/manifests/1.0`);
  expect(reply.status).toBe(200);
  expect((await fetch(`http://${host}/v2/landfall/demo/blobs/uploads/`, { method: 'POST' })).status).toBe(
    405,
  );
  expect(await listing()).toEqual(before);
});
