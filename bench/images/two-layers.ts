import type { ImageRecipe } from '../contract.js';
import { SEVEN_LAYERS } from './seven-layers.js';

/** Debian's base, and Go's compiler with its sources: many small files. */
const INDEXES = [0, 3];

/**
 * Two of the seven layers, 128 MB compressed and 384 MB unpacked: little enough for a disk that is soon
 * throttled.
 */
export const TWO_LAYERS: ImageRecipe = {
  name: 'two-layers',
  version: 1,
  async build(layout) {
    for (const index of INDEXES) await layout.addLayerOf(SEVEN_LAYERS, index);
  },
};
