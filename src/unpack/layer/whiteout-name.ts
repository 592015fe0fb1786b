import type { BytePath } from '../../system/index.js';
import { badArchive } from '../terms/archive-error.js';

/** What an entry's path means (image-spec layer.md: Whiteouts). */
export type EntryMeaning =
  | { readonly kind: 'entry' }
  /** Hides a name of the lower layers. */
  | { readonly kind: 'whiteout'; readonly hidden: BytePath }
  /** Hides everything that the lower layers have in the directory. */
  | { readonly kind: 'opaque' }
  /** Book-keeping of aufs, which older engines left in their layers. */
  | { readonly kind: 'skipped' };

/** What an entry's name begins with that hides the rest of it. */
export const WHITEOUT_PREFIX = '.wh.';
const META_PREFIX = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * Where aufs kept the files that have several names: layers of old engines have the files here, and hard links to them. So
 * they are entries like others until the layer is whole, and go then; Docker and containerd read such layers too.
 */
export const AUFS_LINKS = '.wh..wh.plnk';

/** Whether nothing in a file system of layers can have the name (image-spec layer.md: Whiteouts). */
export function isWhiteoutName(name: BytePath): boolean {
  return name.startsWith(WHITEOUT_PREFIX);
}

const ENTRY: EntryMeaning = { kind: 'entry' };

/**
 * @throws {UnpackError} BAD_ARCHIVE for a whiteout of nothing, `.` or `..`, and for a directory with a whiteout's name, which
 *   layer.md says cannot exist
 */
export function meaningOf(components: readonly BytePath[]): EntryMeaning {
  const last = components.length - 1;
  for (const [i, component] of components.entries()) {
    if (!isWhiteoutName(component)) continue;
    if (component.startsWith(META_PREFIX)) {
      if (component === AUFS_LINKS && i === 0 && last === 1) continue;
      return i === last && component === OPAQUE ? { kind: 'opaque' } : { kind: 'skipped' };
    }
    if (i < last) throw badArchive('an entry lies in a directory with the name of a whiteout');
    const hidden = component.slice(WHITEOUT_PREFIX.length);
    if (hidden === '' || hidden === '.' || hidden === '..') throw badArchive('a whiteout hides no name');
    return { kind: 'whiteout', hidden };
  }
  return ENTRY;
}
