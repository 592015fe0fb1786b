export {
  bundleImage,
  type BundleImageOptions,
  type BundleImageResult,
  exportImage,
  type ExportImageOptions,
  type ExportImageResult,
  unpackImage,
  type UnpackImageOptions,
  type UnpackImageResult,
} from './unpack.js';
export { collectGarbage, type CollectGarbageOptions, type GarbageReport } from './collect-garbage.js';
export { defaultRoot, type RootSurroundings } from './default-root.js';
export { type DiskUsage, diskUsage, type RecordedUsage, recordedUsage, type UsageOf } from './disk-usage.js';
export { type DiagnosedCapability, diagnose, type Diagnosis } from './doctor.js';
export type { ImageLayer } from './fetch-graph.js';
export {
  type LostContent,
  openStore,
  type SnapshotterKind,
  type Store,
  type StoreOptions,
  type StoreParts,
  type SyncMode,
} from './store.js';
export * from './fsck/index.js';
export { resolveImage } from './find-image.js';
export { loadImage, type LoadedImage, manifestsHere, platformsOf } from './image.js';
export { type ImageSummary, listImages } from './images.js';
export { letGoOfSnapshot, type RemovedImage, removeImage } from './remove.js';
export {
  imageMounts,
  type ImageMountsOptions,
  type MountedImage,
  mountImage,
  type MountImageOptions,
  type UnmountedImage,
  unmountImage,
} from './mount.js';
export type {
  BlobRole,
  PullBlob,
  PullDone,
  PullEvent,
  PullEventBase,
  PullImage,
  PullLayer,
  PullOmitted,
  PullResolved,
  PullResolving,
  PullWarning,
} from './pull-event.js';
export { discardedBlobs } from './discard-layers.js';
export { type RestoreBlobsOptions, restoreBlobs } from './restore-blobs.js';
export { pinImage, tagImage } from './tag.js';
export { defaultConcurrency, PullBudget, type PullBudgetOptions } from './pull-budget.js';
export { pull, type PullOptions } from './pull.js';
export type { PulledLayer, PulledSignature, PullResult } from './pull-result.js';
export { readVerified } from './read-document.js';
export { type Referrer, referrerTree } from './referrer-tree.js';
export { type RebuildOptions, type RebuildReport, rebuildStore, type RebuildStep } from './rebuild-store.js';
export { resolveReference } from './resolve.js';
