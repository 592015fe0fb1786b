import { setTimeout as sleep } from 'node:timers/promises';
import type { ByteSpan } from '../content/byte-ranges.js';
import type { IngestWriter } from '../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../errors.js';
import type { FetchedPart, Fetcher } from '../registry/index.js';
import type { DownloadSlots } from './download-slots.js';

export interface BlobDownloadOptions extends Abortable {
  readonly fetcher: Fetcher;
  readonly writer: IngestWriter;
  /** Where further slots are had for the parts of a large blob. Without it, one part follows the other. */
  readonly slots?: DownloadSlots | undefined;
  /** Called with the length of each chunk that has come. */
  readonly onBytes: (bytes: number) => void;
  readonly onRetry: () => void;
}

/** How often a download that makes no progress is tried again, and the first pause before that, in ms. */
const FRUITLESS_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** After so many bytes a broken connection is only that, and the next one is asked for at once. */
const FRUITFUL_BYTES = 64 * 1024;
/** A blob of which so many bytes are still to come is fetched in parts of this size, several at once. */
const PARTED_BYTES = 32 * 1024 * 1024;
const PART_BYTES = 16 * 1024 * 1024;
/**
 * Where the first part is here within so many ms (64 MiB/s), one connection is enough: several would cost more than they
 * bring, since what comes out of order has to be read again for its digest.
 */
const SLOW_AFTER_MS = 250;

/**
 * Brings what is missing of one blob into its ingest. The fetcher retries until bytes flow, this goes on where they
 * stopped. Bytes that have come are not asked for again.
 *
 * Errors: those of the fetcher and of the writer.
 */
export async function downloadBlob(options: BlobDownloadOptions): Promise<void> {
  await new BlobDownload(options).run();
}

class BlobDownload {
  readonly #options: BlobDownloadOptions;
  /** Cleared when a host turns out to ignore ranges. */
  #parted: boolean;
  /** What is missing and nobody has begun, in order. */
  #left: ByteSpan[] = [];

  constructor(options: BlobDownloadOptions) {
    this.#options = options;
    this.#parted = options.slots !== undefined;
  }

  async run(): Promise<void> {
    const { writer, signal } = this.#options;
    for (;;) {
      this.#left = [...writer.missing()];
      const [gap] = this.#left;
      if (gap === undefined) return;
      if (this.#parted && lengthOf(this.#left) >= PARTED_BYTES) await this.#inParts();
      else await this.#range(gap, { signal, alone: true });
    }
  }

  /**
   * The first part goes alone, and its answer tells whether the host honours ranges; if not, it brings everything. Only
   * where it is slow do others come beside it.
   */
  async #inParts(): Promise<void> {
    const { fetcher, writer, signal } = this.#options;
    let part = this.#take();
    if (part === undefined) return;
    const length = part.end - part.start;
    const first = await fetcher.fetchPart(writer.descriptor, { offset: part.start, length, signal });
    if (first.length > length) {
      this.#parted = false;
      await this.#range(part, { signal, begun: first, alone: true });
      return;
    }
    const pace = { slow: false };
    const failed = new AbortController();
    const scope = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    const helpers: Promise<void>[] = [];
    const fail = (error: unknown): void => {
      if (!failed.signal.aborted) failed.abort(error);
    };
    const help = (): void => {
      while (this.#parted && this.#left.length > 0) {
        const back = this.#options.slots?.tryTake();
        if (back === undefined) return;
        const own = this.#take();
        if (own !== undefined)
          helpers.push(this.#range(own, { signal: scope }).catch(fail).finally(back).then(help));
      }
    };
    const slow = setTimeout(() => {
      pace.slow = true;
      help();
    }, SLOW_AFTER_MS);
    let begun: FetchedPart | undefined = first;
    try {
      while (part !== undefined) {
        await this.#range(part, { signal: scope, begun });
        begun = undefined;
        if (!pace.slow) this.#parted = false;
        if (!this.#parted) break;
        help();
        part = this.#take();
      }
    } catch (error) {
      fail(error);
    } finally {
      clearTimeout(slow);
    }
    // More may join while these are waited for.
    for (const helper of helpers) await helper;
    throwIfAborted(signal);
    if (failed.signal.aborted) throw failed.signal.reason;
  }

  /** The next part that nobody has begun. */
  #take(): ByteSpan | undefined {
    const [gap, ...others] = this.#left;
    if (gap === undefined) return undefined;
    const end = Math.min(gap.end, gap.start + PART_BYTES);
    this.#left = end < gap.end ? [{ start: end, end: gap.end }, ...others] : others;
    return { start: gap.start, end };
  }

  /**
   * Requests until the range is whole.
   *
   * @param o `begun`: what the first request has been answered with already; `alone`: nobody else is bringing any part, so
   *   a host that sends all to the end may do so
   */
  async #range(
    { start, end: wantedEnd }: ByteSpan,
    o: Abortable & { readonly begun?: FetchedPart | undefined; readonly alone?: boolean },
  ): Promise<void> {
    const { fetcher, writer, onRetry } = this.#options;
    const { signal, alone = false } = o;
    let at = start;
    let end = wantedEnd;
    let fruitless = 0;
    let answered = o.begun;
    while (at < end) {
      const before = at;
      const part =
        answered ?? (await fetcher.fetchPart(writer.descriptor, { offset: at, length: end - at, signal }));
      answered = undefined;
      if (part.length > end - at) {
        this.#parted = false;
        if (!alone) {
          // Another host than before, which would send this part and all behind it.
          part.body.destroy();
          return;
        }
        end = at + part.length;
      }
      try {
        for await (const chunk of part.body) {
          const bytes = chunk as Buffer;
          this.#options.onBytes(bytes.length);
          await writer.write(at, bytes);
          at += bytes.length;
        }
      } catch (error) {
        throwIfAborted(signal);
        fruitless = at > before ? 0 : fruitless + 1;
        if (!isRetryable(error) || fruitless >= FRUITLESS_ATTEMPTS) throw error;
        // What else was to come of a longer answer is asked for as what is missing.
        end = wantedEnd;
        onRetry();
        if (at - before < FRUITFUL_BYTES) await pause(fruitless, signal);
      }
    }
  }
}

function lengthOf(spans: readonly ByteSpan[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

function isRetryable(error: unknown): boolean {
  return error instanceof LandfallError && error.retryable && error.code !== 'ABORTED';
}

/** Exponential with full jitter, so that many clients of one broken registry do not come back together. */
async function pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
  await sleep(Math.random() * longest, undefined, { signal }).catch(() => throwIfAborted(signal));
}
