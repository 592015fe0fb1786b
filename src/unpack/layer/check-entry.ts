import { UnpackError } from '../../errors.js';
import type { UnpackLimits } from '../../spec/index.js';
import { badArchive, limitExceeded } from '../archive-error.js';
import type { TarEntry } from '../archive/tar-entry.js';

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

/** What does not fit the kernel's bits would become another device where it is cut off: 4096:0 would be 0:0. */
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
