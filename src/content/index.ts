export {
  type DocumentChild,
  type DocumentFacts,
  DocumentGraph,
  DocumentStore,
  imagesListing,
  imagesWithBlob,
  imagesWithChain,
  type Reachable,
} from './documents.js';
export { type AdditionalStore, openAdditionalStores } from './additional-store.js';
export { BLOB_CHUNK_BYTES, BlobFileStream } from './blob-stream.js';
export { type BlobCheck, type BlobFault, checkBlobs, findMissingBlobs } from './check-blobs.js';
export {
  checkDatabase,
  checkIndex,
  checkLayout,
  LAYOUT_PARTS,
  type LayoutFault,
  repairIndex,
  repairLayout,
} from './check-layout.js';
export type {
  BlobInfo,
  BlobProvider,
  ByteRange,
  ContentStore,
  IngestOptions,
  IngestWriter,
} from './content-store.js';
export {
  forgetDeleted,
  noteDeleted,
  notePushed,
  repositoryState,
  tagTable,
  type TagTable,
} from './repository-notes.js';
export {
  discardAgain,
  type DiscardedBlob,
  DiscardedBlobs,
  dropUnreachableDiscarded,
} from './discarded-blobs.js';
export { FileOutput, outputError, sweepTemporaryFiles, TemporaryFile } from './file-output.js';
export {
  type CatalogImage,
  DISCARD_LAYERS_LABEL,
  type ImageCatalog,
  type ImageRecord,
  ImageStore,
  JoinedImages,
  type Labels,
  type PutImage,
} from './images.js';
export { JoinedContentStore, type ListedBlobs } from './joined-content-store.js';
export { type Lease, type LeasedResources, LeaseStore } from './leases.js';
export { LocalContentStore } from './local-content-store.js';
export { MemoryContentStore } from './memory-content-store.js';
export {
  blobDirectory,
  blobPath,
  BLOBS,
  DATABASE_FILE,
  INDEX_FILE,
  LAYOUT_FILE,
  LAYOUT_VERSION,
  makeDirectory,
  onReserve,
  syncDirectory,
  withRootLocked,
} from './layout-files.js';
export {
  checkLayoutVersion,
  CONTAINERD_NAME,
  namedEntries,
  type NamedEntry,
  OciLayout,
  rawNamesOf,
} from './oci-layout.js';
export { ReferrerFinder } from './referrer-finder.js';
export { REF_NAME } from './render-index.js';
export { openLayout, type OpenLayoutOptions } from './open-layout.js';
export {
  type DamagedBlob,
  discardQuarantined,
  quarantineBlob,
  rebuildBlobs,
  rebuildDiscarded,
  rebuildDocuments,
  type RebuiltBlobs,
  recordDiscarded,
} from './rebuild-blobs.js';
export { completeLayout, rebuildDatabase, type RebuildDatabaseOptions } from './rebuild-database.js';
export { type NamedTarget, rebuildImages, type RebuiltImages } from './rebuild-images.js';
export { expirePartials, type ExpirePartialsOptions, listPartials, type PartialBlob } from './partials.js';
export { putBackDoubtfulBlobs } from './blob-records.js';
export { heldBlobs, heldChains, reachedBy } from './held.js';
export {
  blobsAmong,
  dropBlobs,
  removeBlobFiles,
  removeOrphanBlobs,
  sweepTemporaries,
  type SweptBlob,
  unkeptBlobs,
} from './sweep-blobs.js';
export {
  expireUploads,
  type ExpireUploadsOptions,
  Uploads,
  type UploadStatus,
  type UploadWriter,
} from './uploads.js';
export { forgetVerifications, type Verification, VerificationStore } from './verifications.js';
