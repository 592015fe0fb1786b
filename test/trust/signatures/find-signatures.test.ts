import { Readable } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { isLandfallError, RegistryError } from '../../../src/errors.js';
import { type Descriptor, type Digest, digestOf, LIMITS, MEDIA_TYPES } from '../../../src/spec/index.js';
import type { SignatureSet } from '../../../src/trust/index.js';
import { findSignatures } from '../../../src/trust/signatures/find-signatures.js';
import { DESCRIPTOR, MANIFEST, SUBJECT } from '../../support/checked-signature.js';
import { MemorySignatureSource } from '../../support/memory-signature-source.js';
import { bundleReferrer, BUNDLE_TYPE, SIGN_PREDICATE } from '../../support/signature-bundle.js';
import {
  addBlob,
  SIMPLE_SIGNING,
  type SignatureArtifact,
  signatureTag,
  simpleSigningManifest,
} from '../../support/simple-signing.js';

const payload = (text: string): { payload: Buffer; annotations: Record<string, string> } => ({
  payload: Buffer.from(text),
  annotations: { text },
});
const bundle = Buffer.from('{"a":"bundle"}');

/** What was found, in short: formats and the beginning of bytes, and the codes of problems. */
function shown({ signatures, problems }: SignatureSet): [string[], string[]] {
  return [
    signatures.map(({ format, bytes }) => `${format} ${bytes.toString('utf8', 0, 20)}`),
    problems.map((error) => (isLandfallError(error) ? error.code : error.name)),
  ];
}

describe('signatures are found', () => {
  it('under the tag of cosign and among the referrers, with their annotations', async () => {
    const source = new MemorySignatureSource()
      .addTagged(simpleSigningManifest(SUBJECT, [payload('one'), payload('two')]))
      .addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, [bundle]));
    const set = await findSignatures(source, SUBJECT);
    expect(shown(set)).toEqual([['simple-signing one', 'simple-signing two', 'bundle {"a":"bundle"}'], []]);
    expect(set.signatures.map(({ layer }) => layer.annotations?.['text'])).toEqual(['one', 'two', undefined]);
    expect(set.manifests.map(({ tag }) => tag)).toEqual([signatureTag(SUBJECT), undefined]);
    expect(set.tried).toEqual([
      `docker://quay.io/team/app:${signatureTag(SUBJECT)}`,
      `the referrers of docker://quay.io/team/app@${SUBJECT}`,
    ]);
    for (const { blobs, descriptor } of set.manifests) expect(blobs.has(descriptor.digest)).toBe(true);
    expect(set.manifests.map(({ blobs }) => blobs.size)).toEqual([3, 2]);
  });

  it('where there are none, with two questions', async () => {
    const source = new MemorySignatureSource();
    expect(shown(await findSignatures(source, SUBJECT))).toEqual([[], []]);
    expect(source.calls.sort()).toEqual([`referrers ${SUBJECT}`, `resolve ${signatureTag(SUBJECT)}`]);
  });

  it('for sha512 among the referrers only, since a tag would be too long', async () => {
    const subject = digestOf(MANIFEST, 'sha512');
    const source = new MemorySignatureSource();
    source.addReferrer(subject, bundleReferrer({ ...DESCRIPTOR, digest: subject }, [bundle]));
    expect(shown(await findSignatures(source, subject))).toEqual([['bundle {"a":"bundle"}'], []]);
    expect(source.calls.filter((call) => call.startsWith('resolve'))).toEqual([]);
  });

  it.each<[string, Parameters<typeof bundleReferrer>[2], boolean]>([
    ['of the newest type', {}, true],
    ['of an older type', { artifactType: 'application/vnd.dev.sigstore.bundle+json;version=0.2' }, true],
    ['without a type', { artifactType: null }, true],
    ["called by its config's type", { artifactType: MEDIA_TYPES.ociEmpty }, true],
    ['whose layer is any file', { layerType: 'application/octet-stream' }, true],
    ['of older layers', { layerType: 'application/vnd.dev.sigstore.bundle+json;version=0.1' }, true],
    [
      'said to be a signature',
      { annotations: { 'dev.sigstore.bundle.predicateType': SIGN_PREDICATE } },
      true,
    ],
    [
      'said to be an attestation',
      { annotations: { 'dev.sigstore.bundle.predicateType': 'https://slsa.dev/provenance/v1' } },
      false,
    ],
    ['of another type', { artifactType: 'application/spdx+json', layerType: 'application/spdx+json' }, false],
    ['that looks alike', { artifactType: `${BUNDLE_TYPE}x`, layerType: 'text/plain' }, false],
  ])('in a referrer %s', async (_name, options, found) => {
    const source = new MemorySignatureSource();
    source.addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, [bundle], options));
    expect(shown(await findSignatures(source, SUBJECT))).toEqual([
      found ? ['bundle {"a":"bundle"}'] : [],
      [],
    ]);
    // What cannot be one is not even read.
    expect(source.calls.some((call) => call.startsWith('fetch'))).toBe(found);
  });

  it("in a referrer of cosign's own", async () => {
    const type = 'application/vnd.dev.cosign.artifact.sig.v1+json';
    const options = { artifactType: type, layerType: SIMPLE_SIGNING };
    const source = new MemorySignatureSource();
    source.addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, [Buffer.from('one')], options));
    expect(shown(await findSignatures(source, SUBJECT))).toEqual([['simple-signing one'], []]);
  });

  it('once, where a tag and the referrers name the same', async () => {
    const artifact = bundleReferrer(DESCRIPTOR, [bundle]);
    const source = new MemorySignatureSource().addReferrer(SUBJECT, artifact);
    source.addTagged({ ...artifact, tag: signatureTag(SUBJECT) });
    expect(shown(await findSignatures(source, SUBJECT))[0]).toEqual(['bundle {"a":"bundle"}']);
  });
});

