import { UnpackError } from '../../errors.js';
import type { UnpackLimits } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import type { TarEntry } from '../tar/tar-header.js';
import { badArchive, limitExceeded } from '../terms/layer-fault.js';

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
 * Where aufs kept the files that have several names: layers of old engines have the files here, and hard
 * links to them. So they are entries like others until the layer is whole, and go then; Docker and containerd
 * read such layers too.
 */
export const AUFS_LINKS = '.wh..wh.plnk';

/** Whether nothing in a file system of layers can have the name (image-spec layer.md: Whiteouts). */
export function isWhiteoutName(name: BytePath): boolean {
  return name.startsWith(WHITEOUT_PREFIX);
}

const ENTRY: EntryMeaning = { kind: 'entry' };

/**
 * @throws {UnpackError} BAD_ARCHIVE for a whiteout of nothing, `.` or `..`, and for a directory with a
 *   whiteout's name, which layer.md says cannot exist
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

/** The kernel keeps 12 bits of a major number and 20 of a minor one (linux/kdev_t.h). */
const MAX_MAJOR = 2 ** 12 - 1;
const MAX_MINOR = 2 ** 20 - 1;

export type DeviceEntry = TarEntry & { readonly type: 'character' | 'block' };

/**
 * Refuses what no layer may ask for, whatever it is put into.
 *
 * @throws {UnpackError} BAD_ARCHIVE, LIMIT_EXCEEDED, UNSUPPORTED_ENTRY
 */
export function checkEntry(entry: TarEntry, { linkBytes }: Pick<UnpackLimits, 'linkBytes'>): void {
  if (entry.type === 'symlink') checkTarget(entry.linkPath.length, linkBytes);
  if (isDevice(entry)) checkDevice(entry);
}

export function isDevice(entry: TarEntry): entry is DeviceEntry {
  return entry.type === 'character' || entry.type === 'block';
}

/**
 * What does not fit the kernel's bits would become another device where it is cut off: 4096:0 would be 0:0.
 */
function checkDevice({ type, major, minor }: DeviceEntry): void {
  if (major < 0 || major > MAX_MAJOR || minor < 0 || minor > MAX_MINOR) {
    throw new UnpackError(
      'UNSUPPORTED_ENTRY',
      `a device ${major}:${minor}, whose numbers Linux does not have`,
      { hint: 'Build the layer on Linux.' },
    );
  }
  if (type !== 'character' || major !== 0 || minor !== 0) return;
  throw new UnpackError(
    'UNSUPPORTED_ENTRY',
    'a character device 0:0, which overlay mounts take for a whiteout',
    { hint: 'Build the layer with a .wh. entry where a whiteout is meant.' },
  );
}

function checkTarget(bytes: number, linkBytes: number): void {
  if (bytes === 0) throw badArchive('a symbolic link has no target');
  if (bytes < linkBytes) return;
  throw limitExceeded(`the target of a symbolic link has ${bytes} bytes`);
}
