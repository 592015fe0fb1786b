import type { BytePath } from '../../system/index.js';
import type { EntryPosition, ImageDirectory, ImageFile } from './image-tree.js';

/** A name that a file has. */
export interface FileName {
  readonly directory: ImageDirectory;
  readonly name: BytePath;
}

/** A file by the name that comes with its content. */
export interface PlannedFile extends FileName {
  readonly kind: 'file';
  readonly file: ImageFile;
  /** Its further names. */
  readonly links: readonly FileName[];
}

/** Something to be written when its entry comes up in its layer. */
export type PlannedMember = PlannedFile | { readonly kind: 'directory'; readonly directory: ImageDirectory };

/**
 * A directory that is written once more, so that it has its time in the end, and then what waited for that.
 */
export interface PlannedEnd {
  readonly directory: ImageDirectory;
  readonly symlinks: readonly PlannedFile[];
}

export interface ExportPlan {
  /** Of each layer, in the order of its archive. */
  readonly layers: readonly (readonly PlannedMember[])[];
  readonly end: readonly PlannedEnd[];
}

/**
 * What is to be written, and when. The content of a file comes when its layer is read, so that no layer is
 * read more than once; its other names follow it at once. A directory comes with the entry that made it, or
 * before, where it is needed.
 *
 * So a directory may be left and come back to; it is written once more at the end then (see {@link
 * DirectoryOrder}). Its symlinks follow that, and not the first time: GNU tar makes those that lead out of
 * where it extracts last of all, and keeps the directory's time only if the symlink came while it was in
 * there.
 */
export function planExport(root: ImageDirectory, layers: number): ExportPlan {
  const members = new Members(layers);
  members.addDirectory(root);
  const planned = members.sorted();
  const disturbed = disturbedBy(planned);
  const end = new Map<ImageDirectory, PlannedFile[]>();
  for (const directory of disturbed) end.set(directory, []);
  const kept = planned.map((layer) =>
    layer.filter((member) => {
      if (!isLoneSymlink(member)) return true;
      const symlinks = end.get(member.directory);
      symlinks?.push(member);
      return symlinks === undefined;
    }),
  );
  return { layers: kept, end: [...end].map(([directory, symlinks]) => ({ directory, symlinks })) };
}

/** Most files have none. */
const NO_LINKS: FileName[] = [];

class Members {
  readonly #layers: PlannedMember[][];
  /** Files that may have further names. */
  readonly #linked = new Map<ImageFile, FileName[]>();

  constructor(layers: number) {
    this.#layers = Array.from({ length: layers }, () => []);
  }

  /** In the order of the names, so that which of several comes first depends on nothing else. */
  addDirectory(directory: ImageDirectory): void {
    this.#add(directory.layer, { kind: 'directory', directory });
    for (const [name, file] of sortedByName(directory.files)) this.#addFile(file, { directory, name });
    for (const [, child] of sortedByName(directory.children)) this.addDirectory(child);
  }

  sorted(): readonly (readonly PlannedMember[])[] {
    for (const members of this.#layers) members.sort(inOrder);
    return this.#layers;
  }

  #addFile(file: ImageFile, name: FileName): void {
    const known = this.#linked.get(file);
    if (known !== undefined) {
      known.push(name);
      return;
    }
    const links = file.linked ? [] : NO_LINKS;
    if (links !== NO_LINKS) this.#linked.set(file, links);
    this.#add(file.layer, { kind: 'file', file, ...name, links });
  }

  #add(layer: number, member: PlannedMember): void {
    this.#layers[layer]?.push(member);
  }
}

function disturbedBy(layers: readonly (readonly PlannedMember[])[]): ReadonlySet<ImageDirectory> {
  const order = new DirectoryOrder();
  for (const member of layers.flat()) {
    if (member.kind === 'directory') order.write(member.directory);
    else for (const { directory } of [member, ...member.links]) order.enter(directory);
  }
  return order.disturbed;
}

/** One with further names stays where it is: these would disturb other directories. */
function isLoneSymlink(member: PlannedMember): member is PlannedFile {
  return member.kind === 'file' && member.file.type === 'symlink' && member.links.length === 0;
}

/** By the entry; a directory that is made for a file goes before it. */
function inOrder(a: PlannedMember, b: PlannedMember): number {
  return positionOf(a).entry - positionOf(b).entry || rankOf(a) - rankOf(b);
}

function rankOf({ kind }: PlannedMember): number {
  return kind === 'directory' ? 0 : 1;
}

export function positionOf(member: PlannedMember): EntryPosition {
  return member.kind === 'directory' ? member.directory : member.file;
}

function sortedByName<T>(names: ReadonlyMap<BytePath, T>): (readonly [BytePath, T])[] {
  return [...names].sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Follows through an archive which directories are written, and which are done with.
 *
 * Most programs set a directory's time when the archive is at its end; GNU tar does as soon as something
 * elsewhere comes, and whatever is put into the directory after that disturbs it.
 */
export class DirectoryOrder {
  /** Into which something was put when they were done with. */
  readonly disturbed: Set<ImageDirectory> = new Set<ImageDirectory>();
  readonly #written = new Set<ImageDirectory>();
  /** The directory that something was put into last, and those above it. */
  readonly #open = new Set<ImageDirectory>();
  #last: ImageDirectory | undefined;

  /** A directory is needed: which have to be written for that, outermost first. */
  write(directory: ImageDirectory): readonly ImageDirectory[] {
    if (this.#written.has(directory)) return [];
    const above = directory.parent === undefined ? [] : this.enter(directory.parent);
    this.#written.add(directory);
    this.#open.add(directory);
    this.#last = directory;
    return [...above, directory];
  }

  /** Something is put into a directory: which have to be written before that, outermost first. */
  enter(directory: ImageDirectory): readonly ImageDirectory[] {
    const missing = this.write(directory);
    if (directory !== this.#last) {
      const way = wayTo(directory);
      for (const open of this.#open) if (!way.has(open)) this.#open.delete(open);
      this.#last = directory;
    }
    if (!this.#open.has(directory)) this.disturbed.add(directory);
    return missing;
  }
}

/** A directory and those above it. */
function wayTo(directory: ImageDirectory): ReadonlySet<ImageDirectory> {
  const way = new Set<ImageDirectory>();
  for (let at: ImageDirectory | undefined = directory; at !== undefined; at = at.parent) way.add(at);
  return way;
}
