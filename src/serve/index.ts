// http -> pull -> push; http | pull -> pull-through, page; http -> access, observe; all -> registry-server.ts
export { Access, type AccessOptions, type Users } from './access/access.js';
export { Htpasswd, type HtpasswdOptions } from './access/htpasswd.js';
export { TlsFiles, type TlsFilesOptions, type TlsIdentity } from './access/tls-files.js';
export type { Answer, Page, PageRequest } from './http/answer.js';
export { accessFields, accessLine, type ServedRequest } from './observe/access-line.js';
export { mirrorPage, type MirrorPageOptions } from './page/mirror-page.js';
export { type CatalogueSource, SourceCatalogue, StoreCatalogue } from './page/store-catalogue.js';
export {
  DEFAULT_PULL_THROUGH_TTL_MS,
  PullThrough,
  type PullThroughOptions,
} from './pull-through/pull-through.js';
export { LayoutSource } from './pull/layout-source.js';
export type { ServeSource } from './pull/serve-source.js';
export {
  RestoringBlobs,
  type RestoringBlobsOptions,
  sourceOfStore,
  StoreSource,
  type StoreSourceOptions,
} from './pull/store-source.js';
export type { ServeTarget } from './push/serve-target.js';
export { PushAdmission, type PushAdmissionOptions } from './push/push-admission.js';
export { StoreTarget } from './push/store-target.js';
export {
  createRegistryServer,
  DEFAULT_SERVE_LIMITS,
  type ListenAddress,
  type RegistryServer,
} from './registry-server.js';
export type { RegistryServerOptions, ServeLimits } from './serve-request.js';
