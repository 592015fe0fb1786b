/** The libraries that inflate here, called through the FFI: Intel's ISA-L, and the zlib that Node itself has. */
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
 * Inflates what follows the header of one gzip member after another (RFC 1952 section 2.3): the deflate blocks (RFC 1951), then
 * CRC32 and ISIZE, which are verified. It holds native memory until it is closed.
 *
 * A step goes on until the input is used up, the output is full or the member has ended. Where the output is full, more may be due even
 * though the input is used up: the next step writes it, if need be from no input. The buffers are the caller's at all times but during
 * a step.
 */
export interface Inflater {
  /** Begins a member; before the first step, and after each member. */
  begin(): void;

  /** @throws {InflateError} the data is no deflate data, or not what its trailer says */
  step(input: Buffer, output: Buffer): InflateStep;

  /**
   * The same in a thread of libuv's pool. Until it settles, nothing may touch either buffer, and no other step begin.
   * The memory outlives the call, also where this is closed or its worker thread ended meanwhile.
   */
  stepAsync(input: Buffer, output: Buffer): Promise<InflateStep>;

  /** Gives the native memory back, at the end of the step that runs. May be called twice. */
  close(): void;
}

/** The data cannot be inflated: the message is the library's reason. */
export class InflateError extends Error {
  override readonly name: string = 'InflateError';
}
