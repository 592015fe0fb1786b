/**
 * A store as a registry, for a program that hands out images.
 *
 * @module landfall/serve
 */
export { type ServedStore, type ServeOptions, serveStore } from '../library/serve.js';
export {
  Access,
  type AccessOptions,
  Htpasswd,
  type HtpasswdOptions,
  type ListenAddress,
  type ServedRequest,
  type ServeLimits,
  type TlsIdentity,
  type Users,
} from '../serve/index.js';
