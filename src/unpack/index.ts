/** Layers to directories: unpacking, snapshots, and the mounts that show them. */
export type { OmittedDevice } from './worker/apply-job.js';
export { bundleConfig, type BundleConfigOptions } from './bundle/bundle-config.js';
export { requireConvertible } from './bundle/convert-config.js';
export { callersMappings, type IdMappings, unmappedIds } from './bundle/id-mappings.js';
export type * from './bundle/runtime-config.js';
export { claimDirectory, type ClaimedDirectory } from './claimed-directory.js';
export type { ExtractionOptions } from './extract-layer.js';
export { filesystemError } from './filesystem-error.js';
export { refuseOtherDigest } from './layer-error.js';
export type {
  LayerEvent,
  LayerInput,
  LayerOmission,
  LayerSource,
  LayerState,
  LayerWarning,
  UnpackEvent,
  UnpackOptions,
} from './layer-input.js';
export type {
  CheckedSnapshot,
  CommitLayer,
  CommittedLayer,
  HoldChainOptions,
  LayerChanges,
  LayerDirectory,
  LayerForm,
  LayerSnapshotter,
  OrphanOptions,
  PendingLink,
  RemovedOrphans,
  SnapshotCheck,
  SweepOptions,
  SweptSnapshots,
} from './layer-snapshotter.js';
export type {
  Labelled,
  Labels,
  Mount,
  SnapshotImage,
  SnapshotInfo,
  SnapshotKind,
  Snapshotter,
  Usage,
} from './snapshotter.js';
export type { SnapshotterOptions } from './snapshotters/directory-snapshotter.js';
export { putAwayDoubtfulSnapshots } from './snapshotters/doubtful-snapshots.js';
export { NativeSnapshotter } from './snapshotters/native.js';
export { OverlaySnapshotter, type OverlaySnapshotterOptions } from './snapshotters/overlay.js';
export { rebuildSnapshots, type RebuiltSnapshots, SetAside } from './snapshotters/rebuild-snapshots.js';
export {
  CALLERS,
  checkIdRanges,
  defaultOwnership,
  type IdRange,
  type Ownership,
  type OwnerRule,
  PRESERVED,
} from './ownership.js';
export { Unpacker, type UnpackedLayer, type UnpackerOptions } from './unpacker.js';
export { unpackTree, type UnpackTreeOptions } from './unpack-tree.js';
export { WorkerPool, type WorkerPoolOptions } from './worker/worker-pool.js';
export type { RunOptions } from './worker/worker-thread.js';
export { composeEntry, type ComposedEntry } from './archive/compose-entry.js';
export { ExtendedHeaderReader } from './archive/extended-headers.js';
export { archiveBytes, BLOCK_BYTES, isZero, readTarHeader, type TarHeader } from './archive/tar-header.js';
export {
  type Compression,
  compressionOfBytes,
  decompress,
  type Decompressor,
} from './compression/decompress.js';
export { type InflateChoice, probeInflate, requireInflate } from './compression/inflate-choice.js';
export { probeZstd } from './compression/probe-zstd.js';
export { encodeHeader, paddingOf, PLAIN_FILE } from './export/encode-header.js';
export { exportTree } from './export/export-tree.js';
export {
  type EntryPosition,
  type ImageAttributes,
  ImageDirectory,
  type ImageFile,
} from './image-tree/image-tree.js';
export { readImageTree, type ReadImageTreeOptions } from './image-tree/read-image-tree.js';
export type { StoredLayer } from './image-tree/stored-layer.js';
export type { ChangedAspect } from './image-view/changed-aspects.js';
export {
  commonLayers,
  compareStacks,
  type CompareStacksOptions,
  type TreeChange,
} from './image-view/compare-stacks.js';
export { findPath, type FindPathOptions, type FoundPath } from './image-view/find-path.js';
export {
  LayerReader,
  type LayerReaderOptions,
  type ReadLayer,
  type ViewableLayer,
} from './image-view/layer-reader.js';
export { LayerStack } from './image-view/layer-stack.js';
export { readFile, type ReadFileOptions } from './image-view/read-file.js';
export type { ViewedDirectory, ViewedFile, ViewedLink, ViewedNode } from './image-view/viewed-directory.js';
export { entryOf, type TreeEntry, walkTree } from './image-view/walk-tree.js';
