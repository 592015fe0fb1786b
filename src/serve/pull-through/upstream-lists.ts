import { SingleFlight } from '../../concurrency/index.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, isDigest, parseReference } from '../../spec/index.js';
import type { UpstreamDocuments } from './upstream-documents.js';

export interface UpstreamListsOptions extends Abortable {
  readonly registry: Pick<RegistryClient, 'repository'>;
  readonly documents: UpstreamDocuments;
  readonly ttlMs: number;
  readonly onWarning: (text: string) => void;
}

/** What an upstream lists; `warning` where it could not say, and nothing of it is known. */
export interface UpstreamList<T> {
  readonly items: readonly T[];
  readonly warning?: string;
}

/** Of one list; what is beyond is left to who asks the upstream itself. */
const MOST_TAGS = 100_000;
const MOST_REFERRERS = 200;
/** So many lists are remembered, for those who ask page by page. */
const MOST_LISTS = 1_000;

/** The lists of tags and of referrers at upstreams, each asked for once in a while. */
export class UpstreamLists {
  readonly #options: UpstreamListsOptions;
  readonly #flights = new SingleFlight<string, UpstreamList<string>>();
  readonly #known = new Map<string, { readonly list: UpstreamList<string>; readonly until: number }>();

  constructor(options: UpstreamListsOptions) {
    this.#options = options;
  }

  async tags(repository: string): Promise<UpstreamList<string>> {
    const { registry, signal } = this.#options;
    return await this.#list(`tags of ${repository}`, async () => ({
      items: await atMost(MOST_TAGS, registry.repository(parseReference(repository)).tags({ signal })),
    }));
  }

  /** The documents that refer to a digest, which are here when it resolves, as far as they could be had. */
  async referrers(repository: string, subject: Digest): Promise<UpstreamList<Digest>> {
    const { registry, documents, signal } = this.#options;
    const what = `referrers of ${repository}@${subject}`;
    const { items, ...rest } = await this.#list(what, async () => {
      const listed = registry.repository(parseReference(repository)).referrers(subject, { signal });
      const brought: Digest[] = [];
      let failure: unknown;
      for (const descriptor of await atMost(MOST_REFERRERS, listed)) {
        try {
          await documents.bring(repository, bare(descriptor));
          brought.push(descriptor.digest);
        } catch (error) {
          failure = error;
        }
      }
      return { items: brought, ...(failure === undefined ? {} : { warning: this.#warn(what, failure) }) };
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

/** What a list says beyond the document itself is not the document's. */
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
