import type { Readable } from 'node:stream';
import { Limiter, ResultCache } from '../../concurrency/index.js';
import { type Abortable, ContentError, throwIfAborted, UnpackError } from '../../errors.js';
import { refuseLarger } from '../../engine/images/read-manifest.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isLayerType,
  isManifestType,
  LIMITS,
  parseImageConfig,
  parseManifest,
} from '../../spec/index.js';
import { examineLayer } from '../transports/archives/examine-layer.js';
import type { SourceRepository } from '../transports/destination.js';
import { boundedReferrers, REFERRER_DEPTH } from '../transports/image-graph.js';
import { readVerifiedContent, verifiedContent } from '../transports/verified-content.js';
import { faultOf, type VerifyFault, VerifyGraph } from './verify-graph.js';

/** An image that is to be proven whole. */
export interface VerifyRoot {
  /** For people: what its place calls it, or its digest. */
  readonly name: string;
  readonly target: Descriptor;
  readonly repository: SourceRepository;
}

/** What names something. */
export interface VerifyParent {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest | ImageIndex;
}

export interface VerifyOptions extends Abortable {
  /** Whether what is missing was left out on purpose. Default: nothing was. */
  readonly isLeftOut?: ((child: Descriptor, parent: VerifyParent) => Promise<boolean> | boolean) | undefined;
  /**
   * Also holds the layers of images against their configs, for which they are decompressed. Default false.
   */
  readonly diffIds?: boolean | undefined;
  /** Also what refers to what is found, as its repository lists it. Default false. */
  readonly referrers?: boolean | undefined;
  /** Read at once. Default 8. */
  readonly concurrency?: number | undefined;
  /** Told after each. */
  readonly onChecked?: ((descriptor: Descriptor) => void) | undefined;
}

/** What was proven, and what is wrong. */
export interface VerifyReport {
  /** In the order in which they were given. */
  readonly images: readonly {
    /** Canonical in the store, as it was given elsewhere. */
    readonly name: string;
    /** A manifest, or an index. */
    readonly target: Descriptor;
  }[];
  /** Manifests and indexes that were read, and what they name besides. */
  readonly manifests: number;
  /** Configs, layers and other blobs that were read. */
  readonly blobs: number;
  /** Of both. */
  readonly bytes: number;
  /** All of them, in the order of their digests. */
  readonly faults: readonly VerifyFault[];
  /** What is missing and was left out on purpose. */
  readonly leftOut: readonly Descriptor[];
}

const CONCURRENCY = 8;

/**
 * Proves images whole: all that they consist of is there, has its size and its digest, and is what its type
 * says. Each is read once, several at a time; a fault ends nothing but itself.
 *
 * Errors: ABORTED.
 */
export async function verify(
  roots: readonly VerifyRoot[],
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const walk = new VerifyWalk(options);
  await Promise.all(
    roots.map(async ({ name, target, repository }) => {
      walk.graph.addRoot(name, target.digest);
      await walk.visit({ descriptor: target, repository, depth: 0 });
    }),
  );
  await walk.visitReferrers();
  throwIfAborted(options.signal);
  return {
    images: roots.map(({ name, target }) => ({ name, target })),
    ...walk.counts,
    faults: walk.graph.faults(),
    leftOut: walk.leftOut(),
  };
}

interface Visit {
  readonly descriptor: Descriptor;
  readonly repository: SourceRepository;
  readonly depth: number;
  readonly parent?: VerifyParent | undefined;
}

