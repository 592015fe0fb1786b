import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { INDEX_FILE, namedEntries, type NamedEntry, tagTable, type TagTable } from '../content/index.js';
import type { ImageIndex } from '../spec/index.js';

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
 * What tells whether the index of a layout is another one than before: looked at instead of reading all of it for each image.
 * Undefined where nothing does, as for an archive.
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
