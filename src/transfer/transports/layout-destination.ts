import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedLimiter } from '../../concurrency/index.js';
import {
  blobDirectory,
  blobPath,
  type BlobProvider,
  BLOBS,
  DATABASE_FILE,
  INDEX_FILE,
  LAYOUT_FILE,
  LAYOUT_VERSION,
  makeDirectory,
  namedEntries,
  OciLayout,
  outputError,
  rawNamesOf,
  sweepTemporaryFiles,
  TemporaryFile,
  withRootLocked,
} from '../../content/index.js';
import { requireRoom } from '../../engine/pull/require-space.js';
import { readManifest } from '../../engine/images/read-manifest.js';
import { type Abortable, ContentError, LandfallError, throwIfAborted } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  isIndexType,
  isManifestType,
  MEDIA_TYPES,
} from '../../spec/index.js';
import type { DeclaredSet } from './declaration.js';
import type {
  DestinationTransport,
  DestinationRepository,
  OpenContent,
  PutOptions,
  PutOutcome,
  SourceRepository,
} from './destination.js';
import { isThere, LayoutIndex, namedEntry, namelessEntry, writeWhole } from './layout-index.js';
import { LayoutTransport } from './layout-transport.js';
import { verifiedContent } from './verified-content.js';

/** What other programs, and file systems, leave in a directory that is otherwise empty. */
const NOTHING: ReadonlySet<string> = new Set(['lost+found']);
const TEMPORARY = '.landfall-';

/**
 * An OCI layout directory to write (image-spec: image-layout.md). Any number of processes may write to one at
 * once: each blob gets its name when it is whole, and `index.json` is changed by one at a time.
 */
export class LayoutDestination implements DestinationTransport {
  readonly kind = 'layout';
  readonly name: string;
  readonly directory: string;
  readonly layout: OciLayout;
  /** The same, to read. */
  readonly source: LayoutTransport;
  readonly index: LayoutIndex;
  readonly #slots = new KeyedLimiter<Digest>(1);

  private constructor(directory: string, layout: OciLayout) {
    this.directory = directory;
    this.name = `oci:${directory}`;
    this.layout = layout;
    this.source = new LayoutTransport({ content: layout, location: this.name, path: directory });
    this.index = new LayoutIndex(directory);
  }

  /**
   * Opens a layout, or makes one where there is nothing.
   *
   * @throws {LandfallError} INVALID_CONFIG for a directory with something else in it, or a store of ours;
   *   UNSUPPORTED for a layout of an unknown version; INVALID_MANIFEST; FILESYSTEM, NO_SPACE; ABORTED
   */
  static async open(directory: string, o: Abortable = {}): Promise<LayoutDestination> {
    try {
      await refuseStore(directory);
      if (!(await isThere(join(directory, LAYOUT_FILE)))) await makeLayout(directory, o);
      await sweepTemporaryFiles(directory);
      return new LayoutDestination(directory, await OciLayout.open(directory));
    } catch (error) {
      throw outputError(error, directory);
    }
  }

  repository(name: string): LayoutDestinationRepository {
    return new LayoutDestinationRepository(this, name);
  }

  /**
   * Brings a blob; from the same process each once at a time. Where that fails, who waited for it tries by
   * itself.
   */
  async putBlob(descriptor: Descriptor, open: OpenContent, o: PutOptions): Promise<PutOutcome> {
    return await this.#slots.run(descriptor.digest, () => this.#bring(descriptor, open, o), o);
  }

  async requireRoom(blobs: readonly Descriptor[]): Promise<void> {
    const needed = blobs.reduce((sum, { size }) => sum + size, 0);
    const largest = blobs.reduce((most, { size }) => Math.max(most, size), 0);
    await requireRoom(this.name, this.directory, { needed, largest });
  }

  async declare(set: DeclaredSet): Promise<void> {
    await this.index.change({ entries: (entries) => entries, set });
  }

  /** Nothing is left to do: each blob and each change of the index was made durable at once. */
  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #bring(descriptor: Descriptor, open: OpenContent, o: PutOptions): Promise<PutOutcome> {
    const { digest, size } = descriptor;
    if ((await this.layout.info(digest))?.size === size) return 'exists';
    try {
      await makeDirectory(blobDirectory(this.directory, digest));
      await using file = await TemporaryFile.create(this.directory);
      for await (const chunk of verifiedContent(descriptor, open, o)) await file.handle.writeFile(chunk);
      throwIfAborted(o.signal);
      await file.publish(blobPath(this.directory, digest));
      return 'copied';
    } catch (error) {
      throw outputError(error, this.directory);
    }
  }
}

/** Its index is written from its database, which would know nothing of what is put here. */
async function refuseStore(directory: string): Promise<void> {
  if (!(await isThere(join(directory, DATABASE_FILE)))) return;
  throw new LandfallError('INVALID_CONFIG', `${directory} is a store, which is not written to as a layout`, {
    hint: `Name the image alone and the store with --root ${directory}, or choose another directory.`,
    details: { path: directory },
  });
}

/** The first process makes it, under the lock of the directory. */
async function makeLayout(directory: string, o: Abortable): Promise<void> {
  await makeDirectory(directory);
  await withRootLocked(
    directory,
    async () => {
      if (await isThere(join(directory, LAYOUT_FILE))) return;
      const others = (await readdir(directory)).filter(
        (name) => !NOTHING.has(name) && !name.startsWith(TEMPORARY) && name !== BLOBS && name !== INDEX_FILE,
      );
      if (others.length > 0) {
        throw new LandfallError('INVALID_CONFIG', `${directory} is neither empty nor an OCI layout`, {
          hint: 'Name a directory that is empty or does not exist.',
          details: { path: directory },
        });
      }
      await makeDirectory(join(directory, BLOBS, 'sha256'));
      if (!(await isThere(join(directory, INDEX_FILE)))) {
        const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] };
        await writeWhole(directory, INDEX_FILE, Buffer.from(JSON.stringify(index)));
      }
      const layout = { imageLayoutVersion: LAYOUT_VERSION };
      await writeWhole(directory, LAYOUT_FILE, Buffer.from(JSON.stringify(layout)));
    },
    o,
  );
}

