/**
 * What Node lacks and Linux has. Everything here is synchronous unless it returns a promise, and loads the C library at
 * the first call, not at import.
 */
export * from './at.js';
export * from './beneath.js';
export { bootId, canChangeOwners, inUserNamespace } from './process-identity.js';
export { type Telling, tellingCaller } from './caller-callback.js';
export { microsecondsNow } from './clock.js';
export * from './libc.js';
export * from './copy.js';
export * from './fault-point.js';
export * from './flock.js';
export * from './frontier.js';
export * from './inflater.js';
export { createInflater, probeInflater, requireInflater } from './inflaters.js';
export { libcAvailable } from './libc.js';
export * from './mount.js';
export * from './flock.js';
export * from './probe.js';
export * from './process-identity.js';
export * from './sync.js';
export * from './libc.js';
export { notifySystemd } from './systemd-notify.js';
export * from './sync.js';
export * from './xattr.js';
