/** Declared sets of images, kept the same elsewhere. */
export { type EarlierReport, readEarlierReport } from './earlier-report.js';
export type { MirrorDestination, MirrorFile } from './mirror-file.js';
export { type Fault, faultLine, MirrorFileError } from './mirror-file-error.js';
export { MIRROR_SCHEMA } from './mirror-schema.js';
export { OpenPlaces, type OpenPlacesOptions } from './open-places.js';
export { formatPlace, parsePlaceName } from './place-name.js';
export type { RepositoryPrune } from './prune.js';
export { readMirrorFile, type ReadMirrorFileOptions } from './read-mirror-file.js';
export { parseShard, type Shard } from './shard.js';
export { sync, type SyncOptions, type SyncPlaces } from './sync.js';
export type { SyncEvent, SyncImageEnded, SyncPlanned, SyncTagPruned } from './sync-event.js';
export type { PrunedTag, SyncedImage, SyncResult, UnprunedRepository } from './sync-result.js';
