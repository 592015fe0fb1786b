import { Readable } from 'node:stream';
import { RegistryError, SpecError } from '../../src/errors.js';
import type { FetchOptions } from '../../src/registry/index.js';
import {
  childrenOf,
  createDigester,
  type Descriptor,
  type Digest,
  isDigest,
  isIndexType,
  isManifestType,
  parseManifest,
  parseReference,
  referrerDescriptor,
} from '../../src/spec/index.js';
import type {
  DestinationTransport,
  DestinationRepository,
  GovernedImage,
  OpenContent,
  PutOptions,
  PutOutcome,
  SourceTransport,
  SourceRepository,
} from '../../src/transfer/transports/destination.js';
import { registryImage } from '../../src/trust/index.js';

interface Stored {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/**
 * A registry in memory, to read and to write, that notes what is asked of it: `fetch sha256:…`, `copied
 * sha256:…`, `resolve 1`. It takes no manifest whose parts it lacks unless it is told to, and mounts between
 * its repositories.
 */
export class MemoryTransport implements SourceTransport, DestinationTransport {
  readonly kind = 'registry';
  readonly name: string;
  readonly host: string;
  readonly calls: string[] = [];
  /** Called before each put and fetch; what it throws is what they throw. */
  onCall: (call: string) => Promise<void> | void = () => undefined;
  readonly #repositories = new Map<string, MemoryRepository>();

  /** Whether it takes manifests whose parts it lacks. */
  readonly sparse: boolean;

  constructor(host: string, { sparse = false }: { readonly sparse?: boolean } = {}) {
    this.host = host;
    this.name = `docker://${host}`;
    this.sparse = sparse;
  }

  repository(name: string): MemoryRepository {
    let repository = this.#repositories.get(name);
    if (repository === undefined) {
      repository = new MemoryRepository(this, name);
      this.#repositories.set(name, repository);
    }
    return repository;
  }

