import { describe, expect, it } from 'vitest';

import { ContentError, RegistryError, TrustError } from '../../src/errors.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import {
  type MetRequirement,
  type SignatureRequirement,
  type VerifiedImage,
  verifyImage,
  type VerifyImageOptions,
} from '../../src/trust/index.js';
import { MemorySignatureSource } from '../support/memory-signature-source.js';
import { bundleReferrer, messageBundle, statementBundle } from '../support/signature-bundle.js';
import { byKeys, imageAt } from '../support/signature-requirements.js';
import { signingKey, type SigningKey } from '../support/signing-keys.js';
import { signatureTag, simpleSignature, simpleSigningManifest } from '../support/simple-signing.js';

const key = signingKey();
const other = signingKey();
const INDEX = documentOf('{"index":1}');
const AMD64 = documentOf('{"amd64":1}');
const ARM64 = documentOf('{"arm64":1}');
const DOCUMENTS = [INDEX, AMD64, ARM64];
const ONE_PLATFORM = [[INDEX.digest, AMD64.digest]];
const ALL_PLATFORMS = [
  [INDEX.digest, AMD64.digest],
  [INDEX.digest, ARM64.digest],
];
const POLICY = { policy: '/etc/containers/policy.json', scope: 'docker:quay.io/team', line: 12 };

async function verified(
  requirements: readonly SignatureRequirement[],
  options: Partial<VerifyImageOptions> & Pick<VerifyImageOptions, 'sources'>,
): Promise<VerifiedImage> {
  return await verifyImage({
    ruling: { ...POLICY, requirements },
    image: imageAt(),
    paths: ONE_PLATFORM,
    bytesOf: (digest) => {
      const found = DOCUMENTS.find((one) => one.digest === digest);
      return found === undefined
        ? Promise.reject(new Error(`asked for ${digest}`))
        : Promise.resolve(found.bytes);
    },
    ...options,
  });
}

/** What it is refused with. */
async function refusal(
  requirements: readonly SignatureRequirement[],
  options: Parameters<typeof verified>[1],
): Promise<TrustError> {
  const error: unknown = await verified(requirements, options).catch((thrown: unknown) => thrown);
  if (error instanceof TrustError) return error;
  throw new Error(`not refused by the policy: ${String(error)}`);
}

/** Puts a signature by a key for a digest somewhere, by cosign's tag. */
async function sign(
  source: MemorySignatureSource,
  subject: Digest,
  ...keys: readonly SigningKey[]
): Promise<Descriptor> {
  const signatures = await Promise.all(keys.map((signer) => simpleSignature(subject, { key: signer })));
  const artifact = simpleSigningManifest(subject, signatures);
  source.addTagged(artifact);
  return artifact.manifest;
}

