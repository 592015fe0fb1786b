import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import {
  type BlobProvider,
  INDEX_FILE,
  namedEntries,
  type NamedEntry,
  OciLayout,
  rawNamesOf,
  ReferrerFinder,
  type TagTable,
  tagTable,
} from '../../content/index.js';
import { readManifest } from '../../engine/images/read-manifest.js';
import { subjectOfCosignTag } from '../../engine/trust/accompaniment.js';
import {
  type Abortable,
  ContentError,
  isLandfallError,
  RegistryError,
  throwIfAborted,
} from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  formatReference,
  type ImageIndex,
  isDigest,
  isIndexType,
  isManifestType,
  LIMITS,
  parseReference,
  quoted,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import type { PolicyTransport, SignatureSource } from '../../trust/index.js';
import { type Declaration, isDelivered, needsBase } from './declaration.js';
import { readDeclarationFile } from './layout-index.js';
import type {
  GovernedImage,
  GovernedOptions,
  SourceFetchOptions,
  SourceRepository,
  SourceTransport,
} from './destination.js';

/** What images are read from: an OCI layout directory, or an archive. */
export type LayoutContent = BlobProvider & {
  index(o?: Abortable): Promise<ImageIndex>;
  /** The same blobs, digested before their first byte; absent where that is not done. */
  readonly verified?: BlobProvider;
};

export interface LayoutTransportOptions {
  /** Disposed of with the place where it can be. */
  readonly content: LayoutContent & Partial<AsyncDisposable>;
  /** `oci:/srv/layout`, `oci-archive:/media/images.tar`. */
  readonly location: string;
  /** The path of the directory or file, which plain words are tags of; absent where there is none. */
  readonly path?: string | undefined;
  /** What was left out of it on purpose; absent where nothing says so. */
  readonly declaration?: (() => Promise<Declaration>) | undefined;
  /** Where a signature policy is to see the images; absent where none is held against them. */
  readonly file?: LayoutFile | undefined;
}

/** What a layout is to a signature policy (containers-policy.json(5)). */
export interface LayoutFile {
  readonly transport: Exclude<PolicyTransport, 'docker'>;
  /** Of the directory or the archive; undefined for what comes from a stream. */
  readonly path: string | undefined;
}

/** How many names a message lists. */
const NAMES_SHOWN = 20;

/**
 * The images of an OCI layout or an archive. Every call looks anew, since a layout may be written to
 * meanwhile.
 */
export class LayoutTransport implements SourceTransport {
  readonly name: string;
  readonly content: LayoutContent;
  readonly #options: LayoutTransportOptions;
  readonly #finder: ReferrerFinder;
  readonly found: DescriptorFinder;
  #known: ReadIndex | undefined;

  /** An OCI layout directory. Errors: those of `OciLayout.open`. */
  static async open(path: string): Promise<LayoutTransport> {
    const content = await OciLayout.open(path);
    const declaration = (): Promise<Declaration> => readDeclarationFile(path);
    const file = { transport: 'oci', path } as const;
    return new LayoutTransport({ content, location: `oci:${path}`, path, declaration, file });
  }

  constructor(options: LayoutTransportOptions) {
    this.name = options.location;
    this.content = options.content;
    this.found = new DescriptorFinder(options.content);
    this.#options = options;
    this.#finder = new ReferrerFinder(options.content);
  }

