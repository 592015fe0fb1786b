import type { Readable } from 'node:stream';
import type { ContentStore, ManifestInfo, Verification, VerificationStore } from '../../content/index.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  isIndexType,
  parseReference,
  type Reference,
  referrerDescriptor,
  repositoryName,
} from '../../spec/index.js';
import type { MetRequirement, SignatureRuling, SignatureSource } from '../../trust/index.js';
import { type ManifestOrIndex, readManifest } from '../images/read-manifest.js';
import type { Store, StoreParts } from '../store.js';
import { subjectOfCosignTag } from './accompaniment.js';

/** What a tag by cosign's scheme has the signatures of; undefined for every other tag. */
export function signedByTag(tag: string): Digest | undefined {
  return tag.endsWith('.sig') ? subjectOfCosignTag(tag) : undefined;
}

/** What of a store is asked for the signatures in it. */
export interface SignatureKeeper {
  readonly root: string;
  readonly content: Pick<Store['content'], 'info' | 'open'>;
  readonly manifests: Pick<StoreParts['manifests'], 'referrers'>;
  readonly catalog: Pick<Store['catalog'], 'list'>;
}

interface KeptManifest {
  readonly descriptor: Descriptor;
  readonly manifest: ManifestOrIndex;
}

/**
 * The signatures that a store keeps beside its images: those that were found when an
 * image was verified, and those that were copied along with it. A signature is for a digest, so it does not
 * matter in which repository it was.
 */
export class KeptSignatures implements SignatureSource {
  readonly location: string;
  readonly #store: SignatureKeeper;
  readonly #repository: string | undefined;

  /** @param repository of the image: a tag of signatures is looked for there first */
  constructor(store: SignatureKeeper, repository?: string) {
    this.#store = store;
    this.#repository = repository;
    this.location = store.root;
  }

  async resolve(tag: string): Promise<Descriptor | undefined> {
    const subject = signedByTag(tag);
    if (subject === undefined) return undefined;
    return (await this.tagged(subject)) ?? (await this.#named(tag));
  }

  /** What was found under the tag of a digest's signatures, the newest where it was several. */
  async tagged(subject: Digest): Promise<Descriptor | undefined> {
    const kept = (await this.#referring(subject)).filter(({ manifest }) => manifest.subject === undefined);
    return await this.#newest(kept.map(({ descriptor }) => descriptor));
  }

  async *referrers(subject: Digest): AsyncGenerator<Descriptor> {
    for (const { descriptor, manifest } of await this.#referring(subject)) {
      // What has only the tag of a signature refers to nothing by itself (image-spec: manifest.md, subject).
      if (manifest.subject?.digest === subject) yield referrerDescriptor(descriptor, manifest);
    }
  }

  async fetch(descriptor: Descriptor): Promise<Readable> {
    return await this.#store.content.open(descriptor);
  }

  async #referring(subject: Digest): Promise<KeptManifest[]> {
    const found = await this.#store.manifests.referrers(subject);
    const read = await Promise.all(found.map((info) => this.#read(info)));
    return read.filter((one) => one !== undefined);
  }

  /** Undefined for what is not here any more, or is damaged: it must not hide the others. */
  async #read({ digest, mediaType }: ManifestInfo): Promise<KeptManifest | undefined> {
    const { content } = this.#store;
    const info = await content.info(digest);
    if (info === undefined) return undefined;
    const descriptor = { mediaType, digest, size: info.size };
    try {
      return { descriptor, manifest: await readManifest(content, descriptor) };
    } catch (error) {
      if (isLandfallError(error)) return undefined;
      throw error;
    }
  }

  async #newest(descriptors: readonly Descriptor[]): Promise<Descriptor | undefined> {
    const dated = await Promise.all(
      descriptors.map(async (descriptor) => {
        const info = await this.#store.content.info(descriptor.digest);
        return { descriptor, ms: info?.createdAt.getTime() ?? 0 };
      }),
    );
    return dated.sort((a, b) => b.ms - a.ms)[0]?.descriptor;
  }

  /** An image of that tag, in whatever repository: what was copied with the tags that its source gave it. */
  async #named(tag: string): Promise<Descriptor | undefined> {
    const images = await this.#store.catalog.list();
    const named =
      images.find(({ name }) => name === `${this.#repository}:${tag}`) ??
      images.find(({ name }) => parseReference(name).tag === tag);
    return named?.target;
  }
}

/**
 * The signatures in an image's repository, asked for by the same hosts, mirrors and credentials as the image.
 */
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
 * By whom an image is known to be signed: itself, or a manifest that its index leads to. The oldest first;
 * nothing is verified, and nothing of the image needs to be here.
 */
export async function knownVerifications(
  store: KnownIn,
  target: Descriptor,
): Promise<readonly Verification[]> {
  const manifests = new Set<Digest>();
  let level: readonly Descriptor[] = [target];
  while (level.length > 0) {
    const fresh = level.filter(({ digest }) => !manifests.has(digest));
    for (const { digest } of fresh) manifests.add(digest);
    level = (await Promise.all(fresh.map((descriptor) => manifestsIn(store, descriptor)))).flat();
  }
  return await store.verifications.about(manifests);
}

/** What an index lists, as far as it is here; of all else nothing. */
async function manifestsIn({ content }: KnownIn, descriptor: Descriptor): Promise<readonly Descriptor[]> {
  if (!isIndexType(descriptor.mediaType) || (await content.info(descriptor.digest)) === undefined) return [];
  try {
    const manifest = await readManifest(content, descriptor);
    return manifest.kind === 'index' ? manifest.manifests : [];
  } catch (error) {
    // What is damaged says nothing, and is for fsck.
    if (isLandfallError(error)) return [];
    throw error;
  }
}
