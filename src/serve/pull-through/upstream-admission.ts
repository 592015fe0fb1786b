import { SingleFlight } from '../../concurrency/index.js';
import { imagesListing, imagesWithBlob, readManifestBlob, repositoryState } from '../../content/index.js';
import {
  type ReadManifestBytes,
  readManifestBytes,
  readVerified,
} from '../../engine/images/read-manifest.js';
import type { Store } from '../../engine/store.js';
import { accompanies } from '../../engine/trust/accompaniment.js';
import { admitImage, admitKnown, recordAdmission } from '../../engine/trust/admit-image.js';
import { indexesAbove } from '../../engine/trust/manifest-paths.js';
import { registrySignatures } from '../../engine/trust/signature-sources.js';
import { type Abortable, isLandfallError, TrustError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  LIMITS,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { type PolicyFile, type PolicyImage, registryImage, type SignatureRuling } from '../../trust/index.js';
import { RegistryFault } from '../http/answer.js';
import type { Route } from '../http/route.js';
import { isIn } from '../pull/store-source.js';
import type { PendingImages } from './pending-images.js';

export interface UpstreamAdmissionOptions extends Abortable {
  readonly store: Store;
  readonly registry: RegistryClient;
  readonly policy: PolicyFile;
  readonly pending: PendingImages;
}

/** For a blob that no manifest describes. */
const OCTETS = 'application/octet-stream';

/**
 * The entries of an index that are looked at: no image is made for more platforms, and each costs a request.
 */
const MOST_LISTED = 50;

/** What a policy asks for under one name. */
interface Governed {
  readonly image: PolicyImage;
  readonly ruling: SignatureRuling;
}

interface ManifestNode {
  readonly descriptor: Descriptor;
  /** Undefined for what is of a type that is not known here, which clients may know all the same. */
  readonly manifest: ImageManifest | ImageIndex | undefined;
}

/**
 * Holds requests for content of an upstream's repository against the signature policy. It decides at each
 * request, also for content that is here, so that a stricter policy holds at once; a verification is
 * remembered, and costs no request the next time.
 *
 * - A manifest is given where a signature for itself, or for an index that leads to it, has what the policy
 *   asks for: under the tag that is asked for, or, where that is a digest, under it or a tag of the
 *   repository that is known to lead to it.
 * - An index is given also where only something that it lists is signed: it is that alone which can be had
 *   through it.
 * - A blob is given where such a manifest lists it, and is asked for of an upstream only then.
 * - What accompanies images, such as their signatures, is given as it is; see `accompanies`.
 */
export class UpstreamAdmission {
  readonly #options: UpstreamAdmissionOptions;
  readonly #flights = new SingleFlight<string, void>();

  constructor(options: UpstreamAdmissionOptions) {
    this.#options = options;
  }

  /**
   * Admits a manifest that is here.
   *
   * @param repository `registry/repository`
   * @param tag by which it is asked for, where that is a tag Errors: those of the policy and of
   *   `verifyImage`; those of what asks for signatures
   */
  async admit(repository: string, digest: Digest, tag?: string): Promise<void> {
    await this.#flights.run(`${repository} ${digest} ${tag ?? ''}`, async () => {
      if (await this.#isKnown(repository, digest, tag)) return;
      await this.#verify(repository, digest, tag);
    });
  }

  /** As {@link admit}, but without a request to a registry. @returns whether it may be served */
  async knows(repository: string, digest: Digest, tag?: string): Promise<boolean> {
    try {
      return await this.#isKnown(repository, digest, tag);
    } catch (error) {
      if (error instanceof TrustError) return false;
      throw error;
    }
  }

  /**
   * Admits a blob, here or not, where an admitted manifest lists it. No registry is asked.
   *
   * Errors: those of the policy
   */
  async admitBlob(repository: string, digest: Digest): Promise<void> {
    if (await isOpenToAll(this.#options.policy)) return;
    const { pending, store } = this.#options;
    const image = registryImage({ ...parseReference(repository), digest });
    const { governed, refusal, isOpen } = await this.#ruled([image]);
    if (isOpen) return;
    const waiting = pending.waitingFor(digest).filter((one) => one.repository === repository);
    // What an index lists is to be asked for as what it is.
    const listing = (await store.manifests.holders(digest)).filter(
      ({ mediaType }) => !isIndexType(mediaType),
    );
    const holders = new Set([
      ...waiting.map(({ descriptor }) => descriptor.digest),
      ...listing.map((info) => info.digest),
    ]);
    for (const holder of holders) if (await this.knows(repository, holder)) return;
    throw refusal ?? this.#unlisted(repository, digest, governed);
  }

  /** @throws TrustError where no signature can help */
  async #isKnown(repository: string, digest: Digest, tag: string | undefined): Promise<boolean> {
    // Before anything is looked up.
    if (await isOpenToAll(this.#options.policy)) return true;
    const { store, signal } = this.#options;
    const { governed, refusal, isOpen } = await this.#ruled(await this.#names(repository, digest, tag));
    if (isOpen) return true;
    if (governed.length === 0) throw refusal ?? new TypeError(`${digest} has no name`);
    const found = await this.#manifest(digest);
    const read: ReadManifestBytes = (descriptor) =>
      readVerified(store.content, descriptor, LIMITS.manifestBytes);
    if (await accompaniesBy(tagsOf(governed, tag), found, read)) return true;
    const below = childrenIn(found).map((child) => child.digest);
    const path = [...(await this.#above(digest)), digest, ...below];
    for (const { image, ruling } of governed) {
      try {
        await admitKnown(store, { ruling, image, path, signal });
        return true;
      } catch (error) {
        // Its registry may know more.
        if (!isLandfallError(error) || error.code === 'ABORTED') throw error;
      }
    }
    return false;
  }

  /**
   * Asks its registry for signatures: of an index first, which mostly has them, and only then of what it
   * lists.
   */
  async #verify(repository: string, digest: Digest, tag: string | undefined): Promise<void> {
    const { store, registry, signal } = this.#options;
    const { governed } = await this.#ruled(await this.#names(repository, digest, tag));
    const found = await this.#manifest(digest);
    const read = readManifestBytes(store.content, registry.repository(parseReference(repository)), {
      signal,
    });
    if (await accompaniesBy(tagsOf(governed, tag), found, read)) return;
    const above = await Promise.all((await this.#above(digest)).map((one) => this.#manifest(one)));
    const paths = [[...above.map(({ descriptor }) => descriptor), found.descriptor], childrenIn(found)];
    const sources = [registrySignatures(registry, parseReference(repository))];
    let refusal: unknown;
    for (const path of paths) {
      const [target] = path;
      if (target === undefined) continue;
      for (const { image, ruling } of governed) {
        try {
          const asked = { ruling, image, target, paths: () => Promise.resolve([path]), read, sources };
          const admission = await admitImage({ ...asked, store, signal });
          await recordAdmission(store, admission, { source: repository, signal });
          return;
        } catch (error) {
          // What cannot be asked for under one name cannot be under another.
          if (!(error instanceof TrustError)) throw error;
          refusal ??= error;
        }
      }
    }
    throw refusal;
  }

  /**
   * What the policy says under some names: whether one of them needs nothing, which of them need signatures,
   * and why one is refused.
   */
  async #ruled(images: readonly PolicyImage[]): Promise<{
    readonly isOpen: boolean;
    readonly governed: readonly Governed[];
    readonly refusal: TrustError | undefined;
  }> {
    const governed: Governed[] = [];
    let refusal: TrustError | undefined;
    for (const image of images) {
      try {
        const ruling = await this.#options.policy.rulingFor(image);
        if (ruling === undefined) return { isOpen: true, governed: [], refusal: undefined };
        governed.push({ image, ruling });
      } catch (error) {
        if (!(error instanceof TrustError)) throw error;
        refusal ??= error;
      }
    }
    return { isOpen: false, governed, refusal };
  }

  /**
   * The tag that was asked for; else the tags of the repository that are known to lead to a digest, and the
   * digest.
   */
  async #names(repository: string, digest: Digest, tag: string | undefined): Promise<readonly PolicyImage[]> {
    const at = parseReference(repository);
    if (tag !== undefined) return [registryImage({ ...at, tag })];
    const { store, pending } = this.#options;
    const path = [digest, ...(await this.#above(digest))];
    const verified = (await store.verifications.about(path)).map(({ name }) => name);
    const names = [...verified, ...pending.names(digest), ...(await imagesListing(store.database, digest))];
    const tagged = [...new Set(names)].filter((name) => isTagIn(repository, name));
    return [...tagged.map((name) => registryImage(parseReference(name))), registryImage({ ...at, digest })];
  }

  async #above(digest: Digest): Promise<readonly Digest[]> {
    const { store, pending } = this.#options;
    return [...new Set([...pending.indexesOf(digest), ...(await indexesAbove(store.manifests, digest))])];
  }

  async #manifest(digest: Digest): Promise<ManifestNode> {
    const { content, manifests } = this.#options.store;
    const described = (await manifests.get(digest))?.mediaType;
    const manifest = (await readManifestBlob(content, digest, described))?.manifest;
    const size = (await content.info(digest))?.size ?? 0;
    return { descriptor: { mediaType: described ?? manifest?.mediaType ?? OCTETS, digest, size }, manifest };
  }

  #unlisted(repository: string, digest: Digest, [first]: readonly Governed[]): TrustError {
    const { path } = this.#options.policy;
    const scope = first?.ruling.scope;
    return new TrustError(
      'POLICY_REJECTED',
      `no image of ${repository} that was found to be signed lists the blob ${digest}`,
      {
        hint: 'Ask for the manifest of its image first.',
        details: { policy: path, image: repository, ...(scope === undefined ? {} : { scope }) },
      },
    );
  }
}

/** The entries of an index: where one of them is signed, the index leads to something that may be served. */
function childrenIn({ manifest }: ManifestNode): readonly Descriptor[] {
  return manifest?.kind === 'index' ? manifest.manifests.slice(0, MOST_LISTED) : [];
}

/** The tags by which a manifest may be asked for; undefined stands for its digest. */
function tagsOf(governed: readonly Governed[], tag: string | undefined): readonly (string | undefined)[] {
  return tag === undefined ? [undefined, ...governed.map(({ image }) => image.reference?.tag)] : [tag];
}

async function accompaniesBy(
  tags: readonly (string | undefined)[],
  { descriptor, manifest }: ManifestNode,
  read: ReadManifestBytes,
): Promise<boolean> {
  if (manifest === undefined) return false;
  for (const tag of new Set(tags)) {
    try {
      if (await accompanies(descriptor, tag, read)) return true;
    } catch (error) {
      // An index with an unreadable part counts as an image.
      if (!isLandfallError(error) || error.code === 'ABORTED') throw error;
    }
  }
  return false;
}

/** Whether a name is a tag of a repository. What was verified in a file may be called something else. */
function isTagIn(repository: string, name: string): boolean {
  if (!name.startsWith(`${repository}:`)) return false;
  try {
    const reference = parseReference(name);
    if (reference.digest !== undefined || reference.tag === undefined) return false;
    return formatReference(reference) === name && repositoryName(reference) === repository;
  } catch {
    return false;
  }
}

/** Whether a policy accepts everything. One that cannot be understood accepts nothing. */
async function isOpenToAll(policy: PolicyFile): Promise<boolean> {
  try {
    return await policy.acceptsEverything();
  } catch {
    return false;
  }
}

/**
 * Keeps content of an upstream from being served by its digest under another repository, for which no policy
 * holds: there it exists only where an image of that repository has it.
 *
 * @param at `isUpstreams`: whether a repository is an upstream's; `repository`: none of these
 * @throws RegistryFault 404
 */
export async function requireNotForeign(
  store: Store,
  policy: PolicyFile,
  at: { readonly isUpstreams: (repository: string) => boolean; readonly repository: string },
  route: Route,
): Promise<void> {
  if ((route.kind !== 'manifest' && route.kind !== 'blob') || !('digest' in route)) return;
  const { digest } = route;
  if (await isOpenToAll(policy)) return;
  const info = await store.content.info(digest);
  // What was dropped once it was unpacked is brought again from where it came.
  const source = (info ?? (await store.discarded.get(digest)))?.source;
  if (source === undefined || !at.isUpstreams(source)) return;
  if (info !== undefined && (await repositoryState(store, digest, at.repository)) === 'pushed') return;
  const names = await imagesWithBlob(store.database, digest);
  if (names.some((name) => isIn(at.repository, name))) return;
  const code = route.kind === 'blob' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN';
  throw new RegistryFault(404, code, `there is no ${route.kind} ${digest} in ${at.repository}`);
}
