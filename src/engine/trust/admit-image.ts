import { buffer } from 'node:stream/consumers';
import type { BlobProvider, Lease, Verification } from '../../content/index.js';
import { type Abortable, isLandfallError, isWrongContent, TrustError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  formatReference,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import {
  type MetRequirement,
  type PolicyFile,
  type PolicyImage,
  registryImage,
  type SignatureManifest,
  type SignatureRuling,
  type SignatureSet,
  type SignatureSource,
  verifyImage,
} from '../../trust/index.js';
import { infoOf } from '../images/image.js';
import {
  type ReadManifestBytes,
  readManifestBytes,
  onceEach,
  readVerified,
} from '../images/read-manifest.js';
import type { Store } from '../store.js';
import { type ManifestPath, type ManifestPaths, pathsToAll, pathTo } from './manifest-paths.js';
import { KeptSignatures, registrySignatures } from './signature-sources.js';

export interface AdmitImageOptions extends Abortable {
  /** What the policy says of the image: see `PolicyFile.rulingFor`. */
  readonly ruling: SignatureRuling;
  readonly image: PolicyImage;
  readonly target: Descriptor;
  /** What of it is to be used. */
  readonly paths: ManifestPaths;
  /** Reads its manifests. */
  readonly read: ReadManifestBytes;
  /** Where signatures are looked for, in this order, after those that the store keeps. */
  readonly sources: readonly SignatureSource[];
  /** What remembers what was verified, and keeps signatures; without one, nothing does. */
  readonly store?: Store | undefined;
  /** `registry/repository` of the image in the store. Default: as it is called. */
  readonly repository?: string | undefined;
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
 * Has an image verified by what a policy says of it, and by nothing else: no blob of it is asked for. What
 * the store remembers, or can be seen from the signatures that it keeps, costs no request.
 *
 * Errors: as `verifyImage`; NO_MATCHING_PLATFORM, and those of reading manifests.
 */
export async function admitImage(options: AdmitImageOptions): Promise<Admission> {
  const { ruling, image, target, sources, store, signal } = options;
  const read = onceEach(options.read);
  const paths = await options.paths(target, read);
  const remembered = store === undefined ? [] : await remember(store, image, paths);
  const repository = options.repository ?? (image.reference && repositoryName(image.reference));
  const all = store === undefined ? sources : [new KeptSignatures(store, repository), ...sources];
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

export interface RecordAdmissionOptions extends Abortable {
  /**
   * Protects what is kept until the image that it is for has its name. Default: one of its own, which ends
   * with the call.
   */
  readonly lease?: Lease | undefined;
  /** `registry/repository`, recorded with each blob. */
  readonly source?: string | undefined;
}

/**
 * Remembers that an image was verified, where that is not known already, and keeps the signatures that were
 * found for it, so that another policy can be held against them without its registry. They stay for as long
 * as what they are for.
 *
 * Errors: those of the content store; ABORTED
 */
export async function recordAdmission(
  store: Store,
  admission: Admission,
  options: RecordAdmissionOptions = {},
): Promise<void> {
  const { sets, met: all, remembered } = admission;
  const fresh = all.filter((met) => !remembered.includes(met));
  if (sets.length === 0 && fresh.length === 0) return;
  await using own = options.lease === undefined ? await store.leases.create() : undefined;
  const lease = options.lease ?? own;
  if (lease === undefined) return;
  for (const set of sets) {
    const source = admission.sources.find(({ location }) => location === set.location);
    if (source === undefined || source instanceof KeptSignatures) continue;
    let room = LIMITS.allSignatureBytes;
    for (const manifest of set.manifests) {
      const bytes = unreadBytes(manifest);
      // The image is verified all the same.
      if (bytes > room) continue;
      room -= bytes;
      await keep(store, manifest, source, { ...options, lease });
    }
  }
  await store.verifications.put(fresh.map((met) => verificationOf(admission, met)));
}

function verificationOf({ ruling, image }: Admission, met: MetRequirement): Verification {
  const { fingerprint, identity, digest, signedBy, format, signature } = met;
  return {
    digest,
    name: nameOf(image),
    requirement: fingerprint,
    policy: ruling.policy,
    scope: ruling.scope,
    signedBy,
    identity,
    format,
    signature,
    verifiedAt: new Date(),
  };
}

/** What a request counts for at least, in bytes: for each of 256 signatures there is room for one config. */
const REQUEST_BYTES = LIMITS.allSignatureBytes / LIMITS.signatures;

/**
 * The bytes to be fetched for a manifest to be kept whole. Any client that may write to a
 * repository can list anything there beside what was read as a signature, which need not be one
 * that holds.
 */
function unreadBytes({ descriptor, blobs }: SignatureManifest): number {
  const bytes = blobs.get(descriptor.digest);
  if (bytes === undefined) return 0;
  const manifest = parseManifest(bytes, descriptor.mediaType);
  const unread = childrenOf(manifest).filter(({ digest }) => !blobs.has(digest));
  return unread.reduce((sum, { size }) => sum + Math.max(size, REQUEST_BYTES), 0);
}

async function keep(
  store: Store,
  { subject, descriptor, blobs }: SignatureManifest,
  source: SignatureSource,
  options: RecordAdmissionOptions & { readonly lease: Lease },
): Promise<void> {
  const bytes = blobs.get(descriptor.digest);
  if (bytes === undefined) return;
  const manifest = parseManifest(bytes, descriptor.mediaType);
  if (manifest.kind !== 'manifest') return;
  const children = childrenOf(manifest);
  if (children.some(({ size }) => size > LIMITS.manifestBytes)) return;
  await options.lease.addBlob(descriptor.digest, ...children.map(({ digest }) => digest));
  for (const child of children) {
    const content = blobs.get(child.digest) ?? (await fetched(store, child, source, options));
    // The image is verified all the same; what is not whole is not kept.
    if (content === undefined || !(await put(store, child, content, options))) return;
  }
  await put(store, descriptor, bytes, options);
  await store.manifests.put([{ ...infoOf(descriptor, manifest), subject }]);
}

/** Undefined where it is here, or cannot be had. */
async function fetched(
  store: Store,
  child: Descriptor,
  source: SignatureSource,
  { signal }: Abortable,
): Promise<Buffer | undefined> {
  if ((await store.content.info(child.digest)) !== undefined) return Buffer.alloc(0);
  try {
    return await buffer(await source.fetch(child, { signal }));
  } catch (error) {
    if (isLandfallError(error) && error.code !== 'ABORTED') return undefined;
    throw error;
  }
}

/** Whether it is here then. */
async function put(
  { content }: Store,
  descriptor: Descriptor,
  bytes: Buffer,
  { source, signal }: RecordAdmissionOptions,
): Promise<boolean> {
  const writer = await content.ingest(descriptor, { signal, source });
  if (writer === undefined) return true;
  await using held = writer;
  try {
    if (held.offset < descriptor.size) await held.write(held.offset, bytes.subarray(held.offset));
    await held.commit();
    return true;
  } catch (error) {
    if (isWrongContent(error)) return false;
    throw error;
  }
}

export interface AdmitKnownOptions extends Abortable {
  /** What the policy says of the image: see `PolicyFile.rulingFor`. */
  readonly ruling: SignatureRuling;
  readonly image: PolicyImage;
  /** What leads to the manifest that is to be used: indexes first, the manifest last. */
  readonly path: readonly Digest[];
  /** As that of {@link AdmitImageOptions}. */
  readonly repository?: string | undefined;
}

/**
 * Says that an image may be used, from what a store remembers and the signatures that it keeps alone:
 * nothing is asked of anybody, so that it is the same without a network. What it tells from kept signatures
 * is remembered.
 *
 * Errors: as `verifyImage`
 */
export async function admitKnown(store: Store, options: AdmitKnownOptions): Promise<Admission> {
  const { ruling, image, path, repository, signal } = options;
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
    repository,
    signal,
  });
  await recordAdmission(store, admission, { signal });
  return admission;
}

/** Of one that is not here the digest alone is known, which is what most signatures are for. */
async function described({ content, manifests }: Store, digest: Digest): Promise<Descriptor> {
  const [info, details] = await Promise.all([content.info(digest), manifests.get(digest)]);
  return { mediaType: details?.mediaType ?? MEDIA_TYPES.ociManifest, digest, size: info?.size ?? 0 };
}

/** An image that is here and is to be used: mounted, say, or unpacked. */
export interface UsedImage extends Abortable {
  readonly policy: PolicyFile | undefined;
  readonly image: PolicyImage;
  readonly target: Descriptor;
  /** Which manifest of it is to be used. */
  readonly manifest: Descriptor;
  readonly content: Pick<BlobProvider, 'info' | 'open'>;
  /** Where signatures are looked for, besides those that the store keeps. */
  readonly sources?: readonly SignatureSource[] | undefined;
  /** That the image is in. */
  readonly store?: Store | undefined;
}

/**
 * Says that an image may be used where it is; nothing is asked of a registry.
 *
 * Errors: those of `PolicyFile.rulingFor`; as `verifyImage`
 */
export async function admitUse(used: UsedImage): Promise<void> {
  const { policy, image, target, manifest, content, sources = [], store, signal } = used;
  const ruling = await policy?.rulingFor(image);
  if (ruling === undefined) return;
  const read: ReadManifestBytes = (descriptor) => readVerified(content, descriptor, LIMITS.manifestBytes);
  const paths = pathTo(manifest);
  try {
    const admission = await admitImage({ ruling, image, target, paths, read, sources, store, signal });
    if (store !== undefined) await recordAdmission(store, admission, { signal });
  } catch (error) {
    if (store === undefined || !(error instanceof TrustError) || error.code !== 'SIGNATURE_MISSING')
      throw error;
    throw new TrustError(error.code, error.message, {
      cause: error,
      details: error.details,
      hint: 'Pull the image again under this policy, so that its signatures are looked for at its registry.',
    });
  }
}

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
 * Says that one manifest of an image may be used: by what is known here and otherwise by its registry,
 * where what was asked for may be an index that leads to it. What was found out is remembered.
 *
 * @returns what leads to the manifest, by which it is known from now on
 * Errors: as `verifyImage`, and those of resolving and of reading manifests
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
  const read = readManifestBytes(store.content, registry.repository(asked), { signal });
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
