/**
 * landfall: pulls OCI images into a digest-verified store and unpacks them into layered snapshots, copies
 * them between places, and looks after the store. Start with {@link openStore} and {@link pull}. What reaches
 * further is at `landfall/transfer` (archives), `landfall/registry`, `landfall/content`, `landfall/unpack`,
 * `landfall/spec`, `landfall/trust` (signature policies) and `landfall/serve`.
 *
 * @module landfall
 */
export {
  type Abortable,
  type CommonErrorCode,
  ContentError,
  type ContentErrorCode,
  type ContentErrorDetails,
  type ErrorCode,
  type ErrorDetails,
  type ErrorJson,
  type ErrorOptions,
  isLandfallError,
  LandfallError,
  RegistryError,
  type RegistryErrorCode,
  type RegistryErrorDetails,
  SpecError,
  type SpecErrorCode,
  TrustError,
  type TrustErrorCode,
  type TrustErrorDetails,
  UnpackError,
  type UnpackErrorCode,
  type UnpackErrorDetails,
} from './errors.js';
export type {
  BlobRole,
  PullBlob,
  PullDone,
  PulledLayer,
  PullEvent,
  PullEventBase,
  PullImage,
  PullLayer,
  PullOmitted,
  PullResolved,
  PullResolving,
  PullResult,
  PullWarning,
} from './engine/pull/pull-report.js';
export type { BundleImageResult, ExportImageResult, UnpackImageResult } from './engine/files/unpack.js';
export {
  collectGarbage,
  type CollectGarbageOptions,
  type GarbageReport,
} from './engine/upkeep/collect-garbage.js';
export { defaultConcurrency, PullBudget, type PullBudgetOptions } from './engine/pull/pull-budget.js';
export { defaultRoot, type RootSurroundings } from './engine/default-root.js';
export { type DiskUsage, diskUsage, type UsageOf } from './engine/upkeep/disk-usage.js';
export { fsck } from './engine/upkeep/fsck.js';
export {
  type FsckOptions,
  type FsckProblem,
  type FsckProblemKind,
  type FsckRemark,
  type FsckReport,
  type FsckState,
  type FsckStep,
  type FsckStepName,
  FSCK_STEPS,
} from './engine/upkeep/fsck-run.js';
export type { ImageLayer } from './engine/images/image.js';
export {
  imageMounts,
  type ImageMountsOptions,
  type MountedImage,
  mountImage,
  type MountImageOptions,
  type UnmountedImage,
  unmountImage,
} from './engine/files/mount.js';
export { type ImageSummary, listImages } from './engine/images/images.js';
export {
  type LostContent,
  type SnapshotterKind,
  openStore,
  type Store,
  type StoreOptions,
  type SyncMode,
} from './engine/store.js';
export { pinImage, type RemovedImage, removeImage, resolveImage, tagImage } from './engine/images/names.js';
export type { PulledSignature } from './engine/trust/signature-sources.js';
export {
  copy,
  copyEvents,
  type CopyEventsOptions,
  type CopyFinished,
  type CopyOptions,
  type CopyProgress,
  type TransferOptions,
} from './library/copy.js';
export type { EventStream } from './library/event-stream.js';
export { pull, type PullOptions } from './engine/pull/pull.js';
export { pullEvents, type PullEventsOptions, type PullFinished, type PullProgress } from './library/pull.js';
export {
  diffImages,
  type DiffImagesOptions,
  type ImageChange,
  type ImageEntry,
  type InspectedImage,
  inspectImage,
  readImageFile,
  type ReadImageOptions,
  verifyImage,
  type VerifyImageOptions,
} from './library/read-images.js';
export type { VerifyReport } from './transfer/verify/verify.js';
export type { VerifyFault, VerifyFaultKind } from './transfer/verify/verify-graph.js';
export {
  sync,
  syncEvents,
  type SyncEventsOptions,
  type SyncFinished,
  type SyncOptions,
  type SyncProgress,
} from './library/sync.js';
export {
  bundleImage,
  type BundleOptions,
  exportImage,
  type ExportOptions,
  type PlatformOption,
  unpackImage,
  type UnpackOptions,
} from './library/unpack.js';
export { openRegistry, RegistryClient, type RegistryClientOptions } from './registry/index.js';
export {
  type Digest,
  familiarReference,
  formatPlatform,
  formatReference,
  hostPlatform,
  parsePlatform,
  parseReference,
  type Platform,
  type Reference,
} from './spec/index.js';
