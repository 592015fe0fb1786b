import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { removeImage } from '../../../src/engine/images/names.js';
import { type Admission, recordAdmission } from '../../../src/engine/trust/admit-image.js';
import { KeptSignatures, signedByTag } from '../../../src/engine/trust/signature-sources.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { registryImage, type SignatureManifest, type SignatureSource } from '../../../src/trust/index.js';
import { signatureTag } from '../../support/simple-signing.js';
import { putImage } from '../../support/stored-image.js';

const APP = 'registry.example/team/app:1';
const REFERENCE = { registry: 'registry.example', repository: 'team/app', tag: '1' };
const FINGERPRINT = digestOf(Buffer.from('all that is asked for'));
const PAYLOAD_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json';

interface MadeSignature {
  readonly manifest: SignatureManifest;
  readonly all: ReadonlyMap<Digest, Buffer>;
}

/** As a registry has it: a manifest, its config, and one payload for each text. */
function signatureOf(subject: Descriptor, payloads: readonly string[], byTag: boolean): MadeSignature {
  const all = new Map<Digest, Buffer>();
  const put = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = digestOf(bytes);
    all.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const config = put(MEDIA_TYPES.ociConfig, Buffer.from(`{"of":"${payloads.join(' ')}"}`));
  const layers = payloads.map((text) => put(PAYLOAD_TYPE, Buffer.from(text)));
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers };
  const bytes = Buffer.from(JSON.stringify(byTag ? manifest : { ...manifest, subject }));
  const descriptor = put(MEDIA_TYPES.ociManifest, bytes);
  const read = [descriptor.digest, ...layers.map(({ digest }) => digest)];
  return {
    manifest: {
      subject: subject.digest,
      descriptor,
      tag: byTag ? signatureTag(subject.digest) : undefined,
      blobs: new Map([...all].filter(([digest]) => read.includes(digest))),
    },
    all,
  };
}

function sourceOf(made: readonly MadeSignature[]): SignatureSource & { readonly fetched: Digest[] } {
  const fetched: Digest[] = [];
  return {
    location: 'docker://registry.example/team/app',
    fetched,
    resolve: () => Promise.resolve(undefined),
    referrers: () =>
      (async function* () {
        yield* await Promise.resolve<Descriptor[]>([]);
      })(),
    fetch: ({ digest }) => {
      fetched.push(digest);
      const bytes = made.map(({ all }) => all.get(digest)).find((found) => found !== undefined);
      return Promise.resolve(Readable.from([bytes ?? Buffer.from('nothing')]));
    },
  };
}

function admissionOf(source: SignatureSource, subject: Digest, made: readonly MadeSignature[]): Admission {
  const [first] = made;
  if (first === undefined) throw new Error('an admission needs a signature');
  return {
    ruling: {
      policy: '/etc/containers/policy.json',
      scope: 'docker:registry.example',
      line: 3,
      requirements: [],
    },
    image: registryImage(REFERENCE),
    met: [
      {
        fingerprint: FINGERPRINT,
        digest: subject,
        signedBy: 'key sha256:0123456789abcdef',
        format: 'simple-signing',
        identity: 'registry.example/team/app',
        signature: first.manifest.descriptor.digest,
      },
    ],
    sets: [
      {
        subject,
        location: source.location,
        manifests: made.map(({ manifest }) => manifest),
        signatures: [],
        tried: [],
        problems: [],
      },
    ],
    sources: [source],
    remembered: [],
  };
}

