import { Readable } from 'node:stream';
import { type Abortable, ContentError, isWrongContent, SpecError, throwIfAborted } from '../../../errors.js';
import { refuseLarger } from '../../../engine/images/read-manifest.js';
import {
  type Descriptor,
  type Digest,
  isConfigType,
  isDigest,
  isIndexType,
  isManifestType,
  LIMITS,
  type Platform,
} from '../../../spec/index.js';
import type { DeclaredSet } from '../declaration.js';
import type {
  DestinationTransport,
  DestinationRepository,
  OpenContent,
  PutOptions,
  PutOutcome,
} from '../destination.js';
import { readVerifiedContent } from '../verified-content.js';
import { ArchiveContents } from './archive-contents.js';
import {
  type ArchiveOutput,
  type ArchiveTarget,
  openArchiveOutput,
  type OpenArchiveOutputOptions,
} from './archive-output.js';
import type { ArchiveFormat } from './archive.js';
import type { ArchivedBlob } from './archive-contents.js';
import type { KeptArchive } from './resumed-output.js';
import { bytesOfPlan, planArchive, type PrefetchOptions } from './write-archive.js';

export interface ArchiveDestinationOptions extends OpenArchiveOutputOptions {
  /** Default `both`. */
  readonly format?: ArchiveFormat | undefined;
  /** Of an image for several, the one that Docker is shown; default: this machine's, else the first. */
  readonly platform?: Platform | undefined;
  readonly prefetch?: PrefetchOptions | undefined;
}

/**
 * An archive to write. What is put is only noted, but for manifests and indexes, which are read at once; all
 * else is opened and verified when the archive is written, each digest once, so that its source has to stay
 * open until `finish` is done.
 */
export class ArchiveDestination implements DestinationTransport {
  readonly kind = 'archive';
  readonly name: string;
  readonly format: ArchiveFormat;
  readonly contents: ArchiveContents = new ArchiveContents();
  readonly #options: ArchiveDestinationOptions;
  readonly #output: ArchiveOutput;
  #bytesWritten = 0;

  private constructor(output: ArchiveOutput, options: ArchiveDestinationOptions) {
    this.format = options.format ?? 'both';
    this.name = `${this.format === 'docker' ? 'docker' : 'oci'}-archive:${output.location}`;
    this.#options = options;
    this.#output = output;
  }

  /**
   * Opens the file, so that what cannot be written is refused before anything is read.
   *
   * @throws {LandfallError} INVALID_CONFIG for a directory; FILESYSTEM, NO_SPACE
   */
  static async open(
    target: ArchiveTarget,
    options: ArchiveDestinationOptions = {},
  ): Promise<ArchiveDestination> {
    return new ArchiveDestination(await openArchiveOutput(target, options), options);
  }

  get holdsArtifacts(): boolean {
    return this.format !== 'docker';
  }

  repository(name: string): ArchiveRepository {
    return new ArchiveRepository(this, name);
  }

  /** The names of the files that it was split into, once it is written; none where it was not. */
  get parts(): readonly string[] {
    return this.#output.parts ?? [];
  }

