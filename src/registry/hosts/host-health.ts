import { performance } from 'node:perf_hooks';

import { WaitingLine } from '../../concurrency/index.js';
import type { Abortable } from '../../errors.js';
import { throwIfAborted } from '../../errors.js';
import type { RegistryHost } from './registry-host.js';

/** When a host is left for the next one. */
export interface FailoverOptions {
  /** How long a host that failed is left alone, in milliseconds; each further failure doubles it. Default 10,000. */
  readonly pauseMs?: number;
  /** The longest such pause, in milliseconds. Default 300,000. */
  readonly maxPauseMs?: number;
  /** How long a host may take to answer while another could be asked, in milliseconds. Default 20,000. */
  readonly firstByteMs?: number;
  /** A blob that comes slower than this is gone on with at another host, if there is one. Default 32 KiB. */
  readonly minBytesPerSecond?: number;
  /** The time over which that is measured, in milliseconds. Default 10,000. */
  readonly windowMs?: number;
}

/** Of a host that has not shown what it can do, so many blobs are asked for at once. */
const ON_TRIAL = 2;
/** What shows it: so much of one blob, or so many whole ones. */
const PROVING_BYTES = 2 * 1024 * 1024;
const PROVING_BLOBS = 8;

/** What is known of one host by all that ask it: whether it is being left alone, and whether it has delivered yet. */
export class HostHealth {
  readonly #options: FailoverOptions;
  #failures = 0;
  #pausedUntil = 0;
  #proven = false;
  #delivered = 0;
  #onTrial = 0;
  readonly #line = new WaitingLine();

  constructor(options: FailoverOptions = {}) {
    this.#options = options;
  }

  /** Milliseconds for which it is still left alone. */
  get pause(): number {
    return Math.max(0, this.#pausedUntil - performance.now());
  }

  /** How many wait to be entrusted with a blob. */
  get waiting(): number {
    return this.#line.size;
  }

  /** @param atLeastMs what the host itself asked for */
  failed(atLeastMs = 0): void {
    const { pauseMs = 10_000, maxPauseMs = 300_000 } = this.#options;
    const pause = Math.min(maxPauseMs, pauseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    this.#pausedUntil = performance.now() + Math.max(pause, atLeastMs);
    this.#proven = false;
    this.#delivered = 0;
    this.#line.admitAll();
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pausedUntil = 0;
  }

  /** @param bytes of one blob so far, or all of it */
  delivered(bytes: number, whole: boolean): void {
    if (whole) this.#delivered += 1;
    if (this.#proven || (bytes < PROVING_BYTES && this.#delivered < PROVING_BLOBS)) return;
    this.#proven = true;
    this.#line.admitAll();
  }

  /**
   * Waits until one more blob may be asked for. All would be lost at once if the host were to stall, so only a few are
   * entrusted to it before it has delivered.
   *
   * @param stillWanted false once the host is left alone
   * @returns what must be called when the blob is over; undefined where the host failed meanwhile
   */
  async enter(stillWanted: () => boolean, { signal }: Abortable): Promise<(() => void) | undefined> {
    while (stillWanted()) {
      throwIfAborted(signal);
      if (this.#proven || this.#onTrial < ON_TRIAL) {
        this.#onTrial += 1;
        let left = false;
        return () => {
          if (left) return;
          left = true;
          this.#onTrial -= 1;
          this.#line.admitAll();
        };
      }
      await this.#line.wait(undefined, { signal });
    }
    return undefined;
  }
}

/** The health of hosts, for as long as their configuration stays the same. */
export class HostHealths {
  readonly #options: FailoverOptions;
  readonly #healths = new WeakMap<RegistryHost, HostHealth>();

  constructor(options: FailoverOptions = {}) {
    this.#options = options;
  }

  of(host: RegistryHost): HostHealth {
    let health = this.#healths.get(host);
    if (health === undefined) this.#healths.set(host, (health = new HostHealth(this.#options)));
    return health;
  }
}
