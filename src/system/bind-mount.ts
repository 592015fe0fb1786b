import { closeSync, realpathSync } from 'node:fs';
import {
  attachMount,
  cloneTree,
  lacksMountCall,
  MOUNT_ATTR_RDONLY,
  setMountAttributes,
} from './mount-api.js';
import { mountError } from './mount-error.js';
import { attributesOfMount, mount2, mountFlags, MS_BIND, MS_REC, MS_REMOUNT } from './mount-old.js';
import { unmount } from './unmount.js';

export interface BindMount {
  /** Paths are ordinary strings. */
  source: string;
  target: string;
  readOnly: boolean;
  /** With the mounts below the source. */
  recursive?: boolean;
  /** More MOUNT_ATTR_* of the mount. */
  attributes?: number;
}

/**
 * Shows a directory or file a second time. From Linux 5.12 on, read-only takes effect before the mount can be seen.
 *
 * @throws LandfallError UNSUPPORTED without the privilege, IN_USE, NO_SPACE, FILESYSTEM
 */
export function bindMount(mount: BindMount): void {
  const recursive = mount.recursive ?? false;
  const attributes = (mount.attributes ?? 0) | (mount.readOnly ? MOUNT_ATTR_RDONLY : 0);
  try {
    bindByTree(mount, attributes, recursive);
  } catch (error) {
    if (!lacksMountCall(error)) throw mountError(error, `bind ${mount.source}`, mount.target);
    bindByFlags(mount, attributes, recursive);
  }
}

function bindByTree(mount: BindMount, attributes: number, recursive: boolean): void {
  const fd = cloneTree(mount.source, recursive);
  // Left open, the descriptor would keep the mount busy.
  try {
    if (attributes !== 0) setMountAttributes(fd, attributes, recursive);
    attachMount(fd, mount.target);
  } finally {
    closeSync(fd);
  }
}

/** Two steps, since mount(2) ignores the other flags of a new bind mount. */
export function bindByFlags(mount: BindMount, attributes: number, recursive: boolean): void {
  try {
    mount2(mount.source, mount.target, undefined, MS_BIND | (recursive ? MS_REC : 0));
    if (attributes === 0) return;
    try {
      const all = attributes | attributesOfMount(realpathSync(mount.target));
      mount2(undefined, mount.target, undefined, MS_REMOUNT | MS_BIND | mountFlags(all));
    } catch (error) {
      unmount(mount.target, { lazy: true });
      throw error;
    }
  } catch (error) {
    throw mountError(error, `bind ${mount.source}`, mount.target);
  }
}
