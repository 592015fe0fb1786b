import { buffer } from 'node:stream/consumers';

import type { Lease, Verification } from '../../content/index.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  type ImageManifest,
  LIMITS,
  parseManifest,
} from '../../spec/index.js';
import type { MetRequirement, SignatureManifest, SignatureSource } from '../../trust/index.js';
import type { Store } from '../store.js';
import { type Admission, nameOf } from './admit-image.js';
import { KeptSignatures } from './kept-signatures.js';

export interface RecordAdmissionOptions extends Abortable {
  /** Protects what is kept until the image that it is for has its name. Default: one of its own, which ends with the call. */
  readonly lease?: Lease;
  /** `registry/repository`, recorded with each blob. */
  readonly source?: string;
}

/**
 * Remembers that an image was verified, where that is not known already, and keeps the signatures that were found for it, so that another policy can be held against
 * them without its registry. They stay for as long as what they are for.
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
    ...(identity === undefined ? {} : { identity }),
    format,
    signature,
    verifiedAt: new Date(),
  };
}

/** What a request counts for at least, in bytes: for each of 256 signatures there is room for one config. */
const REQUEST_BYTES = LIMITS.allSignatureBytes / LIMITS.signatures;

/**
 * What would have to be fetched for a manifest to be kept whole, in bytes. Anybody who may write to a repository can list there whatever
 * he likes beside what was read as a signature, which need not be one that holds.
 */
function unreadBytes({ descriptor, blobs }: SignatureManifest): number {
  const bytes = blobs.get(descriptor.digest);
  if (bytes === undefined) return 0;
  const document = parseManifest(bytes, descriptor.mediaType);
  const unread = childrenOf(document).filter(({ digest }) => !blobs.has(digest));
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
  const document = parseManifest(bytes, descriptor.mediaType);
  if (document.kind !== 'manifest') return;
  const children = childrenOf(document);
  if (children.some(({ size }) => size > LIMITS.manifestBytes)) return;
  await options.lease.addBlob(descriptor.digest, ...children.map(({ digest }) => digest));
  for (const child of children) {
    const content = blobs.get(child.digest) ?? (await fetched(store, child, source, options));
    // The image is verified all the same; what is not whole is not kept.
    if (content === undefined || !(await put(store, child, content, options))) return;
  }
  await put(store, descriptor, bytes, options);
  await store.documents.put([factsOf(subject, descriptor, document)]);
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
  const writer = await content.ingest(descriptor, { signal, ...(source === undefined ? {} : { source }) });
  if (writer === undefined) return true;
  await using held = writer;
  try {
    if (held.frontier < descriptor.size) await held.write(held.frontier, bytes.subarray(held.frontier));
    await held.commit();
    return true;
  } catch (error) {
    if (!isLandfallError(error)) throw error;
    if (error.code !== 'DIGEST_MISMATCH' && error.code !== 'SIZE_MISMATCH') throw error;
    return false;
  }
}

function factsOf(
  subject: Digest,
  { digest, mediaType }: Descriptor,
  document: ImageManifest,
): Parameters<Store['documents']['put']>[0][number] {
  return {
    digest,
    mediaType,
    subject,
    children: childrenOf(document).map((child) => ({ digest: child.digest, size: child.size })),
    chainIds: [],
  };
}
