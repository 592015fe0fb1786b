import { join } from 'node:path';

import type { RegistryClient, RemoteRepository } from '../../src/registry/index.js';
import { type Digest, formatPlatform, hostPlatform } from '../../src/spec/index.js';
import { type CosignSigner, cosignSign } from './cosign.js';
import { putArtifact, putImage } from './put-artifact.js';
import { copySignatures, editSignatures, spoiled } from './edit-signatures.js';
import type { Signers } from './signers.js';
import { type Logged, type Signer, simpleSignature, simpleSigningManifest } from './simple-signing.js';
import { makeTinyLayout, type TinyLayout } from './tiny-image.js';

/** An image at a registry, in a repository of its own, as tag `1`. */
export interface SignedImage {
  /** `127.0.0.1:5000/team/app:1` */
  readonly name: string;
  /** `127.0.0.1:5000/team/app` */
  readonly repository: string;
  readonly layout: TinyLayout;
  readonly remote: RemoteRepository;
}

export interface SignedImagesOptions {
  readonly client: RegistryClient;
  /** Of the registry. */
  readonly address: string;
  readonly signers: Signers;
}

/** Signs an image that is at its registry. */
type Sign = (image: SignedImage, signers: Signers, images: SignedImages) => Promise<void>;

interface Recipe {
  readonly repository: string;
  readonly sign: Sign;
  /** An index with a manifest for this machine and one for another. */
  readonly index?: true;
  /** Has the same bytes as another one. */
  readonly sameAs?: string;
}

/** Every image of the matrix: where it is, and how its signatures come about. */
const RECIPES: Readonly<Record<string, Recipe>> = {
  unsigned: { repository: 'team/unsigned', sign: () => Promise.resolve() },
  ours: { repository: 'team/ours', sign: byCosign(({ ours }) => ({ key: ours })) },
  'ours as its tag': {
    repository: 'team/its-tag',
    sign: byCosign(
      ({ ours }) => ({ key: ours }),
      ({ name }) => name,
    ),
  },
  'ours as another tag': {
    repository: 'team/another-tag',
    sign: byCosign(
      ({ ours }) => ({ key: ours }),
      ({ repository }) => `${repository}:2`,
    ),
  },
  'ours as quay.io/team/app:1': {
    repository: 'mirror/app',
    sign: byCosign(
      ({ ours }) => ({ key: ours }),
      () => 'quay.io/team/app:1',
    ),
  },
  theirs: { repository: 'team/theirs', sign: byCosign(({ theirs }) => ({ key: theirs })) },
  both: {
    repository: 'team/both',
    sign: async (image, { ours, theirs }) => {
      await cosignSign(digestName(image), { key: theirs });
      await cosignSign(digestName(image), { key: ours });
    },
  },
  'ours, from another repository': {
    repository: 'stolen/ours',
    sameAs: 'ours',
    sign: async (image, _, images) => await copySignatures(imageOf(images, 'ours'), image),
  },
  'the signature of another image': {
    repository: 'team/swapped',
    // Of the same repository, so that nothing but the digest is wrong.
    sign: async (image, { dir, ours }) => {
      const layout = await layoutOf(join(dir, 'another'), { repository: 'another image' });
      await putImage(image.remote, layout, '2');
      await cosignSign(digestName({ ...image, layout }), { key: ours });
      await copySignatures({ ...image, layout }, image);
    },
  },
  'an edited payload': {
    repository: 'team/edited-payload',
    sign: async (image, _, images) => {
      const other = imageOf(images, 'ours');
      await copySignatures(other, image);
      await editSignatures(image, ({ payload, annotations }) => {
        const text = payload.toString().replaceAll(other.layout.target.digest, image.layout.target.digest);
        return { payload: Buffer.from(text.replaceAll(other.repository, image.repository)), annotations };
      });
    },
  },
  'an edited signature': {
    repository: 'team/edited-signature',
    sign: async (image, { ours }) => {
      await cosignSign(digestName(image), { key: ours });
      await editSignatures(image, spoiled);
    },
  },
  'an Ed25519 key': { repository: 'team/ed25519', sign: byCosign(({ ed25519 }) => ({ key: ed25519 })) },
  'an RSA key': { repository: 'team/rsa', sign: byHand(({ rsa }) => ({ signer: { key: rsa.key } })) },
  'the index': { repository: 'team/index', index: true, sign: byCosign(({ ours }) => ({ key: ours })) },
  'the manifest of this machine': { repository: 'team/here', index: true, sign: ofManifest(0) },
  'the manifest of another machine': { repository: 'team/there', index: true, sign: ofManifest(1) },
  'index and manifests': {
    repository: 'team/all',
    index: true,
    sign: async (image, { ours }) => {
      for (const digest of digestsOf(image)) await cosignSign(`${image.repository}@${digest}`, { key: ours });
    },
  },
  'a certificate': { repository: 'team/certified', sign: byCosign(({ certified }) => certified) },
  "a host's certificate": { repository: 'team/hosted', sign: byCosign(({ hosted }) => hosted) },
  'an expired certificate': { repository: 'team/expired', sign: byCosign(({ expired }) => expired) },
  'a certificate of another address': {
    repository: 'team/misaddressed',
    sign: byCosign(({ misaddressed }) => misaddressed),
  },
  'a certificate of another authority': {
    repository: 'team/misissued',
    sign: byCosign(({ misissued }) => misissued),
  },
  keyless: {
    repository: 'team/keyless',
    sign: byHand(({ keyless, rekor, keylessTime }) => ({
      signer: { leaf: keyless },
      logged: { log: rekor, time: keylessTime },
    })),
  },
  'keyless, of another issuer': {
    repository: 'team/keyless-elsewhere',
    sign: byHand(({ keylessElsewhere, rekor, keylessTime }) => ({
      signer: { leaf: keylessElsewhere },
      logged: { log: rekor, time: keylessTime },
    })),
  },
  'keyless, logged after its time': {
    repository: 'team/keyless-late',
    sign: byHand(({ keyless, rekor }) => ({ signer: { leaf: keyless }, logged: { log: rekor } })),
  },
  'keyless, in another log': {
    repository: 'team/keyless-other-log',
    sign: byHand(({ keyless, otherRekor, keylessTime }) => ({
      signer: { leaf: keyless },
      logged: { log: otherRekor, time: keylessTime },
    })),
  },
  'keyless, in no log': {
    repository: 'team/keyless-unlogged',
    sign: byHand(({ keyless }) => ({ signer: { leaf: keyless } })),
  },
  'a logged key': {
    repository: 'team/logged',
    sign: byHand(({ logged, rekor }) => ({ signer: { key: logged.key }, logged: { log: rekor } })),
  },
  'a logged key, in no log': {
    repository: 'team/unlogged',
    sign: byHand(({ logged }) => ({ signer: { key: logged.key } })),
  },
};

