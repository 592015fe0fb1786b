import type { PullDone, PullEvent, PullResult } from '../engine/pull/pull-report.js';
import { pull, type PullOptions } from '../engine/pull/pull.js';
import { type Emitted, type EventStream, eventStream } from './event-stream.js';

/** {@link PullOptions} for {@link pullEvents}, whose loop has the events. */
export type PullEventsOptions = Omit<PullOptions, 'onEvent'>;

/** The last event of {@link pullEvents}. */
export interface PullFinished extends PullDone {
  /** The result of {@link pull}. */
  readonly result: PullResult;
}

/** The events of {@link pullEvents}: {@link PullEvent}s, of which the last has the result. */
export type PullProgress = Exclude<PullEvent, PullDone> | PullFinished;

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
