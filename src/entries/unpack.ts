/**
 * The types of layers, and of the mounts and bundles that are made of them. The functions are in `landfall`.
 *
 * @module landfall/unpack
 */
export type { InflateLibrary } from '../system/index.js';
export type {
  Decompressor,
  ExtractionOptions,
  GzipDecompressor,
  IdMappings,
  IdRange,
  InflateChoice,
  LayerEvent,
  LayerOmission,
  LayerState,
  LayerWarning,
  Mount,
  OmittedDevice,
  Ownership,
  OwnerRule,
  RuntimeCapabilities,
  RuntimeConfig,
  RuntimeIdMapping,
  RuntimeLimit,
  RuntimeLinux,
  RuntimeMount,
  RuntimeNamespace,
  RuntimeNamespaceType,
  RuntimeProcess,
  RuntimeResources,
  RuntimeRoot,
  RuntimeUser,
  UnpackEvent,
} from '../unpack/index.js';
