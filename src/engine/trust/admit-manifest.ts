import { type Abortable, TrustError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Digest, type Reference, repositoryName } from '../../spec/index.js';
import { registryImage, type SignatureRuling } from '../../trust/index.js';
import type { Store } from '../store.js';
import { admitImage } from './admit-image.js';
import { admitKnown } from './admit-known.js';
import { recordAdmission } from './record-admission.js';
import { documentBytes } from '../document-bytes.js';
import { type ManifestPath, pathsToAll } from './manifest-paths.js';
import { registrySignatures } from './registry-signatures.js';

export interface AdmitManifestOptions extends Abortable {
  readonly store: Store;
  readonly registry: Pick<RegistryClient, 'resolver' | 'repository'>;
  /** What the policy says of what was asked for. */
  readonly ruling: SignatureRuling;
  /** What the image was asked for as; by this name the policy knows it. */
  readonly asked: Reference;
  /** Which manifest of it is to be used. */
  readonly manifest: Digest;
  /** What is known to lead to it: indexes first, the manifest last. */
  readonly known: readonly Digest[];
}

/**
 * Says that one manifest of an image may be used: by what is known here and otherwise by its registry, where what was asked for may be an
 * index that leads to it. What was found out is remembered.
 *
 * @returns what leads to the manifest, by which it is known from now on
 * Errors: as `verifyImage`, and those of resolving and of reading documents
 */
export async function admitManifest(options: AdmitManifestOptions): Promise<readonly Digest[]> {
  const { store, ruling, asked, known, signal } = options;
  try {
    await admitKnown(store, { ruling, image: registryImage(asked), path: known, signal });
    return known;
  } catch (error) {
    // What its registry has may still be enough.
    if (!(error instanceof TrustError)) throw error;
  }
  return await admitFromRegistry(options);
}

async function admitFromRegistry({
  store,
  registry,
  ruling,
  asked,
  manifest,
  signal,
}: AdmitManifestOptions): Promise<readonly Digest[]> {
  const resolver = registry.resolver();
  const target = await resolver.resolve(asked, { signal });
  const read = documentBytes(store.content, registry.repository(asked), { signal });
  const all = await pathsToAll(target, read);
  const path: ManifestPath = all.find((one) => one.at(-1)?.digest === manifest) ?? [
    // A tag that has moved on does not lead to it any more; what is signed itself still is.
    await resolver.resolve(
      { registry: asked.registry, repository: asked.repository, digest: manifest },
      { signal },
    ),
  ];
  const admission = await admitImage({
    ruling,
    image: registryImage(asked),
    target,
    paths: () => Promise.resolve([path]),
    read,
    sources: [registrySignatures(registry, asked)],
    store,
    signal,
  });
  await recordAdmission(store, admission, { source: repositoryName(asked), signal });
  return path.map(({ digest }) => digest);
}
