import type * as Koffi from 'koffi';
import { ffi } from '../calls/libc.js';

/**
 * The libraries that inflate here, called through the FFI: Intel's ISA-L, and the zlib that Node itself has.
 */
export type InflateLibrary = 'isa-l' | 'zlib';

export interface InflateStep {
  /** Bytes of the input that are used up. */
  readonly consumed: number;
  /** Bytes of the output that were written, from its start. */
  readonly produced: number;
  /** The member is whole, and its checksum and its length are those of its content. */
  readonly ended: boolean;
}

/**
 * Inflates what follows the header of one gzip member after another (RFC 1952 section 2.3): the deflate
 * blocks (RFC 1951), then CRC32 and ISIZE, which are verified. It holds native memory until it is closed.
 *
 * A step goes on until the input is used up, the output is full or the member has ended. Where the output is
 * full, more may be due even though the input is used up: the next step writes it, if need be from no input.
 * The buffers are the caller's at all times but during a step.
 */
export interface Inflater {
  /** Begins a member; before the first step, and after each member. */
  begin(): void;

  /** @throws {InflateError} the data is no deflate data, or not what its trailer says */
  step(input: Buffer, output: Buffer): InflateStep;

  /**
   * The same in a thread of libuv's pool. Until it settles, nothing may touch either buffer, and no other
   * step begin. The memory outlives the call, also where this is closed or its worker thread ended meanwhile.
   */
  stepAsync(input: Buffer, output: Buffer): Promise<InflateStep>;

  /** Gives the native memory back, at the end of the step that runs. May be called twice. */
  close(): void;
}

/** The data cannot be inflated: the message is the library's reason. */
export class InflateError extends Error {
  override readonly name: string = 'InflateError';
}

/** Where a library's struct has the fields that are set for each step. */
interface StreamLayout {
  readonly bytes: number;
  /**
   * Bytes behind the struct that the library must leave alone; a version with a larger struct changes them.
   */
  readonly guardBytes: number;
  /** Offsets: addresses of 64 bits, counts of 32. */
  readonly nextIn: number;
  readonly availIn: number;
  readonly nextOut: number;
  readonly availOut: number;
}

/**
 * How a library is called: a struct of it, here `stream`, says where input and output lie, and holds or names
 * its state.
 */
export interface InflateBinding {
  readonly layout: StreamLayout;
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
    const { bytes, guardBytes } = binding.layout;
    this.#stream = Buffer.allocUnsafeSlow(bytes + guardBytes)
      .fill(GUARD)
      .fill(0, 0, bytes);
  }

  /** Whether the library wrote only where its struct is. */
  get isContained(): boolean {
    return this.#stream.subarray(this.#binding.layout.bytes).every((byte) => byte === GUARD);
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
        // When a worker thread is ended, Node waits for calls in the pool before it frees the thread's
        // buffers.
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
    const { nextIn, availIn, nextOut, availOut } = this.#binding.layout;
    this.#stream.writeBigUInt64LE(ffi().address(input), nextIn);
    this.#stream.writeUInt32LE(input.length, availIn);
    this.#stream.writeBigUInt64LE(ffi().address(output), nextOut);
    this.#stream.writeUInt32LE(output.length, availOut);
  }

  #taken(input: Buffer, output: Buffer, status: number): InflateStep {
    const ended = this.#binding.ended(status, this.#stream);
    const consumed = input.length - this.#stream.readUInt32LE(this.#binding.layout.availIn);
    const produced = output.length - this.#stream.readUInt32LE(this.#binding.layout.availOut);
    return { consumed, produced, ended };
  }

  /** Native code that is called at the wrong time would write where it must not. */
  #requireIdle(): void {
    if (this.#isRunning) throw new Error('a step of this inflater is still running');
    if (this.#isClosed) throw new Error('this inflater is closed');
  }
}

/** `z_stream` of zlib.h on 64-bit Linux; zlib itself is told its size, and refuses another. */
const Z_STREAM = { bytes: 112, guardBytes: 0, nextIn: 0, availIn: 8, nextOut: 24, availOut: 32 } as const;
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
 * zlib as Node has it: its binary exports the functions; where Node was built with the system's zlib, they
 * are found there.
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
    layout: Z_STREAM,
    begin: (of) => {
      const status = isSetUp(of) ? reset(of) : init(of, WINDOW_BITS, VERSION, Z_STREAM.bytes);
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
  stream.writeBigUInt64LE(ffi().address(HEADER), Z_STREAM.nextIn);
  stream.writeUInt32LE(HEADER.length, Z_STREAM.availIn);
  // It has to lead somewhere, though nothing is written there.
  stream.writeBigUInt64LE(ffi().address(HEADER), Z_STREAM.nextOut);
  stream.writeUInt32LE(0, Z_STREAM.availOut);
}

