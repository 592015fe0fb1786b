import { mapLimited } from '../../concurrency/index.js';
import type { BlobProvider } from '../../content/index.js';
import {
  type ManifestOrIndex,
  isSilent,
  MAX_SILENT,
  readManifest,
  readVerified,
  silentEntries,
} from '../../engine/images/read-manifest.js';
import { type Abortable, isLandfallError, SpecError, throwIfAborted } from '../../errors.js';
import {
  algorithmOf,
  childrenOf,
  type Descriptor,
  type Digest,
  type ImageIndex,
  encodedOf,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
  type Platform,
  platformMatcher,
  referrerDescriptor,
} from '../../spec/index.js';
import type { ReferrersOptions, SourceRepository } from './destination.js';

/** What of a graph is what. A `blob` is in an index and no manifest, or a layer that no image has. */
export type GraphRole = 'index' | 'manifest' | 'config' | 'layer' | 'blob';

/** Content of an image, or what refers to it, with all that it consists of. */
export interface GraphNode {
  readonly role: GraphRole;
  readonly descriptor: Descriptor;
  readonly artifactType?: string | undefined;
  /** By which it was found, where it refers to something by its tag alone, as cosign has it. */
  readonly tag?: string | undefined;
  /** How often the graph has it. */
  readonly uses: number;
  /** What it consists of stands at an earlier place. */
  readonly isRepeated: boolean;
  /** It cannot be read here; undefined where that is not known without fetching it. */
  readonly isMissing?: boolean;
  readonly children: readonly GraphNode[];
  readonly referrers: readonly GraphNode[];
}

export interface ImageGraphOptions extends Abortable {
  readonly repository: SourceRepository;
  readonly content: Pick<BlobProvider, 'open' | 'info'>;
  /** Whether `content` knows what it has. */
  readonly isLocal: boolean;
  /**
   * Only this platform of an index, and what names none; where only configs can say it, without the images
   * for others.
   */
  readonly platform?: Platform | undefined;
  /** Default true. */
  readonly referrers?: boolean | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * Indexes have two levels at most and signatures three; what is deeper is a bomb, or a registry that lies.
 */
const MAX_LEVELS = 12;
/** Large images have some 60 platforms with an attestation each. */
const MAX_DOCUMENTS = 2000;
/**
 * Of all manifests together, which are kept while the tree is made: those of the largest images have less
 * than one.
 */
const MAX_DOCUMENT_MIB = 32;
/** Of the tree that is made in the end, repetitions included. */
const MAX_NODES = 50_000;
/** A repository with more tags is not searched for signatures by tags. */
const MAX_TAGS = 20_000;
const CUT_SHORT = `parts more than ${MAX_LEVELS} levels deep, beyond ${MAX_DOCUMENTS} documents, or beyond ${MAX_DOCUMENT_MIB} MiB of them are not shown`;
const CONCURRENCY = 8;

interface LoadedManifest {
  /** Undefined where it is not there. */
  readonly manifest: ManifestOrIndex | undefined;
  /** What of its children is asked for. */
  readonly children: readonly Descriptor[];
  readonly referrers: readonly FoundReferrer[];
}

interface FoundReferrer {
  readonly descriptor: Descriptor;
  readonly tag?: string;
}

/**
 * All that an image consists of, and what refers to any of it, wherever it lies. Each manifest is read once.
 * What goes on without an end, or is larger than any honest image, is cut short with a warning.
 *
 * Errors: those of the place; INVALID_MANIFEST and the like for a manifest that is broken.
 */
export async function imageGraph(target: Descriptor, o: ImageGraphOptions): Promise<GraphNode> {
  const manifests = await new GraphReading(o).all(target);
  const missing = await missingBlobs(manifests, o);
  return new GraphTree(manifests, missing, o).node({ descriptor: target }, undefined);
}

class GraphReading {
  readonly #options: ImageGraphOptions;
  readonly #manifests = new Map<Digest, LoadedManifest>();
  #bytesLeft = MAX_DOCUMENT_MIB * 1024 * 1024;

