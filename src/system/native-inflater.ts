import type * as Koffi from 'koffi';
import { ffi } from './ffi.js';
import { InflateError, type Inflater, type InflateStep } from './inflater.js';

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

/** `z_stream` of zlib.h on 64-bit Linux; zlib itself is told its size, and refuses another. */
const STREAM_BYTES = 112;
const NEXT_IN = 0;
const AVAIL_IN = 8;
const NEXT_OUT = 24;
const AVAIL_OUT = 32;
const MESSAGE = 48;
const STATE = 56;

const OK = 0;
const STREAM_END = 1;
const DATA_ERROR = -3;
/** Nothing could be done yet, which is no error. */
const BUF_ERROR = -5;
const NO_FLUSH = 0;
/** A window of 32 KiB and, by the 16, gzip alone. */
const WINDOW_BITS = 15 + 16;

/** The first figure alone is compared. */
const VERSION = Buffer.from('1\0', 'latin1');
/** The shortest header there is: zlib verifies a member's trailer only where it has seen a header. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

type StreamFunction = Koffi.KoffiFunc<(stream: Buffer) => number>;

/**
 * zlib as Node has it: its binary exports the functions; where Node was built with the system's zlib, they are found there.
 *
 * @throws Error where they are not found
 */
export function bindZlib(): InflateBinding {
  const { load, decode } = ffi();
  const node = load(null);
  const stream = 'void *';
  const init = node.func('inflateInit2_', 'int', [stream, 'int', 'void *', 'int']) as Koffi.KoffiFunc<
    (stream: Buffer, windowBits: number, version: Buffer, size: number) => number
  >;
  const inflate = node.func('inflate', 'int', [stream, 'int']) as Koffi.KoffiFunc<
    (stream: Buffer, flush: number) => number
  >;
  const reset = node.func('inflateReset', 'int', [stream]) as StreamFunction;
  const end = node.func('inflateEnd', 'int', [stream]) as StreamFunction;
  return {
    streamBytes: STREAM_BYTES,
    guardBytes: 0,
    nextIn: NEXT_IN,
    availIn: AVAIL_IN,
    nextOut: NEXT_OUT,
    availOut: AVAIL_OUT,
    begin: (of) => {
      const status = isSetUp(of) ? reset(of) : init(of, WINDOW_BITS, VERSION, STREAM_BYTES);
      requireOk(status);
      giveHeader(of);
      requireOk(inflate(of, NO_FLUSH));
    },
    inflate: (of) => inflate(of, NO_FLUSH),
    inflateAsync: (of, done) => {
      inflate.async(of, NO_FLUSH, done);
    },
    ended: (status, of) => {
      if (status === STREAM_END) return true;
      if (status === OK || status === BUF_ERROR) return false;
      if (status !== DATA_ERROR) throw new Error(`zlib cannot go on: it says ${status}`);
      throw new InflateError((decode(of, MESSAGE, 'str') as string | null) ?? 'invalid data');
    },
    end: (of) => {
      if (isSetUp(of)) end(of);
    },
  };
}

function isSetUp(stream: Buffer): boolean {
  return stream.readBigUInt64LE(STATE) !== 0n;
}

function giveHeader(stream: Buffer): void {
  stream.writeBigUInt64LE(ffi().address(HEADER), NEXT_IN);
  stream.writeUInt32LE(HEADER.length, AVAIL_IN);
  // It has to lead somewhere, though nothing is written there.
  stream.writeBigUInt64LE(ffi().address(HEADER), NEXT_OUT);
  stream.writeUInt32LE(0, AVAIL_OUT);
}

/** Whatever fails before there is data is not the data's fault. */
function requireOk(status: number): void {
  if (status !== OK) throw new Error(`zlib cannot begin to inflate: it says ${status}`);
}
