export type {
  BlobInfo,
  BlobProvider,
  ByteRange,
  ContentStore,
  IngestOptions,
  IngestWriter,
} from './content-store.js';
export { ImageStore, type ImageRecord, type Labels, type PutImage } from './images.js';
export { type Lease, type LeasedResources, LeaseStore } from './leases.js';
export { LocalContentStore } from './local-content-store.js';
export { MemoryContentStore } from './memory-content-store.js';
export { OciLayout } from './oci-layout.js';
export { openLayout, type OpenLayoutOptions } from './open-layout.js';
export { expirePartials, type ExpirePartialsOptions, listPartials, type PartialBlob } from './partials.js';
export { blobPath } from './store-paths.js';
export { dropBlobs, removeOrphanBlobs, type SweptBlob, unkeptBlobs } from './sweep-blobs.js';
