import { type Abortable, ContentError, throwIfAborted } from '../../errors.js';
import { createDigester, type Descriptor, type Digester, exactSize } from '../../spec/index.js';
import { type Telling, tellingCaller } from '../../concurrency/index.js';
import { SharedOffset } from '../../system/index.js';
import type { ByteSpan, IngestProgress } from './content-store.js';

/** Where arriving bytes are put, and read back from where they came out of order. */
export interface ByteSink {
  /** Begins before it returns to its caller, so that other work can be done meanwhile. */
  write(at: number, chunks: readonly Uint8Array[]): Promise<void>;
  /** At most `length` bytes from `at`, and at least one; the range was written before. */
  read(at: number, length: number): Promise<Uint8Array>;
}

/** What has arrived of a blob, for who only looks. */
export type WrittenBytes = Pick<ByteRanges, 'prefix' | 'spans' | 'bytes'>;

/**
 * Hashing is synchronous, at some 2 GB/s: a piece of this size holds up the event loop for half a
 * millisecond.
 */
const PIECE_BYTES = 1024 * 1024;

/**
 * The bytes of one blob as they arrive, in any order: keeps count of the offset, lets the digest follow it,
 * and says at the end whether they are what the descriptor says.
 *
 * Each byte is written once: what has arrived before, or is being written by a call under way, is not written
 * again, so that bytes which the digest or a reader has seen can never change afterwards.
 */
export class ArrivingBytes {
  readonly #descriptor: Descriptor;
  readonly #sink: ByteSink;
  /** Made anew where it has seen bytes that could not be written. */
  #digester: Digester;
  readonly #shared = new SharedOffset();
  /** Written, or about to be by a call under way. */
  readonly #claimed = new ByteRanges();
  readonly #written = new ByteRanges();
  readonly #underWay = new Set<Promise<void>>();
  /** How far the digest has come: beyond the offset only by what a call under way is writing. */
  #digested = 0;
  #catchingUp: Promise<void> | undefined;

  /** @throws SpecError INVALID_DIGEST for an algorithm that cannot be verified */
  constructor(descriptor: Descriptor, sink: ByteSink) {
    this.#descriptor = descriptor;
    this.#sink = sink;
    this.#digester = createDigester(descriptor.digest);
  }

  get offset(): number {
    return this.#written.prefix;
  }

  get shared(): SharedArrayBuffer {
    return this.#shared.buffer;
  }

  get written(): WrittenBytes {
    return this.#written;
  }

  /** What has not arrived, in order. */
  missing(): readonly ByteSpan[] {
    return this.#written.gaps(0, this.#descriptor.size);
  }

  /** Takes over bytes that the sink holds already: they are digested anew, not trusted. */
  async resume(spans: readonly ByteSpan[], o: Abortable = {}): Promise<void> {
    for (const { start, end } of spans) this.#claimed.add(start, end);
    const end = this.#claimed.prefix;
    while (this.offset < end) {
      throwIfAborted(o.signal);
      this.#written.add(0, Math.min(this.offset + PIECE_BYTES, end));
      await this.#catchUp();
    }
    for (const span of spans) this.#written.add(span.start, span.end);
    this.#shared.advance(end);
  }