  constructor(options: ImageGraphOptions) {
    this.#options = options;
  }

  /** The manifests that are reached from a target, level by level. */
  async all(target: Descriptor): Promise<ReadonlyMap<Digest, LoadedManifest>> {
    const { signal, onWarning } = this.#options;
    const tags = await this.#tags();
    let level: readonly Descriptor[] = [target];
    for (let depth = 0; level.length > 0; depth += 1) {
      throwIfAborted(signal);
      const wanted = this.#fresh(level);
      const taken = depth === MAX_LEVELS ? [] : this.#fitting(wanted);
      if (taken.length < wanted.length) onWarning?.(CUT_SHORT);
      const read = await mapLimited(taken, CONCURRENCY, async (descriptor) => {
        const manifest = await this.#read(descriptor);
        const children = manifest === undefined ? [] : await this.#shown(manifest);
        const referrers = await this.#referrers(descriptor, tags);
        return [descriptor.digest, { manifest, children, referrers }] as const;
      });
      for (const [digest, found] of read) this.#manifests.set(digest, found);
      level = read.flatMap(([, found]) => [
        ...found.children,
        ...found.referrers.map(({ descriptor }) => descriptor),
      ]);
    }
    return this.#manifests;
  }

  #fresh(level: readonly Descriptor[]): readonly Descriptor[] {
    const fresh = level.filter((one) => isManifestOrIndex(one) && !this.#manifests.has(one.digest));
    return [...new Map(fresh.map((one) => [one.digest, one])).values()];
  }

  /** As many of them as there is room for. */
  #fitting(wanted: readonly Descriptor[]): readonly Descriptor[] {
    return wanted.slice(0, MAX_DOCUMENTS - this.#manifests.size).filter(({ size }) => {
      // What is larger than any manifest may be is refused when it is read.
      const bytes = Math.min(size, LIMITS.manifestBytes);
      if (bytes > this.#bytesLeft) return false;
      this.#bytesLeft -= bytes;
      return true;
    });
  }

  async #read(descriptor: Descriptor): Promise<ManifestOrIndex | undefined> {
    try {
      return await readManifest(this.#options.content, descriptor);
    } catch (error) {
      if (isLandfallError(error) && (error.code === 'BLOB_NOT_FOUND' || error.code === 'NOT_FOUND'))
        return undefined;
      throw error;
    }
  }

  /** What a manifest consists of, as far as it is asked for. */
  async #shown(manifest: ManifestOrIndex): Promise<readonly Descriptor[]> {
    const { platform, content } = this.#options;
    if (manifest.kind === 'manifest' || platform === undefined) return childrenOf(manifest);
    const { matches } = platformMatcher(platform);
    const isFor = ({ platform: said }: Descriptor): boolean => said !== undefined && matches(said);
    const { manifests } = manifest;
    const others = new Set<Descriptor>();
    // More of them than any image has are no images, and all shown.
    if (!manifests.some(isFor) && manifests.filter(isSilent).length <= MAX_SILENT) {
      const silent = await silentEntries(manifest, (d) => readVerified(content, d));
      for (const { entry, platforms } of silent)
        if (platforms.length > 0 && !platforms.some(matches)) others.add(entry);
    }
    return manifests.filter((child) => {
      return isFor(child) || ((child.platform === undefined || isSilent(child)) && !others.has(child));
    });
  }

  async #referrers(
    { digest }: Descriptor,
    tags: ReadonlySet<string> | undefined,
  ): Promise<readonly FoundReferrer[]> {
    const { repository, signal, referrers = true } = this.#options;
    if (!referrers) return [];
    const found: FoundReferrer[] = [];
    for await (const descriptor of boundedReferrers(repository, digest, { signal, tags })) {
      found.push({ descriptor });
    }
    return [...found, ...(await cosignReferrers(repository, digest, { signal, tags }))];
  }

  /** Undefined where it is not known which there are, so that each has to be asked for. */
  async #tags(): Promise<ReadonlySet<string> | undefined> {
    const { repository, signal, isLocal, referrers = true } = this.#options;
    if (!referrers || isLocal) return undefined;
    const tags = new Set<string>();
    try {
      for await (const tag of repository.tags({ signal })) {
        tags.add(tag);
        if (tags.size === MAX_TAGS) return undefined;
      }
    } catch (error) {
      throwIfAborted(signal);
      // Some registries never list tags, or not for every user that may pull.
      if (isLandfallError(error)) return undefined;
      throw error;
    }
    return tags;
  }
}

