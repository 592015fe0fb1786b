import { LIMITS } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { limitExceeded, printable } from '../archive-error.js';
import type { TarEntry } from '../archive/tar-entry.js';
import type { Warnings } from '../warnings.js';

/** Where overlayfs keeps its own marks: in the mount they would hide, redirect or merge what the layer has no right to. */
const OVERLAY_PREFIXES = ['trusted.overlay.', 'user.overlay.'];

const CAPABILITY = 'security.capability';

/**
 * The extended attributes of an entry that are kept, in the archive's order. The values are views, as the entry's.
 *
 * @param xattrBytes - of one value at most
 * @throws {UnpackError} LIMIT_EXCEEDED
 */
export function* keptXattrs(
  entry: TarEntry,
  xattrBytes: number,
  warnings: Warnings,
): Generator<readonly [name: BytePath, value: Buffer], void, undefined> {
  for (const [name, value] of entry.xattrs) {
    const overlay = OVERLAY_PREFIXES.find((prefix) => name.startsWith(prefix));
    if (overlay !== undefined) {
      warnings.once(
        overlay,
        `extended attributes ${overlay}* are not kept, since overlay mounts would obey them; the first is of ${printable(entry.path)}`,
      );
      continue;
    }
    checkXattr(name, value, xattrBytes);
    // The kernel takes it, gives no capability for it, and then cannot read it again (commoncap.c: cap_inode_getsecurity).
    if (name === CAPABILITY && value.length === 0) {
      warnings.once(
        CAPABILITY,
        `an empty ${CAPABILITY} is not kept; the first is of ${printable(entry.path)}`,
      );
      continue;
    }
    yield [name, value];
  }
}

function checkXattr(name: BytePath, value: Buffer, xattrBytes: number): void {
  if (name.length > LIMITS.xattrNameBytes) {
    throw limitExceeded(`the name of an extended attribute has more than ${LIMITS.xattrNameBytes} bytes`);
  }
  if (value.length > xattrBytes) {
    throw limitExceeded(`an extended attribute has more than ${xattrBytes} bytes`);
  }
}
