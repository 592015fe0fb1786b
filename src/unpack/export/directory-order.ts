import type { ImageDirectory } from '../image-tree/image-tree.js';

/**
 * Follows through an archive which directories are written, and which are done with.
 *
 * Most programs set a directory's time when the archive is at its end; GNU tar does as soon as something elsewhere comes, and
 * whatever is put into the directory after that disturbs it.
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