/** Makes a tree of what was read: what is at several places is whole at the first of them. */
class GraphTree {
  readonly #manifests: ReadonlyMap<Digest, LoadedManifest>;
  readonly #missing: ReadonlySet<Digest>;
  readonly #options: ImageGraphOptions;
  readonly #uses = new Map<Digest, number>();
  #nodes = 0;

  constructor(
    manifests: ReadonlyMap<Digest, LoadedManifest>,
    missing: ReadonlySet<Digest>,
    options: ImageGraphOptions,
  ) {
    this.#manifests = manifests;
    this.#missing = missing;
    this.#options = options;
  }

  node(found: FoundReferrer, role: GraphRole | undefined): GraphNode {
    return this.#counted(this.#make(found, role));
  }

  #make({ descriptor, tag }: FoundReferrer, role: GraphRole | undefined): GraphNode {
    const { digest, mediaType } = descriptor;
    const uses = (this.#uses.get(digest) ?? 0) + 1;
    this.#uses.set(digest, uses);
    this.#nodes += 1;
    const read = this.#manifests.get(digest);
    const isWhole = uses === 1 && this.#nodes <= MAX_NODES;
    const { manifest, children = [], referrers = [] } = (isWhole ? read : undefined) ?? {};
    return {
      role: role ?? roleOf(mediaType),
      descriptor,
      artifactType: artifactTypeOf(descriptor, read?.manifest),
      tag,
      uses,
      isRepeated: !isWhole && read?.manifest !== undefined,
      ...this.#presence(digest, read),
      children: this.#nodesOf(children, manifest),
      referrers: referrers.map((referrer) => this.#make(referrer, undefined)),
    };
  }

  #nodesOf(children: readonly Descriptor[], manifest: ManifestOrIndex | undefined): readonly GraphNode[] {
    return children.map((child) => {
      if (manifest?.kind !== 'manifest') return this.#make({ descriptor: child }, undefined);
      return this.#make({ descriptor: child }, child === manifest.config ? 'config' : 'layer');
    });
  }

  #presence(digest: Digest, read: LoadedManifest | undefined): Pick<GraphNode, 'isMissing'> {
    if (read !== undefined) return { isMissing: read.manifest === undefined };
    return this.#options.isLocal ? { isMissing: this.#missing.has(digest) } : {};
  }

  /** How often each is there is known only when the tree is whole. */
  #counted(node: GraphNode): GraphNode {
    return {
      ...node,
      uses: this.#uses.get(node.descriptor.digest) ?? 1,
      children: node.children.map((child) => this.#counted(child)),
      referrers: node.referrers.map((referrer) => this.#counted(referrer)),
    };
  }
}

/** What is not here of what manifests list. */
async function missingBlobs(
  manifests: ReadonlyMap<Digest, LoadedManifest>,
  { content, isLocal }: ImageGraphOptions,
): Promise<ReadonlySet<Digest>> {
  if (!isLocal) return new Set();
  const listed = new Set<Digest>();
  for (const { manifest } of manifests.values()) {
    for (const { digest } of manifest === undefined ? [] : childrenOf(manifest)) listed.add(digest);
  }
  const digests = [...listed].filter((digest) => !manifests.has(digest));
  const infos = await mapLimited(digests, CONCURRENCY, (digest) => content.info(digest));
  return new Set(digests.filter((_, at) => infos[at] === undefined));
}

function artifactTypeOf(descriptor: Descriptor, manifest: ManifestOrIndex | undefined): string | undefined {
  const { artifactType } = manifest === undefined ? descriptor : referrerDescriptor(descriptor, manifest);
  // An image's config says that it is no artifact.
  return artifactType === undefined || artifactType === '' || isConfigType(artifactType)
    ? undefined
    : artifactType;
}

