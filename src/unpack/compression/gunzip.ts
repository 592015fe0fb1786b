import { InflateError, type Inflater, type InflateStep } from '../../system/index.js';
import { DecoderInput } from './decoder-input.js';
import { gzipCutShort, gzipDamaged } from './gzip-error.js';
import { skipGzipHeader } from './gzip-header.js';
import { requireZeros } from './trailing-zeros.js';

/**
 * Measured on layers, with SHA-256 and the write of what is inflated: from 64 to 512 KiB nothing changes, since all of it
 * stays in the second-level cache; a call in another thread has to be worth its way there and back.
 */
const CHUNK_BYTES = 256 * 1024;

export interface GunzipOptions {
  /**
   * Asked before each chunk is handed out: whether the next is to be inflated in another thread meanwhile, because a core has
   * nothing else to do. Default: never.
   */
  readonly overlap?: (() => boolean) | undefined;
}

/**
 * Inflates gzip, several members too, and closes the inflater. A chunk is valid until the next is asked for.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage, truncation and trailing garbage; and what the source throws
 */
export async function* gunzip(
  source: AsyncIterator<Buffer>,
  inflater: Inflater,
  o: GunzipOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const input = new DecoderInput(source);
  const chunks = new InflatedChunks(inflater, input, o.overlap ?? (() => false));
  try {
    yield* chunks.ofAllMembers();
  } catch (error) {
    throw error instanceof InflateError ? gzipDamaged(error.message) : error;
  } finally {
    await chunks.close();
  }
  await requireZeros(input.bytes, source);
}

class InflatedChunks {
  readonly #inflater: Inflater;
  readonly #input: DecoderInput;
  readonly #overlap: () => boolean;
  #output: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  /** The other buffer, from the first overlap on. */
  #spare: Buffer | undefined;
  /** Bytes of the output that are inflated. */
  #filled = 0;
  /** A step into the empty output that runs while the other buffer is being used. */
  #ahead: Promise<InflateStep> | undefined;

  constructor(inflater: Inflater, input: DecoderInput, overlap: () => boolean) {
    this.#inflater = inflater;
    this.#input = input;
    this.#overlap = overlap;
  }

  /** Ends at the end of the input, or where zeros follow a member. */
  async *ofAllMembers(): AsyncGenerator<Buffer, void, undefined> {
    do {
      await skipGzipHeader(this.#input);
      this.#inflater.begin();
      for (let ended = false; !ended;) {
        ended = await this.#step();
        const isFull = this.#filled === CHUNK_BYTES;
        const isUsedUp = this.#input.bytes.length === 0;
        // Before the source is waited for, what there is is handed out: it may be a reason not to wait.
        if (isFull || (isUsedUp && this.#filled > 0)) yield this.#handOut(!ended);
        // A full output says nothing of the input: more may be due of what is used up.
        if (!ended && !isFull && !(await this.#input.has(1))) throw gzipCutShort();
      }
    } while ((await this.#input.has(1)) && this.#input.bytes[0] !== 0);
    if (this.#filled > 0) yield this.#handOut(false);
  }

  /** When it resolves, no thread touches the buffers any more. */
  async close(): Promise<void> {
    await this.#ahead?.catch(() => undefined);
    this.#inflater.close();
  }

  /** Fills the output as far as it can be. Whether the member has ended. */
  async #step(): Promise<boolean> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    const output = this.#output.subarray(this.#filled);
    const { consumed, produced, ended } = await (ahead ?? this.#inflater.step(this.#input.bytes, output));
    // No library is known to do so, but for no bytes may this go on for ever.
    if (consumed === 0 && produced === 0 && !ended && this.#input.bytes.length > 0)
      throw gzipDamaged('it leads nowhere');
    this.#input.drop(consumed);
    this.#filled += produced;
    return ended;
  }

  /** What is inflated. @param goesOn - there is more of the member */
  #handOut(goesOn: boolean): Buffer {
    const used = this.#output;
    const chunk = used.subarray(0, this.#filled);
    this.#filled = 0;
    if (goesOn && this.#input.bytes.length > 0 && this.#overlap()) {
      this.#output = this.#spare ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
      this.#spare = used;
      this.#ahead = this.#inflater.stepAsync(this.#input.bytes, this.#output);
      // Looked at when the next chunk is asked for, which may be never.
      this.#ahead.catch(() => undefined);
    }
    return chunk;
  }
}
