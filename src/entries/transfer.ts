/**
 * Images in archives, and what is said of images that are copied and kept the same elsewhere. `copy` and `sync` are in `landfall`.
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
export type {
  ArchiveFormat,
  ContentOutcome,
  ContentRole,
  CopiedContent,
  CopyBegun,
  CopyContent,
  CopyEvent,
  CopyReport,
  CopyWarning,
  PlatformChoice,
  PutOutcome,
  ReferrerChoice,
} from '../transfer/index.js';
export type { Position } from '../transfer/sync/mirror-file.js';
export type { SyncedContent, SyncFailure, SyncOutcome } from '../transfer/sync/sync-result.js';
export {
  type Fault,
  MirrorFileError,
  type PrunedTag,
  type SyncedImage,
  type SyncEvent,
  type SyncImageEnded,
  type SyncPlanned,
  type SyncResult,
  type SyncTagPruned,
  type UnprunedRepository,
} from '../transfer/sync/index.js';
