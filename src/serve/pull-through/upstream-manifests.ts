import { RecentMap, SingleFlight } from '../../concurrency/index.js';
import { imagesWithBlob, readManifestBlob } from '../../content/index.js';
import { touchImage } from '../../engine/images/names.js';
import { BlobDownloads } from '../../engine/pull/blob-downloads.js';
import { PullBudget } from '../../engine/pull/pull-budget.js';
import type { StoreParts } from '../../engine/store.js';
import { type Abortable, isLandfallError, TrustError } from '../../errors.js';
import { isMisdescribed, type RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import type { PendingImages } from './pending-images.js';
import type { UpstreamAdmission } from './upstream-admission.js';

/** The state that manifests, tags and lists of upstreams share. */
export interface UpstreamOptions extends Abortable {
  readonly store: StoreParts;
  readonly registry: RegistryClient;
  readonly pending: PendingImages;
  /** Verifies a manifest before it gets a name; absent where there is no signature policy. */
  readonly admission?: Pick<UpstreamAdmission, 'admit'> | undefined;
  /** How long the target of a tag, or a list, is taken to hold, in ms. */
  readonly ttlMs: number;
  readonly onWarning: (text: string) => void;
}

/** Indexes and manifests that are brought into the store when they are asked for, each once at a time. */
export class UpstreamManifests {
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
    const { store, registry, pending, admission, signal } = this.#options;
    if ((await store.content.info(digest)) !== undefined) {
      await admission?.admit(repository, digest);
      if (pending.has(digest) || (await store.manifests.get(digest)) !== undefined) return;
      await this.#takeIn(repository, digest);
      return;
    }
    const reference = { ...parseReference(repository), digest };
    const descriptor = pending.manifest(digest) ?? (await registry.resolver().resolve(reference, { signal }));
    await this.bring(repository, descriptor);
  }

  /** As {@link byDigest}, where the manifest is described. @param name that leads to it */
  async bring(repository: string, descriptor: Descriptor, name?: string): Promise<void> {
    const key = `${repository} ${descriptor.digest} ${name ?? ''}`;
    await this.#flights.run(key, async () => {
      await this.#fetch(repository, descriptor);
      // What is refused has no name, and goes with the next collection.
      await this.#options.admission?.admit(repository, descriptor.digest, tagIn(name));
      await this.#takeIn(repository, descriptor.digest, descriptor, name);
    });
  }

  /** The descriptor of a manifest that is here; undefined where it is not here, or is no manifest. */
  async describe(digest: Digest): Promise<Descriptor | undefined> {
    const found = await readManifestBlob(this.#options.store.content, digest);
    return found && { mediaType: found.manifest.mediaType, digest, size: found.size };
  }

  async #fetch(repository: string, descriptor: Descriptor): Promise<void> {
    const { store, registry, signal } = this.#options;
    await using lease = await store.leases.create();
    const downloads = new BlobDownloads({
      content: store.content,
      fetcher: registry.repository(parseReference(repository)),
      lease,
      source: repository,
      budget: this.#budget.share(),
      signal,
    });
    await downloads.start(descriptor, 'manifest').done;
  }

  /** @param as the descriptor that led to it; its own where none did */
  async #takeIn(repository: string, digest: Digest, as?: Descriptor, name?: string): Promise<void> {
    const found = await readManifestBlob(this.#options.store.content, digest, as?.mediaType);
    // A blob that is no manifest is no image either; the answer is a 404.
    if (found === undefined) return;
    const { manifest, size } = found;
    const descriptor = as ?? { mediaType: manifest.mediaType, digest, size };
    await this.#options.pending.add(repository, descriptor, { manifest, name });
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
/** So many tags are remembered; the oldest go. What is forgotten is only asked for sooner. */
const MOST_SEEN = 50_000;

/** What an upstream has said of a tag, and until when it is not asked again, by `performance.now()`. */
interface SeenTag extends TagTarget {
  readonly until: number;
}

/** Tags, as upstreams resolve them. While one cannot be asked, what is here is what its tags lead to. */
export class UpstreamTags {
  readonly #options: UpstreamOptions;
  readonly #manifests: UpstreamManifests;
  readonly #seen = new RecentMap<string, SeenTag>(MOST_SEEN);
  readonly #touchedUntil = new RecentMap<string, number>(MOST_SEEN);
  readonly #flights = new SingleFlight<string, TagTarget>();

  constructor(options: UpstreamOptions, manifests: UpstreamManifests) {
    this.#options = options;
    this.#manifests = manifests;
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
    await this.#touch(name, () => [name]);
    return found;
  }

  /** Notes that the images are used that a manifest is part of. */
  async used(digest: Digest): Promise<void> {
    await this.#touch(digest, () => imagesWithBlob(this.#options.store.database, digest));
  }

  async #touch(key: string, names: () => readonly string[] | Promise<readonly string[]>): Promise<void> {
    if (performance.now() < (this.#touchedUntil.get(key) ?? 0)) return;
    this.#touchedUntil.set(key, performance.now() + TOUCH_MS);
    for (const name of await names()) await touchImage(this.#options.store, name);
  }

  async #known(name: string): Promise<TagTarget | undefined> {
    const seen = this.#seen.get(name);
    if (seen === undefined || performance.now() >= seen.until) return undefined;
    // It may have been collected meanwhile.
    return (await this.#options.store.content.info(seen.target.digest)) === undefined ? undefined : seen;
  }

  async #ask(repository: string, tag: string): Promise<TagTarget> {
    const { ttlMs, signal, onWarning } = this.#options;
    const name = `${repository}:${tag}`;
    const here = await this.#here(name);
    const patience = here && AbortSignal.timeout(PATIENCE_MS);
    const signals = [signal, patience].filter((one) => one !== undefined);
    try {
      const target = await this.#bring(repository, tag, AbortSignal.any(signals), false);
      return this.#note(name, { target }, ttlMs);
    } catch (error) {
      // What a policy refuses is not made up for by what the tag was before.
      if (here === undefined || !isLandfallError(error) || error instanceof TrustError) throw error;
      const { registry: host } = parseReference(repository);
      const reason = error.code === 'ABORTED' ? 'it does not answer' : error.message;
      const warning = `${name} is served as it was last seen here, since ${host} could not resolve it: ${reason}`;
      onWarning(warning);
      return this.#note(name, { target: here, warning }, Math.min(REST_MS, ttlMs));
    }
  }

  /** @param byGet whether HEAD is not to be believed */
  async #bring(repository: string, tag: string, signal: AbortSignal, byGet: boolean): Promise<Descriptor> {
    const { store, registry, pending } = this.#options;
    const name = `${repository}:${tag}`;
    const reference = { ...parseReference(repository), tag };
    const target = await registry.resolver().resolve(reference, { signal, byGet });
    pending.unname(name);
    const named = (await store.catalog.get(name))?.target;
    try {
      if (named?.digest !== target.digest) await this.#manifests.bring(repository, target, name);
    } catch (error) {
      // HEAD and GET of this registry disagree.
      if (!byGet && isMisdescribed(error, target)) return await this.#bring(repository, tag, signal, true);
      throw error;
    }
    return target;
  }

  #note(name: string, found: TagTarget, forMs: number): TagTarget {
    this.#seen.set(name, { ...found, until: performance.now() + forMs });
    return found;
  }

  /**
   * What can be given without the upstream: what it last said, unless that is not whole and something else
   * is.
   */
  async #here(name: string): Promise<Descriptor | undefined> {
    const { store, pending } = this.#options;
    const last = this.#seen.get(name)?.target;
    const whole = last === undefined || pending.has(last.digest) ? undefined : last;
    for (const target of [whole, (await store.catalog.get(name))?.target, last]) {
      if (target !== undefined && (await store.content.info(target.digest)) !== undefined) return target;
    }
    return undefined;
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
  readonly #manifests: UpstreamManifests;
  readonly #tags: RememberedLists<string>;
  readonly #referrers: RememberedLists<Digest>;

  constructor(options: UpstreamOptions, manifests: UpstreamManifests) {
    this.#options = options;
    this.#manifests = manifests;
    this.#tags = new RememberedLists(options);
    this.#referrers = new RememberedLists(options);
  }

  async tags(repository: string): Promise<UpstreamList<string>> {
    const { registry, signal } = this.#options;
    return await this.#tags.list(`tags of ${repository}`, async () => ({
      items: await atMost(MOST_TAGS, registry.repository(parseReference(repository)).tags({ signal })),
    }));
  }

  /** The manifests that refer to a digest, which are here when it resolves, as far as they could be had. */
  async referrers(repository: string, subject: Digest): Promise<UpstreamList<Digest>> {
    const { registry, signal } = this.#options;
    return await this.#referrers.list(`referrers of ${repository}@${subject}`, async () => {
      const listed = registry.repository(parseReference(repository)).referrers(subject, { signal });
      const items: Digest[] = [];
      let failure: unknown;
      for (const descriptor of await atMost(MOST_REFERRERS, listed)) {
        try {
          await this.#manifests.bring(repository, bare(descriptor));
          items.push(descriptor.digest);
        } catch (error) {
          failure = error;
        }
      }
      return { items, failure };
    });
  }
}

/** Lists as they were found a moment ago. */
class RememberedLists<T> {
  readonly #options: UpstreamOptions;
  readonly #flights = new SingleFlight<string, UpstreamList<T>>();
  readonly #known = new RecentMap<string, { readonly list: UpstreamList<T>; readonly until: number }>(
    MOST_LISTS,
  );

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** @param ask gives the list, and why it lacks something */
  async list(
    what: string,
    ask: () => Promise<{ readonly items: readonly T[]; readonly failure?: unknown }>,
  ): Promise<UpstreamList<T>> {
    const known = this.#known.get(what);
    if (known !== undefined && performance.now() < known.until) return known.list;
    return await this.#flights.run(what, async () => {
      const { items, failure } = await ask().catch((error: unknown) => ({
        items: [],
        failure: isLandfallError(error) && error.code === 'NOT_FOUND' ? undefined : error,
      }));
      const list = { items, warning: failure === undefined ? undefined : this.#warn(what, failure) };
      this.#known.set(what, { list, until: performance.now() + this.#options.ttlMs });
      return list;
    });
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