describe('signatures that a store keeps', () => {
  let root: string;
  let store: Store;
  let target: Descriptor;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'landfall-signatures-'));
    store = await openStore({ root: join(root, 'store'), sync: 'none', workers: 1 });
    ({ target } = await putImage(store, APP));
  });
  afterEach(async () => {
    await store.close();
    await rm(root, { recursive: true, force: true });
  });

  const keep = async (...made: MadeSignature[]): Promise<ReturnType<typeof sourceOf>> => {
    const source = sourceOf(made);
    await using lease = await store.leases.create();
    await recordAdmission(store, admissionOf(source, target.digest, made), { lease });
    return source;
  };
  const referrers = async (): Promise<Digest[]> => {
    const found: Digest[] = [];
    for await (const { digest } of new KeptSignatures(store).referrers(target.digest)) found.push(digest);
    return found;
  };
  const tagged = (): Promise<Descriptor | undefined> =>
    new KeptSignatures(store).resolve(signatureTag(target.digest));

  it('are found again by their tag, whole, without the image having a further name', async () => {
    const made = signatureOf(target, ['one', 'two'], true);
    const source = await keep(made);
    expect(await tagged()).toEqual(made.manifest.descriptor);
    expect(await referrers()).toEqual([]);
    expect(source.fetched).toHaveLength(1);
    for (const [digest, bytes] of made.all) {
      const stream = await store.content.open({ mediaType: PAYLOAD_TYPE, digest, size: bytes.length });
      expect(await buffer(stream)).toEqual(bytes);
    }
    expect((await store.images.list()).map(({ name }) => name)).toEqual([APP]);
  });

  it('are found again as what refers to the image', async () => {
    const made = signatureOf(target, ['one'], false);
    await keep(made);
    expect(await referrers()).toEqual([made.manifest.descriptor.digest]);
    expect(await tagged()).toBeUndefined();
  });

  it('are the newest of those that had the tag', async () => {
    await keep(signatureOf(target, ['old'], true));
    await store.database.run('UPDATE blobs SET created_at = created_at - 10000');
    const made = signatureOf(target, ['old', 'new'], true);
    await keep(made);
    expect(await tagged()).toEqual(made.manifest.descriptor);
  });

  it('are those of an image that was copied with its tags, too', async () => {
    const { target: signature } = await putImage(
      store,
      `registry.example/team/app:${signatureTag(target.digest)}`,
    );
    expect((await tagged())?.digest).toBe(signature.digest);
  });

  it('stay in a collection, and go with the image, as does what was verified', async () => {
    const made = signatureOf(target, ['one'], true);
    await keep(made, signatureOf(target, ['other'], false));
    expect((await collectGarbage(store)).blobs).toEqual([]);
    expect(await store.verifications.about([target.digest])).toHaveLength(1);
    await removeImage(store, APP);
    expect(await tagged()).toBeUndefined();
    expect(await store.content.info(made.manifest.descriptor.digest)).toBeUndefined();
    expect(await store.verifications.about([target.digest])).toEqual([]);
  });

  it('go in a collection of images that nobody uses', async () => {
    await keep(signatureOf(target, ['one'], true));
    await collectGarbage(store, { unusedForMs: 0 });
    expect(await tagged()).toBeUndefined();
    expect(await store.verifications.about([target.digest])).toEqual([]);
  });

  it('are not kept where a part of them cannot be had, or is not what it should be', async () => {
    const made = signatureOf(target, ['one'], true);
    const source = { ...sourceOf([]), fetch: () => Promise.resolve(Readable.from([Buffer.from('x')])) };
    await using lease = await store.leases.create();
    await recordAdmission(store, admissionOf(source, target.digest, [made]), { lease });
    expect(await tagged()).toBeUndefined();
    expect(await store.verifications.about([target.digest])).toHaveLength(1);
  });

  it('are not kept with thousands of contents that nobody has read, which anybody may have listed there', async () => {
    const made = signatureOf(target, ['one'], false);
    const flood = signatureOf(
      target,
      Array.from({ length: 1000 }, (_, at) => `junk ${at}`),
      false,
    );
    const { digest } = flood.manifest.descriptor;
    const blobs = new Map([...flood.manifest.blobs].filter(([read]) => read === digest));
    const source = await keep({ ...flood, manifest: { ...flood.manifest, blobs } }, made);
    expect(source.fetched).toHaveLength(1);
    expect(await referrers()).toEqual([made.manifest.descriptor.digest]);
  });

  it('do not hide others where they are damaged', async () => {
    const made = signatureOf(target, ['one'], false);
    const other = signatureOf(target, ['two'], false);
    await keep(made, other);
    await store.content.delete(made.manifest.descriptor.digest);
    expect(await referrers()).toEqual([other.manifest.descriptor.digest]);
  });
});

describe('what was verified', () => {
  it('is told by digest and name, and by whom, as it was last', async () => {
    const root = await mkdtemp(join(tmpdir(), 'landfall-verified-'));
    await using store = await openStore({ root: join(root, 'store'), sync: 'none', workers: 1 });
    const { target } = await putImage(store, APP);
    const made = signatureOf(target, ['one'], true);
    const source = sourceOf([made]);
    await using lease = await store.leases.create();
    const admission = admissionOf(source, target.digest, [made]);
    await recordAdmission(store, admission, { lease });
    await recordAdmission(
      store,
      { ...admission, ruling: { ...admission.ruling, scope: 'default' } },
      { lease },
    );
    const [known, ...others] = await store.verifications.about([target.digest], APP);
    expect(others).toEqual([]);
    expect(known).toMatchObject({
      name: APP,
      requirement: FINGERPRINT,
      scope: 'default',
      signedBy: 'key sha256:0123456789abcdef',
      identity: 'registry.example/team/app',
      signature: made.manifest.descriptor.digest,
    });
    expect(await store.verifications.about([target.digest], 'registry.example/team/app:2')).toEqual([]);
    expect(await store.verifications.about([digestOf(Buffer.from('other'))])).toEqual([]);
    await rm(root, { recursive: true, force: true });
  });
});

describe('a tag by the scheme of cosign', () => {
  const digest = digestOf(Buffer.from('image'));
  it.each([
    [signatureTag(digest), digest],
    [`sha256-${'0'.repeat(63)}.sig`, undefined],
    ['latest', undefined],
    [signatureTag(digest).replace('.sig', '.att'), undefined],
  ])('%s names the signatures of %s', (tag, subject) => {
    expect(signedByTag(tag)).toBe(subject);
  });
});
