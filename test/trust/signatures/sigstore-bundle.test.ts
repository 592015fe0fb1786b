import type { SerializedBundle } from '@sigstore/bundle';
import { describe, expect, it } from 'vitest';

import { digestOf } from '../../../src/spec/index.js';
import { MANIFEST, SUBJECT, verdict } from '../../support/checked-signature.js';
import {
  type BundleOptions,
  digestSet,
  messageBundle,
  statementBundle,
} from '../../support/signature-bundle.js';
import { byKeys, type SignedIdentity } from '../../support/signature-requirements.js';
import { signingKey } from '../../support/signing-keys.js';

const key = signingKey();
const name = 'quay.io/team/app';
const OTHER_DIGEST = digestOf(Buffer.from('another manifest'));
const HELD = `holds: key ${key.fingerprint.slice(0, 23)}`;

/** What becomes of a bundle with a statement. */
async function ofStatement(
  options: BundleOptions,
  {
    identity = { type: 'matchDigest' },
    subject = SUBJECT,
  }: { identity?: SignedIdentity; subject?: string } = {},
): Promise<string> {
  const bundles = [await statementBundle(subject, { key }, options)];
  return await verdict(byKeys([key], { identity }), { bundles });
}

describe('a bundle with a statement', () => {
  it.each<[string, BundleOptions]>([
    ['without a name', {}],
    ['with the name of the repository', { name }],
    ['of version 0.1', { version: '0.1' }],
    ['of version 0.2', { version: '0.2' }],
    ['in the older form', { type: 'https://in-toto.io/Statement/v0.1' }],
    [
      'about several',
      { subjects: [{ digest: digestSet(OTHER_DIGEST) }, { name, digest: digestSet(SUBJECT) }] },
    ],
    ['by another algorithm', { subjects: [{ digest: digestSet(digestOf(MANIFEST, 'sha512')) }] }],
    [
      'by algorithms that nobody knows besides',
      { subjects: [{ digest: { md5: 'x', ...digestSet(SUBJECT) } }] },
    ],
    [
      'that names the same under two names',
      {
        subjects: [
          { name: 'quay.io/other/app', digest: digestSet(SUBJECT) },
          { name, digest: digestSet(SUBJECT) },
        ],
      },
    ],
  ])('holds %s', async (_name, options) => {
    expect(await ofStatement(options)).toBe(HELD);
  });

  it.each<[string, BundleOptions, string | RegExp]>([
    [
      'that is an attestation',
      { name, predicateType: 'https://slsa.dev/provenance/v1' },
      'it is an attestation of "https://slsa.dev/provenance/v1", not a signature',
    ],
    ['of no kind', { type: 'https://example.com/Statement' }, 'its content is no in-toto statement'],
    ['of another content', { payloadType: 'text/plain' }, 'its content is "text/plain", no statement'],
    ['about another repository', { name: 'quay.io/other/app' }, /^it is for quay.io\/other\/app, not for/],
    ['about nothing', { subjects: [] }, 'it is for no digest'],
    ['about something by MD5', { subjects: [{ digest: { md5: 'x' } }] }, 'it is for no digest'],
    ['about another', { subjects: [{ name, digest: digestSet(OTHER_DIGEST) }] }, `it is for ${OTHER_DIGEST}`],
    ['about no object', { subjects: ['x' as unknown as object] }, /is no JSON object$/],
    [
      'with a name of no text',
      { subjects: [{ name: 1, digest: digestSet(SUBJECT) }] },
      /has no name that is one$/,
    ],
    ['over something else', { signed: Buffer.from('?') }, /^it was made by another key than/],
  ])('does not hold %s', async (_name, options, reason) => {
    expect(await ofStatement(options)).toEqual(
      typeof reason === 'string' ? reason : (expect.stringMatching(reason) as string),
    );
  });

  it('does not hold without a name, unless the policy says that the digest will do', async () => {
    for (const type of ['matchRepository', 'matchExact', 'matchRepoDigestOrExact'] as const) {
      expect(await ofStatement({}, { identity: { type } })).toMatch(/^it names no repository/);
    }
  });

  it.each(['p384', 'p521'] as const)('holds with the digest of its own that %s has', async (curve) => {
    const signer = { key: signingKey(curve) };
    const digest = curve === 'p384' ? 'sha384' : 'sha512';
    const bundles = [await statementBundle(SUBJECT, signer, { name, digest })];
    expect(await verdict(byKeys([signer.key]), { bundles })).toMatch(/^holds/);
  });
});

