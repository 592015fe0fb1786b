/**
 * landfall: pulls OCI images into a digest-verified store and unpacks them into layered snapshots. Start with
 * {@link openStore} and {@link pull}; the parts by themselves are `landfall/registry`, `landfall/content`,
 * `landfall/unpack` and `landfall/spec`.
 */
export * from './engine/index.js';
export { type ErrorCode, type ErrorJson, LandfallError } from './errors.js';
export { RegistryClient, type RegistryClientOptions } from './registry/index.js';
export { parsePlatform, parseReference, type Platform, type Reference } from './spec/index.js';
