import { mapLimited, tellingCaller } from '../concurrency/index.js';
import type { Store } from '../engine/store.js';
import { type Abortable, LandfallError, throwIfAborted } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import type { CopyEvent, CopyReport } from '../transfer/copy/copy-report.js';
import { CopySession, type CopySessionOptions } from '../transfer/copy/copy-session.js';
import { copyNamed } from '../transfer/copy/copy.js';
import type { PlatformChoice, ReferrerChoice } from '../transfer/copy/copy-request.js';
import { parseTransport } from '../transfer/transports/image-transport.js';
import { type EventStream, eventStream, type Emitted } from './event-stream.js';
import { LibraryTransports } from './library-transports.js';

/** The options that all copies of images have. */
export interface TransferOptions extends Abortable, Pick<CopySessionOptions, 'concurrency' | 'policy'> {
  /**
   * For names without a transport, which are images of a store. Closed by its owner. Default: none.
   */
  readonly store?: Store;
  /**
   * The client that registries are asked through, closed by its owner. Default: what `openRegistry` opens,
   * for this call alone.
   */
  readonly registry?: RegistryClient;
  /** Told what happens, at once and one event after the other; what it throws ends the copy. */
  readonly onEvent?: (event: CopyEvent) => void;
}

/** The image to copy, and how. */
export interface CopyOptions extends TransferOptions {
  /**
   * `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`, `dir:DIR`, as in skopeo; or
   * `REF` for an image of the store.
   */
  readonly source: string;
  /** Of the same forms; without a digest, which only the content can give. */
  readonly destination: string;
  /** For the destination, where it takes other credentials. Default: `registry`. */
  readonly destinationRegistry?: RegistryClient;
  /** Which platforms of an index come along. Default `one`: the manifest for this machine, by itself. */
  readonly platforms?: PlatformChoice;
  /** With a list of platforms: makes a new index of them alone, which has another digest. Default false. */
  readonly rewriteIndex?: boolean;
  /** Which signatures, SBOMs and the like come along; `false`: none. Default: all. */
  readonly referrers?: ReferrerChoice | false;
  /** Looks at everything and puts nothing. Default false. */
  readonly dryRun?: boolean;
  /** Looks at all parts of what a registry's tag names already, in place of believing it. Default false. */
  readonly recheck?: boolean;
}

/** {@link CopyOptions} for {@link copyEvents}, whose loop has the events. */
export type CopyEventsOptions = Omit<CopyOptions, 'onEvent'>;

/** The last event of {@link copyEvents}. */
export interface CopyFinished {
  readonly type: 'done';
  /** The result of {@link copy}. */
  readonly result: CopyReport;
}

/** The events of {@link copyEvents}: {@link CopyEvent}s, and at last the report. */
export type CopyProgress = CopyEvent | CopyFinished;

/**
 * Copies an image, with all that it consists of, from one place to another. Content keeps its digest, and
 * what the destination has is not moved. A manifest is put after all that it names, so that a copy that fails
 * or is aborted leaves no image that is not whole, and the next one goes on from there.
 *
 * @returns what became of each manifest and blob; sizes are in bytes
 * @throws
 * - {@link LandfallError} INVALID_CONFIG (a place that is not known, a name of the store without a store, a
 *   dry run into an archive), ABORTED
 * - {@link SpecError} INVALID_REFERENCE, INVALID_MANIFEST, NO_MATCHING_PLATFORM, LIMIT_EXCEEDED
 * - {@link RegistryError} NOT_FOUND and all others of either registry
 * - {@link ContentError} BLOB_NOT_FOUND (store, layout or archive has no such image), DIGEST_MISMATCH,
 *   NO_SPACE, FILESYSTEM
 * - {@link TrustError} where `policy` asks for signatures that the image lacks, before anything is put
 */
export async function copy(options: CopyOptions): Promise<CopyReport> {
  return await tellingCaller(options, (telling) => copyTelling({ ...options, ...telling }));
}

async function copyTelling(options: CopyOptions): Promise<CopyReport> {
  const { source, destination, platforms = 'one', rewriteIndex, referrers = {} } = options;
  if (options.dryRun === true && parseTransport(destination).kind === 'archive') throw dryArchive();
  await using transports = new LibraryTransports(options);
  const along = referrers === false ? undefined : referrers;
  const request = { source, destination, platforms, rewriteIndex, referrers: along };
  return await copyNamed(transports, request, new CopySession(options));
}

/**
 * {@link copy}, told as it goes on; the last event is `done` and has the report. See {@link EventStream} for
 * what leaving the loop does.
 *
 * @returns the events; it begins when the loop does, and throws what {@link copy} throws
 */
export function copyEvents(options: CopyEventsOptions): EventStream<CopyProgress> {
  return transferStream<CopyEvent, CopyReport>(options, (telling) => copy({ ...options, ...telling }));
}

/** The stream of an operation that reports by a callback; its last event is `done` and has the result. */
export function transferStream<E extends { readonly type: string }, R>(
  { signal: callers }: Abortable,
  operation: (telling: { readonly signal: AbortSignal; readonly onEvent: (event: E) => void }) => Promise<R>,
): EventStream<E | { readonly type: 'done'; readonly result: R }> {
  return eventStream({
    signal: callers,
    run: async ({ emit, signal }: Emitted<E | { readonly type: 'done'; readonly result: R }>) => ({
      type: 'done' as const,
      result: await operation({ signal, onEvent: emit }),
    }),
    subject: copySubject,
  });
}

/** Of how far content has come, only the latest of each state is worth telling. */
function copySubject(event: { readonly type: string } | CopyEvent): string | undefined {
  if (event.type !== 'content' || !('descriptor' in event)) return undefined;
  return `${event.state} ${event.descriptor.digest} ${event.destination}`;
}

/** An archive is written anew each time, so that there is nothing to compare with. */
function dryArchive(): LandfallError {
  const message = 'an archive is written whole each time, so a dry run says nothing';
  const hint = 'Leave out dryRun, or name another destination.';
  return new LandfallError('INVALID_CONFIG', message, { hint });
}

/** Things that are done at the same time, and end together. */
export interface Together<T, R> extends Abortable {
  readonly items: readonly T[];
  /** So many at once. */
  readonly atOnce: number;
  /** Says what to do with each. The signal is aborted when the caller's is, or one of them has failed. */
  readonly doing: (signal: AbortSignal) => (item: T) => Promise<R>;
}

/**
 * Does something with each; what comes of it in their order. The first that fails stops the others, and is
 * thrown when they have ended, so that what they use can be closed.
 */
export async function together<T, R>({ items, atOnce, doing, signal }: Together<T, R>): Promise<R[]> {
  const failed = new AbortController();
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const use = doing(either);
  const outcomes = await mapLimited(items, atOnce, async (item): Promise<R[]> => {
    try {
      throwIfAborted(either);
      return [await use(item)];
    } catch (error) {
      if (!failed.signal.aborted) failed.abort(error);
      return [];
    }
  });
  if (failed.signal.aborted) throw failed.signal.reason;
  return outcomes.flatMap((outcome) => outcome);
}
