import type { SparseSegment, TarEntry } from '../archive/tar-entry.js';
import type { TarHandler } from '../archive/tar-reader.js';
import { bytesOf, paddingOf } from './encode-header.js';
import { type PlannedFile, type PlannedMember, positionOf } from './export-plan.js';
import { SparseContent } from './sparse-content.js';
import type { TreeArchive } from './tree-archive.js';

const ZEROS = Buffer.alloc(512);

/** Writes what is planned of a layer, while that is read. */
export class LayerExport implements TarHandler {
  readonly #archive: TreeArchive;
  /** Still to be written, the next one at the end. */
  readonly #todo: PlannedMember[];
  /** Made, but not taken yet. Content is a view of the chunk that is being read. */
  #pieces: Iterable<Buffer>[] = [];
  /** Entries so far. */
  #entries = 0;
  /** The file whose content is being read. */
  #content: { readonly member: PlannedFile; readonly sparse: SparseContent | undefined } | undefined;

  constructor(members: readonly PlannedMember[], archive: TreeArchive) {
    this.#archive = archive;
    this.#todo = members.toReversed();
  }

  /** What was made since it was last taken; to be iterated at once. */
  take(): Iterable<Iterable<Buffer>> {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  entry(entry: TarEntry): void {
    for (let member = this.#todo.at(-1); member !== undefined; member = this.#todo.at(-1)) {
      if (positionOf(member).entry !== this.#entries) break;
      this.#todo.pop();
      if (member.kind === 'directory') this.#pieces.push(this.#archive.directory(member.directory));
      else this.#file(member, entry.sparse);
    }
    this.#entries += 1;
  }

  data(chunk: Buffer): void {
    if (this.#content === undefined) return;
    const { sparse } = this.#content;
    this.#pieces.push(sparse === undefined ? [chunk] : sparse.take(chunk));
  }

  endEntry(): void {
    if (this.#content === undefined) return;
    const { member, sparse } = this.#content;
    this.#content = undefined;
    const bytes = sparse === undefined ? member.file.size : bytesOf(sparse.segments);
    this.#pieces.push([ZEROS.subarray(0, paddingOf(bytes))], this.#archive.links(member));
  }

  /** Should the layer be another one than a moment ago, its digest will tell. */
  #file(member: PlannedFile, map: readonly SparseSegment[] | undefined): void {
    const { type, size } = member.file;
    const sparse = map === undefined ? undefined : new SparseContent(map, size);
    this.#pieces.push(this.#archive.file(member, sparse?.segments));
    if (type === 'file') this.#content = { member, sparse };
    else this.#pieces.push(this.#archive.links(member));
  }
}
