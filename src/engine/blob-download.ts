import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import { pause } from '../concurrency/index.js';
import type { IngestWriter } from '../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../errors.js';
import type { Fetcher } from '../registry/index.js';
import type { ExtraConnection, ExtraConnections, KnownDownload } from './extra-connections.js';
import { type Part, PartPlan } from './part-plan.js';

export interface BlobDownloadOptions extends Abortable {
  readonly fetcher: Pick<Fetcher, 'fetchPart'>;
  readonly writer: IngestWriter;
  /** Where further connections for a large blob come from. Without it, there is one. */
  readonly extra?: Pick<ExtraConnections, 'add'> | undefined;
  /** Called with the length of what has come. */
  readonly onBytes: (bytes: number) => void;
  readonly onRetry: () => void;
}

/** How often a body may break off before it has brought a byte that is missing, and the first pause after that, in ms. */
const FRUITLESS_BODIES = 5;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** After so many bytes a broken connection is only that, and the next one is asked for at once. */
const FRUITFUL_BYTES = 64 * 1024;

/**
 * Brings what is missing of one blob into its ingest. The fetcher retries until bytes flow, and where it gives up that is final;
 * this goes on where they stopped. Bytes that have come are not asked for again.
 *
 * One connection asks for all of it. Where others come to its help, each asks for a part near the frontier, and the first
 * one ends where theirs begin. What one of them fails to bring is left to the first, so only what fails there fails all.
 *
 * Errors: those of the fetcher and of the writer.
 */
export async function downloadBlob(options: BlobDownloadOptions): Promise<void> {
  await new BlobDownload(options).run();
}

class BlobDownload {
  readonly #options: BlobDownloadOptions;
  readonly #plan: PartPlan;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #helpers = new Set<Promise<void>>();
  #known: KnownDownload | undefined;
  /** Cleared when a host turns out to ignore ranges, or refuses more connections. */
  #helpable = true;

  constructor(options: BlobDownloadOptions) {
    const { signal, writer } = options;
    this.#options = options;
    this.#plan = new PartPlan(writer.missing(), () => performance.now());
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    // That all connections wait for one signal is no leak.
    setMaxListeners(0, this.#signal);
  }

  async run(): Promise<void> {
    try {
      await this.#bringAll();
    } finally {
      this.#known?.end();
      this.#stop.abort();
      await Promise.all(this.#helpers);
    }
  }

  /** The first connection: it alone is tried again after a pause, and it ends last. */
  async #bringAll(): Promise<void> {
    let fruitless = 0;
    for (;;) {
      const part = this.#helpers.size === 0 ? this.#plan.takeAll() : this.#plan.take();
      if (part === undefined) {
        if (this.#helpers.size > 0) await Promise.race(this.#helpers);
        else if (!this.#isLeft()) return;
        continue;
      }
      const { at } = part;
      const body = { isHere: false };
      try {
        await this.#bring(part, () => {
          body.isHere = true;
          this.#begun();
        });
      } catch (error) {
        throwIfAborted(this.#options.signal);
        const came = part.at - at;
        fruitless = came > 0 ? 0 : fruitless + 1;
        // Without a body the fetcher has asked as often as is of use.
        if (!body.isHere || !isRetryable(error) || fruitless >= FRUITLESS_BODIES) throw error;
        this.#plan.renew(this.#options.writer.missing());
        this.#options.onRetry();
        if (came < FRUITFUL_BYTES) await pause(pauseAfter(fruitless), this.#options);
      }
    }
  }

  /** Whether something is missing after all: what another connection seemed to write already, and then could not. */
  #isLeft(): boolean {
    this.#plan.renew(this.#options.writer.missing());
    return this.#plan.remaining > 0;
  }

  #begun(): void {
    const plan = this.#plan;
    const isHelpable = (): boolean => this.#helpable;
    this.#known ??= this.#options.extra?.add({
      get secondsLeft() {
        return plan.secondsLeft;
      },
      get worthHelp() {
        return isHelpable() && plan.worthHelp;
      },
      help: (connection) => this.#beginHelper(connection),
    });
  }

  #beginHelper(connection: ExtraConnection): void {
    const helper = this.#help(connection).finally(() => {
      this.#helpers.delete(helper);
      connection.end();
    });
    this.#helpers.add(helper);
  }

  /** Brings one part after the other. Fails never: what it leaves is taken by the first connection, which then sees why. */
  async #help(connection: ExtraConnection): Promise<void> {
    for (let part = this.#plan.take(); part !== undefined;) {
      try {
        await this.#bring(part, (isAsAsked) => {
          if (!isAsAsked) throw new HostIgnoresRanges();
          connection.begun();
        });
      } catch {
        if (part.at - part.start < FRUITFUL_BYTES) {
          this.#helpable = false;
          return;
        }
      }
      part = connection.mayStay ? this.#plan.take() : undefined;
    }
  }

  /**
   * One request for a part, and what comes of it.
   *
   * @param begun called with the first byte, and whether the host sends what was asked for rather than everything
   */
  async #bring(part: Part, begun: (isAsAsked: boolean) => void): Promise<void> {
    const { fetcher, writer, onBytes, onRetry } = this.#options;
    const asked = part.end - part.at;
    try {
      const { body, length } = await fetcher.fetchPart(writer.descriptor, {
        offset: part.at,
        length: asked,
        signal: this.#signal,
        onRetry,
      });
      try {
        this.#plan.begun(part);
        begun(length === asked);
        let at = part.at;
        const until = at + length;
        if (length > asked) this.#onlyOne(part, until);
        do {
          const batch = await body.next();
          if (batch === undefined) return;
          const bytes = batch.reduce((sum, chunk) => sum + chunk.byteLength, 0);
          onBytes(bytes);
          this.#known?.came(bytes);
          await writer.write(at, ...batch);
          at += bytes;
          while (at >= part.end && this.#plan.extend(part, until));
          // What came beyond belongs to another connection, which brings it as well.
          part.at = Math.min(at, part.end);
        } while (at < part.end);
      } finally {
        body.destroy();
      }
    } finally {
      this.#plan.end(part);
    }
  }

  /** The host sends all to the end, so it brings that. */
  #onlyOne(part: Part, until: number): void {
    this.#helpable = false;
    if (this.#helpers.size === 0) this.#plan.extendOverAll(part, until);
  }
}

/** A host that would send everything to a connection that was to bring a part. */
class HostIgnoresRanges extends Error {}

function isRetryable(error: unknown): boolean {
  return error instanceof LandfallError && error.retryable && error.code !== 'ABORTED';
}

/** Exponential with full jitter, so that many clients of one broken registry do not come back together. */
function pauseAfter(attempt: number): number {
  return Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
}
