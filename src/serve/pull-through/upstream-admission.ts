import { SingleFlight } from '../../concurrency/index.js';
import { imagesWithBlob, repositoryState } from '../../content/index.js';
import { readManifestBytes } from '../../engine/images/read-manifest.js';
import type { Store } from '../../engine/store.js';
import { admitImage, recordAdmission } from '../../engine/trust/admit-image.js';
import { registrySignatures } from '../../engine/trust/signature-sources.js';
import { type Abortable, TrustError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Digest, isIndexType, parseReference } from '../../spec/index.js';
import { type PolicyFile, registryImage } from '../../trust/index.js';
import { RegistryFault } from '../http/answer.js';
import type { Route } from '../http/route.js';
import { accompaniesBy, childrenIn, StoreAdmission, tagsOf } from '../pull/store-admission.js';
import { isIn } from '../pull/store-source.js';
import type { PendingImages } from './pending-images.js';

export interface UpstreamAdmissionOptions extends Abortable {
  readonly store: Store;
  readonly registry: RegistryClient;
  readonly policy: PolicyFile;
  readonly pending: PendingImages;
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
  readonly #here: StoreAdmission;
  readonly #flights = new SingleFlight<string, void>();

  constructor(options: UpstreamAdmissionOptions) {
    this.#options = options;
    this.#here = new StoreAdmission(options);
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
      if ((await this.#here.refusal(repository, digest, tag)) === undefined) return;
      await this.#verify(repository, digest, tag);
    });
  }

  /** As {@link admit}, but without a request to a registry. @returns whether it may be served */
  async knows(repository: string, digest: Digest, tag?: string): Promise<boolean> {
    try {
      return (await this.#here.refusal(repository, digest, tag)) === undefined;
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
    if (await this.#here.isOpenToAll()) return;
    const { pending, store } = this.#options;
    const image = registryImage({ ...parseReference(repository), digest });
    const { governed, refusal, isOpen } = await this.#here.ruled([image]);
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

  /**
   * Asks its registry for signatures: of an index first, which mostly has them, and only then of what it
   * lists.
   */
  async #verify(repository: string, digest: Digest, tag: string | undefined): Promise<void> {
    const { store, registry, signal } = this.#options;
    const { governed } = await this.#here.ruled(await this.#here.names(repository, digest, tag));
    const found = await this.#here.manifest(digest);
    const read = readManifestBytes(store.content, registry.repository(parseReference(repository)), {
      signal,
    });
    if (await accompaniesBy(tagsOf(governed, tag), found, read)) return;
    const above = await Promise.all((await this.#here.above(digest)).map((one) => this.#here.manifest(one)));
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

  #unlisted(
    repository: string,
    digest: Digest,
    [first]: Awaited<ReturnType<StoreAdmission['ruled']>>['governed'],
  ): TrustError {
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
  if (await new StoreAdmission({ store, policy }).isOpenToAll()) return;
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
