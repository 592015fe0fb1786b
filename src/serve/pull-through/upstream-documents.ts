import { SingleFlight } from '../../concurrency/index.js';
import { imagesWithBlob, readDocument } from '../../content/index.js';
import { touchImage } from '../../engine/images/names.js';
import { BlobArrivals } from '../../engine/pull/blob-arrivals.js';
import { PullBudget } from '../../engine/pull/pull-budget.js';
import type { StoreParts } from '../../engine/store.js';
import { type Abortable, isLandfallError, TrustError } from '../../errors.js';
import { isMisdescribed, type RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, isDigest, parseReference } from '../../spec/index.js';
import type { PendingImages } from './pending-images.js';
import type { UpstreamGate } from './upstream-gate.js';

/** The state that documents, tags and lists of upstreams share. */
export interface UpstreamOptions extends Abortable {
  readonly store: StoreParts;
  readonly registry: RegistryClient;
  readonly pending: PendingImages;
  /** Verifies a manifest before it gets a name; absent where there is no signature policy. */
  readonly gate?: Pick<UpstreamGate, 'admit'> | undefined;
  /** How long the target of a tag, or a list, is taken to hold, in ms. */
  readonly ttlMs: number;
  readonly onWarning: (text: string) => void;
}

/** Indexes and manifests that are brought into the store when they are asked for, each once at a time. */
export class UpstreamDocuments {
  readonly #options: UpstreamOptions;
  readonly #flights = new SingleFlight<string, void>();
  readonly #budget = new PullBudget();

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /**
   * Fetches the manifest of a digest where it is not here, and records what it lists.
   *
   * Errors: those of resolver, fetcher, content store and gate.
   */
  async byDigest(repository: string, digest: Digest): Promise<void> {
    const { store, registry, pending, gate, signal } = this.#options;
    if ((await store.content.info(digest)) !== undefined) {
      await gate?.admit(repository, digest);
      if (pending.has(digest) || (await store.documents.get(digest)) !== undefined) return;
      await this.#takeIn(repository, digest);
      return;
    }
    const reference = { ...parseReference(repository), digest };
    const descriptor = pending.document(digest) ?? (await registry.resolver().resolve(reference, { signal }));
    await this.bring(repository, descriptor);
  }

  /** As {@link byDigest}, where the manifest is described. @param name that leads to it */
  async bring(repository: string, descriptor: Descriptor, name?: string): Promise<void> {
    const key = `${repository} ${descriptor.digest} ${name ?? ''}`;
    await this.#flights.run(key, async () => {
      await this.#fetch(repository, descriptor);
      // What is refused has no name, and goes with the next collection.
      await this.#options.gate?.admit(repository, descriptor.digest, tagIn(name));
      await this.#takeIn(repository, descriptor.digest, { descriptor, name });
    });
  }

  /** The descriptor of a manifest that is here; undefined where it is not here, or is no manifest. */
  async describe(digest: Digest): Promise<Descriptor | undefined> {
    const found = await readDocument(this.#options.store.content, digest);
    return found === undefined
      ? undefined
      : { mediaType: found.document.mediaType, digest, size: found.size };
  }

  async #fetch(repository: string, descriptor: Descriptor): Promise<void> {
    const { store, registry, signal } = this.#options;
    await using lease = await store.leases.create();
    const arrivals = new BlobArrivals({
      content: store.content,
      fetcher: registry.repository(parseReference(repository)),
      lease,
      source: repository,
      budget: this.#budget.share(),
      signal,
    });
    await arrivals.start(descriptor, 'manifest').done;
  }

  async #takeIn(
    repository: string,
    digest: Digest,
    from: { readonly descriptor?: Descriptor; readonly name?: string | undefined } = {},
  ): Promise<void> {
    const found = await readDocument(this.#options.store.content, digest, from.descriptor?.mediaType);
    // A blob that is no manifest is no image either; the answer is a 404.
    if (found === undefined) return;
    const { document, size } = found;
    const descriptor = from.descriptor ?? { mediaType: document.mediaType, digest, size };
    await this.#options.pending.add(repository, descriptor, { document, name: from.name });
  }
}

function tagIn(name: string | undefined): string | undefined {
  return name === undefined ? undefined : parseReference(name).tag;
}

/** What a tag leads to, and why that may be out of date. */
export interface TagTarget {
  readonly target: Descriptor;
  readonly warning?: string | undefined;
}

/** How long an upstream may take to answer where the last known target can be served instead. */
const PATIENCE_MS = 5_000;
/** How long it is not asked again then. */
const REST_MS = 10_000;
/** How often the use of an image is noted. */
const TOUCH_MS = 60_000;

/** Tags, as upstreams resolve them. While one cannot be asked, what is here is what its tags lead to. */
export class UpstreamTags {
  readonly #options: UpstreamOptions;
  readonly #documents: UpstreamDocuments;
  readonly #memory = new TagMemory();
  readonly #touched = new TagMemory();
  readonly #flights = new SingleFlight<string, TagTarget>();

  constructor(options: UpstreamOptions, documents: UpstreamDocuments) {
    this.#options = options;
    this.#documents = documents;
  }

