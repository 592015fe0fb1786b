import type { Abortable } from '../../errors.js';
import { type Descriptor, type Digest, LIMITS, MEDIA_TYPES } from '../../spec/index.js';
import type { PolicyImage, SignatureRuling } from '../../trust/index.js';
import { readVerified } from '../read-document.js';
import type { Store } from '../store.js';
import { type Admission, admitImage } from './admit-image.js';
import { recordAdmission } from './record-admission.js';

export interface AdmitKnownOptions extends Abortable {
  /** What the policy says of the image: see `PolicyFile.rulingFor`. */
  readonly ruling: SignatureRuling;
  readonly image: PolicyImage;
  /** What leads to the manifest that is to be used: indexes first, the manifest last. */
  readonly path: readonly Digest[];
}

/**
 * Says that an image may be used, from what a store remembers and the signatures that it keeps alone: nothing is asked of anybody, so that it
 * is the same without a network. What it tells from kept signatures is remembered.
 *
 * Errors: as `verifyImage`
 */
export async function admitKnown(store: Store, options: AdmitKnownOptions): Promise<Admission> {
  const { ruling, image, path, signal } = options;
  const descriptors = await Promise.all(path.map((digest) => described(store, digest)));
  const manifest = descriptors.at(-1);
  if (manifest === undefined) throw new TypeError(`nothing leads to ${image.name}`);
  const admission = await admitImage({
    ruling,
    image,
    target: descriptors[0] ?? manifest,
    paths: () => Promise.resolve([descriptors]),
    read: (descriptor) => readVerified(store.content, descriptor, LIMITS.manifestBytes),
    sources: [],
    store,
    signal,
  });
  await recordAdmission(store, admission, { signal });
  return admission;
}

/** Of one that is not here the digest alone is known, which is what most signatures are for. */
async function described({ content, documents }: Store, digest: Digest): Promise<Descriptor> {
  const [info, facts] = await Promise.all([content.info(digest), documents.get(digest)]);
  return { mediaType: facts?.mediaType ?? MEDIA_TYPES.ociManifest, digest, size: info?.size ?? 0 };
}