  repositories(): Promise<readonly string[]> {
    const full = [...this.#repositories.values()].filter(({ isEmpty }) => !isEmpty);
    return Promise.resolve(full.map(({ name }) => name).sort());
  }

  /** How often something was asked, by the beginning of its note. */
  count(call: string): number {
    return this.calls.filter((each) => each.startsWith(call)).length;
  }

  async note(call: string): Promise<void> {
    this.calls.push(call);
    await this.onCall(call);
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

export class MemoryRepository implements SourceRepository, DestinationRepository {
  readonly transport: MemoryTransport;
  readonly name: string;
  readonly location: string;
  readonly registry: string;
  readonly readBack: Pick<SourceRepository, 'fetch' | 'referrers'> = this;
  readonly #contents = new Map<Digest, Stored>();
  readonly #tags = new Map<string, Digest>();

  constructor(transport: MemoryTransport, name: string) {
    this.transport = transport;
    this.name = name;
    this.location = `docker://${name}`;
    this.registry = transport.host;
  }

  get isEmpty(): boolean {
    return this.#contents.size === 0;
  }

  /** What it holds, with the tags: for comparing two of them. */
  get everything(): { contents: string[]; tags: Record<string, string> } {
    return { contents: [...this.#contents.keys()].sort(), tags: Object.fromEntries([...this.#tags].sort()) };
  }

  /** Puts content there as it is, as a test's beginning. */
  add(mediaType: string, bytes: Buffer, tag?: string): Descriptor {
    const digester = createDigester(`sha256:${'0'.repeat(64)}` as Digest);
    const digest = digester.update(bytes).digest();
    this.#contents.set(digest, { mediaType, bytes });
    if (tag !== undefined) this.#tags.set(tag, digest);
    return { mediaType, digest, size: bytes.length };
  }

  /** Loses content, or has other bytes for it. */
  damage(digest: Digest, bytes?: Buffer): void {
    const stored = this.#contents.get(digest);
    if (stored === undefined) throw new Error(`${digest} is not there`);
    if (bytes === undefined) this.#contents.delete(digest);
    else this.#contents.set(digest, { ...stored, bytes });
  }

  async resolve(tagOrDigest: string): Promise<Descriptor | undefined> {
    await this.transport.note(`resolve ${tagOrDigest}`);
    return this.#find(tagOrDigest);
  }

  async stored(tagOrDigest: string): Promise<Descriptor | undefined> {
    await this.transport.note(`stored ${tagOrDigest}`);
    return this.#find(tagOrDigest);
  }

  async has({ digest }: Descriptor): Promise<boolean> {
    await this.transport.note(`has ${digest}`);
    return this.#contents.has(digest);
  }

  async *tags(): AsyncGenerator<string> {
    await this.transport.note(`tags ${this.name}`);
    yield* [...this.#tags.keys()].sort();
  }

  async *referrers(subject: Digest): AsyncGenerator<Descriptor> {
    await this.transport.note(`referrers ${subject}`);
    for (const [digest, { mediaType, bytes }] of this.#contents) {
      if (!isManifestType(mediaType) && !isIndexType(mediaType)) continue;
      const document = parseManifest(bytes, mediaType);
      if (document.subject?.digest === subject) {
        yield referrerDescriptor({ digest, size: bytes.length }, document);
      }
    }
  }

  async fetch({ digest }: Descriptor, { offset = 0 }: FetchOptions = {}): Promise<Readable> {
    await this.transport.note(`fetch ${digest}`);
    const stored = this.#contents.get(digest);
    if (stored === undefined) throw new RegistryError('NOT_FOUND', `${this.location} has no ${digest}`);
    return Readable.from([stored.bytes.subarray(offset)]);
  }

  governed(tagOrDigest: string): Promise<GovernedImage> {
    const mark = isDigest(tagOrDigest) ? '@' : ':';
    const reference = parseReference(`${this.name}${mark}${tagOrDigest}`);
    return Promise.resolve({ image: registryImage(reference), tag: reference.tag, signatures: [this] });
  }

  async put(descriptor: Descriptor, open: OpenContent, options: PutOptions = {}): Promise<PutOutcome> {
    const outcome = await this.#bring(descriptor, open, options);
    if (options.tag !== undefined) this.#tags.set(options.tag, descriptor.digest);
    await this.transport.note(`${outcome} ${descriptor.digest}`);
    return outcome;
  }

  async deleteTag(tag: string): Promise<void> {
    await this.transport.note(`delete ${tag}`);
    if (!this.#tags.delete(tag)) throw new RegistryError('NOT_FOUND', `${this.location}:${tag}: not found`);
  }

  async deleteManifest(digest: Digest): Promise<void> {
    await this.transport.note(`delete ${digest}`);
    if (!this.#contents.delete(digest)) throw new RegistryError('NOT_FOUND', `${digest}: not found`);
    for (const [tag, named] of this.#tags) if (named === digest) this.#tags.delete(tag);
  }

  async #bring(
    descriptor: Descriptor,
    open: OpenContent,
    { mountFrom = [] }: PutOptions,
  ): Promise<PutOutcome> {
    const { digest, mediaType } = descriptor;
    if (this.#contents.has(digest)) return 'exists';
    for (const from of mountFrom) {
      const other = this.transport.repository(`${this.transport.host}/${from}`).#contents.get(digest);
      if (other === undefined) continue;
      this.#contents.set(digest, other);
      return 'mounted';
    }
    const bytes = Buffer.concat((await (await open(0)).toArray()) as Buffer[]);
    const actual = createDigester(digest).update(bytes).digest();
    if (actual !== digest) throw new SpecError('INVALID_DIGEST', `${actual} is not ${digest}`);
    this.#requireParts(mediaType, bytes);
    this.#contents.set(digest, { mediaType, bytes });
    return 'copied';
  }

  #requireParts(mediaType: string, bytes: Buffer): void {
    if (this.transport.sparse || (!isManifestType(mediaType) && !isIndexType(mediaType))) return;
    const missing = childrenOf(parseManifest(bytes, mediaType)).find(
      ({ digest }) => !this.#contents.has(digest),
    );
    if (missing === undefined) return;
    throw new RegistryError('PROTOCOL', `${this.location} lacks ${missing.digest}`, {
      details: { status: 400 },
    });
  }

  #find(tagOrDigest: string): Descriptor | undefined {
    const digest = isDigest(tagOrDigest) ? tagOrDigest : this.#tags.get(tagOrDigest);
    const stored = digest === undefined ? undefined : this.#contents.get(digest);
    if (digest === undefined || stored === undefined) return undefined;
    return { mediaType: stored.mediaType, digest, size: stored.bytes.length };
  }
}
