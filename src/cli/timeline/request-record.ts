import type { RequestEvent } from '../../registry/index.js';

/** A request to a registry, or to where that sends its blobs: until its headers. */
export interface TimedRequest {
  readonly start: number;
  readonly end: number;
  readonly method: string;
  /** Without user info and query. */
  readonly url: string;
  readonly host: string;
  readonly attempt: number;
  /** A status, or why no answer came. */
  readonly answer: string;
}

/** Of more a trace would be too large to be opened. */
const MOST = 20_000;

/** The requests of a run, on the clock of its timeline. */
export class RequestRecord {
  readonly #moment: () => number;
  readonly #requests: TimedRequest[] = [];

  /** @param moment now, on that clock */
  constructor(moment: () => number) {
    this.#moment = moment;
  }

  get all(): readonly TimedRequest[] {
    return this.#requests;
  }

  add({ method, url, host, attempt, durationMs, status, failure }: RequestEvent): void {
    if (this.#requests.length >= MOST) return;
    const end = this.#moment();
    const answer = status === undefined ? (failure ?? 'no answer') : String(status);
    this.#requests.push({
      start: Math.max(0, end - durationMs),
      end,
      ...{ method, url, host, attempt, answer },
    });
  }
}
