import { setTimeout as sleep } from 'node:timers/promises';
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
  /** From here on nobody has begun. */
  #next = 0;

  constructor(options: BlobDownloadOptions) {
    this.#options = options;
    this.#parted = options.slots !== undefined;
  }

  async run(): Promise<void> {
    const { writer, signal } = this.#options;
    const { size } = writer.descriptor;
    while (writer.frontier < size) {
      if (this.#parted && size - writer.frontier >= PARTED_BYTES) await this.#inParts(size);
      else await this.#range({ start: writer.frontier, end: size }, signal);
    }
  }

  /**
   * The first part goes alone, and its answer tells whether the host honours ranges; if not, it brings everything. Only
   * where it is slow do others come beside it.
   */
  async #inParts(size: number): Promise<void> {
    const { fetcher, writer, signal } = this.#options;
    const start = writer.frontier;
    const first = await fetcher.fetchPart(writer.descriptor, { offset: start, length: PART_BYTES, signal });
    if (first.length > PART_BYTES) {
      this.#parted = false;
      await this.#range({ start, end: size }, signal, first);
      return;
    }
    this.#next = start + PART_BYTES;
    const pace = { slow: false };
    const failed = new AbortController();
    const scope = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    const helpers: Promise<void>[] = [];
    const fail = (error: unknown): void => {
      if (!failed.signal.aborted) failed.abort(error);
    };
    const help = (): void => {
      for (;;) {
        const back = this.#next < size && this.#parted ? this.#options.slots?.tryTake() : undefined;
        if (back === undefined) return;
        const part = this.#take(size);
        helpers.push(this.#range(part, scope).catch(fail).finally(back).then(help));
      }
    };
    const slow = setTimeout(() => {
      pace.slow = true;
      help();
    }, SLOW_AFTER_MS);
    let part = { start, end: start + PART_BYTES };
    let begun: FetchedPart | undefined = first;
    try {
      for (;;) {
        await this.#range(part, scope, begun);
        begun = undefined;
        if (!pace.slow) this.#parted = false;
        if (!this.#parted || this.#next >= size) break;
        help();
        part = this.#take(size);
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

  #take(size: number): { start: number; end: number } {
    const start = this.#next;
    this.#next = Math.min(size, start + PART_BYTES);
    return { start, end: this.#next };
  }

  /** Requests until the range is whole. @param begun what the first request has been answered with already */
  async #range(
    { start, end }: { start: number; end: number },
    signal: AbortSignal | undefined,
    begun?: FetchedPart,
  ): Promise<void> {
    const { fetcher, writer, onRetry } = this.#options;
    let at = start;
    let fruitless = 0;
    let answered = begun;
    while (at < end) {
      const before = at;
      const wanted = { offset: at, length: end - at, signal };
      const part = answered ?? (await fetcher.fetchPart(writer.descriptor, wanted));
      answered = undefined;
      if (part.length > end - at) {
        // Another host than before, which would send this part and all behind it.
        part.body.destroy();
        this.#parted = false;
        return;
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
        onRetry();
        if (at - before < FRUITFUL_BYTES) await pause(fruitless, signal);
      }
    }
  }
}

function isRetryable(error: unknown): boolean {
  return error instanceof LandfallError && error.retryable && error.code !== 'ABORTED';
}

/** Exponential with full jitter, so that many clients of one broken registry do not come back together. */
async function pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
  await sleep(Math.random() * longest, undefined, { signal }).catch(() => throwIfAborted(signal));
}