class VerifyWalk {
  readonly graph = new VerifyGraph();
  readonly counts = { manifests: 0, blobs: 0, bytes: 0 };
  readonly #options: VerifyOptions;
  readonly #limiter: Limiter;
  /** By digest; where repositories differ in what they have, by repository too. */
  readonly #visited = new ResultCache<string, void>();
  /** Blobs whose bytes were read, from whatever repository. */
  readonly #readings = new Map<string, Promise<void>>();
  readonly #counted = new Set<Digest>();
  readonly #leftOut = new Map<Digest, Descriptor>();
  /** Manifests whose referrers have not been asked for. */
  #subjects: Visit[] = [];
  /** What each layer is uncompressed, as far as that was looked at. */
  readonly #diffIds = new Map<Digest, Digest>();

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.concurrency ?? CONCURRENCY);
  }

  leftOut(): Descriptor[] {
    return [...this.#leftOut.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
  }

  /** Each digest once, whoever names it, in each repository that may lack what others have. */
  async visit(visit: Visit): Promise<void> {
    await this.#visited.get(keyOf(visit.descriptor, visit.repository), () => this.#look(visit));
  }

  /**
   * What refers to what was found, and to that. Only when all that led to it has been looked at: it may list
   * what it refers to, which would wait for it as it waits for that. Levels are bounded, since a registry
   * could invent referrers without end.
   */
  async visitReferrers(): Promise<void> {
    for (let depth = 0; this.#subjects.length > 0 && depth < REFERRER_DEPTH; depth += 1) {
      const subjects = this.#subjects;
      this.#subjects = [];
      await Promise.all(subjects.map((subject) => this.#referrers(subject)));
    }
  }

  async #look(visit: Visit): Promise<void> {
    const { descriptor, parent } = visit;
    try {
      throwIfAborted(this.#options.signal);
      if (isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType)) {
        await this.#manifest(visit);
      } else await this.#limiter.run(() => this.#blob(visit));
      this.#options.onChecked?.(descriptor);
    } catch (error) {
      throwIfAborted(this.#options.signal);
      const fault = faultOf(error, descriptor);
      if (fault.kind === 'missing' && (await this.#isLeftOut(descriptor, parent))) {
        this.#leftOut.set(descriptor.digest, descriptor);
      } else this.graph.addFault(fault);
    }
  }

  async #isLeftOut(child: Descriptor, parent: VerifyParent | undefined): Promise<boolean> {
    if (parent === undefined) return false;
    return (await this.#options.isLeftOut?.(child, parent)) === true;
  }

  async #manifest(visit: Visit): Promise<void> {
    const { descriptor, repository, depth } = visit;
    refuseLarger(descriptor, LIMITS.manifestBytes);
    const bytes = await this.#limiter.run(() => this.#read(descriptor, repository));
    const manifest = parseManifest(bytes, descriptor.mediaType);
    this.#count('manifests', descriptor);
    const children = depth > LIMITS.indexDepth ? [] : childrenOf(manifest);
    for (const child of children) this.graph.addChild(descriptor.digest, child.digest);
    await Promise.all(
      children.map((child) =>
        this.visit({ descriptor: child, repository, depth: depth + 1, parent: { descriptor, manifest } }),
      ),
    );
    if (manifest.kind === 'manifest') await this.#holdAgainstConfig(manifest, repository);
    if (this.#options.referrers === true) this.#subjects.push(visit);
  }

  /** Read once; another repository that names it has to have it too. */
  async #blob(visit: Visit): Promise<void> {
    const { descriptor, repository } = visit;
    const { digest } = descriptor;
    const content = contentOf(descriptor);
    const other = this.#readings.get(content);
    if (other === undefined || !(await succeeds(other))) {
      const reading = this.#readBlob(visit);
      this.#readings.set(content, reading);
      await reading;
      return;
    }
    if ((await repository.has?.(descriptor, this.#options)) !== false) return;
    throw new ContentError('BLOB_NOT_FOUND', `${repository.location} lacks ${digest}`, {
      details: { digest },
    });
  }

  async #readBlob({ descriptor, repository, parent }: Visit): Promise<void> {
    const { signal } = this.#options;
    const isLayer = isLayerType(descriptor.mediaType) && parent?.manifest.kind === 'manifest';
    if (this.#options.diffIds === true && isLayer) await this.#layer(descriptor, repository);
    else {
      const reading = verifiedContent(descriptor, this.#opener(descriptor, repository), { signal });
      // Nothing is kept of it: whether it comes to its end is what was asked.
      while ((await reading.next()).done !== true);
    }
    this.#count('blobs', descriptor);
  }

  #count(what: 'manifests' | 'blobs', { digest, size }: Descriptor): void {
    if (this.#counted.has(digest)) return;
    this.#counted.add(digest);
    this.counts[what] += 1;
    this.counts.bytes += size;
  }

  async #layer(descriptor: Descriptor, repository: SourceRepository): Promise<void> {
    const { signal } = this.#options;
    const chunks = verifiedContent(descriptor, this.#opener(descriptor, repository), { signal });
    const { diffId, fault } = await examineLayer(chunks, { size: descriptor.size, signal });
    if (diffId === undefined) throw fault;
    this.#diffIds.set(descriptor.digest, diffId);
  }

  /**
   * A config that cannot be read is told of as what it is; one that does not fit its layers as a fault of the
   * config.
   */
  async #holdAgainstConfig(manifest: ImageManifest, repository: SourceRepository): Promise<void> {
    const { config: descriptor, layers } = manifest;
    const isImage =
      isConfigType(descriptor.mediaType) && layers.every(({ mediaType }) => isLayerType(mediaType));
    if (!isImage || this.graph.isFaulty(descriptor.digest) || this.#leftOut.has(descriptor.digest)) return;
    try {
      refuseLarger(descriptor, LIMITS.configBytes);
      const config = parseImageConfig(await this.#limiter.run(() => this.#read(descriptor, repository)));
      for (const fault of diffIdFaults(config, layers, this.#diffIds)) this.graph.addFault(fault);
    } catch (error) {
      throwIfAborted(this.#options.signal);
      this.graph.addFault(faultOf(error, descriptor));
    }
  }

  async #referrers({ descriptor: subject, repository }: Visit): Promise<void> {
    try {
      for await (const descriptor of boundedReferrers(repository, subject.digest, this.#options)) {
        this.graph.addChild(subject.digest, descriptor.digest);
        await this.visit({ descriptor, repository, depth: 0 });
      }
    } catch (error) {
      throwIfAborted(this.#options.signal);
      this.graph.addFault(faultOf(error, subject));
    }
  }

  async #read(descriptor: Descriptor, repository: SourceRepository): Promise<Buffer> {
    const { signal } = this.#options;
    return await readVerifiedContent(descriptor, this.#opener(descriptor, repository), { signal });
  }

  #opener(descriptor: Descriptor, repository: SourceRepository): (offset?: number) => Promise<Readable> {
    const { signal } = this.#options;
    return (offset = 0) => repository.fetch(descriptor, { offset, signal });
  }
}

/** With the size: two manifests may not agree on that, and one of them is wrong then. */
function keyOf(descriptor: Descriptor, repository: SourceRepository): string {
  const content = contentOf(descriptor);
  return repository.has === undefined ? content : `${repository.location} ${content}`;
}

function contentOf({ digest, size }: Descriptor): string {
  return `${digest} ${size}`;
}

async function succeeds(reading: Promise<void>): Promise<boolean> {
  try {
    await reading;
    return true;
  } catch {
    return false;
  }
}

/**
 * The layers of an image that are not what its config says (image-spec: config.md, rootfs.diff_ids).
 *
 * @param diffIds of layers by their digests, as far as they were looked at
 * @throws {UnpackError} DIFF_ID_MISMATCH for a config of another number of layers
 */
function diffIdFaults(
  { rootfs: { diff_ids: expected } }: ImageConfig,
  layers: readonly Descriptor[],
  diffIds: ReadonlyMap<Digest, Digest>,
): VerifyFault[] {
  if (expected.length !== layers.length) {
    throw new UnpackError(
      'DIFF_ID_MISMATCH',
      `the config is of ${expected.length} layers, the manifest has ${layers.length}`,
    );
  }
  return layers.flatMap((layer, at) => {
    const actual = diffIds.get(layer.digest);
    if (actual === undefined || actual === expected[at]) return [];
    const message = `layer ${at + 1} is ${actual} uncompressed, not ${expected[at] ?? ''}`;
    const details = { layer: layer.digest, actual };
    return [faultOf(new UnpackError('DIFF_ID_MISMATCH', message, { details }), layer)];
  });
}