/** Whatever fails before there is data is not the data's fault. */
function requireOk(status: number): void {
  if (status !== OK) throw new Error(`zlib cannot begin to inflate: it says ${status}`);
}

/** Of Debian's libisal2, and of any other ISA-L 2. */
const LIBRARY = 'libisal.so.2';

/** `struct inflate_state` of igzip_lib.h, as ISA-L 2.24 to 2.32 have it on 64-bit Linux. */
const INFLATE_STATE = {
  bytes: 87_368,
  guardBytes: 8192,
  nextIn: 16,
  availIn: 32,
  nextOut: 0,
  availOut: 8,
} as const;
const BLOCK_STATE = 21_160;
const CRC_FLAG = 21_172;
const WRAPPER_FLAG = 21_204;

/**
 * The bytes of the struct that each of the library's own functions clears: from the first to before the
 * second.
 */
const CLEARED_BY_INIT = [
  [0, 40],
  [BLOCK_STATE, 21_216],
] as const;
const CLEARED_BY_RESET = [
  [12, 16],
  [24, 32],
  [36, 40],
  [BLOCK_STATE, CRC_FLAG],
  [21_176, 21_180],
  [21_184, 21_216],
] as const;

/** ISAL_BLOCK_FINISH: everything was written, and the trailer found right. */
const BLOCK_FINISH = 5;
/**
 * ISAL_GZIP_NO_HDR_VER: no header, and a trailer that is verified. Headers are not its to read: it forgets a
 * header's flags where the input ends within it, and lets those pass that RFC 1952 reserves.
 */
const GZIP_NO_HEADER_VERIFIED = 6;

/** What is wrong with the data. */
const ISAL_REASONS: ReadonlyMap<number, string> = new Map([
  [-1, 'invalid block'],
  [-2, 'invalid symbol'],
  [-3, 'invalid distance too far back'],
  [-6, 'incorrect checksum or length'],
]);

type Clear = (state: Buffer) => void;

/**
 * Neither a function nor a number in the library tells which version it is, so its struct is known by what
 * its own functions clear in it: each field that is read or set here lies at a border of that. Another
 * version may be loaded all the same, and is refused.
 *
 * @throws Error where the struct is not laid out as {@link INFLATE_STATE}
 */
export function requireKnownState(init: Clear, reset: Clear): void {
  const known =
    clears(init, CLEARED_BY_INIT) &&
    clears((state) => {
      reset(state);
      // Cleared by it from 2.30 on.
      state.fill(0, WRAPPER_FLAG, WRAPPER_FLAG + 2);
    }, CLEARED_BY_RESET);
  if (!known) throw new Error('its state is laid out in another way than that of ISA-L 2.24 to 2.32');
}

function clears(clear: Clear, ranges: readonly (readonly [from: number, to: number])[]): boolean {
  const state = Buffer.alloc(INFLATE_STATE.bytes + INFLATE_STATE.guardBytes, GUARD);
  const expected = Buffer.from(state);
  for (const [from, to] of ranges) expected.fill(0, from, to);
  clear(state);
  return state.equals(expected);
}

/**
 * Intel's ISA-L where it is installed. All of its state lies in the struct.
 *
 * @throws Error where it is not, or is a version that is not known
 */
export function bindIsal(): InflateBinding {
  const isal = ffi().load(LIBRARY);
  const init = isal.func('isal_inflate_init', 'void', ['void *']) as Koffi.KoffiFunc<Clear>;
  const reset = isal.func('isal_inflate_reset', 'void', ['void *']) as Koffi.KoffiFunc<Clear>;
  requireKnownState(init, reset);
  const inflate = isal.func('isal_inflate', 'int', ['void *']) as StreamFunction;
  return {
    layout: INFLATE_STATE,
    begin: (stream) => {
      init(stream);
      stream.writeUInt32LE(GZIP_NO_HEADER_VERIFIED, CRC_FLAG);
    },
    inflate,
    inflateAsync: (stream, done) => {
      inflate.async(stream, done);
    },
    ended: (status, stream) => {
      if (status === OK) return stream.readUInt32LE(BLOCK_STATE) === BLOCK_FINISH;
      const reason = ISAL_REASONS.get(status);
      throw reason === undefined
        ? new Error(`ISA-L cannot go on: it says ${status}`)
        : new InflateError(reason);
    },
    end: () => undefined,
  };
}
