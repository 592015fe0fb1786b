export {
  algorithmOf,
  chainIds,
  createDigester,
  type Digest,
  Digester,
  digestOf,
  encodedOf,
  isDigest,
  isVerifiable,
  parseDigest,
  shortDigest,
  type VerifiableAlgorithm,
} from './digest.js';
export { type Descriptor, parseDescriptor } from './descriptor.js';
export {
  type ContainerConfig,
  type HistoryEntry,
  type ImageConfig,
  parseImageConfig,
  platformOf,
  type RootFs,
} from './image-config.js';
export { type ImageIndex } from './image-index.js';
export {
  type JsonObject,
  type JsonValue,
  optionalStrings,
  parseJson,
  readDigest,
  readObject,
  requiredSize,
  requiredString,
} from './json-fields.js';
export { type Limit, LIMITS, type UnpackLimit, type UnpackLimits, unpackLimits } from './limits.js';
export { childrenOf, type ImageManifest, parseManifest } from './manifest.js';
export {
  ACCEPTED_MANIFEST_TYPES,
  bareMediaType,
  compressionOf,
  isConfigType,
  isDockerSchema1,
  isIndexType,
  isLayerType,
  isManifestType,
  isNonDistributable,
  MEDIA_TYPES,
} from './media-types.js';
export {
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  parsePlatform,
  parsePlatformObject,
  type Platform,
  type PlatformMatcher,
  closestPlatform,
  isRunnablePlatform,
  platformMatcher,
  type PlatformEntry,
  selectPlatform,
} from './platform.js';
export { quoted } from './quoted.js';
export { referrerDescriptor } from './referrer-descriptor.js';
export {
  familiarReference,
  formatReference,
  parseReference,
  type Reference,
  repositoryName,
  withoutCredentials,
} from './reference.js';
