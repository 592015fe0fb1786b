export { Access, type AccessOptions, type Users } from './access/access.js';
export { Htpasswd, type HtpasswdOptions } from './access/htpasswd.js';
export { TlsFiles, type TlsFilesOptions, type TlsIdentity } from './access/tls-files.js';
export type { Page, PageRequest } from './answer-request.js';
export type { Answer } from './answer.js';
export { accessFacts, accessLine } from './observe/access-line.js';
export { MetricsServer, ServeMetrics } from './observe/serve-metrics.js';
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
export {
  RestoringBlobs,
  type RestoringBlobsOptions,
  sourceOfStore,
  StoreSource,
  type StoreSourceOptions,
} from './store-source.js';
export type { ServedRequest } from './serve-request.js';
export type { ServeSource } from './serve-source.js';
export { MirrorPage, type MirrorPageOptions } from './page/mirror-page.js';
export { type CatalogueSource, SourceCatalogue, StoreCatalogue } from './page/store-catalogue.js';
export { PullThrough, type PullThroughOptions } from './pull-through/pull-through.js';
