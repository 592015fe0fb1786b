import { createCipheriv } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageRecipe } from '../contract.js';
import { randomNumbers, textLike } from './text-like.js';

const LAYERS = 40;
/** About what a layer takes compressed, in bytes; evenly distributed by its logarithm. */
const SMALLEST = 64 << 10;
const LARGEST = 512 << 10;
const TEXT_FILES = 24;
const TEXT_FILE_BYTES = 4 << 10;

/**
 * Forty small layers, as many steps of a build leave them: in each one program, of 50 to 500 KB, and 24
 * texts.
 */
export const MANY_LAYERS: ImageRecipe = {
  name: 'many-layers',
  version: 1,
  async build(layout, scratch) {
    const random = randomNumbers(2);
    const texts = textLike(random, LAYERS * TEXT_FILES * TEXT_FILE_BYTES);
    for (let layer = 0; layer < LAYERS; layer += 1) {
      const tree = join(scratch, `layer-${layer}`);
      const directory = join(tree, 'opt', `step-${layer}`);
      await mkdir(directory, { recursive: true });
      const bytes = SMALLEST * (LARGEST / SMALLEST) ** (layer / (LAYERS - 1));
      await writeFile(join(directory, 'program'), incompressible(layer, Math.round(0.75 * bytes)));
      for (let file = 0; file < TEXT_FILES; file += 1) {
        const from = (layer * TEXT_FILES + file) * TEXT_FILE_BYTES;
        await writeFile(join(directory, `text-${file}`), texts.subarray(from, from + TEXT_FILE_BYTES));
      }
      await layout.addTree(tree, 'gzip');
      await rm(tree, { recursive: true });
    }
  },
};

/** The same bytes for the same seed, so that layers made anew have their digests again. */
function incompressible(seed: number, bytes: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(bytes));
}