  /**
   * The manifest is here when this resolves.
   *
   * Errors: those of resolving and fetching the manifest, where nothing is here; TrustError.
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

  /** Notes that the images are used that a manifest is part of. */
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
    return { target: seen.target, warning: seen.warning };
  }

  async #ask(repository: string, tag: string): Promise<TagTarget> {
    const { store, registry, pending, ttlMs, signal } = this.#options;
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
          if (named?.digest !== target.digest) await this.#documents.bring(repository, target, name);
        } catch (error) {
          // HEAD and GET of this registry disagree.
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

  /**
   * What can be given without the upstream: what it last said, unless that is not whole and something else
   * is.
   */
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

interface Seen {
  /** The last known target of the tag. */
  readonly target: Descriptor | undefined;
  /** By `performance.now()`: until then the upstream is not asked. */
  readonly until: number;
  /** Why what is here is given in the place of an answer from there. */
  readonly warning: string | undefined;
}

/** So many tags are remembered; the oldest go. What is forgotten is only asked for sooner. */
const MOST = 50_000;

/** What upstreams have said of tags lately. */
class TagMemory {
  readonly #seen = new Map<string, Seen>();

  /** What holds of a name at the moment; undefined where its upstream is to be asked. */
  fresh(name: string): Seen | undefined {
    const seen = this.#seen.get(name);
    return seen !== undefined && performance.now() < seen.until ? seen : undefined;
  }

  /** The last target of a name, however old; undefined where there was none. */
  last(name: string): Descriptor | undefined {
    return this.#seen.get(name)?.target;
  }

  note(
    name: string,
    { target, forMs, warning }: { target: Descriptor | undefined; forMs: number; warning?: string },
  ): void {
    this.#seen.delete(name);
    this.#seen.set(name, { target, until: performance.now() + forMs, warning });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MOST && oldest !== undefined) this.#seen.delete(oldest);
  }
}

/** What an upstream lists; `warning` where it could not say, and nothing of it is known. */
export interface UpstreamList<T> {
  readonly items: readonly T[];
  readonly warning?: string | undefined;
}

/** Of one list; longer ones are cut. */
const MOST_TAGS = 100_000;
const MOST_REFERRERS = 200;
/** The lists that are remembered, for clients that ask page by page. */
const MOST_LISTS = 1_000;

/** The lists of tags and of referrers at upstreams, each asked for once in a while. */
export class UpstreamLists {
  readonly #options: UpstreamOptions;
  readonly #documents: UpstreamDocuments;
  readonly #flights = new SingleFlight<string, UpstreamList<string>>();
  readonly #known = new Map<string, { readonly list: UpstreamList<string>; readonly until: number }>();

  constructor(options: UpstreamOptions, documents: UpstreamDocuments) {
    this.#options = options;
    this.#documents = documents;
  }

  async tags(repository: string): Promise<UpstreamList<string>> {
    const { registry, signal } = this.#options;
    return await this.#list(`tags of ${repository}`, async () => ({
      items: await atMost(MOST_TAGS, registry.repository(parseReference(repository)).tags({ signal })),
    }));
  }

  /** The documents that refer to a digest, which are here when it resolves, as far as they could be had. */
  async referrers(repository: string, subject: Digest): Promise<UpstreamList<Digest>> {
    const { registry, signal } = this.#options;
    const what = `referrers of ${repository}@${subject}`;
    const { items, ...rest } = await this.#list(what, async () => {
      const listed = registry.repository(parseReference(repository)).referrers(subject, { signal });
      const brought: Digest[] = [];
      let failure: unknown;
      for (const descriptor of await atMost(MOST_REFERRERS, listed)) {
        try {
          await this.#documents.bring(repository, bare(descriptor));
          brought.push(descriptor.digest);
        } catch (error) {
          failure = error;
        }
      }
      return { items: brought, warning: failure === undefined ? undefined : this.#warn(what, failure) };
    });
    return { items: items.filter((item) => isDigest(item)), ...rest };
  }

  async #list(what: string, ask: () => Promise<UpstreamList<string>>): Promise<UpstreamList<string>> {
    const known = this.#known.get(what);
    if (known !== undefined && performance.now() < known.until) return known.list;
    return await this.#flights.run(what, async () => {
      const list = await this.#ask(what, ask);
      this.#known.delete(what);
      this.#known.set(what, { list, until: performance.now() + this.#options.ttlMs });
      const [oldest] = this.#known.keys();
      if (this.#known.size > MOST_LISTS && oldest !== undefined) this.#known.delete(oldest);
      return list;
    });
  }

  async #ask(what: string, ask: () => Promise<UpstreamList<string>>): Promise<UpstreamList<string>> {
    try {
      return await ask();
    } catch (error) {
      if (isLandfallError(error) && error.code === 'NOT_FOUND') return { items: [] };
      return { items: [], warning: this.#warn(what, error) };
    }
  }

  /** Says why a list lacks something. A fault of this program is thrown on. */
  #warn(what: string, error: unknown): string {
    if (!isLandfallError(error)) throw error;
    const warning = `of the ${what} only those are listed that are here: ${error.message}`;
    this.#options.onWarning(warning);
    return warning;
  }
}

/** Annotations of a list are not those of the manifest. */
function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

async function atMost<T>(most: number, items: AsyncIterable<T>): Promise<readonly T[]> {
  const taken: T[] = [];
  for await (const item of items) {
    taken.push(item);
    if (taken.length === most) break;
  }
  return taken;
}