  /** @throws ContentError SIZE_MISMATCH past the descriptor's size; what the sink throws */
  async write(at: number, chunks: readonly Uint8Array[]): Promise<void> {
    const end = at + bytesIn(chunks);
    if (!Number.isSafeInteger(at) || at < 0 || end > this.#descriptor.size)
      throw this.#wrongSize(end, 'more');
    const writing = this.#write({ start: at, end }, chunks);
    this.#underWay.add(writing);
    try {
      await writing;
    } finally {
      this.#underWay.delete(writing);
    }
  }

  /** Resolves when no write is under way any more, whatever became of it. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#underWay, this.#catchingUp]);
  }

  /** @throws ContentError SIZE_MISMATCH, after which more may be written; DIGEST_MISMATCH */
  async verify(): Promise<void> {
    await this.settle();
    const { digest, size } = this.#descriptor;
    if (this.offset !== size) throw this.#wrongSize(this.offset, 'only');
    await this.#catchUp();
    const actual = this.#digester.digest();
    if (actual !== digest) {
      throw new ContentError('DIGEST_MISMATCH', `the content of ${digest} has the digest ${actual}`, {
        details: { digest, expected: digest, actual },
        hint: 'The source or something on the way to it has altered the content; try another source.',
      });
    }
    this.#shared.complete();
  }

  /**
   * Tells readers in other threads that nothing more will come. Does nothing after {@link verify} succeeded.
   */
  fail(): void {
    this.#shared.fail();
  }

  async #write({ start: at, end }: ByteSpan, chunks: readonly Uint8Array[]): Promise<void> {
    const gaps = this.#claimed.gaps(at, end);
    for (const gap of gaps) this.#claimed.add(gap.start, gap.end);
    try {
      for (const gap of gaps) {
        for (let start = gap.start; start < gap.end; start += PIECE_BYTES) {
          const piece = { start, end: Math.min(start + PIECE_BYTES, gap.end) };
          await this.#put(piece, cutChunks(chunks, piece.start - at, piece.end - at));
        }
      }
    } catch (error) {
      for (const gap of gaps) {
        for (const lost of this.#written.gaps(gap.start, gap.end)) this.#claimed.remove(lost.start, lost.end);
      }
      throw error;
    }
    // Waiting here holds back a writer that is faster than the digest.
    await this.#catchUp();
  }

  /**
   * Bytes whose turn it is are digested while they are being written: both take about as long, on two cores.
   */
  async #put({ start, end }: ByteSpan, bytes: readonly Uint8Array[]): Promise<void> {
    const writing = this.#sink.write(start, bytes);
    const inOrder = start === this.#digested && this.#catchingUp === undefined;
    if (inOrder) {
      for (const chunk of bytes) this.#digester.update(chunk);
      this.#digested = end;
    }
    try {
      await writing;
    } catch (error) {
      if (inOrder) this.#digestAnew();
      throw error;
    }
    this.#written.add(start, end);
    this.#shared.advance(this.offset);
  }

  /**
   * What takes the place of bytes that could not be written may differ from them, so all that is there is
   * read again.
   */
  #digestAnew(): void {
    this.#digester = createDigester(this.#descriptor.digest);
    this.#digested = 0;
  }

  /** Brings the digest up to the offset, over bytes that arrived before those in front of them. */
  async #catchUp(): Promise<void> {
    while (this.#digested < this.offset) {
      this.#catchingUp ??= this.#readBack().finally(() => {
        this.#catchingUp = undefined;
      });
      await this.#catchingUp;
    }
  }

  async #readBack(): Promise<void> {
    while (this.#digested < this.offset) {
      const digester = this.#digester;
      const length = Math.min(PIECE_BYTES, this.offset - this.#digested);
      const bytes = await this.#sink.read(this.#digested, length);
      if (digester !== this.#digester) continue;
      digester.update(bytes);
      this.#digested += bytes.byteLength;
    }
  }

  #wrongSize(actual: number, comparison: 'more' | 'only'): ContentError {
    const { digest, size } = this.#descriptor;
    const message =
      comparison === 'more'
        ? `the content of ${digest} has more than the ${exactSize(size)} that were announced`
        : `the content of ${digest} has only ${exactSize(actual)} of the ${exactSize(size)} that were announced`;
    return new ContentError('SIZE_MISMATCH', message, {
      details: { digest, expected: size, actual },
      hint: 'The source sent something else than its manifest says; try again, or another source.',
    });
  }
}

/** How many bytes some chunks have together. */
export function bytesIn(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
}

