export { imagesListing, imagesWithBlob, imagesWithChain } from './affected-images.js';
export { type AdditionalStore, openAdditionalStores } from './additional-store.js';
export { BLOB_CHUNK_BYTES, BlobFileStream } from './blob-stream.js';
export { type BlobCheck, type BlobFault, checkBlobs, findMissingBlobs } from './check-blobs.js';
export { checkDatabase } from './check-database.js';
export {
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
export { forgetDeleted, isDeletedFrom, isPushedTo, noteDeleted, notePushed } from './repository-notes.js';
export {
  DISCARD_LAYERS_LABEL,
  discardAgain,
  type DiscardedBlob,
  DiscardedBlobs,
  dropUnreachableDiscarded,
} from './discarded-blobs.js';
export { type DocumentChild, type DocumentFacts, DocumentStore } from './documents.js';
export { FileOutput, outputError } from './file-output.js';
export { type CatalogImage, type ImageCatalog, JoinedImages } from './image-catalog.js';
export { ImageStore, type ImageRecord, type Labels, type PutImage } from './images.js';
export { JoinedContentStore, type ListedBlobs } from './joined-content-store.js';
export { type Lease, type LeasedResources, LeaseStore } from './leases.js';
export { LocalContentStore } from './local-content-store.js';
export { MemoryContentStore } from './memory-content-store.js';
export { LAYOUT_VERSION, syncDirectory, withRootLocked } from './layout-files.js';
export { CONTAINERD_NAME, namedEntries, type NamedEntry, rawNamesOf } from './layout-names.js';
export { checkLayoutVersion, OciLayout } from './oci-layout.js';
export { ReferrerFinder } from './referrer-finder.js';
export { REF_NAME } from './render-index.js';
export { tagTable, type TagTable } from './tag-table.js';
export { makeDirectory } from './make-directory.js';
export { openLayout, type OpenLayoutOptions } from './open-layout.js';
export { type DamagedBlob, rebuildBlobs, type RebuiltBlobs } from './rebuild-blobs.js';
export { completeLayout, rebuildDatabase, type RebuildDatabaseOptions } from './rebuild-database.js';
export { rebuildDiscarded, rebuildDocuments, recordDiscarded } from './rebuild-documents.js';
export { type NamedTarget, rebuildImages, type RebuiltImages } from './rebuild-images.js';
export { expirePartials, type ExpirePartialsOptions, listPartials, type PartialBlob } from './partials.js';
export { BLOBS, blobDirectory, blobPath, DATABASE_FILE, INDEX_FILE, LAYOUT_FILE } from './store-paths.js';
export { sweepTemporaryFiles, TemporaryFile } from './temporary-file.js';
export { putBackDoubtfulBlobs } from './doubtful-blobs.js';
export { DocumentGraph, type Reachable } from './document-graph.js';
export { heldBlobs, heldChains, reachedBy } from './held.js';
export {
  blobsAmong,
  dropBlobs,
  removeBlobFiles,
  removeOrphanBlobs,
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
export { onReserve } from './space-reserve.js';
export { sweepTemporaries } from './sweep-temporaries.js';
export { discardQuarantined, quarantineBlob } from './quarantine.js';
export { forgetVerifications, type Verification, VerificationStore } from './verifications.js';
