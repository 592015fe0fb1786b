import { SingleFlight } from '../../concurrency/index.js';
import { imagesWithBlob } from '../../content/index.js';
import { touchImage } from '../../engine/find-image.js';
import type { StoreParts } from '../../engine/index.js';
import { type Abortable, isLandfallError, TrustError } from '../../errors.js';
import { isMisdescribed, type RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import type { PendingImages } from './pending-images.js';
import { TagMemory } from './tag-memory.js';
import type { UpstreamDocuments } from './upstream-documents.js';

export interface UpstreamTagsOptions extends Abortable {
  readonly store: Pick<StoreParts, 'catalog' | 'content' | 'database' | 'images'>;
  readonly registry: Pick<RegistryClient, 'resolver'>;
  readonly documents: UpstreamDocuments;
  readonly pending: PendingImages;
  /** How long what a tag led to is taken to hold, in ms. */
  readonly ttlMs: number;
  readonly onWarning: (text: string) => void;
}

/** What a tag leads to, and why that may be out of date. */
export interface TagTarget {
  readonly target: Descriptor;
  readonly warning?: string;
}

/** An upstream that does not answer is waited for so long where there is something here that can be given instead. */
const PATIENCE_MS = 5_000;
/** And so long it is not asked again then. */
const REST_MS = 10_000;
/** That an image is used is noted so often. */
const TOUCH_MS = 60_000;

/** Tags, as upstreams resolve them. While one cannot be asked, what is here is what its tags lead to. */
export class UpstreamTags {
  readonly #options: UpstreamTagsOptions;
  readonly #memory = new TagMemory();
  readonly #touched = new TagMemory();
  readonly #flights = new SingleFlight<string, TagTarget>();

  constructor(options: UpstreamTagsOptions) {
    this.#options = options;
  }

  /**
   * Its document is here when it resolves.
   *
   * Errors: those of the resolver and of what brings the document, where nothing is here; TrustError.
   */
  async resolve(repository: string, tag: string): Promise<TagTarget> {
    const name = `${repository}:${tag}`;
    const known = await this.#known(name);
    const found = known ?? (await this.#flights.run(name, () => this.#ask(repository, tag)));
    if (this.#touched.fresh(name) === undefined) {
      this.#touched.note(name, { target: undefined, forMs: TOUCH_MS });
      await touchImage(this.#options.store, name);
    }
    return found;
  }

  /** Notes that the images are used that a document is part of. */
  async used(digest: Digest): Promise<void> {
    if (this.#touched.fresh(digest) !== undefined) return;
    this.#touched.note(digest, { target: undefined, forMs: TOUCH_MS });
    const { store } = this.#options;
    for (const name of await imagesWithBlob(store.database, digest)) await touchImage(store, name);
  }

  async #known(name: string): Promise<TagTarget | undefined> {
    const seen = this.#memory.fresh(name);
    if (seen?.target === undefined) return undefined;
    // It may have been collected meanwhile.
    if ((await this.#options.store.content.info(seen.target.digest)) === undefined) return undefined;
    return { target: seen.target, ...(seen.warning === undefined ? {} : { warning: seen.warning }) };
  }

  async #ask(repository: string, tag: string): Promise<TagTarget> {
    const { store, registry, documents, pending, ttlMs, signal } = this.#options;
    const name = `${repository}:${tag}`;
    const here = await this.#here(name);
    const patience = here === undefined ? [] : [AbortSignal.timeout(PATIENCE_MS)];
    const signals = [...(signal === undefined ? [] : [signal]), ...patience];
    try {
      const reference = { ...parseReference(repository), tag };
      const ask = async (byGet: boolean): Promise<Descriptor> => {
        const asking = { signal: AbortSignal.any(signals), byGet };
        const target = await registry.resolver().resolve(reference, asking);
        pending.unname(name);
        const named = (await store.catalog.get(name))?.target;
        try {
          if (named?.digest !== target.digest) await documents.bring(repository, target, name);
        } catch (error) {
          // HEAD told something else than there is.
          if (!byGet && isMisdescribed(error, target)) return await ask(true);
          throw error;
        }
        return target;
      };
      const target = await ask(false);
      this.#memory.note(name, { target, forMs: ttlMs });
      return { target };
    } catch (error) {
      // What a policy refuses is not made up for by what the tag was before.
      if (here === undefined || !isLandfallError(error) || error instanceof TrustError) throw error;
      const { registry: host } = parseReference(repository);
      const reason = error.code === 'ABORTED' ? 'it does not answer' : error.message;
      const warning = `${name} is given as it was last seen here, since ${host} could not say what it is now: ${reason}`;
      this.#memory.note(name, { target: here, forMs: Math.min(REST_MS, ttlMs), warning });
      this.#options.onWarning(warning);
      return { target: here, warning };
    }
  }

  /** What can be given without the upstream: what it last said, unless that is not whole and something else is. */
  async #here(name: string): Promise<Descriptor | undefined> {
    const { store, pending } = this.#options;
    const last = this.#memory.last(name);
    const whole = last === undefined || pending.has(last.digest) ? undefined : last;
    for (const target of [whole, (await store.catalog.get(name))?.target, last]) {
      if (target !== undefined && (await store.content.info(target.digest)) !== undefined) return target;
    }
    return undefined;
  }
}
