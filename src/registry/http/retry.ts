import { pause } from '../../concurrency/index.js';
import {
  type Abortable,
  isWrongContent,
  type LandfallError,
  RegistryError,
  systemCode,
  throwIfAborted,
} from '../../errors.js';

/** How often, and after how long, what failed for the moment is tried again. */
export interface RetryOptions {
  /** Tries in all. Default 5. */
  readonly attempts?: number;
  /** The longest first pause, in milliseconds; each later one may be twice as long. Default 250. */
  readonly baseMs?: number;
  /** The longest pause, in milliseconds. Default 10,000. */
  readonly capMs?: number;
  /**
   * The longest `Retry-After` that is waited for; a longer one is an error at once; in milliseconds. Default
   * 120,000.
   */
  readonly maxRetryAfterMs?: number;
}

/** See {@link RetryOptions.maxRetryAfterMs}. */
export const MAX_RETRY_AFTER_MS = 120_000;
/** An answer with Retry-After may come so many times as often as other failures before the request fails. */
const TURNED_AWAY_FACTOR = 4;
/** A bit that flipped on the way is right the next time; what is wrong twice is wrong at the host. */
const WRONG_ANSWERS = 2;

/** What a name server or a closed port answers is seldom different a moment later. */
const FEWER_ATTEMPTS: Readonly<Record<string, number>> = { ECONNREFUSED: 3, EAI_AGAIN: 2 };

/** Calls until it succeeds, fails for good or the attempts are used up; the last error is thrown as it is. */
export async function withRetry<T>(
  action: (attempt: number) => Promise<T>,
  options: Abortable & { retry?: RetryOptions | undefined } = {},
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    throwIfAborted(options.signal);
    try {
      return await action(attempt);
    } catch (error) {
      const delay = delayAfter(error, attempt, options.retry);
      if (delay === undefined) throw error;
      await pause(delay, options);
    }
  }
}

/** Milliseconds until the next try, or undefined when there is to be none. `random` is from [0, 1). */
export function delayAfter(
  error: unknown,
  attempt: number,
  retry: RetryOptions = {},
  random: () => number = Math.random,
): number | undefined {
  const { attempts = 5, baseMs = 250, capMs = 10_000, maxRetryAfterMs = MAX_RETRY_AFTER_MS } = retry;
  // Full jitter: anywhere between nothing and the bound.
  const pauseMs = random() * Math.min(capMs, baseMs * 2 ** (attempt - 1));
  if (isWrongContent(error)) return attempt < Math.min(attempts, WRONG_ANSWERS) ? pauseMs : undefined;
  if (!(error instanceof RegistryError) || !error.retryable || error.code === 'ABORTED') return undefined;
  const retryAfterMs = error.details.retryAfterMs;
  // A host that says when to come back is not broken, and with many at its door it may say so several times.
  const bound = typeof retryAfterMs === 'number' ? attempts * TURNED_AWAY_FACTOR : attempts;
  const allowed = Math.min(bound, FEWER_ATTEMPTS[systemCode(error.cause) ?? ''] ?? bound);
  if (attempt >= allowed) return undefined;
  if (typeof retryAfterMs === 'number') {
    // In full, and a little more, so that the clients that were sent away do not come back at one moment.
    return retryAfterMs > maxRetryAfterMs ? undefined : retryAfterMs + random() * baseMs;
  }
  return pauseMs;
}

/**
 * An error that is not tried again, which says so: after how many tries, and how long the host wants to be
 * left alone where that is longer than it is waited for.
 */
export function finalError(
  error: LandfallError,
  attempts: number,
  { maxRetryAfterMs = MAX_RETRY_AFTER_MS }: RetryOptions = {},
): LandfallError {
  if (!(error instanceof RegistryError)) return error;
  const { code, message, cause, retryable, details } = error;
  const retryAfterMs = details.retryAfterMs;
  const isTooLong = typeof retryAfterMs === 'number' && retryAfterMs > maxRetryAfterMs;
  if (attempts === 1 && !isTooLong) return error;
  return new RegistryError(
    code,
    isTooLong ? `${message}, and wants to be left alone for ${inWords(retryAfterMs)}` : message,
    {
      cause,
      retryable,
      hint: isTooLong ? waitHint(code, retryAfterMs) : error.hint,
      details: { ...details, ...(attempts === 1 ? {} : { attempts }) },
    },
  );
}

function waitHint(code: string, retryAfterMs: number): string {
  const wait = `or have it waited for with --max-retry-after ${Math.ceil(retryAfterMs / 1000)}`;
  return code === 'RATE_LIMITED'
    ? `Log in, as many registries allow more to known users; wait, ${wait}.`
    : `Wait, ${wait}.`;
}

const UNITS: readonly (readonly [seconds: number, name: string])[] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
];

/** `90 s`, `24 h`: in the largest unit of which there are at least two. */
function inWords(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  const [unit, name] = UNITS.find(([each]) => seconds >= 2 * each) ?? [1, 's'];
  return `${Math.ceil(seconds / unit)} ${name}`;
}

/**
 * The milliseconds that a `Retry-After` header asks for: seconds or a date (RFC 9110, 10.2.3). Undefined if
 * neither.
 */
export function parseRetryAfter(header: string | undefined, now: number = Date.now()): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,12}$/.test(text)) return Number(text) * 1000;
  // Date.parse takes much that is no date of HTTP, a bare number among it.
  if (!/^[A-Za-z]{3,9},? /.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
