export { bundleImage, type BundleImageOptions, type BundleImageResult } from './bundle.js';
export { collectGarbage, type CollectGarbageOptions, type GarbageReport } from './collect-garbage.js';
export { defaultRoot, type RootSurroundings } from './default-root.js';
export { type DiskUsage, diskUsage, type RecordedUsage, recordedUsage, type UsageOf } from './disk-usage.js';
export { type DiagnosedCapability, diagnose, type Diagnosis } from './doctor.js';
export type { ImageLayer } from './fetch-graph.js';
export type { LostContent, SyncMode } from './durability.js';
export { exportImage, type ExportImageOptions, type ExportImageResult } from './export.js';
export * from './fsck/index.js';
export { resolveImage } from './find-image.js';
export { loadImage, type LoadedImage, manifestsHere, platformsOf } from './image.js';
export { type ImageSummary, listImages } from './images.js';
export { letGoOfSnapshot } from './let-go.js';
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
export { pinImage } from './pin.js';
export { defaultConcurrency, PullBudget, type PullBudgetOptions } from './pull-budget.js';
export { pull } from './pull.js';
export type { PullOptions } from './pull-options.js';
export type { PulledLayer, PulledSignature, PullResult } from './pull-result.js';
export { readVerified } from './read-document.js';
export { type RemovedImage, removeImage } from './remove.js';
export { type Referrer, referrerTree } from './referrer-tree.js';
export { type RebuildOptions, type RebuildReport, rebuildStore, type RebuildStep } from './rebuild-store.js';
export { resolveReference } from './resolve.js';
export { openStore, type SnapshotterKind, type Store, type StoreOptions, type StoreParts } from './store.js';
export { tagImage } from './tag.js';
export { unpackImage, type UnpackImageOptions, type UnpackImageResult } from './unpack.js';