/**
 * The bytes of chunks, one behind the other, from `start` up to and without `end`; views of them, not copies.
 */
export function cutChunks(chunks: readonly Uint8Array[], start: number, end: number): readonly Uint8Array[] {
  const cut: Uint8Array[] = [];
  let at = 0;
  for (const chunk of chunks) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, chunk.byteLength);
    at += chunk.byteLength;
    if (from < to) cut.push(to - from === chunk.byteLength ? chunk : chunk.subarray(from, to));
    if (at >= end) break;
  }
  return cut;
}

/** A set of byte offsets, as the few ranges it consists of. */
export class ByteRanges {
  /** Sorted, not empty, neither overlapping nor touching. */
  #spans: readonly ByteSpan[] = [];

  add(start: number, end: number): void {
    if (end <= start) return;
    const touches = (span: ByteSpan): boolean => span.start <= end && span.end >= start;
    const joined = this.#spans.filter(touches);
    const merged = {
      start: Math.min(start, ...joined.map((span) => span.start)),
      end: Math.max(end, ...joined.map((span) => span.end)),
    };
    this.#spans = [...this.#spans.filter((span) => !touches(span)), merged].sort((a, b) => a.start - b.start);
  }

  remove(start: number, end: number): void {
    if (end <= start) return;
    this.#spans = this.#spans.flatMap((span) => [
      ...(span.start < Math.min(span.end, start)
        ? [{ start: span.start, end: Math.min(span.end, start) }]
        : []),
      ...(Math.max(span.start, end) < span.end ? [{ start: Math.max(span.start, end), end: span.end }] : []),
    ]);
  }

  /** What of a range is not in the set, in order. */
  gaps(start: number, end: number): ByteSpan[] {
    const gaps: ByteSpan[] = [];
    let at = start;
    for (const span of this.#spans) {
      if (span.end <= at) continue;
      if (span.start >= end) break;
      if (span.start > at) gaps.push({ start: at, end: span.start });
      at = span.end;
    }
    if (at < end) gaps.push({ start: at, end });
    return gaps;
  }

  /** The ranges, in order; neither overlapping nor touching. */
  get spans(): readonly ByteSpan[] {
    return this.#spans;
  }

  /** How many offsets are in the set. */
  get bytes(): number {
    return this.#spans.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Where the range that begins at 0 ends; 0 where there is none. */
  get prefix(): number {
    const first = this.#spans[0];
    return first?.start === 0 ? first.end : 0;
  }
}

/** The progress of a wait is reported at this interval, in ms. */
const TELL_EVERY_MS = 200;

/** A wait, and a look at the progress of what it waits for. */
export interface Waiting<T> extends Abortable {
  readonly wait: (o: Abortable) => Promise<T>;
  /** Undefined where there is nothing to be told. */
  readonly look: () => Promise<IngestProgress | undefined>;
  readonly onWait?: ((progress: IngestProgress) => void) | undefined;
  /** Gives back what came of the wait after all, where the callback has failed. */
  readonly undo?: (value: T) => Promise<void>;
}

/**
 * Tells now and then how far it is that is waited for, until it settles. A look that fails is left out; a
 * callback that throws ends the wait, with what it throws.
 */
export async function whileWaiting<T>({ signal, wait, look, onWait, undo }: Waiting<T>): Promise<T> {
  const waiting = async ({ onEvent: emit, ...o }: Telling<IngestProgress>): Promise<T> => {
    if (emit === undefined) return await wait(o);
    let settled = false;
    const timer = setInterval(() => {
      look().then(
        (progress) => {
          // A wait that has ended meanwhile reports nothing.
          if (!settled && progress !== undefined) emit(progress);
        },
        () => undefined,
      );
    }, TELL_EVERY_MS);
    try {
      return await wait(o);
    } finally {
      settled = true;
      clearInterval(timer);
    }
  };
  return await tellingCaller({ signal, onEvent: onWait }, waiting, undo);
}