describe('what cannot be asked or read', () => {
  const tagged = simpleSigningManifest(SUBJECT, [payload('one')]);
  const referrer = bundleReferrer(DESCRIPTOR, [bundle]);

  /** Both kinds, where this happens when it is asked. */
  function source(onCall: MemorySignatureSource['onCall']): MemorySignatureSource {
    const both = new MemorySignatureSource().addTagged(tagged).addReferrer(SUBJECT, referrer);
    both.onCall = onCall;
    return both;
  }
  const failing = (part: string, error: Error): MemorySignatureSource =>
    source((call) => {
      if (call.startsWith(part)) throw error;
    });

  it.each<[string, string, string[]]>([
    ['the tag', 'resolve', ['bundle {"a":"bundle"}']],
    ['the referrers', 'referrers', ['simple-signing one']],
    ['the manifest of the tag', `fetch ${tagged.manifest.digest}`, ['bundle {"a":"bundle"}']],
    ['a payload', `fetch ${digestOf(Buffer.from('one'))}`, ['bundle {"a":"bundle"}']],
    ['a bundle', `fetch ${digestOf(bundle)}`, ['simple-signing one']],
  ])('is a problem, and hides nothing else: %s', async (_name, part, found) => {
    const down = new RegistryError('UNAVAILABLE', 'it is down', { retryable: true });
    const set = await findSignatures(failing(part, down), SUBJECT);
    expect(shown(set)).toEqual([found, ['UNAVAILABLE']]);
    expect(set.problems).toEqual([down]);
    const defect = new TypeError('a defect');
    expect(shown(await findSignatures(failing(part, defect), SUBJECT))).toEqual([found, ['TypeError']]);
  });

  it.each<[string, (bytes: Buffer) => Readable, string]>([
    ['other bytes', (bytes) => stream(bytes.map((byte) => byte ^ 1)), 'DIGEST_MISMATCH'],
    ['fewer bytes', (bytes) => stream(bytes.subarray(1)), 'SIZE_MISMATCH'],
    ['more bytes', (bytes) => stream(bytes, bytes), 'SIZE_MISMATCH'],
    ['bytes without end', () => Readable.from(endless(), { objectMode: false }), 'SIZE_MISMATCH'],
    ['bytes that break off', (bytes) => Readable.from(broken(bytes), { objectMode: false }), 'PROTOCOL'],
  ])('is a problem, and hides nothing else: %s', async (_name, change, code) => {
    for (const digest of [referrer.manifest.digest, digestOf(bundle)]) {
      const lying = source(() => undefined);
      const fetch = lying.fetch.bind(lying);
      lying.fetch = async (descriptor, options) =>
        descriptor.digest === digest
          ? change(lying.blobs.get(digest) ?? Buffer.alloc(0))
          : await fetch(descriptor, options);
      expect(shown(await findSignatures(lying, SUBJECT))).toEqual([['simple-signing one'], [code]]);
    }
  });

  it.each<[string, SignatureArtifact, string]>([
    [
      'an index',
      manifestOf({ manifests: [] }, MEDIA_TYPES.ociIndex, MEDIA_TYPES.ociManifest),
      'INVALID_MANIFEST',
    ],
    ['no JSON', artifactOf(Buffer.from('{')), 'INVALID_MANIFEST'],
    [
      'a referrer of something else',
      bundleReferrer({ ...DESCRIPTOR, digest: digestOf(Buffer.from('else')) }, [bundle]),
      'INVALID_MANIFEST',
    ],
    ['a referrer of nothing', manifestOf({ config: descriptorOf('{}'), layers: [] }), 'INVALID_MANIFEST'],
    ['a digest that cannot be verified', withLayer({ digest: 'blake3:aa' as Digest }), 'INVALID_DIGEST'],
    ['a bundle that is too large', withLayer({ size: LIMITS.signatureBytes + 1 }), 'LIMIT_EXCEEDED'],
  ])('is a problem, and hides nothing else: %s', async (_name, artifact, code) => {
    const both = new MemorySignatureSource().addTagged(tagged).addReferrer(SUBJECT, artifact);
    expect(shown(await findSignatures(both, SUBJECT))).toEqual([['simple-signing one'], [code]]);
  });

  it('is a problem where a referrer is an index by its own type', async () => {
    const artifact = bundleReferrer(DESCRIPTOR, [bundle]);
    const both = new MemorySignatureSource().addTagged(tagged);
    both.addReferrer(SUBJECT, {
      ...artifact,
      manifest: { ...artifact.manifest, mediaType: MEDIA_TYPES.ociIndex },
    });
    expect(shown(await findSignatures(both, SUBJECT))).toEqual([['simple-signing one'], []]);
  });
});

