import type { Readable } from 'node:stream';
import type { BlobInfo, BlobProvider, ByteRange } from '../../content/index.js';
import type { StoreParts } from '../../engine/store.js';
import { PullBudget } from '../../engine/pull/pull-budget.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import { BlobFlow } from './blob-flow.js';
import { upstreamFault } from './upstream-fault.js';

export interface BlobFlowsOptions {
  readonly store: Pick<StoreParts, 'content' | 'leases'>;
  readonly registry: Pick<RegistryClient, 'repository'>;
  /** Bounds how many blobs are on their way at once. Without it, a budget of its own. */
  readonly budget?: PullBudget | undefined;
  /** Called for each blob that has arrived. */
  readonly onArrived: (digest: Digest) => void;
}

/** The blobs that are on their way, each once however many want it. */
export class BlobFlows {
  readonly #options: BlobFlowsOptions;
  readonly #share: ReturnType<PullBudget['share']>;
  readonly #flows = new Map<Digest, BlobFlow>();
  /** Also those that were stopped and have not released their blob yet. */
  readonly #running = new Set<BlobFlow>();

  constructor(options: BlobFlowsOptions) {
    this.#options = options;
    this.#share = (options.budget ?? new PullBudget()).share();
  }

  /** @param source `registry/repository` */
  join(descriptor: Descriptor, source: string): BlobFlow {
    const known = this.#flows.get(descriptor.digest);
    if (known !== undefined && !known.isStopped) return known;
    const flow = this.#begin(descriptor, source);
    this.#flows.set(descriptor.digest, flow);
    this.#running.add(flow);
    void flow.done.then(
      () => {
        this.#forget(flow);
        this.#options.onArrived(descriptor.digest);
      },
      () => this.#forget(flow),
    );
    return flow;
  }

  /** Stops all, keeps the partial blobs, and resolves when they have released the store. */
  async close(): Promise<void> {
    for (const flow of this.#running) flow.stop();
    await Promise.allSettled([...this.#running].map(({ done }) => done));
  }

  #begin(descriptor: Descriptor, source: string): BlobFlow {
    const { store, registry } = this.#options;
    return new BlobFlow({
      content: store.content,
      leases: store.leases,
      fetcher: registry.repository(parseReference(source)),
      descriptor,
      source,
      budget: this.#share,
    });
  }

  #forget(flow: BlobFlow): void {
    this.#running.delete(flow);
    if (this.#flows.get(flow.descriptor.digest) === flow) this.#flows.delete(flow.descriptor.digest);
  }
}

export interface UpstreamBlobsOptions {
  /** What is here. */
  readonly blobs: BlobProvider;
  readonly flows: BlobFlows;
  /** `registry/repository` that what is not here is brought from. */
  readonly repository: string;
  /** Describes a blob that is not here; undefined where the upstream does not have it. */
  readonly describe: (digest: Digest) => Promise<Descriptor | undefined>;
}

/** The blobs of one repository: those that are here, and those that are at its upstream. */
export class UpstreamBlobs implements BlobProvider {
  readonly #options: UpstreamBlobsOptions;
  /** What was found for one request, which looks before it opens. */
  readonly #described = new Map<Digest, Descriptor>();

  constructor(options: UpstreamBlobsOptions) {
    this.#options = options;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    const here = await this.#options.blobs.info(digest);
    if (here !== undefined) return here;
    const descriptor = await this.#describe(digest);
    return descriptor === undefined
      ? undefined
      : { digest, size: descriptor.size, createdAt: new Date(), labels: {} };
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    const { blobs, flows, repository } = this.#options;
    const { digest } = descriptor;
    if ((await blobs.info(digest)) !== undefined) return await blobs.open(descriptor, range);
    const known = (await this.#describe(digest)) ?? descriptor;
    try {
      return await flows.join(known, repository).open(range);
    } catch (error) {
      throw upstreamFault(error, 'BLOB_UNKNOWN');
    }
  }

  path(digest: Digest): Promise<string> {
    return this.#options.blobs.path(digest);
  }

  async #describe(digest: Digest): Promise<Descriptor | undefined> {
    const known = this.#described.get(digest);
    if (known !== undefined) return known;
    try {
      const descriptor = await this.#options.describe(digest);
      if (descriptor !== undefined) this.#described.set(digest, descriptor);
      return descriptor;
    } catch (error) {
      throw upstreamFault(error, 'BLOB_UNKNOWN');
    }
  }
}
