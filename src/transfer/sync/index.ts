/** Declared sets of images, kept the same elsewhere. */
export {
  type EarlierReport,
  type PrunedTag,
  readEarlierReport,
  type SyncedImage,
  type SyncEvent,
  type SyncImageEnded,
  type SyncPlanned,
  type SyncResult,
  type SyncTagPruned,
  type UnprunedRepository,
} from './sync-result.js';
export type { MirrorDestination, MirrorFile } from './mirror-file.js';
export { type Fault, faultLine, MirrorFileError } from './yaml-text.js';
export { MIRROR_SCHEMA } from './mirror-schema.js';
export { OpenPlaces, type OpenPlacesOptions } from './open-places.js';
export { formatPlace, parsePlaceName } from './place-name.js';
export type { RepositoryPrune } from './plan-prunes.js';
export { readMirrorFile, type ReadMirrorFileOptions } from './read-mirror-file.js';
export { parseShard, type Shard } from './shard.js';
export { sync, type SyncOptions, type SyncPlaces } from './sync.js';
