/**
 * What Node lacks and Linux has. Everything here is synchronous unless it returns a promise, and loads the C
 * library at the first call, not at import.
 *
 *     calls -> paths, mounts -> probe -> inflate
 */
export * from './calls/at.js';
export { microsecondsNow } from './calls/clock.js';
export * from './calls/copy.js';
export * from './calls/flock.js';
export {
  type BytePath,
  fromBytePath,
  libcAvailable,
  SystemError,
  toBytePath,
  tracksDescriptors,
} from './calls/libc.js';
export { notifySystemd } from './calls/systemd-notify.js';
export * from './calls/stat.js';
export * from './calls/sync.js';
export * from './fault-point.js';
export * from './shared-offset.js';
export { createInflater, probeInflater, requireInflater } from './inflate/inflaters.js';
export { InflateError, type Inflater, type InflateLibrary, type InflateStep } from './inflate/inflater.js';
export { type BindMount, bindMount, unmount } from './mounts/bind-mount.js';
export {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountApiAvailable,
} from './mounts/mount-api.js';
export { isMountPoint, type MountInfo, parseMountInfo, readMountInfo } from './mounts/mount-info.js';
export { escapeOverlayPath, mountFromSpec, type MountSpec, overlaySpec } from './mounts/mount-spec.js';
export { mountOverlay, type OverlayLayers, type OverlayMount } from './mounts/overlay-mount.js';
export * from './paths/beneath.js';
export { type Capability, probeSystem, type SystemCapabilities } from './probe.js';
export * from './process-identity.js';
