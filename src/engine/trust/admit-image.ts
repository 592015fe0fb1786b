import type { Abortable } from '../../errors.js';
import { type Descriptor, formatReference } from '../../spec/index.js';
import {
  type MetRequirement,
  type PolicyImage,
  type SignatureRuling,
  type SignatureSet,
  type SignatureSource,
  verifyImage,
} from '../../trust/index.js';
import type { Verification } from '../../content/index.js';
import type { Store } from '../store.js';
import { type DocumentBytes, onceEach } from '../document-bytes.js';
import { KeptSignatures } from './kept-signatures.js';
import type { ManifestPath, ManifestPaths } from './manifest-paths.js';

export interface AdmitImageOptions extends Abortable {
  /** What the policy says of the image: see `PolicyFile.rulingFor`. */
  readonly ruling: SignatureRuling;
  readonly image: PolicyImage;
  readonly target: Descriptor;
  /** What of it is to be used. */
  readonly paths: ManifestPaths;
  /** Reads its documents. */
  readonly read: DocumentBytes;
  /** Where signatures are looked for, in this order, after those that the store keeps. */
  readonly sources: readonly SignatureSource[];
  /** What remembers what was verified, and keeps signatures; without one, nothing does. */
  readonly store?: Store | undefined;
}

/** That an image may be used, and why. */
export interface Admission {
  readonly ruling: SignatureRuling;
  readonly image: PolicyImage;
  readonly met: readonly MetRequirement[];
  /** What was found for it; empty where all of it was remembered. */
  readonly sets: readonly SignatureSet[];
  readonly sources: readonly SignatureSource[];
  /** Those of {@link Admission.met} that the store knew already. */
  readonly remembered: readonly MetRequirement[];
}

/**
 * Has an image verified by what a policy says of it, and by nothing else: no blob of it is asked for. What the store remembers, or can
 * be told from the signatures that it keeps, costs no request.
 *
 * Errors: as `verifyImage`; NO_MATCHING_PLATFORM, and those of reading documents.
 */
export async function admitImage(options: AdmitImageOptions): Promise<Admission> {
  const { ruling, image, target, sources, store, signal } = options;
  const read = onceEach(options.read);
  const paths = await options.paths(target, read);
  const remembered = store === undefined ? [] : await remember(store, image, paths);
  const all = store === undefined ? sources : [new KeptSignatures(store), ...sources];
  const descriptors = new Map(paths.flat().map((descriptor) => [descriptor.digest, descriptor]));
  const { met, sets } = await verifyImage({
    ruling,
    image,
    paths: paths.map((path) => path.map(({ digest }) => digest)),
    bytesOf: async (digest) => {
      const descriptor = descriptors.get(digest);
      if (descriptor === undefined) throw new TypeError(`${digest} leads to nothing of the image`);
      return await read(descriptor);
    },
    sources: all,
    remembered,
    signal,
  });
  return { ruling, image, met, sets, sources: all, remembered };
}

/** What an image is called where it is remembered. */
export function nameOf({ reference, name }: PolicyImage): string {
  return reference === undefined ? name : formatReference(reference);
}

async function remember(
  { verifications }: Store,
  image: PolicyImage,
  paths: readonly ManifestPath[],
): Promise<MetRequirement[]> {
  const digests = paths.flat().map(({ digest }) => digest);
  return (await verifications.about(digests, nameOf(image))).map(metOf);
}

function metOf({ requirement, digest, signedBy, format, identity, signature }: Verification): MetRequirement {
  return {
    fingerprint: requirement,
    digest,
    signedBy,
    format: format === 'bundle' ? 'bundle' : 'simple-signing',
    identity,
    signature,
  };
}
