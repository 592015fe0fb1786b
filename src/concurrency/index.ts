/**
 * What operations that run beside one another share, each thing once for all. `waiting` ends a wait by a
 * signal, `limiter` bounds how many actions run at once, `single-flight` does work once that is wanted
 * several times, `recent-map` remembers what came of it lately, and `caller-callback` ends an operation
 * with what its caller throws.
 *
 *     waiting -> limiter, single-flight; caller-callback, recent-map
 */
export { type Telling, tellingCaller } from './caller-callback.js';
export { KeyedLimiter, Limiter, mapLimited } from './limiter.js';
export { RecentMap } from './recent-map.js';
export { ResultCache, SingleFlight } from './single-flight.js';
export {
  type Deferred,
  deferred,
  LONGEST_TIMER_MS,
  pause,
  untilAborted,
  type Waiter,
  WaitingLine,
} from './waiting.js';