describe('there is a limit', () => {
  it('to the signatures', async () => {
    const many = Array.from({ length: 300 }, (_, index) => payload(`no. ${index}`));
    const source = new MemorySignatureSource().addTagged(simpleSigningManifest(SUBJECT, many));
    const [found, problems] = shown(await findSignatures(source, SUBJECT));
    expect([found.length, problems]).toEqual([256, ['LIMIT_EXCEEDED']]);
    expect(source.calls.filter((call) => call.startsWith('fetch')).length).toBe(257);
  });

  it('to what refers to a digest', async () => {
    const source = new MemorySignatureSource();
    for (let index = 0; index < 300; index += 1) {
      source.addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, [Buffer.from(`{"no":${index}}`)]));
    }
    const [found, problems] = shown(await findSignatures(source, SUBJECT));
    expect([found.length, problems]).toEqual([256, ['LIMIT_EXCEEDED']]);
    expect(source.calls.filter((call) => call.startsWith('fetch')).length).toBe(512);
  });

  it('to a list that does not end', async () => {
    const source = new MemorySignatureSource();
    const { manifest } = bundleReferrer(DESCRIPTOR, [bundle], { artifactType: 'application/spdx+json' });
    let listed = 0;
    source.referrers = async function* () {
      for (;;) {
        listed += 1;
        yield await Promise.resolve(manifest);
      }
    };
    expect(shown(await findSignatures(source, SUBJECT))).toEqual([[], ['LIMIT_EXCEEDED']]);
    expect(listed).toBe(LIMITS.indexManifests + 1);
  });

  it('to all bytes', async () => {
    const large = Array.from({ length: 5 }, (_, index) => Buffer.alloc(LIMITS.signatureBytes, index));
    const source = new MemorySignatureSource().addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, large));
    const { signatures, problems } = await findSignatures(source, SUBJECT);
    expect(signatures.length).toBe(3);
    expect(problems.map((error) => isLandfallError(error) && error.code)).toEqual([
      'LIMIT_EXCEEDED',
      'LIMIT_EXCEEDED',
    ]);
    expect(source.calls.filter((call) => call.startsWith('fetch')).length).toBe(4);
  });
});

describe('it stops', () => {
  it.each(['resolve', 'referrers', 'fetch'])('in the middle of %s', async (part) => {
    const stop = new AbortController();
    const source = new MemorySignatureSource()
      .addTagged(simpleSigningManifest(SUBJECT, [payload('one')]))
      .addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, [bundle]));
    source.onCall = async (call, { signal }) => {
      if (!call.startsWith(part)) return;
      await new Promise((resolve) => {
        signal?.addEventListener('abort', resolve);
        stop.abort();
      });
    };
    await expect(findSignatures(source, SUBJECT, { signal: stop.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });

  it('in the middle of bytes that do not come', async () => {
    const stop = new AbortController();
    const source = new MemorySignatureSource().addReferrer(SUBJECT, bundleReferrer(DESCRIPTOR, [bundle]));
    const hanging = new Readable({ read: () => stop.abort() });
    source.fetch = () => Promise.resolve(hanging);
    await expect(findSignatures(source, SUBJECT, { signal: stop.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(hanging.destroyed).toBe(true);
  });

  it('before it begins', async () => {
    const source = new MemorySignatureSource();
    const signal = AbortSignal.abort();
    await expect(findSignatures(source, SUBJECT, { signal })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(source.calls).toEqual([]);
  });
});

function stream(...chunks: Uint8Array[]): Readable {
  return Readable.from(chunks, { objectMode: false });
}

function* endless(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(1024);
}

function* broken(bytes: Buffer): Generator<Buffer> {
  yield bytes.subarray(0, 1);
  throw new RegistryError('PROTOCOL', 'it broke off');
}

function descriptorOf(text: string): Descriptor {
  return addBlob(new Map(), MEDIA_TYPES.ociEmpty, Buffer.from(text));
}

function artifactOf(bytes: Buffer, mediaType: string = MEDIA_TYPES.ociManifest): SignatureArtifact {
  const blobs = new Map<Digest, Buffer>();
  return { manifest: { ...addBlob(blobs, mediaType, bytes), artifactType: BUNDLE_TYPE }, blobs };
}

function manifestOf(
  document: object,
  type: string = MEDIA_TYPES.ociManifest,
  said = type,
): SignatureArtifact {
  return artifactOf(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, ...document })), said);
}

/** One of two bundles is not as it should be. */
function withLayer(change: Partial<Descriptor>): SignatureArtifact {
  const layer = { ...descriptorOf('{"another":"bundle"}'), mediaType: BUNDLE_TYPE, ...change };
  return manifestOf({ config: descriptorOf('{}'), layers: [layer], subject: DESCRIPTOR });
}
