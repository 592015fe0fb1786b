/**
 * What Node lacks and Linux has. Everything here is synchronous unless it returns a promise, and loads the C library at
 * the first call, not at import.
 */
export * from './at.js';
export * from './beneath.js';
export { bootId } from './boot.js';
export { microsecondsNow } from './clock.js';
export * from './byte-path.js';
export * from './copy.js';
export * from './fault-point.js';
export * from './flock.js';
export * from './frontier.js';
export * from './inflater.js';
export { createInflater, probeInflater, requireInflater } from './inflaters.js';
export { libcAvailable } from './libc.js';
export * from './mount.js';
export * from './open-files.js';
export * from './probe.js';
export * from './process-identity.js';
export * from './sync.js';
export * from './system-error.js';
export { notifySystemd } from './systemd-notify.js';
export * from './thread-umask.js';
export * from './xattr.js';
export { canChangeOwners, inUserNamespace } from './user-namespace.js';