/** By what it is called in {@link RECIPES}. */
export type SignedImages = ReadonlyMap<string, SignedImage>;

export function imageOf(images: SignedImages, name: string): SignedImage {
  const image = images.get(name);
  if (image === undefined) throw new Error(`there is no image yet that is called ${name}`);
  return image;
}

/** Publishes all of them, one after the other. */
export async function publishSignedImages(options: SignedImagesOptions): Promise<SignedImages> {
  const { client, address, signers } = options;
  const images = new Map<string, SignedImage>();
  for (const [name, recipe] of Object.entries(RECIPES)) {
    const repository = `${address}/${recipe.repository}`;
    const image = {
      name: `${repository}:1`,
      repository,
      layout:
        images.get(recipe.sameAs ?? '')?.layout ??
        (await layoutOf(join(signers.dir, recipe.repository), recipe)),
      remote: client.repository({ registry: address, repository: recipe.repository }),
    };
    await putImage(image.remote, image.layout, '1');
    await recipe.sign(image, signers, images);
    images.set(name, image);
  }
  return images;
}

/** This machine's platform first, then one that nobody here has. */
async function layoutOf(
  dir: string,
  { repository, index }: Pick<Recipe, 'repository' | 'index'>,
): Promise<TinyLayout> {
  const here = formatPlatform(hostPlatform());
  return await makeTinyLayout(dir, {
    platforms: index === true ? [here, 'linux/s390x'] : [here],
    config: { Labels: { of: repository } },
  });
}

/** `127.0.0.1:5000/team/app@sha256:…` */
export function digestName({ repository, layout }: SignedImage): string {
  return `${repository}@${layout.target.digest}`;
}

function digestsOf({ layout }: SignedImage): Digest[] {
  return [layout.target.digest, ...layout.manifests.map(({ manifest }) => manifest.digest)];
}

function byCosign(
  signer: (signers: Signers) => CosignSigner,
  identity?: (image: SignedImage) => string,
): Sign {
  return async (image, signers) => await cosignSign(digestName(image), signer(signers), identity?.(image));
}

function ofManifest(at: number): Sign {
  return async ({ repository, layout }, { ours }) =>
    await cosignSign(`${repository}@${layout.manifests[at]?.manifest.digest}`, { key: ours });
}

/** What cosign would make, had it the internet or the key. */
function byHand(by: (signers: Signers) => { readonly signer: Signer; readonly logged?: Logged }): Sign {
  return async ({ remote, repository, layout }, signers) => {
    const { signer, logged } = by(signers);
    const { digest } = layout.target;
    const options = { identity: repository, ...(logged === undefined ? {} : { logged }) };
    await putArtifact(
      remote,
      simpleSigningManifest(digest, [await simpleSignature(digest, signer, options)]),
    );
  };
}
