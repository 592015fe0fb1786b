import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { loadRequirement } from '../../../src/trust/policy/load-requirement.js';
import type {
  PolicyBytes,
  PolicySigners,
  SignatureRequirement,
  SigstoreSigned,
} from '../../../src/trust/policy/requirement.js';
import type { SignedIdentity } from '../../../src/trust/policy/policy-image.js';
import { CertificateAuthority } from '../../support/certificate-authority.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'landfall-requirement-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
const [a, b, c, d] = [newKey(), newKey(), newKey(), newKey()] as const;
const [one, two] = [new CertificateAuthority('one'), new CertificateAuthority('two')];
const held = (of: KeyObject | CertificateAuthority): PolicyBytes => ({
  data: Buffer.from('cert' in of ? of.cert : of.export({ type: 'spki', format: 'pem' }).toString()),
});
const keys = (...all: readonly KeyObject[]): PolicySigners => ({ kind: 'keys', keys: all.map(held) });
const fulcio = (more: object = {}): PolicySigners => ({
  kind: 'fulcio',
  ca: held(one),
  oidcIssuer: 'https://issuer.example',
  subjectEmail: 'ci@example.com',
  ...more,
});
const pki = (more: object = {}): PolicySigners => ({
  kind: 'pki',
  roots: held(one),
  subjectEmail: 'ci@example.com',
  ...more,
});
const load = async (
  signers: PolicySigners,
  signedIdentity: SignedIdentity = { type: 'matchRepository' },
  rekorKeys: readonly PolicyBytes[] = [],
): Promise<SignatureRequirement> => {
  const requirement: SigstoreSigned = { type: 'sigstoreSigned', signers, rekorKeys, signedIdentity };
  return await loadRequirement(requirement, { policy: '/policy.json', scope: 'default', line: 1 });
};
const fingerprints = async (...loaded: readonly Promise<SignatureRequirement>[]): Promise<Set<string>> =>
  new Set((await Promise.all(loaded)).map(({ fingerprint }) => fingerprint));

describe('the fingerprint', () => {
  it('is a digest', async () => {
    expect((await load(keys(a))).fingerprint).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it('is the same for what is met by the same signatures', async () => {
    const pem = a.export({ type: 'spki', format: 'pem' }).toString();
    await writeFile(join(dir, 'a.pub'), pem);
    const path: PolicyBytes = { path: join(dir, 'a.pub'), line: 4 };
    expect(
      await fingerprints(
        load(keys(a)),
        load({ kind: 'keys', keys: [path] }),
        load({ kind: 'keys', keys: [{ data: Buffer.from(pem.replaceAll('\n', '\r\n')), line: 9 }] }),
        load(keys(a, a)),
      ),
    ).toHaveLength(1);
    expect(await fingerprints(load(keys(a, b)), load(keys(b, a)))).toHaveLength(1);
    const identity: SignedIdentity = { type: 'matchRepository' };
    expect(
      await fingerprints(
        load(keys(a), identity, [held(b), held(c)]),
        load(keys(a), identity, [held(c), held(b)]),
      ),
    ).toHaveLength(1);
    const bundle = (...of: readonly CertificateAuthority[]): PolicyBytes => ({
      data: Buffer.from(of.map(({ cert }) => cert).join('text between\n')),
    });
    expect(
      await fingerprints(load(fulcio({ ca: bundle(one, two) })), load(fulcio({ ca: bundle(two, one) }))),
    ).toHaveLength(1);
    expect(
      await fingerprints(
        load(keys(a), { type: 'exactReference', dockerReference: 'busybox:1' }),
        load(keys(a), { type: 'exactReference', dockerReference: 'docker.io/library/busybox:1' }),
      ),
    ).toHaveLength(1);
    expect(
      await fingerprints(
        load(keys(a), { type: 'exactRepository', dockerRepository: 'busybox:1' }),
        load(keys(a), { type: 'exactRepository', dockerRepository: 'docker.io/library/busybox' }),
      ),
    ).toHaveLength(1);
  });

  it('differs in all else', async () => {
    const different = [
      load(keys(a)),
      load(keys(b)),
      load(keys(a, b)),
      load(keys(a), { type: 'matchExact' }),
      load(keys(a), { type: 'matchDigest' }),
      load(keys(a), { type: 'matchRepoDigestOrExact' }),
      load(keys(a), { type: 'exactReference', dockerReference: 'a:1' }),
      load(keys(a), { type: 'exactReference', dockerReference: 'a:2' }),
      load(keys(a), { type: 'exactRepository', dockerRepository: 'a' }),
      load(keys(a), { type: 'exactRepository', dockerRepository: 'b' }),
      load(keys(a), { type: 'remapIdentity', prefix: 'a.io', signedPrefix: 'b.io' }),
      load(keys(a), { type: 'remapIdentity', prefix: 'b.io', signedPrefix: 'a.io' }),
      load(keys(a), { type: 'matchRepository' }, [held(b)]),
      load(keys(a), { type: 'matchRepository' }, [held(b), held(c)]),
      load(fulcio()),
      load(fulcio({ ca: held(two) })),
      load(fulcio({ oidcIssuer: 'https://other.example' })),
      load(fulcio({ subjectEmail: 'other@example.com' })),
      load(fulcio(), { type: 'matchRepository' }, [held(b)]),
      load(pki()),
      load(pki({ roots: held(two) })),
      load(pki({ intermediates: held(two) })),
      load(pki({ subjectEmail: 'other@example.com' })),
      load(pki({ subjectHostname: 'ci.example.com' })),
      load(pki({ subjectEmail: undefined, subjectHostname: 'ci@example.com' })),
    ];
    expect(await fingerprints(...different)).toHaveLength(different.length);
  });
});

describe('the description', () => {
  const short = (key: KeyObject): string =>
    `sha256:${createHash('sha256')
      .update(key.export({ type: 'spki', format: 'der' }))
      .digest('hex')
      .slice(0, 16)}`;

  it.each<[string, () => Promise<SignatureRequirement>, string]>([
    ['a key', () => load(keys(a)), `a signature by the key ${short(a)}`],
    ['a key that stands twice', () => load(keys(a, a)), `a signature by the key ${short(a)}`],
    ['some keys', () => load(keys(a, b)), `a signature by one of the keys ${short(a)}, ${short(b)}`],
    [
      'many keys',
      () => load(keys(a, b, c, d)),
      `a signature by one of 4 keys (${short(a)}, ${short(b)}, ${short(c)}, …)`,
    ],
    [
      'a key and a log',
      () => load(keys(a), undefined, [held(b)]),
      `a signature by the key ${short(a)}, recorded in a transparency log`,
    ],
    [
      'Fulcio',
      () => load(fulcio(), undefined, [held(b)]),
      'a signature by ci@example.com (https://issuer.example), recorded in a transparency log',
    ],
    ['a subject', () => load(pki()), 'a signature by ci@example.com'],
    [
      'a host',
      () => load(pki({ subjectEmail: undefined, subjectHostname: 'ci.example.com' })),
      'a signature by ci.example.com',
    ],
    [
      'both',
      () => load(pki({ subjectHostname: 'ci.example.com' })),
      'a signature by ci@example.com and ci.example.com',
    ],
  ])('tells people of %s', async (_name, loading, description) => {
    expect((await loading()).description).toBe(description);
  });
});