  repository(name: string): SourceRepository {
    return name === ''
      ? new NamelessRepository(this, this.#finder)
      : new NamedRepository(this, this.#finder, name);
  }

  /** Those of all images whose names are references. */
  async repositories(o: Abortable = {}): Promise<readonly string[]> {
    return [...(await this.table(o)).keys()].sort();
  }

  async declaration(): Promise<Declaration> {
    return (await this.#options.declaration?.()) ?? { omitted: [] };
  }

  /** All entries of its index, and which image each is. */
  async entries(o: Abortable = {}): Promise<readonly NamedEntry[]> {
    return (await this.#read(o)).entries;
  }

  async table(o: Abortable): Promise<TagTable> {
    return (await this.#read(o)).table;
  }

  /** The entries that have a tag in whatever repository, or are called so. */
  async tagged(tag: string, o: Abortable): Promise<readonly NamedEntry[]> {
    const entries = await this.entries(o);
    return entries.filter(
      ({ target, reference }) => reference?.tag === tag || rawNamesOf(target).includes(tag),
    );
  }

  /**
   * What a signature policy is to know of an image here.
   *
   * @param name what it is called: a reference, a word, or its digest
   */
  async governed(name: Reference | string): Promise<GovernedImage> {
    const { file } = this.#options;
    if (file === undefined) throw new TypeError(`no policy is asked for ${this.name}`);
    const isReference = typeof name !== 'string';
    const text = isReference ? formatReference(name) : name;
    const named = isReference || !isDigest(text) ? text : undefined;
    // Loaded only here: most copies are held against no policy.
    const { fileImage } = await import('../../trust/index.js');
    return {
      image: await fileImage({ ...file, tag: named, name: `${this.name}:${text}` }),
      tag: isReference ? name.tag : named,
      // The manifests of an archive of Docker are made when it is read, so no signature can be for them.
      signatures:
        file.transport === 'docker-archive'
          ? []
          : [new LayoutSignatures(this, isReference ? repositoryName(name) : undefined)],
    };
  }

  /** Anew where it may have changed. */
  async #read(o: Abortable): Promise<ReadIndex> {
    throwIfAborted(o.signal);
    const { path } = this.#options;
    // Before it is read, so that what changes meanwhile is seen the next time.
    const state = path === undefined ? undefined : await stateOfIndex(path);
    const known = this.#known;
    if (known !== undefined && state !== undefined && known.state === state) return known;
    const index = await this.content.index(o);
    if (known?.index === index) return known;
    this.#known = new ReadIndex(index, { path, state });
    return this.#known;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.content[Symbol.asyncDispose]?.();
  }
}

abstract class LayoutRepository {
  abstract readonly name: string;
  protected readonly transport: LayoutTransport;
  readonly #finder: ReferrerFinder;

  constructor(transport: LayoutTransport, finder: ReferrerFinder) {
    this.transport = transport;
    this.#finder = finder;
  }

  /** All that it holds by a name or without one. */
  protected abstract targets(o: Abortable): Promise<readonly Descriptor[]>;

  async *referrers(subject: Digest, o: Abortable = {}): AsyncGenerator<Descriptor, void, undefined> {
    const targets = await this.targets(o);
    for (const digest of await this.#finder.find(targets, subject)) {
      throwIfAborted(o.signal);
      const referrer = await this.#finder.describe(digest);
      if (referrer !== undefined) yield referrer;
    }
  }

  async fetch(descriptor: Descriptor, options: SourceFetchOptions = {}): Promise<Readable> {
    throwIfAborted(options.signal);
    const { offset = 0, length, verifiedFirst = false } = options;
    const { content } = this.transport;
    const blobs = (verifiedFirst ? content.verified : undefined) ?? content;
    try {
      return await blobs.open(descriptor, { offset, length });
    } catch (error) {
      throw isLandfallError(error) && error.code === 'BLOB_NOT_FOUND'
        ? ((await this.#missing(descriptor)) ?? error)
        : error;
    }
  }

  /** Undefined unless a delta lacks it. */
  async #missing({ digest }: Descriptor): Promise<ContentError | undefined> {
    const declaration = await this.transport.declaration();
    const isOfDelta = declaration.omitted.some((one) => one.digest === digest && isDelivered(one));
    return isOfDelta ? needsBase(this.transport.name, declaration, digest) : undefined;
  }

  /** Not only what the index lists, but what that leads to as well; only where it is here. */
  protected async byDigest(digest: Digest, o: Abortable): Promise<Descriptor | undefined> {
    if ((await this.transport.content.info(digest)) === undefined) return undefined;
    return await this.transport.found.find(await this.targets(o), digest);
  }
}

/** The images of one repository, by their tags. */
class NamedRepository extends LayoutRepository implements SourceRepository {
  readonly name: string;
  readonly location: string;

  constructor(transport: LayoutTransport, finder: ReferrerFinder, name: string) {
    super(transport, finder);
    this.name = name;
    this.location = `${transport.name}:${name}`;
  }

  async resolve(tagOrDigest: string, o: Abortable = {}): Promise<Descriptor | undefined> {
    if (isDigest(tagOrDigest)) return await this.byDigest(tagOrDigest, o);
    return (await this.transport.table(o)).get(this.name)?.get(tagOrDigest);
  }

  async governed(tagOrDigest: string): Promise<GovernedImage> {
    const mark = isDigest(tagOrDigest) ? '@' : ':';
    return await this.transport.governed(parseReference(`${this.name}${mark}${tagOrDigest}`));
  }

  async *tags(o: Abortable = {}): AsyncGenerator<string, void, undefined> {
    const tags = (await this.transport.table(o)).get(this.name);
    if (tags === undefined) {
      throw new RegistryError('NOT_FOUND', `${this.transport.name} has no repository ${quoted(this.name)}`, {
        hint: 'Name one that is there.',
      });
    }
    yield* tags.keys();
  }

  /** What has no name belongs to every repository: so oras, and this program, keep referrers. */
  protected async targets(o: Abortable): Promise<readonly Descriptor[]> {
    const entries = await this.transport.entries(o);
    return entries
      .filter(({ reference }) => reference === undefined || repositoryName(reference) === this.name)
      .map(({ target }) => target);
  }
}

/** All of a layout, its images by the names that stand in its index. */
class NamelessRepository extends LayoutRepository implements SourceRepository {
  readonly name = '';
  readonly location: string;

  constructor(transport: LayoutTransport, finder: ReferrerFinder) {
    super(transport, finder);
    this.location = transport.name;
  }

  /**
   * A name as it stands in the index, of several with one name the first; then one that is the same
   * reference; with an empty one the only image.
   */
  async resolve(name: string, o: Abortable = {}): Promise<Descriptor | undefined> {
    const entries = await this.transport.entries(o);
    if (name === '') return this.#only(entries);
    const named = entryOf(name, entries);
    if (named !== undefined) return named.target;
    if (isDigest(name)) return await this.byDigest(name, o);
    // What refers to an image has its tag in the image's repository, which has no name here.
    if (subjectOfCosignTag(name) === undefined) return undefined;
    return (await this.transport.tagged(name, o))[0]?.target;
  }

  /** By the name that stands in the index. */
  async governed(name: string, o: GovernedOptions = {}): Promise<GovernedImage> {
    const { calledAs } = o;
    if (calledAs !== undefined) return await this.transport.governed(calledAs);
    const entries = await this.transport.entries(o);
    const entry = name === '' ? entries[0] : entryOf(name, entries);
    if (entry === undefined) return await this.transport.governed(name);
    return await this.transport.governed(policyName(entry));
  }

  async *tags(o: Abortable = {}): AsyncGenerator<string, void, undefined> {
    const entries = await this.transport.entries(o);
    yield* new Set(entries.flatMap(({ target }) => rawNamesOf(target).slice(0, 1)));
  }

  protected async targets(o: Abortable): Promise<readonly Descriptor[]> {
    return (await this.transport.entries(o)).map(({ target }) => target);
  }

  /** @throws {ContentError} BLOB_NOT_FOUND where there are several, or none */
  #only(entries: readonly NamedEntry[]): Descriptor {
    const digests = new Set(entries.map(({ target }) => target.digest));
    const [only] = entries;
    if (only !== undefined && digests.size === 1) return only.target;
    const named = entries.flatMap(({ target }) => rawNamesOf(target).slice(0, 1)).sort();
    const more = named.length > NAMES_SHOWN ? ` and ${named.length - NAMES_SHOWN} more` : '';
    throw new ContentError(
      'BLOB_NOT_FOUND',
      only === undefined
        ? `${this.transport.name} has no image`
        : `${this.transport.name} has ${digests.size} images, and none was named`,
      {
        details: { path: this.transport.name, names: named },
        hint:
          named.length === 0
            ? 'None of its images has a name.'
            : `Name one that is there: ${named.slice(0, NAMES_SHOWN).join(', ')}${more}.`,
      },
    );
  }
}

/**
 * The signatures in a layout or an archive. A signature is for a digest, so that one which was kept in
 * another repository counts too where the image's own has none.
 */
export class LayoutSignatures implements SignatureSource {
  readonly location: string;
  readonly #transport: LayoutTransport;
  readonly #repository: string | undefined;

  /** @param repository the image's own, by its canonical name; undefined where it has no such name */
  constructor(transport: LayoutTransport, repository: string | undefined) {
    this.location = transport.name;
    this.#transport = transport;
    this.#repository = repository;
  }

  async resolve(tag: string, o: Abortable = {}): Promise<Descriptor | undefined> {
    const entries = await this.#transport.tagged(tag, o);
    const own = entries.find(
      ({ reference }) => reference !== undefined && repositoryName(reference) === this.#repository,
    );
    return (own ?? entries[0])?.target;
  }

  referrers(subject: Digest, o: Abortable = {}): AsyncIterable<Descriptor> {
    return this.#transport.repository('').referrers(subject, o);
  }

  async fetch(descriptor: Descriptor, o: Abortable = {}): Promise<Readable> {
    return await this.#transport.repository('').fetch(descriptor, o);
  }
}

/** What was changed a shorter time ago, in ms, may be changed again without its times telling. */
const SETTLED_MS = 100;

/** An index as it was read, with which image each of its entries is. */
export class ReadIndex {
  readonly index: ImageIndex;
  readonly entries: readonly NamedEntry[];
  /** Of its file, as far as that tells whether it is still the same. */
  readonly state: string | undefined;
  #table: TagTable | undefined;

  constructor(
    index: ImageIndex,
    { path, state }: { readonly path: string | undefined; readonly state: string | undefined },
  ) {
    this.index = index;
    this.entries = namedEntries(index, path);
    this.state = state;
  }

  get table(): TagTable {
    this.#table ??= tagTable(
      this.entries.flatMap(({ reference, target }) =>
        reference === undefined ? [] : [{ reference, target }],
      ),
    );
    return this.#table;
  }
}

/**
 * What tells whether the index of a layout is another one than before: looked at instead of reading all of it
 * for each image. Undefined where nothing does, as for an archive.
 */
export async function stateOfIndex(directory: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(join(directory, INDEX_FILE));
    const age = Date.now() - Math.max(mtimeMs, ctimeMs);
    return age < SETTLED_MS ? undefined : [ino, size, mtimeMs, ctimeMs].join(' ');
  } catch {
    return undefined;
  }
}

/**
 * Finds how manifests describe what they list. What was read once is remembered: a digest never stands for
 * something else.
 */
export class DescriptorFinder {
  readonly #content: Pick<BlobProvider, 'open'>;
  readonly #children = new Map<Digest, ReadonlyMap<Digest, Descriptor>>();

  constructor(content: Pick<BlobProvider, 'open'>) {
    this.#content = content;
  }

  /**
   * How what lies at or below some targets describes a digest. What is absent, damaged or no manifest is
   * passed over; undefined where none of them leads to it.
   */
  async find(targets: readonly Descriptor[], digest: Digest): Promise<Descriptor | undefined> {
    const seen = new Set<Digest>();
    // Breadth first: what an index lists says more of it than what a list deeper down does.
    let level: readonly Descriptor[] = targets;
    for (let depth = 0; level.length > 0 && depth <= LIMITS.indexDepth + 1; depth += 1) {
      const found = level.find((descriptor) => descriptor.digest === digest);
      if (found !== undefined) return found;
      const next: Descriptor[] = [];
      for (const descriptor of level) {
        if (seen.has(descriptor.digest)) continue;
        seen.add(descriptor.digest);
        const children = await this.#childrenBelow(descriptor);
        const child = children.get(digest);
        if (child !== undefined) return child;
        next.push(...children.values());
      }
      level = next;
    }
    return undefined;
  }

  async #childrenBelow(descriptor: Descriptor): Promise<ReadonlyMap<Digest, Descriptor>> {
    const { digest, mediaType } = descriptor;
    const known = this.#children.get(digest);
    if (known !== undefined) return known;
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) return new Map();
    try {
      const children = childrenOf(await readManifest(this.#content, descriptor));
      const byDigest = new Map(children.map((child) => [child.digest, child]));
      this.#children.set(digest, byDigest);
      return byDigest;
    } catch (error) {
      if (isLandfallError(error)) return new Map();
      throw error;
    }
  }
}

/**
 * What an entry of an index is called: a word is a tag there, and no name of a repository that anybody has
 * signed for.
 */
export function policyName({ target, reference }: NamedEntry): Reference | string {
  const [raw = target.digest] = rawNamesOf(target);
  return reference !== undefined && /[:/@]/.test(raw) && !isDigest(raw) ? reference : raw;
}

/** That of a name as it stands in the index, of several the first; else one that is the same reference. */
export function entryOf(name: string, entries: readonly NamedEntry[]): NamedEntry | undefined {
  const exact = entries.find(({ target }) => rawNamesOf(target).includes(name));
  if (exact !== undefined) return exact;
  const canonical = canonicalName(name);
  return entries.find(({ reference }) => reference !== undefined && formatReference(reference) === canonical);
}

/** Undefined for a text that is no reference. */
function canonicalName(name: string): string | undefined {
  try {
    return formatReference(parseReference(name, { defaultTag: true }));
  } catch {
    return undefined;
  }
}
