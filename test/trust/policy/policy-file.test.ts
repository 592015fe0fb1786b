import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { TrustError } from '../../../src/errors.js';
import { parseReference } from '../../../src/spec/index.js';
import { PolicyFile } from '../../../src/trust/policy/policy-file.js';
import { registryImage } from '../../../src/trust/policy/policy-image.js';

let dir: string;
let file: PolicyFile;
let key: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'landfall-policy-file-'));
  key = join(dir, 'cosign.pub');
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFile(key, publicKey.export({ type: 'spki', format: 'pem' }));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});
let count = 0;
beforeEach(() => {
  file = new PolicyFile(join(dir, `policy-${++count}.json`));
});

const ANY = { type: 'insecureAcceptAnything' };
const REJECT = { type: 'reject' };
const GPG = { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/keys/gpg' };
const signed = (more: object = {}): object => ({ type: 'sigstoreSigned', keyPath: key, ...more });
const image = registryImage(parseReference('quay.io/team/app:1'));

const write = async (policy: unknown): Promise<void> =>
  await writeFile(file.path, typeof policy === 'string' ? policy : JSON.stringify(policy));
const refusalOf = async (asking: Promise<unknown>): Promise<TrustError> => {
  const error: unknown = await asking.catch((reason: unknown) => reason);
  if (error instanceof TrustError) return error;
  throw new Error(`not refused, but ${JSON.stringify(error)}`);
};

describe('what an image needs', () => {
  it.each<[string, () => object]>([
    ['everything is accepted', () => ({ default: [ANY] })],
    [
      'its scope accepts everything',
      () => ({ default: [REJECT], transports: { docker: { 'quay.io/team': [ANY] } } }),
    ],
    [
      'a wider scope rejects, or asks',
      () => ({
        default: [REJECT],
        transports: { docker: { '': [GPG], 'quay.io': [signed()], 'quay.io/team/app': [ANY] } },
      }),
    ],
    [
      'another scope names keys that are not there',
      () => ({ default: [ANY], transports: { docker: { 'docker.io': [signed({ keyPath: '/absent' })] } } }),
    ],
  ])('is nothing where %s', async (_name, policy) => {
    await write(policy());
    expect(await file.rulingFor(image)).toBeUndefined();
  });

  it('is what its rule asks for, each of it', async () => {
    await write(
      `{"default": [{"type": "reject"}],\n"transports": {"docker": {\n"quay.io/team": ${JSON.stringify([
        signed(),
        ANY,
        signed({ signedIdentity: { type: 'matchRepository' } }),
      ])}}}}`,
    );
    const ruling = await file.rulingFor(image);
    expect(ruling).toMatchObject({ policy: file.path, scope: 'docker:quay.io/team', line: 3 });
    expect(ruling?.requirements.map(({ requirement }) => requirement.signedIdentity.type)).toEqual([
      'matchRepoDigestOrExact',
      'matchRepository',
    ]);
    expect(ruling?.requirements[0]).toMatchObject({
      roots: { kind: 'keys' },
      rekorKeys: [],
      description: expect.stringMatching(/^a signature by the key sha256:[0-9a-f]{16}$/) as unknown,
    });
  });

  it('is asked anew each time', async () => {
    await write({ default: [ANY] });
    expect(await file.rulingFor(image)).toBeUndefined();
    await write({ default: [signed()] });
    expect((await file.rulingFor(image))?.scope).toBe('default');
    await write({ default: [REJECT] });
    expect((await refusalOf(file.rulingFor(image))).code).toBe('POLICY_REJECTED');
  });
});

describe('an image is refused', () => {
  it.each<[string, object[]]>([
    ['reject', [REJECT]],
    ['reject beside what would let it in', [ANY, REJECT]],
    ['reject beside what cannot be verified', [GPG, REJECT]],
    ['reject beside a key that is not there', [{ type: 'sigstoreSigned', keyPath: '/absent' }, REJECT]],
  ])('by %s', async (_name, requirements) => {
    await write(
      `{"default": [{"type": "insecureAcceptAnything"}],\n"transports": {"docker": {"quay.io":\n${JSON.stringify(requirements)}}}}`,
    );
    const error = await refusalOf(file.rulingFor(image));
    expect(error.code).toBe('POLICY_REJECTED');
    expect(error.message).toBe(
      `the policy refuses quay.io/team/app:1: its rule for docker:quay.io (${file.path}:2) is "reject"`,
    );
    expect(error.details).toEqual({
      policy: file.path,
      scope: 'docker:quay.io',
      line: 2,
      image: 'quay.io/team/app:1',
    });
  });

  it.each<[string, () => object[], RegExp]>([
    ['GPG', () => [GPG], /its rule for default \(.*:1\) has "signedBy", a signature by GPG$/],
    ['GPG beside what would let it in', () => [ANY, GPG], /"signedBy"/],
    ['GPG beside a key', () => [signed(), GPG], /"signedBy"/],
    [
      'a base layer',
      () => [{ type: 'signedBaseLayer', baseLayerIdentity: { type: 'matchExact' } }],
      /"signedBaseLayer"$/,
    ],
  ])('with UNSUPPORTED by %s', async (_name, requirements, message) => {
    await write({ default: requirements() });
    const error = await refusalOf(file.rulingFor(image));
    expect(error.code).toBe('UNSUPPORTED');
    expect(error.message).toContain('quay.io/team/app:1');
    expect(error.message).toMatch(message);
    expect(error.details).toEqual({
      policy: file.path,
      scope: 'default',
      line: 1,
      image: 'quay.io/team/app:1',
    });
  });

  it('where the keys of its rule cannot be read', async () => {
    await write({ default: [signed({ keyPath: '/absent/key' })] });
    const error = await refusalOf(file.rulingFor(image));
    expect(error.code).toBe('POLICY_REJECTED');
    expect(error.message).toBe(`${file.path}:1: "/absent/key" is not there`);
  });

  it('where something in the file cannot be understood, though its own rule accepts anything', async () => {
    await write(
      '{"default": [{"type": "insecureAcceptAnything"}],\n"transports": {"docker": {"docker.io": [{"type": "signed"}]}}}',
    );
    const error = await refusalOf(file.rulingFor(image));
    expect(error.code).toBe('POLICY_REJECTED');
    expect(error.message).toMatch(/:2:\d+: there is no requirement "signed"/);
    expect((await refusalOf(file.admitUnnamed('it'))).message).toBe(error.message);
  });

  it.each<[string, () => unknown, string]>([
    ['is not there', () => undefined, 'is not there'],
    ['is a directory', async () => await mkdir(file.path), 'is not a regular file'],
    ['is too large', async () => await write(' '.repeat(1024 * 1024 + 1)), 'has more than 1.0 MB'],
  ])('where the policy %s', async (_name, make, why) => {
    await make();
    for (const ask of [() => file.rulingFor(image), () => file.admitUnnamed('it')]) {
      const error = await refusalOf(ask());
      expect(error.code).toBe('POLICY_REJECTED');
      expect(error.message).toBe(`the policy ${file.path} ${why}, so it refuses every image`);
      expect(error.details).toEqual({ policy: file.path });
    }
  });
});

describe('an image that nobody knows the name of', () => {
  it.each<[string, () => object]>([
    ['everything', () => ({ default: [ANY] })],
    [
      'everything, twice',
      () => ({ default: [ANY, ANY], transports: { docker: { '': [ANY], 'quay.io': [ANY] } } }),
    ],
    [
      'everything from a registry',
      () => ({ default: [ANY], transports: { oci: { '': [REJECT] }, atomic: { '': [GPG] } } }),
    ],
  ])('is let in where the policy accepts %s', async (_name, policy) => {
    await write(policy());
    await expect(file.admitUnnamed('it')).resolves.toBeUndefined();
  });

  it.each<[string, () => object, string]>([
    ['the default', () => ({ default: [REJECT], transports: { docker: { '': [ANY] } } }), 'default'],
    ['all registries', () => ({ default: [ANY], transports: { docker: { '': [signed()] } } }), 'docker:'],
    [
      'one place',
      () => ({ default: [ANY], transports: { docker: { '': [ANY], 'quay.io/team': [REJECT] } } }),
      'docker:quay.io/team',
    ],
    [
      'one place among its requirements',
      () => ({ default: [ANY], transports: { docker: { 'quay.io': [ANY, GPG] } } }),
      'docker:quay.io',
    ],
  ])('is refused where not everything is accepted by %s', async (_name, policy, scope) => {
    await write(policy());
    const error = await refusalOf(file.admitUnnamed('sha256:123'));
    expect(error.code).toBe('POLICY_REJECTED');
    expect(error.message).toBe(
      `the policy refuses sha256:123: the origin of sha256:123 is not known, and not everything is accepted by its rule for ${scope} (${file.path}:1)`,
    );
    expect(error.details).toEqual({ policy: file.path, scope, line: 1, image: 'sha256:123' });
  });
});
