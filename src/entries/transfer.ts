/**
 * Images in archives, and what is said of images that are copied and kept the same elsewhere. `copy` and
 * `sync` are in `landfall`.
 *
 * @module landfall/transfer
 */
export {
  load,
  loadEvents,
  type LoadEventsOptions,
  type LoadFinished,
  type LoadedImage,
  type LoadOptions,
  type LoadProgress,
} from '../library/load.js';
export {
  save,
  type SavedArchive,
  saveEvents,
  type SaveEventsOptions,
  type SaveFinished,
  type SaveOptions,
  type SaveProgress,
} from '../library/save.js';
export type { PlannedPrune } from '../library/sync.js';
export type { ArchiveTarget } from '../transfer/transports/archives/archive-output.js';
export type { ArchiveFormat } from '../transfer/transports/archives/archive.js';
export type {
  ContentOutcome,
  ContentRole,
  CopiedContent,
  CopyBegun,
  CopyContent,
  CopyEvent,
  CopyReport,
  CopyWarning,
} from '../transfer/copy/copy-report.js';
export type { PlatformChoice, ReferrerChoice } from '../transfer/copy/copy-request.js';
export type { PutOutcome } from '../transfer/transports/destination.js';
export type { EarlierDelivery } from '../transfer/transports/declaration.js';
export type { Position } from '../transfer/sync/mirror-file.js';
export type { SyncedContent, SyncFailure, SyncOutcome } from '../transfer/sync/sync-result.js';
export { type Fault, MirrorFileError } from '../transfer/sync/yaml-text.js';
export type {
  PrunedTag,
  SyncedImage,
  SyncEvent,
  SyncImageEnded,
  SyncPlanned,
  SyncResult,
  SyncTagPruned,
  UnprunedRepository,
} from '../transfer/sync/sync-result.js';
