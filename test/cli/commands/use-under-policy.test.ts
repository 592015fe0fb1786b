import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { put } from '../../content/blobs.js';
import { landfall } from '../../support/warm-command.js';
import { signature } from '../../support/signature-policies.js';
import { type SigningKey, signingKey } from '../../support/signing-keys.js';
import { simpleSignature, simpleSigningManifest } from '../../support/simple-signing.js';
import { makeTinyLayout } from '../../support/tiny-image.js';
import { type FilledStore, fillStore } from './filled-store.js';

const SIGNED = 'quay.io/team/app:1';
const UNSIGNED = 'quay.io/team/other:1';

describe('an image of the store that is to be used under a policy', () => {
  let work: string;
  let policy: string;
  let store: FilledStore;
  let key: SigningKey;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-use-'));
    key = signingKey();
    store = await fillStore([
      { name: SIGNED, layers: [[{ path: 'app', content: 'app\n' }]] },
      { name: UNSIGNED, layers: [[{ path: 'other', content: 'other\n' }]] },
    ]);
    await sign();
    await writeFile(join(work, 'key.pub'), key.pem);
    const asked = signature({ keyPath: join(work, 'key.pub'), signedIdentity: { type: 'matchRepository' } });
    policy = join(work, 'policy.json');
    await writeFile(policy, JSON.stringify({ default: [asked] }));
    await mkdir(join(work, 'home/.config/containers'), { recursive: true });
    await writeFile(join(work, 'home/.config/containers/policy.json'), JSON.stringify({ default: [asked] }));
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const sign = async (): Promise<void> => {
    const [app] = store.layouts;
    if (app === undefined) throw new Error('there is one');
    const made = await simpleSignature(app.target.digest, { key }, { identity: 'quay.io/team/app' });
    const { manifest, blobs, tag } = simpleSigningManifest(app.target.digest, [made]);
    await store.with(async ({ content, images }) => {
      for (const bytes of blobs.values())
        if (bytes.length > 0) await put(content, bytes).catch(() => undefined);
      await images.put({ name: `quay.io/team/app:${tag}`, target: manifest });
    });
  };
  const inRoot = (args: readonly string[], env: Record<string, string> = {}): ReturnType<typeof landfall> =>
    landfall(['--root', store.root, ...args], { env });
  let count = 0;
  const fresh = (): string => join(work, `${(count += 1)}`);
  const WAYS: readonly (readonly [string, (name: string) => readonly string[]])[] = [
    ['unpack', (name) => ['unpack', name, fresh()]],
    ['export', (name) => ['export', name, '-o', fresh()]],
    ['bundle', (name) => ['bundle', name, fresh()]],
    ['mounts', (name) => ['mounts', name]],
    ['mount', (name) => ['mount', name, work]],
  ];

  test.each(WAYS)('%s refuses one that is not signed', async (_, args) => {
    for (const run of [
      () => inRoot(['--policy', policy, ...args(UNSIGNED)]),
      () => inRoot(args(UNSIGNED), { LANDFALL_POLICY: policy }),
      () => inRoot(args(UNSIGNED), { HOME: join(work, 'home') }),
    ]) {
      const { code, stderr } = await run();
      expect([code, stderr]).toEqual([6, expect.stringContaining(`${UNSIGNED} is not signed`)]);
      expect(stderr).toContain('Pull the image again under this policy');
    }
    expect(existsSync(join(work, `${count}`))).toBe(false);
  });

  test.each(WAYS.slice(0, 3))('%s takes one whose signature is here', async (_, args) => {
    expect(await inRoot(['--policy', policy, ...args(SIGNED)])).toMatchObject({ code: 0 });
    expect(await inRoot(args(SIGNED), { HOME: join(work, 'home') })).toMatchObject({ code: 0 });
  });

  test('which is remembered', async () => {
    await inRoot(['--policy', policy, 'unpack', SIGNED, fresh()]);
    const about = await store.with(({ verifications }) =>
      verifications.about([store.layouts[0]?.target.digest].flatMap((digest) => digest ?? [])),
    );
    expect(about).toMatchObject([{ name: SIGNED, policy: expect.stringContaining(work) as string }]);
  });

  test('a layout is asked for by its path', async () => {
    const directory = join(work, 'layout');
    await makeTinyLayout(directory);
    const refused = await inRoot(['--policy', policy, 'unpack', `oci:${directory}`, fresh()]);
    expect([refused.code, refused.stderr]).toEqual([6, expect.stringContaining('is not signed')]);
    const open = join(work, 'open.json');
    const oci = { [directory]: [{ type: 'insecureAcceptAnything' }] };
    await writeFile(open, JSON.stringify({ default: [{ type: 'reject' }], transports: { oci } }));
    expect(await inRoot(['--policy', open, 'unpack', `oci:${directory}`, fresh()])).toMatchObject({
      code: 0,
    });
  });

  test('what only looks asks the policy that is named, and no other', async () => {
    expect(await inRoot(['ls', UNSIGNED, '/'], { HOME: join(work, 'home') })).toMatchObject({ code: 0 });
    expect(await inRoot(['--policy', policy, 'ls', UNSIGNED, '/'])).toMatchObject({ code: 6 });
  });
});
