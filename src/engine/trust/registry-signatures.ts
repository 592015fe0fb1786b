import type { ContentStore, Verification, VerificationStore } from '../../content/index.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  isIndexType,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import type { MetRequirement, SignatureRuling, SignatureSource } from '../../trust/index.js';
import { readManifest } from '../images/read-document.js';

/** The signatures in an image's repository, asked for by the same hosts, mirrors and credentials as the image. */
export function registrySignatures(
  client: Pick<RegistryClient, 'resolver' | 'repository'>,
  { registry, repository }: Reference,
): SignatureSource {
  const remote = client.repository({ registry, repository });
  return {
    location: `docker://${repositoryName({ registry, repository })}`,
    resolve: async (tag, options: Abortable = {}) => {
      try {
        return await client.resolver().resolve({ registry, repository, tag }, options);
      } catch (error) {
        if (isLandfallError(error) && error.code === 'NOT_FOUND') return undefined;
        throw error;
      }
    },
    referrers: (subject, options) => remote.referrers(subject, options),
    fetch: (descriptor, options) => remote.fetch(descriptor, options),
  };
}

/** That a signature was found that a policy asks for. */
export interface PulledSignature {
  /** Of the manifest or index that is signed. */
  readonly digest: Digest;
  /** The key, or whom the certificate is for. */
  readonly signedBy: string;
  /** How it is written: as cosign has always done, or as a Sigstore bundle. */
  readonly format: 'simple-signing' | 'bundle';
  /** Of the signature's manifest. */
  readonly signature: Digest;
  /** Path of the policy's file, and the scope in it that asks. */
  readonly policy: string;
  /** What of it asks: `docker:quay.io/team`, `default`. */
  readonly scope: string;
}

/** By whom an image is signed that was let in, and which rule asked. */
export function signaturesOf({
  ruling,
  met,
}: {
  readonly ruling: SignatureRuling;
  readonly met: readonly MetRequirement[];
}): readonly PulledSignature[] {
  const { policy, scope } = ruling;
  return met.map(({ digest, signedBy, format, signature }) => {
    return { digest, signedBy, format, signature, policy, scope };
  });
}

interface KnownIn {
  readonly content: Pick<ContentStore, 'info' | 'open'>;
  readonly verifications: Pick<VerificationStore, 'about'>;
}

/**
 * By whom an image is known to be signed: itself, or a manifest that its index leads to. The oldest first; nothing is verified, and
 * nothing of the image needs to be here.
 */
export async function knownVerifications(
  store: KnownIn,
  target: Descriptor,
): Promise<readonly Verification[]> {
  const documents = new Set<Digest>();
  let level: readonly Descriptor[] = [target];
  while (level.length > 0) {
    const fresh = level.filter(({ digest }) => !documents.has(digest));
    for (const { digest } of fresh) documents.add(digest);
    level = (await Promise.all(fresh.map((descriptor) => manifestsIn(store, descriptor)))).flat();
  }
  return await store.verifications.about(documents);
}

/** What an index lists, as far as it is here; of all else nothing. */
async function manifestsIn({ content }: KnownIn, descriptor: Descriptor): Promise<readonly Descriptor[]> {
  if (!isIndexType(descriptor.mediaType) || (await content.info(descriptor.digest)) === undefined) return [];
  try {
    const document = await readManifest(content, descriptor);
    return document.kind === 'index' ? document.manifests : [];
  } catch (error) {
    // What is damaged says nothing, and is for fsck.
    if (isLandfallError(error)) return [];
    throw error;
  }
}
