import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRegistryServer } from '../../../src/serve/index.js';
import { blobPath } from '../../../src/content/index.js';
import type { Digest } from '../../../src/spec/index.js';
import { type SigningKey, signingKey } from '../../support/signing-keys.js';
import { simpleSignature, simpleSigningManifest } from '../../support/simple-signing.js';
import { dockerArchive, sha256 } from '../../support/docker-archive.js';
import { writeArchive } from '../../support/archived-images.js';
import { makeTar, makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';
import { MemorySource } from '../../serve/memory-source.js';
import { documented, runWithBytes, shapeOf } from './archives.js';
import { fillStore } from './filled-store.js';

const APP = 'docker.io/team/app:1';

interface Verified {
  readonly whole: boolean;
  readonly images: readonly { readonly name: string }[];
  readonly missing: readonly { readonly digest: string; readonly images: string[] }[];
  readonly damaged: readonly { readonly digest: string; readonly code: string }[];
  readonly leftOut: readonly { readonly platform?: string }[];
}

describe('landfall verify', () => {
  let work: string;
  let layout: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-verify-'));
    layout = await makeTinyLayout(join(work, 'layout'), { platforms: ['linux/amd64', 'linux/arm64'] });
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const fresh = (): Promise<string> => mkdtemp(join(work, 'fresh-'));
  const verified = async (...args: string[]): Promise<{ code: number; report: Verified }> => {
    const { code, out } = await runWithBytes(['verify', '--output', 'json', ...args]);
    return { code, report: JSON.parse(out) as Verified };
  };
  const archive = async (): Promise<string> => {
    const file = join(await fresh(), 'images.tar');
    await writeArchive(file, [{ layout, repository: 'docker.io/team/app', tag: '1', platforms: 'all' }]);
    return file;
  };
  const damage = async (directory: string, digest: Digest, bytes?: Buffer): Promise<void> => {
    const path = blobPath(directory, digest);
    await rm(path, { force: true });
    if (bytes !== undefined) await writeFile(path, bytes);
  };

  test('says of an archive that it is whole', async () => {
    const file = await archive();
    const { code, out } = await runWithBytes(['verify', file]);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^oci-archive:.* is whole\n {2}images +1\n {2}manifests +3\n {2}blobs +4\n {2}bytes +[\d.]+ kB\n$/,
    );
    expect(await runWithBytes(['verify', '-'], { stdin: createReadStream(file) })).toMatchObject({ code: 0 });
    expect(await verified(`oci-archive:${file}:team/app:1`)).toMatchObject({ code: 0 });
    expect(await verified(`oci-archive:${file}:none`).catch(() => 'refused')).toBe('refused');
  });

  test('lists every fault of a layout, in the form that is documented', async () => {
    const directory = join(await fresh(), 'layout');
    const { manifests } = await makeTinyLayout(directory, {
      platforms: ['linux/amd64', 'linux/arm64'],
      tag: APP,
      layers: [[{ path: 'one' }], [{ path: 'two' }], [{ path: 'three' }]],
    });
    const [first, second, third] = manifests[0].layers;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('there are three');
    const bytes = await readFile(blobPath(directory, second.digest));
    await damage(directory, first.digest);
    await damage(directory, second.digest, bytes.fill(0, 20, 30));
    await damage(directory, third.digest, Buffer.alloc(3));
    const { code, report } = await verified(`oci:${directory}`);
    expect(code).toBe(6);
    expect(report.missing).toMatchObject([{ digest: first.digest, images: [APP] }]);
    expect(new Set(report.damaged.map(({ digest, code: fault }) => `${digest} ${fault}`))).toEqual(
      new Set([`${second.digest} DIGEST_MISMATCH`, `${third.digest} SIZE_MISMATCH`]),
    );
    const example = shapeOf(documented('verify')) as {
      missing: unknown[];
      damaged: unknown[];
      leftOut: unknown[];
    };
    const shown = shapeOf(report) as object;
    expect(shown).toEqual({ ...example, missing: example.damaged, leftOut: [] });
    const { out } = await runWithBytes(['verify', `oci:${directory}`]);
    expect(out).toContain('is not whole: 3 faults');
    expect(out).toContain(`  of ${APP}\n`);
  });

  describe('under a signature policy', () => {
    const ASKS = { type: 'sigstoreSigned', signedIdentity: { type: 'matchDigest' } } as const;

    async function policyOf(...requirements: readonly object[]): Promise<string> {
      const file = join(await fresh(), 'policy.json');
      await writeFile(file, JSON.stringify({ default: requirements }));
      return file;
    }

    async function signedLayout(key: SigningKey): Promise<string> {
      const directory = join(await fresh(), 'layout');
      const { target } = await makeTinyLayout(directory, {
        platforms: ['linux/amd64', 'linux/arm64'],
        tag: APP,
      });
      const signature = simpleSigningManifest(target.digest, [
        await simpleSignature(target.digest, { key }, { identity: 'docker.io/team/app' }),
      ]);
      for (const [digest, bytes] of signature.blobs) await damage(directory, digest, bytes);
      const file = join(directory, 'index.json');
      const index = JSON.parse(await readFile(file, 'utf8')) as { manifests: object[] };
      const name = `docker.io/team/app:${signature.tag}`;
      const annotations = { 'org.opencontainers.image.ref.name': name };
      index.manifests.push({ ...signature.manifest, annotations });
      await writeFile(file, JSON.stringify(index));
      return directory;
    }

    test('tells who has signed an image, or why it is refused, in the form that is documented', async () => {
      const [key, other] = [signingKey(), signingKey()];
      const directory = await signedLayout(key);
      const keyData = (one: SigningKey): string => Buffer.from(one.pem).toString('base64');
      const right = await policyOf({ ...ASKS, keyData: keyData(key) });
      const wrong = await policyOf({ ...ASKS, keyData: keyData(other) });
      const example = documented('verify', 1) as { images: { verdict: string }[] };
      const accepted = await verified(`oci:${directory}`, '--policy', right);
      expect(accepted).toMatchObject({ code: 0, report: { whole: true, refused: 0, policy: right } });
      const { images } = accepted.report as unknown as typeof example;
      expect(images.map(({ verdict }) => verdict)).toEqual(['signed', 'accompanies']);
      expect(shapeOf(images[0])).toEqual(shapeOf(example.images[0]));
      const refused = await verified(`oci:${directory}`, '--policy', wrong);
      expect(refused).toMatchObject({
        code: 6,
        report: {
          whole: true,
          refused: 1,
          images: [{ verdict: 'refused', error: { code: 'SIGNATURE_INVALID' } }, {}],
        },
      });
      const [lost] = refused.report.images as unknown as typeof example.images;
      expect(Object.keys(lost ?? {})).toEqual(Object.keys(example.images[1] ?? {}));
      expect(Object.keys(refused.report)).toEqual(expect.arrayContaining(Object.keys(example)));
      const reported = await runWithBytes(['verify', `oci:${directory}`, '--policy', right]);
      expect(reported.out).toMatch(/^signed: docker\.io\/team\/app:1 by key sha256:[0-9a-f]{16}$/m);
      const why = await runWithBytes(['verify', `oci:${directory}`, '--policy', wrong]);
      expect(why.out).toMatch(/is whole; the policy refuses 1 image\n/);
      expect(why.out).toMatch(/^refused: docker\.io\/team\/app:1: /m);
    });

    test('says nothing of one that asks for nothing', async () => {
      const file = await archive();
      const loose = await policyOf({ type: 'insecureAcceptAnything' });
      const { report } = await verified(file, '--policy', loose);
      expect(report).not.toHaveProperty('policy');
      expect(report).not.toHaveProperty('refused');
      expect(report.images[0]).not.toHaveProperty('verdict');
    });

    test('ends with 6 where an image is refused', async () => {
      const file = await archive();
      const rejecting = await policyOf({ type: 'reject' });
      expect(await verified(file, '--policy', rejecting)).toMatchObject({
        code: 6,
        report: { images: [{ error: { code: 'POLICY_REJECTED' } }] },
      });
    });
  });

  test('of an archive of Docker tells what does not fit its configs', async () => {
    const file = join(await fresh(), 'docker.tar');
    const tar = await makeTar([{ path: 'a', content: 'a' }]);
    const diffId = sha256(tar);
    const layers = [
      { path: 'one.tar', bytes: tar.subarray(0, tar.length - 512), diffId },
      { path: 'two.tar', bytes: tar, diffId: sha256(Buffer.from('else')) },
    ];
    await writeFile(file, dockerArchive([{ layers, tags: ['app:1'] }]));
    const { code, report } = await verified(file);
    expect(code).toBe(6);
    expect(report.damaged.map((fault) => fault.code)).toEqual(['DIFF_ID_MISMATCH', 'DIFF_ID_MISMATCH']);
  });

  test('ends with 7 where something is malformed', async () => {
    const directory = join(await fresh(), 'layout');
    const { target } = await makeTinyLayout(directory);
    const index = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as {
      manifests: object[];
    };
    const config = {
      ...target,
      digest: (await makeTinyLayout(join(await fresh(), 'x'))).manifests[0].config.digest,
    };
    const size = (await readFile(blobPath(directory, config.digest))).length;
    index.manifests = [{ ...config, size }];
    await writeFile(join(directory, 'index.json'), JSON.stringify(index));
    expect(await runWithBytes(['verify', `oci:${directory}`])).toMatchObject({ code: 7 });
    const broken = join(await fresh(), 'broken.tar');
    await writeFile(broken, Buffer.alloc(4096, 1));
    expect(await runWithBytes(['verify', broken])).toMatchObject({ code: 7 });
  });

  test('reads all of a store, or one image of it, where a platform that was not pulled is no fault', async () => {
    await using store = await fillStore([
      { name: APP, platforms: ['linux/amd64', 'linux/arm64'] },
      { name: 'docker.io/library/tool:2', layers: [[{ path: 'tool' }]] },
    ]);
    const [app, tool] = store.layouts;
    if (app === undefined || tool === undefined) throw new Error('there are two');
    await rm(blobPath(store.root, app.manifests[1]?.manifest.digest ?? app.target.digest));
    await store.with((opened) =>
      opened.localContent.delete(app.manifests[1]?.manifest.digest ?? app.target.digest),
    );
    const { code, report } = await verified('--root', store.root);
    expect(code).toBe(0);
    expect(report.images.map(({ name }) => name).sort()).toEqual(['docker.io/library/tool:2', APP]);
    expect(report.leftOut).toMatchObject([{ platform: 'linux/arm64' }]);
    const layer = tool.manifests[0].layers[0]?.digest ?? tool.target.digest;
    await store.with((opened) => opened.localContent.delete(layer));
    expect((await verified('--root', store.root, 'team/app:1')).code).toBe(0);
    const damaged = await verified('--root', store.root, 'tool:2');
    expect(damaged).toMatchObject({ code: 6, report: { missing: [{ digest: layer }] } });
  });

  test('reads an image at its registry, with what refers to it', async () => {
    const source = new MemorySource();
    for (const bytes of layout.blobs.values()) source.add(bytes);
    source.tag('docker.io/team/app', '1', layout.target);
    const server = createRegistryServer({ source });
    const { host } = await server.listen({ host: '127.0.0.1', port: 0 });
    const name = `docker://${host}/team/app:1`;
    const whole = await verified('--plain-http', '--referrers', '--diff-ids', name);
    source.lose(layout.manifests[0].config);
    const missing = await verified('--plain-http', name);
    const none = await runWithBytes(['--plain-http', 'verify', `docker://${host}/team/app:none`]);
    await server.close({ graceMs: 0 });
    expect(whole).toMatchObject({ code: 0, report: { whole: true } });
    expect(missing).toMatchObject({
      code: 6,
      report: { missing: [{ digest: layout.manifests[0].config.digest }] },
    });
    expect(none.code).toBe(3);
  });

  test.each(['no-such-image', 'oci:/nowhere', '/nowhere/images.tar', 'docker-archive:/nowhere'])(
    'says that there is no %s',
    async (name) => {
      const { code } = await runWithBytes(['--root', join(await fresh(), 'store'), 'verify', name]);
      expect(code).toBe(3);
    },
  );
});
