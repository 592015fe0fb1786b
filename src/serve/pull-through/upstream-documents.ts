import { Limiter, SingleFlight } from '../../concurrency/index.js';
import { readDocument } from '../../content/read-document.js';
import { BlobArrivals } from '../../engine/blob-arrivals.js';
import type { StoreParts } from '../../engine/index.js';
import { PullBudget } from '../../engine/pull-budget.js';
import type { Abortable } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import type { PendingImages } from './pending-images.js';
import type { UpstreamGate } from './upstream-gate.js';

export interface UpstreamDocumentsOptions extends Abortable {
  readonly store: Pick<StoreParts, 'content' | 'documents' | 'leases'>;
  readonly registry: Pick<RegistryClient, 'repository' | 'resolver'>;
  readonly pending: PendingImages;
  /** What a signature policy has to say before a document gets a name; absent where there is none. */
  readonly gate?: Pick<UpstreamGate, 'admit'> | undefined;
}

/** Indexes and manifests that are brought into the store when they are asked for, each once at a time. */
export class UpstreamDocuments {
  readonly #options: UpstreamDocumentsOptions;
  readonly #flights = new SingleFlight<string, void>();
  readonly #budget = new PullBudget();

  constructor(options: UpstreamDocumentsOptions) {
    this.#options = options;
  }

  /**
   * Has a document here that a digest names, and knows what it lists.
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

  /** As {@link byDigest}, where a document is described. @param name that leads to it */
  async bring(repository: string, descriptor: Descriptor, name?: string): Promise<void> {
    const key = `${repository} ${descriptor.digest} ${name ?? ''}`;
    await this.#flights.run(key, async () => {
      await this.#fetch(repository, descriptor);
      // What is refused is nobody's, and goes with the next collection.
      await this.#options.gate?.admit(repository, descriptor.digest, tagIn(name));
      await this.#takeIn(repository, descriptor.digest, { descriptor, name });
    });
  }

  /** What a document is that is here; undefined where it is not, or is none. */
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
      documentLimit: new Limiter(1),
      onEvent: () => undefined,
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
    // What is no document is no image either; whoever asked for it is told so.
    if (found === undefined) return;
    const { document, size } = found;
    const descriptor = from.descriptor ?? { mediaType: document.mediaType, digest, size };
    const { name } = from;
    await this.#options.pending.add(repository, descriptor, {
      document,
      ...(name === undefined ? {} : { name }),
    });
  }
}

function tagIn(name: string | undefined): string | undefined {
  return name === undefined ? undefined : parseReference(name).tag;
}
