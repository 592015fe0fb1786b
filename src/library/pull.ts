import type { PullDone, PullEvent, PullResult } from '../engine/pull/pull-report.js';
import { type PullOptions as EnginePullOptions, pull as pullImage } from '../engine/pull/pull.js';
import type { RegistryClient } from '../registry/index.js';
import { type EventStream, eventStream, type Emitted } from './event-stream.js';
import { withRegistry } from './open-registry.js';

/** What to pull, and how. */
export interface PullOptions extends Omit<EnginePullOptions, 'registry'> {
  /**
   * What registries are asked through; whoever gives it closes it. Default: what {@link openRegistry} opens,
   * for this pull alone. Give one to several pulls, and they share connections and tokens.
   */
  readonly registry?: RegistryClient;
}

/** {@link PullOptions} for {@link pullEvents}, whose loop has the events. */
export type PullEventsOptions = Omit<PullOptions, 'onEvent'>;

/** The last event of {@link pullEvents}. */
export interface PullFinished extends PullDone {
  /** What {@link pull} would have returned. */
  readonly result: PullResult;
}

/** What {@link pullEvents} gives: {@link PullEvent}s, of which the last has the result. */
export type PullProgress = Exclude<PullEvent, PullDone> | PullFinished;

/**
 * Pulls an image: resolves its name, has its signatures verified where `policy` asks for some, downloads,
 * unpacks, and records it in the store. Layers download at the same time and are unpacked while they arrive;
 * nothing is recorded before every byte was verified. A pull that fails or is aborted leaves no image, but
 * partial blobs from which the next one goes on.
 *
 * The signature policies of the machine are not looked for by themselves: see `findPolicyFile` of
 * `landfall/trust`.
 *
 * @returns what was pulled; sizes are in bytes, times in milliseconds
 * @throws
 * - {@link SpecError} INVALID_REFERENCE, INVALID_MANIFEST, NO_MATCHING_PLATFORM, UNSUPPORTED_MEDIA_TYPE,
 *   LIMIT_EXCEEDED
 * - {@link RegistryError} NOT_FOUND, UNAUTHORIZED, DENIED, RATE_LIMITED, UNAVAILABLE, PROTOCOL,
 *   REDIRECT_REFUSED
 * - {@link ContentError} DIGEST_MISMATCH, SIZE_MISMATCH, NO_SPACE, FILESYSTEM
 * - {@link UnpackError} DIFF_ID_MISMATCH, UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED,
 *   NO_SPACE, FILESYSTEM
 * - {@link TrustError} SIGNATURE_MISSING, SIGNATURE_INVALID, POLICY_REJECTED, before a blob is asked for
 * - {@link LandfallError} ABORTED; INVALID_CONFIG (options that exclude each other); UNSUPPORTED (what is to
 *   inflate is not here)
 */
export async function pull(options: PullOptions): Promise<PullResult> {
  return await withRegistry(options.registry, (registry) => pullImage({ ...options, registry }));
}

/**
 * {@link pull}, told as it goes on: `for await (const event of pullEvents({ store, reference }))`. The last
 * event is `done` and has the result. See {@link EventStream} for what leaving the loop does.
 *
 * @returns the events; it begins when the loop does, and throws what {@link pull} throws
 */
export function pullEvents(options: PullEventsOptions): EventStream<PullProgress> {
  const { signal: callers } = options;
  return eventStream({ signal: callers, run: (o) => pullEmitting(options, o), subject: subjectOf });
}

/** A pull whose last event has its result. */
async function pullEmitting(
  options: PullEventsOptions,
  { emit, signal }: Emitted<PullProgress>,
): Promise<PullProgress> {
  let at = 0;
  const onEvent = (event: PullEvent): void => {
    if (event.type === 'done') at = event.at;
    else emit(event);
  };
  const result = await pull({ ...options, signal, onEvent });
  const { reference, digest, bytesDownloaded } = result;
  return { type: 'done', reference, at, digest, bytesDownloaded, result };
}

/** Of how far a blob or a layer has come, only the latest of each state is worth telling. */
function subjectOf(event: PullProgress): string | undefined {
  if (event.type !== 'blob' && event.type !== 'layer') return undefined;
  return `${event.type} ${event.state} ${event.digest}`;
}
