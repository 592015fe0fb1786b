/** Images between registry, store, OCI layout and archive. */
export type { Archive, ArchiveFormat } from './transports/archives/archive.js';
export {
  ArchiveDestination,
  type ArchiveDestinationOptions,
} from './transports/archives/archive-destination.js';
export {
  type ArchiveInput,
  openArchive,
  type OpenArchiveOptions,
} from './transports/archives/open-archive.js';
export type { ArchiveLimits } from './transports/archives/tar-index.js';
export { copy, copyResolved, type ResolvedCopyRequest, resolveSource } from './copy/copy.js';
export type {
  ContentOutcome,
  ContentRole,
  CopiedContent,
  CopyBegun,
  CopyContent,
  CopyEvent,
  CopyReport,
  CopyWarning,
} from './copy/copy-report.js';
export type { CopyRequest, PlatformChoice, ReferrerChoice } from './copy/copy-request.js';
export { CopySession, type CopySessionOptions } from './copy/copy-session.js';
export type {
  DeleteTagOptions,
  DestinationPlace,
  DestinationRepository,
  GovernedImage,
  GovernedOptions,
  OpenContent,
  PlaceKind,
  PutOptions,
  PutOutcome,
  SignatureMemory,
  SourcePlace,
  SourceRepository,
} from './transports/destination.js';
export { type JudgedImage, judgeImages, type PolicyVerdict } from './verify/judge-images.js';
export { LayoutDestination } from './transports/layout-destination.js';
export {
  type LayoutContent,
  type LayoutFile,
  LayoutPlace,
  type LayoutPlaceOptions,
} from './transports/layout-place.js';
export { RegistryPlace, type RegistryPlaceOptions } from './transports/registry-place.js';
export { StorePlace, type StorePlaceOptions } from './transports/store-place.js';
export { verify, type VerifyOptions, type VerifyReport, type VerifyRoot } from './verify/verify.js';
export type { VerifyFault, VerifyFaultKind } from './verify/verify-graph.js';
export { layoutRoots } from './verify/layout-roots.js';
export { ArchiveLoader, type ArchiveLoaderOptions, type LoadedFromArchive } from './copy/load-archive.js';
