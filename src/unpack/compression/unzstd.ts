import type * as Binding from 'zstd-napi/binding.js';
import { LandfallError } from '../../errors.js';
import { badArchive, limitExceeded } from '../archive-error.js';
import { requireZeros } from './trailing-zeros.js';

const CHUNK_BYTES = 512 * 1024;
/** 128 MiB, what the zstd command accepts without being asked (and with `--long`): bounds the decoder's memory. */
const WINDOW_LOG_MAX = 27;

/**
 * Decompresses zstd, several frames and skippable frames too, so zstd:chunked layers read as any other. A chunk is valid
 * until the next is asked for.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage, truncation and trailing garbage, LIMIT_EXCEEDED for a window larger than
 *   128 MiB; UNSUPPORTED where the decoder cannot be loaded; and what the source throws
 */
export async function* unzstd(source: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const { DCtx, DParameter } = await loadBinding();
  const decoder = new DCtx();
  decoder.setParameter(DParameter.windowLogMax, WINDOW_LOG_MAX);
  const output = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let inFrame = false;
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    let input = next.value;
    let flushed = true;
    while (input.length > 0 || !flushed) {
      // No frame begins with a zero.
      if (!inFrame && input[0] === 0) {
        await requireZeros(input, source);
        return;
      }
      const [hint, produced, consumed] = decompressStream(decoder, output, input);
      input = input.subarray(consumed);
      inFrame = hint !== 0;
      flushed = !inFrame || produced < CHUNK_BYTES;
      if (produced > 0) yield output.subarray(0, produced);
    }
  }
  if (inFrame) throw badArchive('the zstd data is cut short');
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

/** Only layers that need it pay for loading it, and only they fail where it cannot be. */
async function loadBinding(): Promise<typeof Binding.default> {
  try {
    return (await import('zstd-napi/binding.js')).default;
  } catch (error) {
    throw new LandfallError('UNSUPPORTED', 'this installation cannot decompress zstd layers', {
      cause: error,
      hint: 'Install landfall again so that zstd-napi is built for this machine.',
    });
  }
}