function isManifestOrIndex({ mediaType }: Descriptor): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType);
}

function roleOf(mediaType: string): GraphRole {
  if (isIndexType(mediaType)) return 'index';
  return isManifestType(mediaType) ? 'manifest' : 'blob';
}

/** A signature of an attestation of an SBOM of an image has a depth of 3. */
export const REFERRER_DEPTH = 8;
/** Of one digest. An image that is signed daily for years has some 1,000. */
const MOST_REFERRERS = 10_000;

/**
 * What refers to a digest, from whoever may list what he likes. Errors: those of the source; LIMIT_EXCEEDED.
 */
export async function* boundedReferrers(
  source: Pick<SourceRepository, 'referrers'>,
  subject: Digest,
  options: ReferrersOptions,
): AsyncGenerator<Descriptor, void, undefined> {
  let count = 0;
  for await (const descriptor of source.referrers(subject, options)) {
    count += 1;
    if (count > MOST_REFERRERS) {
      throw new SpecError('LIMIT_EXCEEDED', `${subject} has more than ${MOST_REFERRERS} referrers`, {
        details: { digest: subject, limit: MOST_REFERRERS },
      });
    }
    yield descriptor;
  }
}

/** The referrers of a digest by the tags of cosign. Errors: those of the source. */
export async function cosignReferrers(
  source: Pick<SourceRepository, 'resolve'>,
  subject: Digest,
  { signal, tags }: ReferrersOptions,
): Promise<{ descriptor: Descriptor; tag: string }[]> {
  const found: { descriptor: Descriptor; tag: string }[] = [];
  for (const suffix of ['sig', 'att', 'sbom']) {
    const tag = `${algorithmOf(subject)}-${encodedOf(subject)}.${suffix}`;
    if (tags?.has(tag) === false) continue;
    const descriptor = await source.resolve(tag, { signal });
    if (descriptor !== undefined) found.push({ descriptor, tag });
  }
  return found;
}

/** The entries of an index that come along, and those that are left out. */
export interface SelectedEntries {
  readonly kept: readonly Descriptor[];
  readonly omitted: readonly Descriptor[];
}

export interface IsCompleteOptions {
  readonly select: (target: Descriptor, index: ImageIndex, depth: number) => Promise<SelectedEntries>;
  /** How deep it lies in indexes. Default 0. */
  readonly depth?: number;
}

/**
 * Whether all that a descriptor stands for is there, as far as it was chosen. Manifests are read and
 * verified, other blobs are looked for by their size only.
 *
 * Errors: INVALID_MANIFEST and the like, DIGEST_MISMATCH, FILESYSTEM, and those of `select`.
 */
export async function isComplete(
  blobs: Pick<BlobProvider, 'info' | 'open'>,
  descriptor: Descriptor,
  options: IsCompleteOptions,
): Promise<boolean> {
  return await looksComplete(blobs, descriptor, { ...options, known: new Set() });
}

async function looksComplete(
  blobs: Pick<BlobProvider, 'info' | 'open'>,
  descriptor: Descriptor,
  options: IsCompleteOptions & { readonly known: Set<Digest> },
): Promise<boolean> {
  const { select, depth = 0, known } = options;
  // Once is enough: indexes that list one another over and over would be looked at for ever.
  if (known.has(descriptor.digest)) return true;
  const info = await blobs.info(descriptor.digest);
  if (info?.size !== descriptor.size) return false;
  const { mediaType } = descriptor;
  if (!isIndexType(mediaType) && !isManifestType(mediaType)) return true;
  if (depth > LIMITS.indexDepth) return false;
  const manifest = await readManifest(blobs, descriptor);
  const parts =
    manifest.kind === 'index' ? (await select(descriptor, manifest, depth)).kept : childrenOf(manifest);
  for (const part of parts) {
    if (!(await looksComplete(blobs, part, { ...options, depth: depth + 1 }))) return false;
  }
  known.add(descriptor.digest);
  return true;
}
