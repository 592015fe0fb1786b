/**
 * What is said of layers, and of the mounts and bundles that are made of them. The functions are in `landfall`.
 *
 * @module landfall/unpack
 */
export type * from '../unpack/bundle/runtime-config.js';
export type { InflateLibrary } from '../system/index.js';
export type { GzipDecompressor } from '../unpack/compression/inflate-choice.js';
export type {
  Decompressor,
  ExtractionOptions,
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
  UnpackEvent,
} from '../unpack/index.js';