describe('a bundle with a signature of the manifest', () => {
  const requirement = byKeys([key], { identity: { type: 'matchDigest' } });

  it('names nobody', async () => {
    const bundles = [await messageBundle(MANIFEST, { key })];
    expect(await verdict(requirement, { bundles })).toBe(HELD);
    expect(await verdict(byKeys([key]), { bundles })).toMatch(/^it names no repository/);
  });

  it('does not hold over another', async () => {
    const another = await messageBundle(Buffer.from('another manifest'), { key });
    expect(await verdict(requirement, { bundles: [another] })).toBe(`it is for ${OTHER_DIGEST}`);
    const renamed = withDigest(another, Buffer.from(SUBJECT.slice(7), 'hex'), 'SHA2_256');
    expect(await verdict(requirement, { bundles: [renamed] })).toMatch(/^it was made by another key than/);
  });

  it('does not hold with a digest of a kind that is not known', async () => {
    const bundle = withDigest(await messageBundle(MANIFEST, { key }), Buffer.alloc(32), 'SHA3_256');
    expect(await verdict(requirement, { bundles: [bundle] })).toBe(
      'it is over a kind of digest that is not known',
    );
  });
});

describe('what is no bundle', () => {
  it.each<[string, (bundle: SerializedBundle) => object | Buffer, RegExp]>([
    ['garbage', () => Buffer.from('\0\u0001\u0002'), /^the bundle is not JSON$/],
    [
      'words that a terminal would obey',
      (bundle) => withDigest(bundle, Buffer.alloc(32), '\u001b[2J'),
      /^it is no sigstore bundle that can be understood: "[ -~]*\\u[ -~]*"$/,
    ],
    ['an empty object', () => ({}), /^it is no sigstore bundle that can be understood/],
    [
      'of another version',
      (bundle) => ({ ...bundle, mediaType: 'application/json' }),
      /^it is no sigstore bundle/,
    ],
    [
      'no signature',
      (bundle) => withSignatures(bundle, 0),
      /^it is no sigstore bundle that can be understood/,
    ],
    [
      'two signatures',
      (bundle) => withSignatures(bundle, 2),
      /^it is no sigstore bundle that can be understood/,
    ],
    [
      'no content',
      (bundle) => ({ ...bundle, dsseEnvelope: undefined }),
      /^it is no sigstore bundle that can be/,
    ],
    [
      'no key',
      (bundle) => ({ ...bundle, verificationMaterial: {} }),
      /^it is no sigstore bundle that can be/,
    ],
    [
      'a field twice',
      (bundle) => Buffer.from(`{"mediaType":"x",${JSON.stringify(bundle).slice(1)}`),
      /same key twice/,
    ],
  ])('%s', async (_name, change, reason) => {
    const bundles = [change(await statementBundle(SUBJECT, { key }, { name }))];
    expect(await verdict(byKeys([key]), { bundles })).toMatch(reason);
  });
});

it('does not read the certificate of a bundle where the policy has keys', async () => {
  const bundle = await statementBundle(SUBJECT, { key }, { name });
  const verificationMaterial = { certificate: { rawBytes: 'AAAA' }, tlogEntries: [] };
  expect(await verdict(byKeys([key]), { bundles: [{ ...bundle, verificationMaterial }] })).toBe(HELD);
});

function withDigest(bundle: SerializedBundle, digest: Buffer, algorithm: string): object {
  const messageDigest = { algorithm, digest: digest.toString('base64') };
  return { ...bundle, messageSignature: { ...bundle.messageSignature, messageDigest } };
}

function withSignatures(bundle: SerializedBundle, count: number): object {
  const [one] = bundle.dsseEnvelope?.signatures ?? [];
  return {
    ...bundle,
    dsseEnvelope: { ...bundle.dsseEnvelope, signatures: Array.from({ length: count }, () => one) },
  };
}
