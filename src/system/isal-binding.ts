import type * as Koffi from 'koffi';
import { ffi } from './ffi.js';
import { InflateError } from './inflater.js';
import type { InflateBinding } from './native-inflater.js';

/** Of Debian's libisal2, and of any other ISA-L 2. */
const LIBRARY = 'libisal.so.2';

/**
 * `struct inflate_state` of igzip_lib.h, as ISA-L 2.28 to 2.32 have it on 64-bit Linux. Nothing tells its size, so behind
 * it lies a guard, which the probe finds changed where a version has a larger one.
 */
const STATE_BYTES = 87_368;
const GUARD_BYTES = 8192;
const NEXT_OUT = 0;
const AVAIL_OUT = 8;
const NEXT_IN = 16;
const AVAIL_IN = 32;
const BLOCK_STATE = 21_160;
const CRC_FLAG = 21_172;

/** ISAL_BLOCK_FINISH: everything was written, and the trailer found right. */
const BLOCK_FINISH = 5;
/**
 * ISAL_GZIP_NO_HDR_VER: no header, and a trailer that is verified. Headers are not its to read: it forgets a header's flags where
 * the input ends within it, and lets those pass that RFC 1952 reserves.
 */
const GZIP_NO_HEADER_VERIFIED = 6;

const OK = 0;
/** What is wrong with the data. */
const REASONS: ReadonlyMap<number, string> = new Map([
  [-1, 'invalid block'],
  [-2, 'invalid symbol'],
  [-3, 'invalid distance too far back'],
  [-6, 'incorrect checksum or length'],
]);

/**
 * Intel's ISA-L where it is installed. All of its state lies in the struct.
 *
 * @throws Error where it is not
 */
export function bindIsal(): InflateBinding {
  const isal = ffi().load(LIBRARY);
  const init = isal.func('isal_inflate_init', 'void', ['void *']) as Koffi.KoffiFunc<
    (stream: Buffer) => void
  >;
  const inflate = isal.func('isal_inflate', 'int', ['void *']) as Koffi.KoffiFunc<(stream: Buffer) => number>;
  return {
    streamBytes: STATE_BYTES,
    guardBytes: GUARD_BYTES,
    nextIn: NEXT_IN,
    availIn: AVAIL_IN,
    nextOut: NEXT_OUT,
    availOut: AVAIL_OUT,
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
      const reason = REASONS.get(status);
      throw reason === undefined
        ? new Error(`ISA-L cannot go on: it says ${status}`)
        : new InflateError(reason);
    },
    end: () => undefined,
  };
}
