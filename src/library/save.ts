import { LandfallError } from '../errors.js';
import { tellingCaller } from '../concurrency/index.js';
import type { CopyEvent, CopyReport } from '../transfer/copy/copy-report.js';
import type { PlatformChoice, ReferrerChoice } from '../transfer/copy/copy-request.js';
import { CopySession } from '../transfer/copy/copy-session.js';
import { copyIntoArchive } from '../transfer/copy/copy.js';
import { ArchiveDestination } from '../transfer/transports/archives/archive-destination.js';
import type { ArchiveFormat } from '../transfer/transports/archives/archive.js';
import type { ArchiveTarget } from '../transfer/transports/archives/archive-output.js';
import { together, type TransferOptions, transferStream } from './copy.js';
import type { EventStream } from './event-stream.js';
import { LibraryTransports } from './library-transports.js';

/** Which images to write into one archive, and how. */
export interface SaveOptions extends TransferOptions {
  /** Images, each as `source` of `CopyOptions`. At least one. */
  readonly sources: readonly string[];
  /** A file, which is there whole or not at all, or a stream, which its owner ends. */
  readonly archive: ArchiveTarget;
  /** Default `both`: what OCI tools and Docker load. */
  readonly format?: ArchiveFormat;
  /**
   * Most bytes of a file, of which there are then several and a list of them. Not for streams. Default: one
   * file.
   */
  readonly splitBytes?: number;
  /** Which platforms of an index come along. Default `present`: those that the source has. */
  readonly platforms?: PlatformChoice;
  /** Which signatures, SBOMs and the like come along; `false`: none. Default: all. */
  readonly referrers?: ReferrerChoice | false;
}

/** {@link SaveOptions} for {@link saveEvents}, whose loop has the events. */
export type SaveEventsOptions = Omit<SaveOptions, 'onEvent'>;

/** An archive that was written. */
export interface SavedArchive {
  /** Of the archive, in bytes. */
  readonly bytes: number;
  /** The names of the files that it was split into; none where it was not. */
  readonly parts: readonly string[];
  /** One for each source, in their order. */
  readonly reports: readonly CopyReport[];
}

/** The last event of {@link saveEvents}. */
export interface SaveFinished {
  readonly type: 'done';
  /** The result of {@link save}. */
  readonly result: SavedArchive;
}

/** The events of {@link saveEvents}: `CopyEvent`s, and at last the archive. */
export type SaveProgress = CopyEvent | SaveFinished;

/** Images whose manifests are read at once. */
const AT_ONCE = 8;

/**
 * Writes images into one archive that docker, podman, skopeo and {@link load} read. It is written when all of
 * them were found, and where one fails there is no archive.
 *
 * @returns what was written
 * @throws
 * - `LandfallError` INVALID_CONFIG (no source, a stream that is to be split, a directory in place of a file),
 *   ABORTED
 * - `ContentError` NO_SPACE, FILESYSTEM, and all that `copy` throws
 */
export async function save(options: SaveOptions): Promise<SavedArchive> {
  return await tellingCaller(options, (telling) => saveTelling({ ...options, ...telling }));
}

async function saveTelling(options: SaveOptions): Promise<SavedArchive> {
  const { sources, format, splitBytes, platforms = 'present', referrers = {}, archive: target } = options;
  const { signal, concurrency, policy, onEvent } = options;
  refuseImpossible(options);
  const choice = { platforms, referrers: referrers === false ? undefined : referrers };
  await using archive = await ArchiveDestination.open(target, { format, splitBytes, signal });
  await using transports = new LibraryTransports(options);
  const saving = (either: AbortSignal): ((source: string) => Promise<CopyReport>) => {
    const session = new CopySession({ signal: either, concurrency, policy, onEvent });
    return (source) => copyIntoArchive(transports, { source, archive, ...choice }, session);
  };
  const reports = await together({ items: sources, atOnce: AT_ONCE, signal, doing: saving });
  await archive.finish({ signal });
  return { bytes: archive.bytesWritten, parts: archive.parts, reports };
}

/**
 * {@link save}, told as it goes on; the last event is `done` and has the result. See `EventStream` for what
 * leaving the loop does.
 *
 * @returns the events; it begins when the loop does, and throws what {@link save} throws
 */
export function saveEvents(options: SaveEventsOptions): EventStream<SaveProgress> {
  return transferStream<CopyEvent, SavedArchive>(options, (telling) => save({ ...options, ...telling }));
}

function refuseImpossible({ sources, archive, splitBytes }: SaveOptions): void {
  if (sources.length === 0) {
    throw new LandfallError('INVALID_CONFIG', 'no image was named for the archive', {
      hint: 'Give at least one source.',
    });
  }
  if (splitBytes === undefined || 'file' in archive) return;
  throw new LandfallError('INVALID_CONFIG', 'what goes to a stream cannot be split', {
    hint: 'Name a file.',
  });
}
