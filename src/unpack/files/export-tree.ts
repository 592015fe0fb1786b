import { unpackLimits } from '../../spec/index.js';
import { BLOCK_BYTES, type SparseSegment, type TarEntry } from '../tar/tar-header.js';
import type { TarHandler } from '../tar/tar-reader.js';
import { ImageBudget } from '../jobs/shared-memory.js';
import type { ImageDirectory } from './image-tree.js';
import { readImageTree, type ReadImageTreeOptions } from './read-image-tree.js';
import { readLayer, type StoredLayer } from './stored-layer.js';
import { LayerEvents } from '../unpacker.js';
import { bytesOf, paddingOf } from './encode-header.js';
import { planExport, type PlannedFile, type PlannedMember, positionOf } from './export-plan.js';
import { TreeArchive } from './tree-archive.js';

/** Headers and contents of small files go out together, in pieces of about so many bytes. */
const PIECE_BYTES = 256 * 1024;

/**
 * The merged root file system of an image's layers, bottom first, as one tar archive in the pax format: what
 * unpacking them as root would leave, whoever runs this, without touching any file system. The same image is
 * always the same bytes.
 *
 * When it resolves, all layers are verified; the archive then reads each once more, and verifies it again, as
 * it may have changed in between. Each chunk is the reader's own. Memory is that of {@link readImageTree},
 * half as much again for the order of the members, and some chunks. Errors, of the archive's iteration too:
 * those of readImageTree.
 */
export async function exportTree(
  layers: readonly StoredLayer[],
  o: ReadImageTreeOptions = {},
): Promise<AsyncGenerator<Buffer, void, undefined>> {
  return writeTree(await readImageTree(layers, o), layers, o);
}

async function* writeTree(
  root: ImageDirectory,
  layers: readonly StoredLayer[],
  o: ReadImageTreeOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const limits = unpackLimits(o.limits);
  const budget = new ImageBudget(layers.length);
  const events = new LayerEvents(layers, o.onEvent);
  const plan = planExport(root, layers.length);
  const archive = new TreeArchive(plan.end);
  yield* joined([archive.directory(root)]);
  for (const [index, layer] of layers.entries()) {
    const members = new LayerExport(plan.layers[index] ?? [], archive);
    const { signal, inflate } = o;
    const reading = readLayer(layer, members, { limits, budget: budget.layer(index), inflate, signal });
    try {
      while ((await reading.next()).done !== true) yield* joined(members.take());
    } finally {
      await reading.return();
    }
    events.state(index, 'committed', layer.descriptor.size);
  }
  yield* joined([archive.end()]);
}

/** Copies small pieces into larger ones. */
function* joined(pieces: Iterable<Iterable<Buffer>>): Generator<Buffer, void, undefined> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for (const group of pieces) {
    for (const piece of group) {
      waiting.push(piece);
      bytes += piece.length;
      if (bytes < PIECE_BYTES) continue;
      yield Buffer.concat(waiting);
      waiting = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}

const ZEROS = Buffer.alloc(512);

/** Writes what is planned of a layer, while that is read. */
class LayerExport implements TarHandler {
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

const HOLE = Buffer.alloc(BLOCK_BYTES);

/** A stretch of the content as it comes. */
interface Part {
  readonly length: number;
  /** How many zeros follow it. */
  readonly zeros: number;
}

/**
 * The content of a sparse file, in segments that every program reads alike: each is whole blocks, but for one
 * at the end of the file. GNU tar looks for each at a block of the archive, and others where the one before
 * ends; what it writes itself has such segments only. Zeros make up what is missing, and join segments that
 * come close to each other.
 */
class SparseContent {
  readonly segments: readonly SparseSegment[];
  readonly #parts: readonly Part[];
  #part = 0;
  /** Bytes of the current part so far. */
  #taken = 0;

  /** @param size - of the file, in bytes */
  constructor(given: readonly SparseSegment[], size: number) {
    const segments: SparseSegment[] = [];
    const parts: Part[] = [];
    let start: number | undefined;
    const filled = given.filter(({ length }) => length > 0);
    for (const [i, { offset, length }] of filled.entries()) {
      start ??= offset;
      const end = offset + length;
      const next = filled[i + 1]?.offset;
      const zeros = Math.min(paddingOf(end - start), (next ?? size) - end);
      parts.push({ length, zeros });
      if (next === end + zeros) continue;
      segments.push({ offset: start, length: end + zeros - start });
      start = undefined;
    }
    this.segments = segments;
    this.#parts = parts;
  }

  /** What becomes of a piece of the content as it comes; views of it. */
  *take(chunk: Buffer): Generator<Buffer, void, undefined> {
    for (let at = 0; at < chunk.length;) {
      const part = this.#parts[this.#part];
      // The reader has held the map against the content, so this only guards against a loop without end.
      if (part === undefined) return;
      const count = Math.min(chunk.length - at, part.length - this.#taken);
      yield chunk.subarray(at, at + count);
      at += count;
      this.#taken += count;
      if (this.#taken < part.length) continue;
      if (part.zeros > 0) yield HOLE.subarray(0, part.zeros);
      this.#part += 1;
      this.#taken = 0;
    }
  }
}
