/// <reference lib="es2024.sharedmemory" />
import { abortedError, throwIfAborted, type Abortable } from '../errors.js';

export type OffsetState = 'growing' | 'complete' | 'failed';

const STATES: readonly OffsetState[] = ['growing', 'complete', 'failed'];
const GROWING = 0;
const COMPLETE = 1;
const FAILED = 2;

/** Layout of the shared memory: 8 bytes of count, then two 32-bit words. */
const BYTES = 0;
const STATE = 2;
const SEQUENCE = 3;
const LAYOUT_BYTES = 16;

/**
 * How long one wait in the shared memory lasts before it looks again. `Atomics.waitAsync` cannot be
 * cancelled, so this is also how long an aborted wait leaves something behind.
 */
const WAIT_SLICE_MS = 5_000;

/**
 * How much of a growing file can be read: the contiguous bytes from its start, and whether more will come. It
 * lives in shared memory, so the thread that writes the file advances it and any number of threads that read
 * the file wait on it; pass {@link buffer} to the other thread and construct it there again.
 *
 * One thread writes. The count never goes back, and the state leaves `growing` once: what comes later is
 * ignored.
 */
export class SharedOffset {
  readonly buffer: SharedArrayBuffer;
  readonly #counts: BigInt64Array;
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(LAYOUT_BYTES)) {
    this.buffer = buffer;
    this.#counts = new BigInt64Array(buffer, 0, 1);
    this.#words = new Int32Array(buffer, 0, LAYOUT_BYTES / 4);
  }

  get bytes(): number {
    return Number(Atomics.load(this.#counts, BYTES));
  }

  get state(): OffsetState {
    return STATES[Atomics.load(this.#words, STATE)] ?? 'failed';
  }

  /** The bytes up to `to` can be read from now on. */
  advance(to: number): void {
    if (this.state !== 'growing' || to <= this.bytes) return;
    Atomics.store(this.#counts, BYTES, BigInt(to));
    this.#wake();
  }

  /** Nothing more will come: the file is whole. */
  complete(): void {
    this.#finish(COMPLETE);
  }

  /** Nothing more will come: whoever reads gives up. */
  fail(): void {
    this.#finish(FAILED);
  }

  /**
   * Resolves when more than `after` bytes can be read, when the state is no longer `growing`, or when
   * `timeoutMs` have passed. Keeps the event loop alive meanwhile. Any number of waits may run at once.
   *
   * @throws LandfallError ABORTED
   */
  async wait(after: number, o: Abortable & { timeoutMs?: number } = {}): Promise<void> {
    throwIfAborted(o.signal);
    const deadline = o.timeoutMs === undefined ? Infinity : performance.now() + o.timeoutMs;
    for (;;) {
      // Read before the condition is: a change in between makes the wait below return at once.
      const sequence = Atomics.load(this.#words, SEQUENCE);
      if (this.bytes > after || this.state !== 'growing') return;
      const left = deadline - performance.now();
      if (left <= 0) return;
      await this.#sleep(sequence, Math.min(left, WAIT_SLICE_MS), o.signal);
    }
  }

  /** Until the sequence is no longer the given one, or for some time. */
  async #sleep(sequence: number, milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    const change = Atomics.waitAsync(this.#words, SEQUENCE, sequence, milliseconds);
    if (!change.async) return;
    // A pending waitAsync does not keep the event loop alive; a timer does.
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(resolve, milliseconds);
        onAbort = (): void => reject(abortedError(signal));
        signal?.addEventListener('abort', onAbort, { once: true });
        void change.value.then(() => resolve());
      });
    } finally {
      clearTimeout(timer);
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
    }
  }

  #finish(state: typeof COMPLETE | typeof FAILED): void {
    if (Atomics.compareExchange(this.#words, STATE, GROWING, state) === GROWING) this.#wake();
  }

  #wake(): void {
    Atomics.add(this.#words, SEQUENCE, 1);
    Atomics.notify(this.#words, SEQUENCE);
  }
}
