import type { Readable } from 'node:stream';
import { type Abortable, RegistryError } from '../../errors.js';
import {
  type FetchOptions,
  referrersTag,
  type RegistryClient,
  type RemoteRepository,
} from '../../registry/index.js';
import { type Descriptor, type Digest, isDigest, type Reference } from '../../spec/index.js';
import type {
  DeleteTagOptions,
  DestinationTransport,
  DestinationRepository,
  GovernedImage,
  OpenContent,
  PutOptions,
  PutOutcome,
  ReferrersOptions,
  ResolveOptions,
  SourceTransport,
  SourceRepository,
} from './destination.js';

export interface RegistryTransportOptions {
  /** The caller closes it. */
  readonly registry: RegistryClient;
  /** The registry's canonical name: `docker.io`, `127.0.0.1:5000`. */
  readonly host: string;
}

/** A registry, to read and to write. */
export class RegistryTransport implements SourceTransport, DestinationTransport {
  readonly kind = 'registry';
  readonly name: string;
  readonly host: string;
  /** Whether the registry keeps lists of referrers by itself; undefined until it was asked. */
  keepsReferrers: boolean | undefined;
  readonly #registry: RegistryClient;

  constructor({ registry, host }: RegistryTransportOptions) {
    this.name = `docker://${host}`;
    this.host = host;
    this.#registry = registry;
  }

  /** @param name with the registry's own name before it: `docker.io/library/alpine` */
  repository(name: string): RegistryRepository {
    const prefix = `${this.host}/`;
    if (!name.startsWith(prefix)) throw new Error(`${name} is not a repository of ${this.host}`);
    return new RegistryRepository(this, this.#registry, name.slice(prefix.length));
  }

  async repositories(options: Abortable = {}): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const name of this.#registry.catalog(this.host, options)) names.push(`${this.host}/${name}`);
    return names.sort();
  }

  /** Nothing is left to do: a registry answers a push when it has it. */
  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

export class RegistryRepository implements SourceRepository, DestinationRepository {
  readonly name: string;
  readonly location: string;
  readonly registry: string;
  readonly transport: RegistryTransport;
  readonly readBack: Pick<SourceRepository, 'fetch' | 'referrers'> = this;
  readonly #registry: RegistryClient;
  /** Without the registry. */
  readonly #repository: string;
  /** For content: it remembers which hosts have failed. */
  readonly #remote: RemoteRepository;

  constructor(transport: RegistryTransport, registry: RegistryClient, repository: string) {
    this.transport = transport;
    this.registry = transport.host;
    this.name = `${transport.host}/${repository}`;
    this.location = `docker://${this.name}`;
    this.#registry = registry;
    this.#repository = repository;
    this.#remote = registry.repository({ registry: transport.host, repository });
  }

  async resolve(tagOrDigest: string, options: ResolveOptions = {}): Promise<Descriptor | undefined> {
    return await unlessNotFound(this.#registry.resolver().resolve(this.#referenceTo(tagOrDigest), options));
  }

  /** Asked where content is pushed to, and not at a mirror of it. */
  async stored(tagOrDigest: string, options: Abortable = {}): Promise<Descriptor | undefined> {
    return await unlessNotFound(this.#remote.stored(tagOrDigest, options));
  }

  async has(descriptor: Descriptor, options: Abortable = {}): Promise<boolean> {
    return await this.#remote.has(descriptor, options);
  }

  async blobSize(digest: Digest, options: Abortable = {}): Promise<number | undefined> {
    return await unlessNotFound(this.#remote.blobSize(digest, options));
  }

  tags(options: Abortable = {}): AsyncIterable<string> {
    return this.#remote.tags(options);
  }

  async *referrers(
    subject: Digest,
    { signal, tags }: ReferrersOptions = {},
  ): AsyncGenerator<Descriptor, void, undefined> {
    const { transport } = this;
    const byTag = transport.keepsReferrers === false;
    if (byTag && tags?.has(referrersTag(subject)) === false) return;
    const onKept = (kept: boolean): void => {
      transport.keepsReferrers = kept;
    };
    yield* this.#remote.referrers(subject, { signal, byTag, onKept });
  }

  async fetch(descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> {
    return await this.#remote.fetch(descriptor, options);
  }

  async distrust(descriptor: Descriptor): Promise<boolean> {
    return await this.#remote.distrust(descriptor);
  }

  async governed(tagOrDigest: string): Promise<GovernedImage> {
    const reference = this.#referenceTo(tagOrDigest);
    const { registryImage } = await import('../../trust/index.js');
    return { image: registryImage(reference), tag: reference.tag, signatures: [this] };
  }

  async put(descriptor: Descriptor, open: OpenContent, options: PutOptions = {}): Promise<PutOutcome> {
    try {
      const outcome = await this.#remote.push(descriptor, (offset) => open(offset), options);
      return outcome === 'pushed' ? 'copied' : outcome;
    } catch (error) {
      throw (options.omitted ?? []).length > 0 ? withSparseHint(error) : error;
    }
  }

  async deleteTag(tag: string, { kept, signal }: DeleteTagOptions = {}): Promise<void> {
    try {
      await this.#remote.deleteTag(tag, { signal });
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'UNSUPPORTED') throw error;
      await this.#deleteNamedBy(tag, { kept, signal }, error);
    }
  }

  async deleteManifest(digest: Digest, options: Abortable = {}): Promise<void> {
    await this.#remote.deleteManifest(digest, options);
  }

  #referenceTo(tagOrDigest: string): Reference {
    return {
      registry: this.registry,
      repository: this.#repository,
      ...(isDigest(tagOrDigest) ? { digest: tagOrDigest } : { tag: tagOrDigest }),
    };
  }

  /** For a registry that deletes manifests and no tags. */
  async #deleteNamedBy(
    tag: string,
    { kept, signal }: DeleteTagOptions,
    refusal: RegistryError,
  ): Promise<void> {
    const named = await this.stored(tag, { signal });
    if (named === undefined) {
      throw new RegistryError('NOT_FOUND', `${this.location} has no tag ${tag}`, { cause: refusal });
    }
    const stays = kept ?? (await this.#namedByOthers(tag, signal));
    if (stays.has(named.digest)) {
      throw new RegistryError(
        'IN_USE',
        `${this.location}:${tag} stays: the registry deletes no tags, and another tag names ${named.digest} too`,
        { cause: refusal, hint: 'Move the tag to something else, or delete all tags of the image.' },
      );
    }
    await this.#remote.deleteManifest(named.digest, { signal });
  }

  async #namedByOthers(tag: string, signal: AbortSignal | undefined): Promise<ReadonlySet<Digest>> {
    const digests = new Set<Digest>();
    for await (const other of this.tags({ signal })) {
      const named = other === tag ? undefined : await this.stored(other, { signal });
      if (named !== undefined) digests.add(named.digest);
    }
    return digests;
  }
}

/**
 * Says what can be done where a registry refuses an index of which it lacks parts (distribution-spec: Pushing
 * Manifests).
 */
function withSparseHint(error: unknown): unknown {
  if (!(error instanceof RegistryError) || error.details.status === undefined) return error;
  const { code, message, details } = error;
  const hint =
    'If it takes no index of which platforms are missing: copy all of them, or make a new index with --rewrite-index.';
  return new RegistryError(code, message, { cause: error, details, hint });
}

async function unlessNotFound<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}
