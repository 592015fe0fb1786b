import { type BlobProvider, namedEntries, rawNamesOf } from '../content/index.js';
import { readManifest } from '../engine/read-document.js';
import { type Abortable, ContentError, throwIfAborted } from '../errors.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  isIndexType,
  isManifestType,
  MEDIA_TYPES,
} from '../spec/index.js';
import type { DestinationRepository, OpenContent, PutOptions, PutOutcome } from './destination.js';
import type { LayoutDestination } from './layout-destination.js';
import { namedEntry, namelessEntry } from './layout-index.js';
import type { SourceRepository } from './source.js';

/**
 * The images of one repository in a layout, under their canonical names; of the repository `''` those under whatever name.
 * What is wanted without a tag has an entry without a name, or where it is an image of a repository by its digest.
 */
export class LayoutDestinationRepository implements DestinationRepository {
  readonly name: string;
  readonly location: string;
  readonly place: LayoutDestination;
  readonly blobs: Pick<BlobProvider, 'info' | 'open'>;
  readonly readBack: SourceRepository;

  constructor(place: LayoutDestination, name: string) {
    this.name = name;
    this.location = name === '' ? place.name : `${place.name}:${name}`;
    this.place = place;
    this.blobs = place.layout;
    this.readBack = place.source.repository(name);
  }

  async stored(tagOrDigest: string, o: Abortable = {}): Promise<Descriptor | undefined> {
    return tagOrDigest === '' ? undefined : await this.readBack.resolve(tagOrDigest, o);
  }

  async has({ digest, size }: Descriptor): Promise<boolean> {
    return (await this.place.layout.info(digest))?.size === size;
  }

  async put(descriptor: Descriptor, open: OpenContent, options: PutOptions = {}): Promise<PutOutcome> {
    const { tag, root = false, omitted, signal } = options;
    const outcome = await this.place.putBlob(descriptor, open, options);
    throwIfAborted(signal);
    const name = await this.#nameFor(descriptor, tag, root);
    const isWanted = name !== undefined || root;
    if (!isWanted && (omitted === undefined || omitted.length === 0)) return outcome;
    await this.place.index.change({
      entries: (entries) => (isWanted ? this.#with(entries, descriptor, name) : entries),
      omitted,
    });
    return outcome;
  }

  async *tags(o: Abortable = {}): AsyncGenerator<string, void, undefined> {
    const names = this.name === '' ? undefined : await this.place.source.repositories(o);
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
    const { subject } = await readManifest(this.place.layout, descriptor);
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
    await this.place.index.change({
      entries: (entries) => {
        const names = this.#namesOf(entries);
        const left = entries.filter((entry, at) => !isMeant(entry, names[at]));
        isFound = left.length < entries.length;
        return left;
      },
    });
    if (isFound) return;
    throw new ContentError('BLOB_NOT_FOUND', `${this.location} has no ${what}`, {
      details: { path: this.place.directory },
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
    return namedEntries(index, this.place.directory).map(({ reference, target }) =>
      reference === undefined ? rawNamesOf(target)[0] : formatReference(reference),
    );
  }
}
