import { mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageRecipe } from '../contract.js';
import { type Random, randomNumbers, textLike } from './text-like.js';

const LAYERS = 4;
const DIRECTORIES_PER_LAYER = 500;
const FILES_PER_DIRECTORY = 50;
/**
 * In bytes; the logarithms of the sizes are evenly distributed, so that half of the files are below 2.8 KB.
 */
const SMALLEST = 512;
const LARGEST = 16 << 10;
const TEXT_BYTES = 4 << 20;

/**
 * 100,000 small files in four layers, as sources, documentation and modules of scripting languages have them.
 */
export const SMALL_FILES: ImageRecipe = {
  name: 'small-files',
  version: 1,
  async build(layout, scratch) {
    const random = randomNumbers(1);
    const text = textLike(random, TEXT_BYTES);
    for (let layer = 0; layer < LAYERS; layer += 1) {
      const tree = join(scratch, `layer-${layer}`);
      writeTree(tree, layer, text, random);
      await layout.addTree(tree, 'gzip');
      await rm(tree, { recursive: true });
    }
  },
};

function writeTree(tree: string, layer: number, text: Buffer, random: Random): void {
  for (let directory = 0; directory < DIRECTORIES_PER_LAYER; directory += 1) {
    const parts = ['usr/share', `part-${layer}`, `group-${directory % 20}`, `package-${directory}`];
    const path = join(tree, ...parts);
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < FILES_PER_DIRECTORY; file += 1) {
      const size = Math.round(SMALLEST * (LARGEST / SMALLEST) ** random());
      const from = Math.floor(random() * (text.length - size));
      writeFileSync(join(path, `module-${file}.txt`), text.subarray(from, from + size));
    }
  }
}
