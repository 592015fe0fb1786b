import { isLandfallError } from '../../errors.js';
import type { Capability } from '../../system/index.js';
import { unzstd } from './unzstd.js';

/** `land` and `fall` as two frames with checksums: a decoder that stops after the first frame shows itself here. */
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
