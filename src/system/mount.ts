export { bindMount, type BindMount, unmount } from './bind-mount.js';
export { isMountPoint, parseMountInfo, readMountInfo, type MountInfo } from './mount-info.js';
export {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountApiAvailable,
} from './mount-api.js';
export { escapeOverlayPath, mountFromSpec, overlaySpec, type MountSpec } from './mount-spec.js';
export { mountOverlay, type OverlayLayers, type OverlayMount } from './overlay-mount.js';
