// store -> images -> recovery -> additional-store, each of which may import only what stands before it

export {
  type ManifestChild,
  type ManifestInfo,
  ManifestGraph,
  ManifestStore,
  referencedBlobs,
  referencedChains,
  imagesListing,
  imagesWithBlob,
  imagesWithChain,
  type Reachable,
  reachedBy,
} from './images/manifests.js';
export * from './additional-store.js';
export { BLOB_CHUNK_BYTES, BlobFileStream } from './store/blob-stream.js';
export * from './recovery/check-blobs.js';
export * from './recovery/check-layout.js';
export type * from './store/content-store.js';
export { DaemonPins } from './images/daemon-pins.js';
export {
  forgetDeleted,
  noteRepository,
  repositoriesWith,
  repositoryState,
  tagTable,
  type TagTable,
} from './images/repository-notes.js';
export {
  discardAgain,
  type DiscardedBlob,
  DiscardedBlobs,
  dropUnreachableDiscarded,
} from './recovery/discarded-blobs.js';
export * from './store/file-output.js';
export {
  type CatalogImage,
  DISCARD_LAYERS_LABEL,
  type ImageCatalog,
  type ImageRecord,
  ImageStore,
  JoinedImages,
  type PutImage,
} from './images/images.js';
export { ByteRanges } from './store/arriving-bytes.js';
export { readManifestBlob } from './images/read-manifest.js';
export * from './store/joined-content-store.js';
export * from './images/leases.js';
export { LocalContentStore } from './store/local-content-store.js';
export { MemoryContentStore } from './store/memory-content-store.js';
export {
  blobDirectory,
  blobPath,
  BLOBS,
  DATABASE_FILE,
  INDEX_FILE,
  LAYOUT_FILE,
  LAYOUT_VERSION,
  ingestPath,
  makeDirectory,
  onReserve,
  openBelow,
  REF_NAME,
  statBelow,
  syncDirectory,
  unlessMissing,
  withRootLocked,
} from './store/layout-files.js';
export * from './store/oci-layout.js';
export { ReferrerFinder } from './images/referrer-finder.js';
export { openLayout, type OpenLayoutOptions } from './images/open-layout.js';
export {
  type DamagedBlob,
  discardQuarantined,
  quarantineBlob,
  rebuildBlobs,
  rebuildDiscarded,
  rebuildManifests,
  type RebuiltBlobs,
  recordDiscarded,
} from './recovery/rebuild-blobs.js';
export { completeLayout, rebuildDatabase, type RebuildDatabaseOptions } from './recovery/rebuild-database.js';
export { type NamedTarget, rebuildImages, type RebuiltImages } from './recovery/rebuild-images.js';
export {
  expirePartials,
  type ExpirePartialsOptions,
  listPartials,
  partialProgress,
  type PartialBlob,
} from './store/ingest-directory.js';
export { putBackNotDurableBlobs } from './store/blob-records.js';
export * from './recovery/sweep-blobs.js';
export * from './store/uploads.js';
export * from './images/verifications.js';
export { blobNotFound, streamBlobFile } from './store/blob-stream.js';
