import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { ByteRange } from '../../content/index.js';
import type { PullBudget } from '../../engine/pull/pull-budget.js';
import type { Store } from '../../engine/store.js';
import { TrustError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import type { PolicyFile } from '../../trust/index.js';
import { RegistryFault } from '../http/answer.js';
import type { Route } from '../http/route.js';
import type { ServeSource } from '../pull/serve-source.js';
import { BlobFetches, upstreamFault } from './blob-fetch.js';
import { ImageCompletion, PendingImages } from './pending-images.js';
import { UpstreamManifests, UpstreamLists, UpstreamTags } from './upstream-manifests.js';
import { requireNotForeign, UpstreamAdmission } from './upstream-admission.js';

export interface PullThroughOptions {
  readonly store: Store;
  /** What is here. */
  readonly local: ServeSource;
  /** Its requests are to bear {@link PullThroughOptions.mark} in their `User-Agent`. */
  readonly registry: RegistryClient;
  /** The registries that content is brought from: `docker.io`, `reg.lan:5000`. */
  readonly upstreams: readonly string[];
  /** How long the target of a tag is taken to hold, in ms. Default: {@link DEFAULT_PULL_THROUGH_TTL_MS}. */
  readonly ttlMs?: number | undefined;
  readonly budget?: PullBudget | undefined;
  /** The policy for signatures of an upstream's images; absent where they need none. */
  readonly policy?: PolicyFile | undefined;
  /** By which this mirror knows its own requests, should a hosts.toml lead them back to it. */
  readonly mark: string;
  readonly onWarning: (text: string) => void;
}

/** The parts that answer one request. */
export interface RequestSource {
  readonly source: ServeSource;
  /** Of the answer, besides its own. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The media type of a blob that no manifest describes. */
const OCTETS = 'application/octet-stream';

/**
 * Fills a store on demand: content of an upstream's repository that is not here is fetched into the store,
 * and served to all clients while it arrives. Everything else is answered from the store. Its maker closes
 * it.
 */
export class PullThrough implements AsyncDisposable {
  readonly #options: PullThroughOptions;
  readonly #upstreams: ReadonlySet<string>;
  readonly #stop = new AbortController();
  readonly #pending: PendingImages;
  readonly #admission: UpstreamAdmission | undefined;
  readonly #manifests: UpstreamManifests;
  readonly #tags: UpstreamTags;
  readonly #lists: UpstreamLists;
  readonly #fetches: BlobFetches;
  readonly #completion: ImageCompletion;

  constructor(options: PullThroughOptions) {
    const { store, registry, policy, budget, onWarning, ttlMs = DEFAULT_PULL_THROUGH_TTL_MS } = options;
    const { signal } = this.#stop;
    this.#options = options;
    this.#upstreams = new Set(options.upstreams);
    const pending = new PendingImages(store);
    this.#pending = pending;
    const shared = { store, registry, pending, signal };
    this.#admission = policy === undefined ? undefined : new UpstreamAdmission({ ...shared, policy });
    const upstream = { ...shared, admission: this.#admission, ttlMs, onWarning };
    this.#manifests = new UpstreamManifests(upstream);
    this.#tags = new UpstreamTags(upstream, this.#manifests);
    this.#lists = new UpstreamLists(upstream, this.#manifests);
    const onArrived = (digest: Digest): void => this.#completion.arrived(digest);
    this.#fetches = new BlobFetches({ store, registry, budget, onArrived });
    this.#completion = new ImageCompletion({ pending, fetches: this.#fetches, signal, onWarning });
  }

  /**
   * The source for one request, whose content may have to be fetched first.
   *
   * @throws {RegistryFault} what the upstream says, where nothing is here that could be given instead
   */
  async forRequest(route: Route, headers: IncomingHttpHeaders): Promise<RequestSource> {
    const { store, local, policy } = this.#options;
    const repository = 'repository' in route ? route.repository : undefined;
    if (repository === undefined) return { source: local, headers: {} };
    if (!this.#isUpstreams(repository)) {
      const isUpstreams = (name: string): boolean => this.#isUpstreams(name);
      if (policy !== undefined) await requireNotForeign(store, policy, { isUpstreams, repository }, route);
      return { source: local, headers: {} };
    }
    if (this.#isOwn(headers)) {
      if (this.#admission !== undefined) await requireKnown(local, this.#admission, repository, route);
      return this.#answer({});
    }
    switch (route.kind) {
      case 'manifest':
        return 'tag' in route
          ? await this.#forTag(repository, route.tag)
          : await this.#forDigest(repository, route.digest);
      case 'blob':
        return await this.#forBlob(repository, route.digest);
      case 'tags':
        return await this.#forTags(repository);
      case 'referrers':
        return await this.#forReferrers(repository, route.digest);
      default:
        return this.#answer({});
    }
  }

  /** Stops what is on its way, and keeps what has come of it. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#fetches.close();
    await this.#completion.settle();
    await this.#pending.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #forTag(repository: string, tag: string): Promise<RequestSource> {
    try {
      const { target, warning } = await this.#tags.resolve(repository, tag);
      // Of what was here before, too: it may have come under a policy that asks for less.
      await this.#admission?.admit(repository, target.digest, tag);
      return this.#answer({ resolve: () => Promise.resolve(target) }, warning);
    } catch (error) {
      throw this.#faultOf(error, `${repository}:${tag}`, 'MANIFEST_UNKNOWN');
    }
  }

  async #forDigest(repository: string, digest: Digest): Promise<RequestSource> {
    try {
      await this.#manifests.byDigest(repository, digest);
    } catch (error) {
      throw this.#faultOf(error, `${repository}@${digest}`, 'MANIFEST_UNKNOWN');
    }
    await this.#tags.used(digest);
    return this.#answer({});
  }

  async #forBlob(repository: string, digest: Digest): Promise<RequestSource> {
    try {
      await this.#admission?.admitBlob(repository, digest);
      if ((await this.#options.local.blobs.info(digest)) !== undefined) return this.#answer({});
      const descriptor = await this.#describe(repository, digest);
      if (descriptor === undefined) return this.#answer({});
      const info = { digest, size: descriptor.size, createdAt: new Date(), labels: {} };
      const open = async (_: Descriptor, range?: ByteRange): Promise<Readable> => {
        try {
          return await this.#fetches.join(descriptor, repository).open(range);
        } catch (error) {
          throw upstreamFault(error, 'BLOB_UNKNOWN');
        }
      };
      return this.#answer({ restoring: { info: () => Promise.resolve(info), open } });
    } catch (error) {
      throw this.#faultOf(error, `the blob ${digest} of ${repository}`, 'BLOB_UNKNOWN');
    }
  }

  /** The error for the client; a refusal of the policy is logged too. */
  #faultOf(error: unknown, what: string, missing: Parameters<typeof upstreamFault>[1]): unknown {
    if (error instanceof TrustError) this.#options.onWarning(`${what} is not given: ${error.message}`);
    return upstreamFault(error, missing);
  }

  async #forTags(repository: string): Promise<RequestSource> {
    const { local } = this.#options;
    const [here, there] = await Promise.all([local.tags(repository), this.#lists.tags(repository)]);
    const all = [...new Set([...(here ?? []), ...there.items])];
    const tags = here === undefined && all.length === 0 ? undefined : all;
    return this.#answer({ tags: () => Promise.resolve(tags) }, there.warning);
  }

  async #forReferrers(repository: string, subject: Digest): Promise<RequestSource> {
    const { items, warning } = await this.#lists.referrers(repository, subject);
    const brought = await Promise.all(items.map((digest) => this.#manifests.describe(digest)));
    const further = brought.filter((descriptor) => descriptor !== undefined);
    const targets = [...(await this.#options.local.targets(repository)), ...further];
    return this.#answer({ targets: () => Promise.resolve(targets) }, warning);
  }

  /**
   * The content that is here, but for what an upstream has said. Whose manifest it is, only the upstream
   * knows.
   */
  #answer(changes: Partial<ServeSource>, warning?: string): RequestSource {
    const { local } = this.#options;
    const source: ServeSource = {
      blobs: local.blobs,
      restoring: local.restoring,
      resolve: local.resolve.bind(local),
      tags: local.tags.bind(local),
      targets: local.targets.bind(local),
      repositories: local.repositories.bind(local),
      keptBeside: local.keptBeside?.bind(local),
      isWithheld: local.isWithheld?.bind(local),
      mediaTypeOf: local.mediaTypeOf?.bind(local),
      ...changes,
    };
    return { source, headers: warning === undefined ? {} : { Warning: warningHeader(warning) } };
  }

  /** From whatever lists it here, else from the upstream. */
  async #describe(repository: string, digest: Digest): Promise<Descriptor | undefined> {
    const { store, registry } = this.#options;
    const pending = this.#pending.blob(digest);
    if (pending !== undefined) return pending;
    const described = (size: number): Descriptor => ({ mediaType: OCTETS, digest, size });
    const dropped = await store.discarded.get(digest);
    if (dropped !== undefined) return described(dropped.size);
    for (const { children } of await store.manifests.holders(digest)) {
      const child = children.find((one) => one.digest === digest);
      if (child !== undefined) return described(child.size);
    }
    const { signal } = this.#stop;
    const size = await registry.repository(parseReference(repository)).blobSize(digest, { signal });
    return size === undefined ? undefined : described(size);
  }

  #isUpstreams(repository: string): boolean {
    return this.#upstreams.has(parseReference(repository).registry);
  }

  /**
   * A request that this mirror made itself: answered from what is here, so that its hosts.toml goes on to the
   * next host.
   */
  #isOwn(headers: IncomingHttpHeaders): boolean {
    return headers['user-agent']?.includes(this.#options.mark) === true;
  }
}

/** distribution-spec: Warnings. What is no printable ASCII, or would end the text, is left out. */
function warningHeader(text: string): string {
  return `299 - "${text.replace(/[^\x20-\x7e]|["\\]/g, '').slice(0, 300)}"`;
}

/**
 * Holds the mirror's own requests against its policy, without asking a registry for signatures, since that
 * request may come back here: what no client may have is a 404 to it, so that it goes on to the next host.
 *
 * @param repository `registry/repository`
 * @throws RegistryFault 404
 */
async function requireKnown(
  source: Pick<ServeSource, 'resolve'>,
  admission: Pick<UpstreamAdmission, 'admitBlob' | 'knows'>,
  repository: string,
  route: Route,
): Promise<void> {
  if (route.kind === 'blob') {
    try {
      await admission.admitBlob(repository, route.digest);
      return;
    } catch (error) {
      if (!(error instanceof TrustError)) throw error;
      throw new RegistryFault(404, 'BLOB_UNKNOWN', 'it is not here');
    }
  }
  if (route.kind !== 'manifest') return;
  const tag = 'tag' in route ? route.tag : undefined;
  const digest = 'tag' in route ? (await source.resolve(repository, route.tag))?.digest : route.digest;
  if (digest === undefined || (await admission.knows(repository, digest, tag))) return;
  throw new RegistryFault(404, 'MANIFEST_UNKNOWN', 'it is not here');
}

/** How long the target of a tag is taken to hold by default, in ms. */
export const DEFAULT_PULL_THROUGH_TTL_MS = 60_000;
