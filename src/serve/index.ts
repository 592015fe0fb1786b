export { Access, type AccessOptions, type Users } from './access/access.js';
export { Htpasswd, type HtpasswdOptions } from './access/htpasswd.js';
export { TlsFiles, type TlsFilesOptions, type TlsIdentity } from './access/tls-files.js';
export type { Page, PageRequest } from './answer-request.js';
export type { Answer } from './answer.js';
export { accessFacts, accessLine } from './observe/access-line.js';
export { MetricsServer } from './observe/metrics-server.js';
export { ServeMetrics } from './observe/serve-metrics.js';
export { LayoutSource } from './layout-source.js';
export { DEFAULT_SERVE_LIMITS, type ServeLimits } from './limits.js';
export type { ServeTarget } from './push/serve-target.js';
export { StoreTarget } from './push/store-target.js';
export {
  createRegistryServer,
  type ListenAddress,
  type RegistryServer,
  type RegistryServerOptions,
} from './registry-server.js';
export { RestoringBlobs, type RestoringBlobsOptions } from './restoring-blobs.js';
export type { ServedRequest } from './serve-request.js';
export type { ServeSource } from './serve-source.js';
export { sourceOfStore } from './source-of-store.js';
export { StoreSource, type StoreSourceOptions } from './store-source.js';
export { MirrorPage, type MirrorPageOptions } from './page/mirror-page.js';
export { SourceCatalogue } from './page/source-catalogue.js';
export { type CatalogueSource, StoreCatalogue } from './page/store-catalogue.js';
export { PullThrough, type PullThroughOptions } from './pull-through/pull-through.js';
