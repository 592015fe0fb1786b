/** Images between registry, store, OCI layout and archive. */
export type { Archive, ArchiveFormat } from './archives/archive.js';
export { ArchiveDestination, type ArchiveDestinationOptions } from './archives/archive-destination.js';
export { type ArchiveInput, openArchive, type OpenArchiveOptions } from './archives/open-archive.js';
export type { ArchiveLimits } from './archives/tar-index.js';
export { copy, copyResolved, type ResolvedCopyRequest, resolveSource } from './copy.js';
export type {
  ContentOutcome,
  ContentRole,
  CopiedContent,
  CopyBegun,
  CopyContent,
  CopyEvent,
  CopyReport,
  CopyWarning,
} from './copy-report.js';
export type { CopyRequest, PlatformChoice, ReferrerChoice } from './copy-request.js';
export { CopySession, type CopySessionOptions } from './copy-session.js';
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
} from './destination.js';
export { type JudgedImage, judgeImages, type PolicyVerdict } from './judge-images.js';
export { LayoutDestination } from './layout-destination.js';
export { type LayoutContent, type LayoutFile, LayoutPlace, type LayoutPlaceOptions } from './layout-place.js';
export { RegistryPlace, type RegistryPlaceOptions } from './registry-place.js';
export { StorePlace, type StorePlaceOptions } from './store-place.js';
export { verify, type VerifyOptions, type VerifyReport, type VerifyRoot } from './verify.js';
export type { VerifyFault, VerifyFaultKind } from './verify-graph.js';
export { layoutRoots } from './layout-roots.js';
export { ArchiveLoader, type ArchiveLoaderOptions, type LoadedFromArchive } from './load-archive.js';
