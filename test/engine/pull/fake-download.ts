import { type Deferred, deferred } from '../../../src/concurrency/index.js';
import { ByteRanges, type ByteSpan } from '../../../src/content/index.js';
import type { IngestWriter } from '../../../src/content/index.js';
import type { BlobDownloadOptions } from '../../../src/engine/pull/blob-download.js';
import type { ExtraConnection, HelpedDownload } from '../../../src/engine/pull/pull-budget.js';
import { RegistryError, throwIfAborted } from '../../../src/errors.js';
import type { FetchOptions, FetchedPart, Fetcher } from '../../../src/registry/index.js';
import { patterned } from '../../support/registry-fixture.js';

export const MEBIBYTE: number = 1024 * 1024;
/** Bytes that a fake host sends at once. */
export const BATCH: number = MEBIBYTE / 4;
/** What there is to be brought. */
export const content: Buffer = patterned(24 * MEBIBYTE);
const broken = (): Error => new RegistryError('UNAVAILABLE', 'the connection broke', { retryable: true });

/** What becomes of one request, asked for `start` to before `end`. */
export interface Answer {
  /** Breaks off after so many bytes. Default: brings all. */
  readonly breaksAfter?: number;
  readonly error?: () => Error;
  /** Sends everything to the end, whatever was asked for. */
  readonly ignoresRange?: boolean;
  /** Waits for it before each batch but the first. */
  readonly after?: Promise<unknown>;
}

/** A host with the content, in batches. */
export class FakeHost implements Pick<Fetcher, 'fetchPart'> {
  readonly asked: ByteSpan[] = [];
  open = 0;
  readonly #answer: (nth: number) => Answer;

  constructor(answer: (nth: number) => Answer = () => ({})) {
    this.#answer = answer;
  }

  async fetchPart(_blob: unknown, { offset = 0, length = 0, signal }: FetchOptions): Promise<FetchedPart> {
    throwIfAborted(signal);
    const asked = { start: offset, end: offset + length };
    this.asked.push(asked);
    const answer = this.#answer(this.asked.length);
    const end = answer.ignoresRange === true ? content.length : asked.end;
    const until = Math.min(end, offset + (answer.breaksAfter ?? Infinity));
    this.open += 1;
    let at = offset;
    let isOpen = true;
    // As a request over HTTP does for as long as it lasts.
    signal?.addEventListener('abort', () => undefined);
    return await Promise.resolve({
      length: end - offset,
      body: {
        next: async () => {
          if (at > offset) await Promise.race([answer.after, aborted(signal)]);
          throwIfAborted(signal);
          if (at === until && until < end) throw (answer.error ?? broken)();
          if (at === until) return undefined;
          const batch = content.subarray(at, Math.min(until, at + BATCH));
          at += batch.length;
          return [batch];
        },
        destroy: () => {
          if (isOpen) this.open -= 1;
          isOpen = false;
        },
      },
    });
  }
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    signal?.addEventListener('abort', () => resolve());
    if (signal === undefined) resolve();
  });
}

export class FakeWriter implements Pick<IngestWriter, 'missing' | 'write'> {
  readonly #written = new ByteRanges();
  readonly bytes: Buffer;
  /** Throws where a write is to fail, once. */
  fault: ((at: number) => Error | undefined) | undefined;

  constructor(size: number = content.length) {
    this.bytes = Buffer.alloc(size);
  }

  missing(): readonly ByteSpan[] {
    return this.#written.gaps(0, this.bytes.length);
  }

  async write(at: number, ...chunks: readonly Uint8Array[]): Promise<void> {
    await Promise.resolve();
    const error = this.fault?.(at);
    if (error !== undefined) throw error;
    const bytes = Buffer.concat(chunks);
    bytes.copy(this.bytes, at);
    this.#written.add(at, at + bytes.length);
  }
}

/** Connections that the test gives, as many as it wants. */
export class Help {
  download: HelpedDownload | undefined;
  isOver = false;
  readonly begun: string[] = [];
  readonly ended: string[] = [];
  /** Resolves when one of them has ended. */
  readonly gone: Deferred<undefined> = deferred();
  readonly #whenKnown: (help: Help) => void;

  constructor(whenKnown: (help: Help) => void) {
    this.#whenKnown = whenKnown;
  }

  readonly add: NonNullable<BlobDownloadOptions['extra']>['add'] = (download) => {
    this.download = download;
    // Before so much has come that there is nothing to share.
    queueMicrotask(() => this.#whenKnown(this));
    return { came: () => undefined, end: () => void (this.isOver = true) };
  };

  give(name: string, mayStay = true): void {
    const connection: ExtraConnection = {
      mayStay,
      begun: () => this.begun.push(name),
      end: () => {
        this.ended.push(name);
        this.gone.resolve(undefined);
      },
    };
    this.download?.help(connection);
  }
}

/** Pauses after the first batch, so that several connections take turns. */
export function slowly(): Answer {
  return { after: new Promise((resolve) => setTimeout(resolve, 30)) };
}
