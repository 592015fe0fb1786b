import type * as Binding from 'zstd-napi/binding.js';
import { isLandfallError } from '../../errors.js';
import { loadNativeModule } from '../../native-module.js';
import type { Capability } from '../../system/index.js';
import { badArchive, limitExceeded } from '../terms/layer-fault.js';
import { DecoderInput, requireZeros } from './gunzip.js';
import { exactSize } from '../../spec/index.js';

const CHUNK_BYTES = 512 * 1024;
/**
 * 128 MiB, what the zstd command accepts without being asked (and with `--long`): bounds the decoder's
 * memory.
 */
const WINDOW_LOG_MAX = 27;

/** The longest header of a frame (RFC 8878 section 3.1.1.1), with its magic number. */
const HEADER_BYTES = 18;

type Zstd = typeof Binding.default;

/**
 * Decompresses zstd, several frames and skippable frames too, so zstd:chunked layers read as any other. A
 * chunk is valid until the next is asked for.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage, truncation and trailing garbage, LIMIT_EXCEEDED for a window
 *   larger than 128 MiB; UNSUPPORTED where the decoder cannot be loaded; and what the source throws
 */
export async function* unzstd(source: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  // Only layers that need it pay for loading it, and only they fail where it cannot be.
  const zstd = loadNativeModule('zstd-napi') as Zstd;
  const decoder = new zstd.DCtx();
  decoder.setParameter(zstd.DParameter.windowLogMax, WINDOW_LOG_MAX);
  const output = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const input = new DecoderInput(source);
  while (await input.has(1)) {
    // No frame begins with a zero.
    if (input.bytes[0] === 0) {
      await requireZeros(input.bytes, source);
      return;
    }
    await input.has(HEADER_BYTES);
    yield* decompressFrame(decoder, input, output, contentSize(zstd, input.bytes));
  }
}

/** What the header of a frame says that the frame holds; undefined where it does not, or is none. */
function contentSize(zstd: Zstd, header: Buffer): number | undefined {
  try {
    return zstd.getFrameContentSize(header) ?? undefined;
  } catch {
    // The decoder knows what is wrong with it.
    return undefined;
  }
}

/**
 * One frame, or a skippable one, which holds nothing.
 *
 * @param size - of its content, as its header says; the decoder does not hold a frame against it that ends
 *   with an empty block
 */
async function* decompressFrame(
  decoder: Binding.DCtx,
  input: DecoderInput,
  output: Buffer,
  size: number | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0;
  // Where the decoder sees a whole small frame at once it takes another way, on which it accepts and refuses
  // other frames.
  for (let most = 1; ; most = Infinity) {
    const [hint, produced, consumed] = decompressStream(decoder, output, input.bytes.subarray(0, most));
    input.drop(consumed);
    bytes += produced;
    if (produced > 0) yield output.subarray(0, produced);
    if (hint === 0) break;
    if (produced < CHUNK_BYTES && !(await input.has(1))) throw badArchive('the zstd data is cut short');
  }
  if (size !== undefined && size !== bytes) {
    throw badArchive(`the zstd data is damaged: a frame of ${exactSize(size)} holds ${exactSize(bytes)}`);
  }
}

function decompressStream(
  decoder: Binding.DCtx,
  output: Buffer,
  input: Buffer,
): [hint: number, produced: number, consumed: number] {
  try {
    return decoder.decompressStream(output, input);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (/too much memory/i.test(reason))
      throw limitExceeded('the zstd data needs more than 128 MiB to be decompressed');
    throw badArchive(`the zstd data is damaged: ${reason}`);
  }
}

/**
 * `land` and `fall` as two frames with checksums: a decoder that stops after the first frame shows itself
 * here.
 */
const TWO_FRAMES = Buffer.from('28b52ffd24042100006c616e64bb8a11d428b52ffd240421000066616c6c0efea0c9', 'hex');

/** Whether zstd layers can be read here, by reading one. Never throws. */
export async function probeZstd(): Promise<Capability> {
  try {
    let text = '';
    for await (const chunk of unzstd(chunksOf(TWO_FRAMES))) text += chunk.toString('latin1');
    return text === 'landfall'
      ? { available: true, detail: 'two frames were decompressed' }
      : { available: false, detail: 'the decoder does not read all frames' };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { available: false, detail, ...(isLandfallError(error) ? { hint: error.hint } : {}) };
  }
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield await Promise.resolve(bytes);
}
