/**
 * The local side by itself: blobs that are named by their digests, and the names of images.
 *
 * @module landfall/content
 */
export {
  type BlobInfo,
  type BlobProvider,
  type ByteRange,
  type ByteSpan,
  type CatalogImage,
  type ContentStore,
  type ImageCatalog,
  type ImageRecord,
  type IngestOptions,
  type IngestProgress,
  type IngestWriter,
  type Labels,
  MemoryContentStore,
  OciLayout,
  type SweptBlob,
} from '../content/index.js';