/**
 * The images of one repository in a layout, under their canonical names; of the repository `''` those under
 * whatever name. What is wanted without a tag has an entry without a name, or where it is an image of a
 * repository by its digest.
 */
export class LayoutDestinationRepository implements DestinationRepository {
  readonly name: string;
  readonly location: string;
  readonly transport: LayoutDestination;
  readonly blobs: Pick<BlobProvider, 'info' | 'open'>;
  readonly readBack: SourceRepository;

  constructor(transport: LayoutDestination, name: string) {
    this.name = name;
    this.location = name === '' ? transport.name : `${transport.name}:${name}`;
    this.transport = transport;
    this.blobs = transport.layout;
    this.readBack = transport.source.repository(name);
  }

  async stored(tagOrDigest: string, o: Abortable = {}): Promise<Descriptor | undefined> {
    return tagOrDigest === '' ? undefined : await this.readBack.resolve(tagOrDigest, o);
  }

  async has({ digest, size }: Descriptor): Promise<boolean> {
    return (await this.transport.layout.info(digest))?.size === size;
  }

  async put(descriptor: Descriptor, open: OpenContent, options: PutOptions = {}): Promise<PutOutcome> {
    const { tag, root = false, omitted, signal } = options;
    const outcome = await this.transport.putBlob(descriptor, open, options);
    throwIfAborted(signal);
    const name = await this.#nameFor(descriptor, tag, root);
    const isWanted = name !== undefined || root;
    if (!isWanted && (omitted === undefined || omitted.length === 0)) return outcome;
    await this.transport.index.change({
      entries: (entries) => (isWanted ? this.#with(entries, descriptor, name) : entries),
      omitted,
    });
    return outcome;
  }

  async *tags(o: Abortable = {}): AsyncGenerator<string, void, undefined> {
    const names = this.name === '' ? undefined : await this.transport.source.repositories(o);
    if (names?.includes(this.name) === false) return;
    yield* this.readBack.tags(o);
  }

  async deleteTag(tag: string): Promise<void> {
    await this.#remove(tag, (entry, name) => name !== undefined && this.#isNamed(entry, name, tag));
  }

  async deleteManifest(digest: Digest): Promise<void> {
    await this.#remove(
      digest,
      (entry, name) =>
        entry.digest === digest && (this.name === '' || name === undefined || this.#isHere(name)),
    );
  }

  /** Undefined where it has none. */
  async #nameFor(
    descriptor: Descriptor,
    tag: string | undefined,
    root: boolean,
  ): Promise<string | undefined> {
    if (tag !== undefined) return this.name === '' ? tag : `${this.name}:${tag}`;
    if (!root || this.name === '') return undefined;
    const { mediaType, digest } = descriptor;
    if (!isManifestType(mediaType) && !isIndexType(mediaType)) return undefined;
    // What refers to something is found by that.
    const { subject } = await readManifest(this.transport.layout, descriptor);
    return subject === undefined ? `${this.name}@${digest}` : undefined;
  }

  /** A name moves to what it is given to; what has a name needs no entry without one. */
  #with(
    entries: readonly Descriptor[],
    descriptor: Descriptor,
    name: string | undefined,
  ): readonly Descriptor[] {
    const same = entries.filter(({ digest }) => digest === descriptor.digest);
    if (name === undefined) return same.length > 0 ? entries : [...entries, namelessEntry(descriptor)];
    const names = this.#namesOf(entries);
    const entry = namedEntry(descriptor, name);
    const isReplaced = (one: Descriptor, at: number): boolean =>
      names[at] === name ||
      rawNamesOf(one)[0] === name ||
      (one.digest === descriptor.digest && rawNamesOf(one).length === 0);
    const at = entries.findIndex(isReplaced);
    if (at < 0) return [...entries, entry];
    return entries.flatMap((one, index) => (index === at ? [entry] : isReplaced(one, index) ? [] : [one]));
  }

  async #remove(
    what: string,
    isMeant: (entry: Descriptor, name: string | undefined) => boolean,
  ): Promise<void> {
    let isFound = false as boolean;
    await this.transport.index.change({
      entries: (entries) => {
        const names = this.#namesOf(entries);
        const left = entries.filter((entry, at) => !isMeant(entry, names[at]));
        isFound = left.length < entries.length;
        return left;
      },
    });
    if (isFound) return;
    throw new ContentError('BLOB_NOT_FOUND', `${this.location} has no ${what}`, {
      details: { path: this.transport.directory },
      hint: 'Check the spelling of the name.',
    });
  }

  #isHere(name: string): boolean {
    return name.startsWith(`${this.name}:`) || name.startsWith(`${this.name}@`);
  }

  #isNamed(entry: Descriptor, name: string, tag: string): boolean {
    return this.name === '' ? rawNamesOf(entry).includes(tag) : name === `${this.name}:${tag}`;
  }

  /** What each entry is called: canonically where that is a reference, else as it stands there. */
  #namesOf(entries: readonly Descriptor[]): (string | undefined)[] {
    const index = { kind: 'index' as const, mediaType: MEDIA_TYPES.ociIndex, manifests: entries };
    return namedEntries(index, this.transport.directory).map(({ reference, target }) =>
      reference === undefined ? rawNamesOf(target)[0] : formatReference(reference),
    );
  }
}
