import { ffi } from './ffi.js';
import type { Inflater, InflateStep } from './inflater.js';

/** How a library is called: a struct of it, here `stream`, says where input and output lie, and holds or names its state. */
export interface InflateBinding {
  /** Bytes of the struct. */
  readonly streamBytes: number;
  /** Bytes behind it by which it is seen whether the library takes it for a larger one. */
  readonly guardBytes: number;
  /** Offsets in the struct: addresses of 64 bits, counts of 32. */
  readonly nextIn: number;
  readonly availIn: number;
  readonly nextOut: number;
  readonly availOut: number;
  /** Sets up a struct, which is zeros at first, for a member whose header was read. */
  begin(stream: Buffer): void;
  /** Goes on from input to output; answers what `ended` understands. */
  inflate(stream: Buffer): number;
  /** The same in a thread of libuv's pool. */
  inflateAsync(stream: Buffer, done: (error: Error | null, status: number) => void): void;
  /**
   * Whether the member has ended.
   *
   * @throws {InflateError} for a status that tells of bad data
   */
  ended(status: number, stream: Buffer): boolean;
  /** Frees what the library allocated for a struct, be it set up or zeros. */
  end(stream: Buffer): void;
}

const GUARD = 0xa5;

/** An inflater over a library's own functions. */
export class NativeInflater implements Inflater {
  readonly #binding: InflateBinding;
  /** The library keeps its address, so it has memory of its own that never moves. */
  readonly #stream: Buffer;
  #isRunning = false;
  #isClosed = false;

  constructor(binding: InflateBinding) {
    this.#binding = binding;
    const { streamBytes, guardBytes } = binding;
    this.#stream = Buffer.allocUnsafeSlow(streamBytes + guardBytes)
      .fill(GUARD)
      .fill(0, 0, streamBytes);
  }

  /** Whether the library wrote only where its struct is. */
  get isContained(): boolean {
    return this.#stream.subarray(this.#binding.streamBytes).every((byte) => byte === GUARD);
  }

  begin(): void {
    this.#requireIdle();
    this.#binding.begin(this.#stream);
  }

  step(input: Buffer, output: Buffer): InflateStep {
    this.#give(input, output);
    return this.#taken(input, output, this.#binding.inflate(this.#stream));
  }

  async stepAsync(input: Buffer, output: Buffer): Promise<InflateStep> {
    this.#give(input, output);
    this.#isRunning = true;
    try {
      const status = await new Promise<number>((resolve, reject) => {
        // When a worker thread is ended, Node waits for calls in the pool before it frees the thread's buffers.
        this.#binding.inflateAsync(this.#stream, (error, result) => {
          if (error === null) resolve(result);
          else reject(error);
        });
      });
      return this.#taken(input, output, status);
    } finally {
      this.#isRunning = false;
      if (this.#isClosed) this.#binding.end(this.#stream);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isRunning) this.#binding.end(this.#stream);
  }

  #give(input: Buffer, output: Buffer): void {
    this.#requireIdle();
    const { nextIn, availIn, nextOut, availOut } = this.#binding;
    this.#stream.writeBigUInt64LE(ffi().address(input), nextIn);
    this.#stream.writeUInt32LE(input.length, availIn);
    this.#stream.writeBigUInt64LE(ffi().address(output), nextOut);
    this.#stream.writeUInt32LE(output.length, availOut);
  }

  #taken(input: Buffer, output: Buffer, status: number): InflateStep {
    const ended = this.#binding.ended(status, this.#stream);
    const consumed = input.length - this.#stream.readUInt32LE(this.#binding.availIn);
    const produced = output.length - this.#stream.readUInt32LE(this.#binding.availOut);
    return { consumed, produced, ended };
  }

  /** Native code that is called at the wrong time would write where it must not. */
  #requireIdle(): void {
    if (this.#isRunning) throw new Error('a step of this inflater is still running');
    if (this.#isClosed) throw new Error('this inflater is closed');
  }
}
