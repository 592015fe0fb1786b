/** Layers to directories: unpacking, snapshots, and the mounts that show them. */
export type { OmittedDevice } from './worker/apply-job.js';
export { bundleConfig, type BundleConfigOptions } from './bundle/bundle-config.js';
export { requireConvertible } from './bundle/convert-config.js';
export { callersMappings, type IdMappings, unmappedIds } from './bundle/runtime-config.js';
export type * from './bundle/runtime-config.js';
export { claimDirectory, type ClaimedDirectory, unpackTree, type UnpackTreeOptions } from './unpack-tree.js';
export type { ExtractionOptions } from './extract-layer.js';
export { filesystemError } from './archive-error.js';
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
  ChainLookup,
  CheckedSnapshot,
  CommitLayer,
  CommittedLayer,
  HoldChainOptions,
  LayerChanges,
  LayerCommitter,
  LayerDirectory,
  LayerForm,
  LayerSnapshotter,
  OrphanOptions,
  PendingLink,
  RemovedOrphans,
  SnapshotCheck,
  SnapshotCheckRun,
  SnapshotGc,
  SnapshotReferences,
  SnapshotViews,
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
export { putAwayDoubtfulSnapshots } from './snapshotters/writeback.js';
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
export { probeZstd } from './compression/unzstd.js';
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
export {
  type ChangedAspect,
  commonLayers,
  compareStacks,
  type CompareStacksOptions,
  type TreeChange,
} from './image-view/compare-stacks.js';
export {
  entryOf,
  findPath,
  type FindPathOptions,
  type FoundPath,
  type TreeEntry,
  walkTree,
} from './image-view/walk-tree.js';
export {
  LayerReader,
  type LayerReaderOptions,
  type ReadLayer,
  type ViewableLayer,
} from './image-view/layer-reader.js';
export {
  LayerStack,
  type ViewedDirectory,
  type ViewedFile,
  type ViewedLink,
  type ViewedNode,
} from './image-view/viewed-directory.js';
export { readFile, type ReadFileOptions } from './image-view/read-file.js';