describe('an image is let in', () => {
  it.each(['the index', 'the manifest'])('by a signature of %s', async (which) => {
    const subject = which === 'the index' ? INDEX.digest : AMD64.digest;
    const source = new MemorySignatureSource();
    const manifest = await sign(source, subject, key);
    const requirement = byKeys([key]);
    const { met, sets } = await verified([requirement], { sources: [source] });
    expect(met).toEqual([
      {
        fingerprint: requirement.fingerprint,
        digest: subject,
        signedBy: `key ${key.fingerprint.slice(0, 23)}`,
        format: 'simple-signing',
        identity: 'quay.io/team/app',
        signature: manifest.digest,
      },
    ]);
    expect(sets.map(({ subject: digest, location }) => [digest, location])).toEqual([
      [subject, source.location],
    ]);
  });

  it('by a bundle without a name', async () => {
    const source = new MemorySignatureSource();
    const bundles = [await statementBundle(INDEX.digest, { key })];
    source.addReferrer(INDEX.digest, bundleReferrer(INDEX.descriptor, bundles));
    const requirement = byKeys([key], { identity: { type: 'matchDigest' } });
    const { met } = await verified([requirement], { sources: [source] });
    expect(met.map(({ format, identity }) => [format, identity])).toEqual([['bundle', undefined]]);
  });

  it('by all of several requirements, each by another signature', async () => {
    const source = new MemorySignatureSource();
    await sign(source, INDEX.digest, key);
    await sign(source, AMD64.digest, other);
    const { met } = await verified([byKeys([key]), byKeys([other])], { sources: [source] });
    expect(met.map(({ digest }) => digest).sort()).toEqual([INDEX.digest, AMD64.digest].sort());
    await expect(
      refusal([byKeys([key]), byKeys([other]), byKeys([signingKey()])], { sources: [source] }),
    ).resolves.toMatchObject({ code: 'SIGNATURE_INVALID' });
  });

  it('by the first place that has enough, and no other is asked', async () => {
    const [first, second, third] = ['first', 'second', 'third'].map(
      (name) => new MemorySignatureSource(name),
    );
    if (first === undefined || second === undefined || third === undefined) throw new Error('three');
    await sign(first, INDEX.digest, other);
    await sign(second, AMD64.digest, key);
    const { sets } = await verified([byKeys([key])], { sources: [first, second, third] });
    expect(sets.map(({ location }) => location)).toEqual(['first', 'second']);
    expect(third.calls).toEqual([]);
  });

  it('with all its platforms by the index, and none of them is asked for then', async () => {
    const source = new MemorySignatureSource();
    await sign(source, INDEX.digest, key);
    const { met } = await verified([byKeys([key])], { sources: [source], paths: ALL_PLATFORMS });
    expect(met.map(({ digest }) => digest)).toEqual([INDEX.digest]);
    expect(source.calls.filter((call) => call.startsWith('referrers'))).toEqual([
      `referrers ${INDEX.digest}`,
    ]);
  });

  it('with all its platforms by their own, and the index is asked for once', async () => {
    const source = new MemorySignatureSource();
    await sign(source, AMD64.digest, key);
    await sign(source, ARM64.digest, key);
    const { met } = await verified([byKeys([key])], { sources: [source], paths: ALL_PLATFORMS });
    expect(met.map(({ digest }) => digest).sort()).toEqual([AMD64.digest, ARM64.digest].sort());
    expect(source.calls.filter((call) => call.startsWith('referrers')).sort()).toEqual(
      DOCUMENTS.map(({ digest }) => `referrers ${digest}`).sort(),
    );
  });

  it('not, once one of many platforms is known to lack one, and the others are not asked for', async () => {
    const source = new MemorySignatureSource();
    const many = Array.from({ length: 200 }, (_, at) => digestOf(Buffer.from(`manifest ${at}`)));
    const paths = many.map((digest) => [INDEX.digest, digest]);
    const error = await refusal([byKeys([key])], { sources: [source], paths });
    expect(error).toMatchObject({ code: 'SIGNATURE_MISSING' });
    expect(error.message).toMatch(/^quay\.io\/team\/app:1 is not signed/);
    expect(source.calls.length).toBeLessThan(40);
    for (const digest of many.slice(0, 150)) await sign(source, digest, key);
    const some = await refusal([byKeys([key])], { sources: [source], paths });
    expect(many.filter((digest) => some.message.includes(digest))).toHaveLength(1);
  });

  it('with no digest asked for twice, wherever it stands', async () => {
    const source = new MemorySignatureSource();
    const paths = [[INDEX.digest, AMD64.digest], [INDEX.digest, ARM64.digest, AMD64.digest], [AMD64.digest]];
    expect((await refusal([byKeys([key])], { sources: [source], paths })).code).toBe('SIGNATURE_MISSING');
    expect([...source.calls].sort()).toEqual([...new Set(source.calls)].sort());
  });

  it('although a place is down, where another signature is enough', async () => {
    const source = new MemorySignatureSource();
    await sign(source, INDEX.digest, key);
    source.onCall = down('referrers');
    expect((await verified([byKeys([key])], { sources: [source] })).met.length).toBe(1);
  });

  it('although the manifest that another signature is over cannot be had', async () => {
    const source = new MemorySignatureSource();
    await sign(source, INDEX.digest, key);
    const bundles = [await messageBundle(AMD64.bytes, { key })];
    source.addReferrer(AMD64.digest, bundleReferrer(AMD64.descriptor, bundles));
    const bytesOf = (): Promise<Buffer> => Promise.reject(new RegistryError('UNAVAILABLE', 'it is down'));
    expect((await verified([byKeys([key])], { sources: [source], bytesOf })).met.length).toBe(1);
    const alone = new MemorySignatureSource();
    alone.addReferrer(AMD64.digest, bundleReferrer(AMD64.descriptor, bundles));
    await expect(verified([byKeys([key])], { sources: [alone], bytesOf })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});

describe('what is remembered', () => {
  const requirement = byKeys([key]);
  const remembered = (digest: Digest, fingerprint = requirement.fingerprint): MetRequirement => ({
    fingerprint,
    digest,
    signedBy: 'key sha256:1',
    format: 'simple-signing',
    identity: 'quay.io/team/app',
    signature: digest,
  });

  it('counts, and nothing is asked', async () => {
    const source = new MemorySignatureSource();
    for (const digest of [INDEX.digest, AMD64.digest]) {
      const known = remembered(digest);
      const { met, sets } = await verified([requirement], { sources: [source], remembered: [known] });
      expect([met, sets]).toEqual([[known], []]);
      expect(met[0]).toBe(known);
    }
    expect(source.calls).toEqual([]);
  });

  it.each<[string, MetRequirement]>([
    ['another digest', remembered(ARM64.digest)],
    ['another requirement', remembered(INDEX.digest, byKeys([key]).fingerprint)],
  ])('does not count for %s', async (_name, known) => {
    const error = await refusal([requirement], {
      sources: [new MemorySignatureSource()],
      remembered: [known],
    });
    expect(error.code).toBe('SIGNATURE_MISSING');
  });

  it('counts for some platforms, and the others are asked for', async () => {
    const source = new MemorySignatureSource();
    await sign(source, ARM64.digest, key);
    const { met } = await verified([requirement], {
      sources: [source],
      paths: ALL_PLATFORMS,
      remembered: [remembered(AMD64.digest)],
    });
    expect(met.map(({ digest }) => digest)).toEqual([AMD64.digest, ARM64.digest]);
    expect(source.calls).not.toContain(`referrers ${AMD64.digest}`);
  });
});

describe('an image is refused', () => {
  it('without signatures, with all that was tried', async () => {
    const error = await refusal([byKeys([key])], { sources: [new MemorySignatureSource()] });
    expect(error.message).toMatch(
      /^quay\.io\/team\/app:1 is not signed: docker:quay\.io\/team in \/etc\/containers\/policy\.json:12 asks for a signature by keys; none at docker:\/\/quay\.io\/team\/app$/,
    );
    expect(error).toMatchObject({
      code: 'SIGNATURE_MISSING',
      retryable: false,
      details: {
        ...POLICY,
        image: 'quay.io/team/app:1',
        requirement: 'a signature by keys',
        tried: [INDEX, AMD64].flatMap(({ digest }) => [
          `docker://quay.io/team/app:${signatureTag(digest)}`,
          `the referrers of docker://quay.io/team/app@${digest}`,
        ]),
      },
    });
  });

  it('where it has nothing that could be signed', async () => {
    const error = await refusal([byKeys([key])], { sources: [new MemorySignatureSource()], paths: [] });
    expect(error.code).toBe('SIGNATURE_MISSING');
  });

  it('where there is nowhere to look', async () => {
    const error = await refusal([byKeys([key])], { sources: [] });
    expect([error.code, error.message]).toEqual([
      'SIGNATURE_MISSING',
      expect.stringMatching(/nowhere to look/),
    ]);
  });

  it('with what each signature lacks', async () => {
    const source = new MemorySignatureSource();
    const manifest = await sign(source, INDEX.digest, other, other);
    const error = await refusal([byKeys([key])], { sources: [source] });
    const lacks = `it was made by another key than ${key.fingerprint.slice(0, 23)}, or the signed content was changed`;
    expect(error).toMatchObject({
      code: 'SIGNATURE_INVALID',
      details: {
        signatures: [
          `docker://quay.io/team/app@${manifest.digest} (1 of 2): ${lacks}`,
          `docker://quay.io/team/app@${manifest.digest} (2 of 2): ${lacks}`,
        ],
      },
    });
    expect(error.message).toMatch(
      /^quay.io\/team\/app:1 has no signature that will do: docker:quay.*; docker:.*lacks|another key/,
    );
  });

  it('with what a signature lacks once, in however many places it is', async () => {
    const artifact = simpleSigningManifest(INDEX.digest, [
      await simpleSignature(INDEX.digest, { key: other }),
    ]);
    const kept = new MemorySignatureSource('/var/lib/landfall').addTagged(artifact);
    const registry = new MemorySignatureSource().addTagged(artifact);
    const { details } = await refusal([byKeys([key])], { sources: [kept, registry] });
    expect(details.signatures).toEqual([expect.stringContaining(artifact.manifest.digest)]);
  });

  it('where only attestations are there, as without signatures', async () => {
    const source = new MemorySignatureSource();
    const attestation = await statementBundle(
      INDEX.digest,
      { key },
      { predicateType: 'https://slsa.dev/provenance/v1' },
    );
    source.addReferrer(INDEX.digest, bundleReferrer(INDEX.descriptor, [attestation]));
    const error = await refusal([byKeys([key])], { sources: [source] });
    expect([error.code, error.hint]).toEqual([
      'SIGNATURE_MISSING',
      expect.stringMatching(/^An attestation says/),
    ]);
    expect(error.message).toMatch(/it is an attestation of "https:\/\/slsa.dev/);
  });

  it('where one platform is not signed, which is named', async () => {
    const source = new MemorySignatureSource();
    await sign(source, AMD64.digest, key);
    const error = await refusal([byKeys([key])], { sources: [source], paths: ALL_PLATFORMS });
    expect(error.code).toBe('SIGNATURE_MISSING');
    expect(error.message.startsWith(`of quay.io/team/app:1, ${ARM64.digest} is not signed`)).toBe(true);
    expect(error.hint).toMatch(/^Sign the index/);
  });

  it('where the signature is for another image that is beside it', async () => {
    const source = new MemorySignatureSource();
    const moved = simpleSigningManifest(INDEX.digest, [await simpleSignature(ARM64.digest, { key })]);
    source.addTagged(moved);
    const error = await refusal([byKeys([key])], { sources: [source] });
    expect(error.details.signatures).toEqual([
      `docker://quay.io/team/app@${moved.manifest.digest}: it is for ${ARM64.digest}`,
    ]);
  });

  it.each<[string, Descriptor, string]>([
    ['is this image', INDEX.descriptor, `it is for ${ARM64.digest}`],
    ['is that one', ARM64.descriptor, `does not refer to ${INDEX.digest}`],
  ])(
    'where the bundle of another image is listed, by a manifest whose subject %s',
    async (_whose, subject, why) => {
      const source = new MemorySignatureSource();
      const referrer = bundleReferrer(subject, [await statementBundle(ARM64.digest, { key })]);
      source.addReferrer(INDEX.digest, referrer);
      const error = await refusal([byKeys([key])], { sources: [source] });
      expect(error.code).toBe('SIGNATURE_INVALID');
      expect(error.details.signatures).toEqual([expect.stringContaining(why)]);
    },
  );

  it('with a hint, where the name has no tag as cosign writes it', async () => {
    const source = new MemorySignatureSource();
    await sign(source, INDEX.digest, other, key);
    const requirement = byKeys([key], { identity: { type: 'matchRepoDigestOrExact' } });
    const error = await refusal([requirement], { sources: [source] });
    expect(error.hint).toBe(
      'cosign\'s signatures name a repository and no tag; if that is enough, write "signedIdentity": {"type": "matchRepository"} at /etc/containers/policy.json:12.',
    );
    const elsewhere = { sources: [source], image: imageAt('quay.io/other/app:1') };
    expect((await refusal([requirement], elsewhere)).hint).toBe('Do not use this image.');
  });

  it('with a hint, where a bundle has no name', async () => {
    const source = new MemorySignatureSource();
    const bundles = [await statementBundle(INDEX.digest, { key })];
    source.addReferrer(INDEX.digest, bundleReferrer(INDEX.descriptor, bundles));
    expect((await refusal([byKeys([key])], { sources: [source] })).hint).toMatch(/"matchDigest"/);
  });

  it('where what is there cannot be read, as with a signature that will not do', async () => {
    const source = new MemorySignatureSource();
    const manifest = await sign(source, INDEX.digest, key);
    source.blobs.set(manifest.digest, Buffer.from('swapped'));
    const error = await refusal([byKeys([key])], { sources: [source] });
    expect(error.code).toBe('SIGNATURE_INVALID');
    expect(error.details.signatures).toEqual([expect.stringContaining(manifest.digest)]);
    source.blobs.delete(manifest.digest);
    expect((await refusal([byKeys([key])], { sources: [source] })).code).toBe('SIGNATURE_INVALID');
    const malformed = documentOf('{');
    source.blobs.set(malformed.digest, malformed.bytes);
    source.tags.set(`${INDEX.digest.replace(':', '-')}.sig`, malformed.descriptor);
    expect((await refusal([byKeys([key])], { sources: [source] })).code).toBe('SIGNATURE_INVALID');
  });
});

describe('what could not be asked', () => {
  it.each(['resolve', 'referrers', 'fetch'])('refuses and is no missing signature: %s', async (part) => {
    const source = new MemorySignatureSource();
    await sign(source, INDEX.digest, other);
    source.onCall = down(part);
    const thrown = verified([byKeys([key])], { sources: [source] });
    await expect(thrown).rejects.toBeInstanceOf(RegistryError);
    await expect(verified([byKeys([key])], { sources: [source] })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      message:
        'the signatures of quay.io/team/app:1 could not be fetched from docker://quay.io/team/app: it is down',
      hint: 'Wait.',
      details: { status: 503 },
      cause: { code: 'UNAVAILABLE' },
    });
  });

  it('keeps its class, whatever that is', async () => {
    const source = new MemorySignatureSource();
    const broken = new ContentError('FILESYSTEM', 'it cannot be read', { details: { path: '/x' } });
    source.onCall = () => {
      throw broken;
    };
    const thrown = verified([byKeys([key])], { sources: [source] });
    await expect(thrown).rejects.toBeInstanceOf(ContentError);
    await expect(verified([byKeys([key])], { sources: [source] })).rejects.toMatchObject({
      code: 'FILESYSTEM',
    });
    const defect = new TypeError('a defect');
    source.onCall = () => {
      throw defect;
    };
    await expect(verified([byKeys([key])], { sources: [source] })).rejects.toBe(defect);
  });

  it('counts only for what is still asked', async () => {
    const source = new MemorySignatureSource();
    await sign(source, AMD64.digest, key);
    source.onCall = (call) => {
      if (call === `referrers ${AMD64.digest}`) throw new RegistryError('UNAVAILABLE', 'it is down');
    };
    const error = await refusal([byKeys([key])], { sources: [source], paths: ALL_PLATFORMS });
    expect(error.code).toBe('SIGNATURE_MISSING');
  });

  it('is an abort where it was aborted', async () => {
    const stop = new AbortController();
    const source = new MemorySignatureSource();
    source.onCall = () => {
      stop.abort();
    };
    const options = { sources: [source], signal: stop.signal };
    await expect(verified([byKeys([key])], options)).rejects.toMatchObject({ code: 'ABORTED' });
  });
});

interface SignedManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly descriptor: Descriptor;
}

function documentOf(text: string): SignedManifest {
  const bytes = Buffer.from(text);
  const digest = digestOf(bytes);
  return { bytes, digest, descriptor: { mediaType: MEDIA_TYPES.ociIndex, digest, size: bytes.length } };
}

function down(part: string): MemorySignatureSource['onCall'] {
  return (call) => {
    if (!call.startsWith(part)) return;
    throw new RegistryError('UNAVAILABLE', 'it is down', {
      retryable: true,
      hint: 'Wait.',
      details: { status: 503 },
    });
  };
}