  /** Of the archive, once it is written. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  declare(set: DeclaredSet): Promise<void> {
    this.contents.set = set;
    return Promise.resolve();
  }

  /** Writes the archive, once. Errors: as `archiveBytes`; FILESYSTEM, NO_SPACE. */
  async finish(o: Abortable = {}): Promise<void> {
    const { platform, prefetch } = this.#options;
    const { signal = this.#options.signal } = o;
    const plan = await planArchive(this.contents, { format: this.format, platform, signal });
    const kept = (await this.#output.begin?.(plan, { signal })) ?? [];
    const blobs = plan.blobs.map((blob) => ({ ...blob, open: openerOf(blob, kept) }));
    try {
      for await (const chunk of bytesOfPlan({ ...plan, blobs }, { prefetch, signal })) {
        await this.#output.write(chunk);
        this.#bytesWritten += chunk.length;
      }
    } catch (error) {
      // Where what was kept is damaged, the next run is to begin anew.
      if (kept.length > 0 && isWrongContent(error)) await this.#output.discard?.();
      throw error;
    }
    await this.#output.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output[Symbol.asyncDispose]();
  }
}

/**
 * The images of one repository in an archive that is to be written, under their canonical names; of the
 * repository `''` those under whatever name. What is wanted without a tag has an entry without a name, or
 * where it is an image of a repository by its digest.
 */
export class ArchiveRepository implements DestinationRepository {
  readonly name: string;
  readonly location: string;
  readonly transport: ArchiveDestination;

  constructor(transport: ArchiveDestination, name: string) {
    this.name = name;
    this.location = name === '' ? transport.name : `${transport.name}:${name}`;
    this.transport = transport;
  }

  stored(tagOrDigest: string): Promise<Descriptor | undefined> {
    const { contents } = this.transport;
    const named = contents.named(this.#nameOf(tagOrDigest));
    const found = named ?? (isDigest(tagOrDigest) ? contents.get(tagOrDigest)?.descriptor : undefined);
    return Promise.resolve(found);
  }

  has({ digest }: Descriptor): Promise<boolean> {
    return Promise.resolve(this.transport.contents.get(digest) !== undefined);
  }

  async put(descriptor: Descriptor, open: OpenContent, options: PutOptions = {}): Promise<PutOutcome> {
    const { signal, omitted = [] } = options;
    throwIfAborted(signal);
    const { contents } = this.transport;
    const isNew = await this.#add(descriptor, open, options);
    contents.omit(omitted);
    this.#name(descriptor, options);
    return isNew ? 'copied' : 'exists';
  }

  async *tags(): AsyncGenerator<string, void, undefined> {
    const prefix = this.name === '' ? '' : `${this.name}:`;
    const names = this.transport.contents.names().filter((name) => name.startsWith(prefix));
    yield* await Promise.resolve(names.map((name) => name.slice(prefix.length)));
  }

  deleteTag(tag: string): Promise<void> {
    return this.transport.contents.forget(this.#nameOf(tag))
      ? Promise.resolve()
      : Promise.reject(this.#notThere(tag));
  }

  async deleteManifest(digest: Digest): Promise<void> {
    const { contents } = this.transport;
    const names = contents
      .names()
      .filter((name) => contents.named(name)?.digest === digest && this.#isHere(name));
    if (names.length === 0) throw this.#notThere(digest);
    for (const name of names) contents.forget(name);
    await Promise.resolve();
  }

  /** Whether it was not there. */
  async #add(descriptor: Descriptor, open: OpenContent, o: PutOptions): Promise<boolean> {
    const { contents } = this.transport;
    const { mediaType, digest } = descriptor;
    if (contents.get(digest) !== undefined) return false;
    if (!isManifestType(mediaType) && !isIndexType(mediaType)) {
      return contents.add({ descriptor, open, onProgress: o.onProgress });
    }
    refuseLarger(descriptor, LIMITS.manifestBytes);
    const bytes = await readVerifiedContent(descriptor, open, o);
    return contents.addManifest(descriptor, bytes, () => Promise.resolve(Readable.from([bytes])));
  }

  #name(descriptor: Descriptor, { tag, root = false }: PutOptions): void {
    if (tag === undefined && !root) return;
    const { contents, format } = this.transport;
    const manifest = contents.get(descriptor.digest)?.manifest;
    const isArtifact = manifest?.kind === 'manifest' && !isConfigType(manifest.config.mediaType);
    if (format === 'docker' && (manifest === undefined || isArtifact)) {
      throw new SpecError(
        'UNSUPPORTED_MEDIA_TYPE',
        `${this.location} ${descriptor.digest} is an artifact, which an archive of Docker cannot hold`,
        { hint: 'Use the format oci, which holds artifacts too.', details: { digest: descriptor.digest } },
      );
    }
    if (tag !== undefined) contents.name(this.#nameOf(tag), descriptor);
    // What refers to something is found by that.
    else if (this.name !== '' && manifest !== undefined && manifest.subject === undefined) {
      contents.name(this.#nameOf(descriptor.digest), descriptor);
    } else contents.addRoot(descriptor);
  }

  #isHere(name: string): boolean {
    return this.name === '' || name.startsWith(`${this.name}:`) || name.startsWith(`${this.name}@`);
  }

  #nameOf(tagOrDigest: string): string {
    if (this.name === '') return tagOrDigest;
    return `${this.name}${isDigest(tagOrDigest) ? '@' : ':'}${tagOrDigest}`;
  }

  #notThere(what: string): ContentError {
    return new ContentError('BLOB_NOT_FOUND', `${this.location} has no ${what}`);
  }
}

/** From what an earlier run has kept, as far as it has it. */
function openerOf({ descriptor, open }: ArchivedBlob, kept: readonly KeptArchive[]): OpenContent {
  for (const archive of kept) {
    const opener = archive.opener(descriptor, open);
    if (opener !== undefined) return opener;
  }
  return open;
}
