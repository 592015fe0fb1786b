// terms -> compression, tar, disk -> jobs -> layer -> merge -> workers -> bundle -> this folder's own files
// -> snapshotters -> files
/** Layers to directories: unpacking, snapshots, and the mounts that show them. */
export type { OmittedDevice } from './jobs/apply-job.js';
export { bundleConfig, type BundleConfigOptions } from './bundle/bundle-config.js';
export { requireConvertible } from './bundle/convert-config.js';
export { callersMappings, type IdMappings, unmappedIds } from './bundle/runtime-config.js';
export type * from './bundle/runtime-config.js';
export * from './files/unpack-tree.js';
export { type UnpackedLayer, Unpacker, type UnpackerOptions } from './unpacker.js';
export { filesystemError, refuseOtherDigest } from './terms/layer-fault.js';
export type * from './jobs/layer-input.js';
export type * from './layer-snapshotter.js';
export type * from './terms/layer-changes.js';
export type * from './snapshotter.js';
export type { SnapshotterOptions } from './snapshotters/directory-snapshotter.js';
export { trashNotDurableSnapshots } from './snapshotters/commit-layers.js';
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
} from './terms/ownership.js';
export { type RunOptions, WorkerPool, type WorkerPoolOptions } from './workers/worker-pool.js';
export { type ComposedEntry, composeEntry, ExtendedHeaderReader } from './tar/extended-headers.js';
export { archiveBytes, BLOCK_BYTES, isZero, readTarHeader, type TarHeader } from './tar/tar-header.js';
export {
  type Compression,
  compressionOfBytes,
  decompress,
  type Decompressor,
} from './compression/decompress.js';
export {
  type GzipDecompressor,
  type InflateChoice,
  probeInflate,
  requireInflate,
} from './compression/inflate-choice.js';
export { probeZstd } from './compression/unzstd.js';
export { encodeHeader, paddingOf, PLAIN_FILE } from './files/encode-header.js';
export { exportTree } from './files/export-tree.js';
export {
  type EntryPosition,
  type ImageAttributes,
  ImageDirectory,
  type ImageFile,
} from './files/image-tree.js';
export { readImageTree, type ReadImageTreeOptions } from './files/read-image-tree.js';
export type { StoredLayer } from './files/stored-layer.js';
export * from './files/compare-stacks.js';
export * from './files/walk-tree.js';
export * from './files/layer-reader.js';
export {
  LayerStack,
  type ViewedDirectory,
  type ViewedFile,
  type ViewedLink,
  type ViewedNode,
} from './files/viewed-directory.js';
export * from './files/read-file.js';
