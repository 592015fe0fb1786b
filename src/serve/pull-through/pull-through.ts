import type { IncomingHttpHeaders } from 'node:http';
import type { BlobInfo, BlobProvider } from '../../content/index.js';
import type { PullBudget } from '../../engine/pull/pull-budget.js';
import type { Store } from '../../engine/store.js';
import { TrustError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import type { PolicyFile } from '../../trust/index.js';
import { RegistryFault } from '../http/answer.js';
import type { Route } from '../http/route.js';
import { blobsOf, type RequestSource, type ServeSource } from '../pull/serve-source.js';
import { BlobFetches, UpstreamBlobs, upstreamFault } from './blob-fetch.js';
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

/** The media type of a blob that no manifest describes. */
const OCTETS = 'application/octet-stream';

/** A source that answers as another does. What it answers otherwise is assigned to it, or overridden. */
class DelegatedSource implements ServeSource {
  readonly blobs: BlobProvider;
  readonly #source: ServeSource;

  constructor(source: ServeSource) {
    this.#source = source;
    this.blobs = source.blobs;
  }

  get restoring(): BlobProvider {
    return this.#source.restoring ?? this.blobs;
  }

  resolve(repository: string, tag: string): Promise<Descriptor | undefined> {
    return this.#source.resolve(repository, tag);
  }

  tags(repository: string): Promise<readonly string[] | undefined> {
    return this.#source.tags(repository);
  }

  targets(repository: string): Promise<readonly Descriptor[]> {
    return this.#source.targets(repository);
  }

  async keptBeside(repository: string, subject: Digest): Promise<readonly Descriptor[]> {
    return (await this.#source.keptBeside?.(repository, subject)) ?? [];
  }

  repositories(): Promise<readonly string[]> {
    return this.#source.repositories();
  }

  async isWithheld(repository: string, blob: BlobInfo): Promise<boolean> {
    return (await this.#source.isWithheld?.(repository, blob)) ?? false;
  }

  async hasManifest(repository: string, manifest: BlobInfo): Promise<boolean> {
    return (await this.#source.hasManifest?.(repository, manifest)) ?? true;
  }

  async mediaTypeOf(digest: Digest): Promise<string | undefined> {
    return await this.#source.mediaTypeOf?.(digest);
  }

  blobsOf(repository: string): BlobProvider {
    return blobsOf(this.#source, repository);
  }
}

/**
 * A source that is filled on demand: content of an upstream's repository that is not here is fetched into the
 * store, and served to all clients while it arrives. Everything else is answered from the store. Its maker
 * closes it.
 */
export class PullThrough extends DelegatedSource implements AsyncDisposable {
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
    super(options.local);
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

  /** What an upstream has of it is not known before it is asked. */
  override async hasManifest(repository: string, manifest: BlobInfo): Promise<boolean> {
    return this.#isUpstreams(repository) || (await super.hasManifest(repository, manifest));
  }

  /** @throws {RegistryFault} what the upstream says, where nothing is here that could be given instead */
  async forRequest(route: Route, headers: IncomingHttpHeaders): Promise<RequestSource> {
    const repository = 'repository' in route ? route.repository : undefined;
    if (repository === undefined) return { source: this, headers: {} };
    if (!this.#isUpstreams(repository)) {
      const { store, policy } = this.#options;
      const isUpstreams = (name: string): boolean => this.#isUpstreams(name);
      if (policy !== undefined) await requireNotForeign(store, policy, { isUpstreams, repository }, route);
      return { source: this, headers: {} };
    }
    if (this.#isOwn(headers)) {
      if (this.#admission !== undefined) await requireKnown(this, this.#admission, repository, route);
      return { source: this, headers: {} };
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
        return { source: this, headers: {} };
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
    return { source: this, headers: {} };
  }

  async #forBlob(repository: string, digest: Digest): Promise<RequestSource> {
    try {
      await this.#admission?.admitBlob(repository, digest);
    } catch (error) {
      throw this.#faultOf(error, `the blob ${digest} of ${repository}`, 'BLOB_UNKNOWN');
    }
    const blobs = new UpstreamBlobs({
      blobs: this.blobs,
      fetches: this.#fetches,
      repository,
      describe: (one) => this.#describe(repository, one),
    });
    return this.#answer({ blobsOf: () => blobs });
  }

  /** The error for the client; a refusal of the policy is logged too. */
  #faultOf(error: unknown, what: string, missing: Parameters<typeof upstreamFault>[1]): unknown {
    if (error instanceof TrustError) this.#options.onWarning(`${what} is not given: ${error.message}`);
    return upstreamFault(error, missing);
  }

  async #forTags(repository: string): Promise<RequestSource> {
    const [here, there] = await Promise.all([this.tags(repository), this.#lists.tags(repository)]);
    const all = [...new Set([...(here ?? []), ...there.items])];
    const tags = here === undefined && all.length === 0 ? undefined : all;
    return this.#answer({ tags: () => Promise.resolve(tags) }, there.warning);
  }

  async #forReferrers(repository: string, subject: Digest): Promise<RequestSource> {
    const { items, warning } = await this.#lists.referrers(repository, subject);
    const brought = await Promise.all(items.map((digest) => this.#manifests.describe(digest)));
    const further = brought.filter((descriptor) => descriptor !== undefined);
    const targets = [...(await this.targets(repository)), ...further];
    return this.#answer({ targets: () => Promise.resolve(targets) }, warning);
  }

  #answer(changes: Partial<ServeSource>, warning?: string): RequestSource {
    return {
      source: Object.assign(new DelegatedSource(this), changes),
      headers: warning === undefined ? {} : { Warning: warningHeader(warning) },
    };
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
