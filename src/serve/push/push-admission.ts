import { imagesListing, repositoriesWith, repositoryState } from '../../content/index.js';
import type { Store } from '../../engine/store.js';
import { TrustError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  familiarReference,
  isIndexType,
  parseReference,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import type { PolicyFile } from '../../trust/index.js';
import { policyFault } from '../http/answer.js';
import { StoreAdmission } from '../pull/store-admission.js';
import { isIn, type ReadAdmission } from '../pull/store-source.js';

export interface PushAdmissionOptions {
  readonly store: Store;
  readonly policy: PolicyFile;
  /** `registry.lan:5000`: how clients call the server, and so the policy what is pushed to no other registry. */
  readonly host?: string | undefined;
  /**
   * How long a tag may point to an image that is not signed yet, in ms. Without it, a tag is given to signed
   * images alone.
   */
  readonly graceMs?: number | undefined;
  readonly onWarning: (text: string) => void;
}

/**
 * Holds what is pushed against the signature policy. An image is governed once its manifest was put; what came
 * into the store in another way is served as it is.
 *
 * - A manifest can be put by its digest, and read, so that it can be signed. Where the policy refuses it
 *   whatever its signatures are, it is not taken.
 * - A tag is given to it where it is signed, or an index that leads to it or an entry of it is; with a grace
 *   also to one that is not yet.
 * - A tag that points to an image without its signatures can be read until the grace has passed since the tag
 *   was put. The time is that of the name in the store, so a restart changes nothing.
 * - The blobs of an image are given once it is signed, so no grace lets an unsigned image be run. Whether they
 *   are here is said in any case, since clients that push ask for it.
 * - What accompanies images, such as their signatures, needs none.
 */
export class PushAdmission implements ReadAdmission {
  readonly #options: PushAdmissionOptions;
  readonly #here: StoreAdmission;

  constructor(options: PushAdmissionOptions) {
    this.#options = options;
    const { host } = options;
    this.#here = new StoreAdmission({ ...options, nameFor: host === undefined ? undefined : nameAt(host) });
  }

  /**
   * Refuses a manifest that no signature can help.
   *
   * @param names canonical, that it is to have
   * @throws RegistryFault 403 DENIED
   */
  async admitNames(names: readonly string[]): Promise<void> {
    try {
      for (const name of names) await this.#options.policy.rulingFor(this.#here.image(parseReference(name)));
    } catch (error) {
      throw this.#faultOf(error, names.join(', '));
    }
  }

  /**
   * Admits tags for a manifest that was put.
   *
   * @throws RegistryFault 403 DENIED
   */
  async admitTags(repository: string, tags: readonly string[], digest: Digest): Promise<void> {
    if (this.#options.graceMs !== undefined) return;
    for (const tag of tags) {
      const why = await this.#refusal(repository, digest, tag);
      if (why === undefined) continue;
      throw this.#faultOf(
        unsigned(why, `sign ${repository}@${digest}, whose manifest is here, and push the tag again`),
        `the tag ${repository}:${tag}`,
      );
    }
  }

  /**
   * Refuses to give what a tag leads to.
   *
   * @throws RegistryFault 403 DENIED
   */
  async admitTag(repository: string, tag: string, { digest }: Descriptor): Promise<void> {
    const { store, graceMs = 0 } = this.#options;
    if ((await repositoryState(store, digest, repository)) !== 'pushed') return;
    const why = await this.#refusal(repository, digest, tag);
    if (why === undefined) return;
    const named = await store.images.get(`${repository}:${tag}`);
    if (named !== undefined && named.updatedAt.getTime() + graceMs > Date.now()) return;
    throw this.#faultOf(unsigned(why, 'sign it by its digest'), `${repository}:${tag}`);
  }

  /**
   * Refuses to give a blob. Of the manifests that list it, those of the repository decide; where it has none of them, all do,
   * since a blob can be asked for by any repository's path.
   *
   * @throws RegistryFault 403 DENIED
   */
  async admitBlob(repository: string, digest: Digest): Promise<void> {
    if (await this.#here.isOpenToAll()) return;
    const { store } = this.#options;
    const holders = (await store.manifests.holders(digest)).filter(
      ({ mediaType }) => !isIndexType(mediaType),
    );
    const mine = [];
    for (const holder of holders) if (await this.#isIn(repository, holder.digest)) mine.push(holder);
    let why: unknown;
    for (const holder of mine.length > 0 ? mine : holders) {
      const refused = await this.#refusalIn(mine.length > 0 ? [repository] : undefined, holder.digest);
      if (refused === undefined) return;
      why ??= refused;
    }
    if (why !== undefined) throw this.#faultOf(why, `the blob ${digest} of ${repository}`);
  }

  /**
   * Why a manifest may not be used in any of some repositories; undefined where it may in one.
   *
   * @param repositories default: all that it was pushed to or is named in
   */
  async #refusalIn(repositories: readonly string[] | undefined, digest: Digest): Promise<unknown> {
    const { store } = this.#options;
    const names = await imagesListing(store.database, digest);
    const pushedTo = await repositoriesWith(store.database, digest);
    const places = new Set([...pushedTo, ...names.map((name) => repositoryName(parseReference(name)))]);
    let why: unknown;
    for (const place of repositories ?? places) {
      if (!(await this.#isGoverned(place, digest, { names, pushedTo }))) return undefined;
      const refused = await this.#refusal(place, digest);
      if (refused === undefined) return undefined;
      why ??= refused;
    }
    return why;
  }

  /** Whether a repository has a manifest by pushes alone. */
  async #isGoverned(
    repository: string,
    digest: Digest,
    { names, pushedTo }: { readonly names: readonly string[]; readonly pushedTo: readonly string[] },
  ): Promise<boolean> {
    const { store } = this.#options;
    if (pushedTo.includes(repository)) return true;
    for (const name of names.filter((one) => isIn(repository, one))) {
      const target = (await store.images.get(name))?.target.digest ?? digest;
      if ((await repositoryState(store, target, repository)) !== 'pushed') return false;
    }
    return true;
  }

  async #isIn(repository: string, digest: Digest): Promise<boolean> {
    const { database } = this.#options.store;
    if ((await repositoriesWith(database, digest)).includes(repository)) return true;
    return (await imagesListing(database, digest)).some((name) => isIn(repository, name));
  }

  /** As that of `StoreAdmission`, also where no signature can help. */
  async #refusal(repository: string, digest: Digest, tag?: string): Promise<unknown> {
    try {
      return await this.#here.refusal(repository, digest, tag);
    } catch (error) {
      if (error instanceof TrustError) return error;
      throw error;
    }
  }

  /** The error for the client. A refusal of the policy is logged too. */
  #faultOf(error: unknown, what: string): unknown {
    if (!(error instanceof TrustError)) return error;
    this.#options.onWarning(`${what} is refused: ${error.message}`);
    return policyFault(error);
  }
}

const DOCKER_HUB = 'docker.io';

/** A path without a registry is read as one at docker.io, though it is the server's own. */
function nameAt(host: string): (reference: Reference) => Reference {
  return (reference) => {
    const { registry, repository } = reference;
    if (registry !== DOCKER_HUB) return reference;
    const path = familiarReference({ registry, repository }).replace(`${DOCKER_HUB}/`, '');
    return { ...reference, registry: host, repository: path };
  };
}

/** Clients show the message alone, so it says what to do too. */
function unsigned(error: unknown, remedy: string): unknown {
  if (!(error instanceof TrustError)) return error;
  const { code, message, details } = error;
  if (code !== 'SIGNATURE_MISSING' && code !== 'SIGNATURE_INVALID') return error;
  const hint = `${remedy.charAt(0).toUpperCase()}${remedy.slice(1)}.`;
  return new TrustError(code, `${message}; ${remedy}`, { cause: error, details, hint });
}
