export { LayoutSource } from './layout-source.js';
export {
  createRegistryServer,
  type ListenAddress,
  type RegistryServer,
  type RegistryServerOptions,
  type ServedRequest,
} from './registry-server.js';
export { RestoringBlobs, type RestoringBlobsOptions } from './restoring-blobs.js';
export type { ServeSource } from './serve-source.js';
export { StoreSource, type StoreSourceOptions } from './store-source.js';
