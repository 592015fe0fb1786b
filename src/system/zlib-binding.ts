import type * as Koffi from 'koffi';
import { ffi } from './ffi.js';
import { InflateError } from './inflater.js';
import type { InflateBinding } from './native-inflater.js';

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
