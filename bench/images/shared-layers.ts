import type { ImageRecipe } from '../contract.js';
import { SEVEN_LAYERS } from './seven-layers.js';

/** Of the seven layers: Debian's base, the scripting languages and the C compiler, which both images have. */
const SHARED = [0, 1, 2];
const GO = 3;
const RUST = 6;

/** Two images that have three of their four layers in common, some 230 MB of 310 and 325 MB. */
export const WITH_GO: ImageRecipe = withTop('shared-go', GO);
export const WITH_RUST: ImageRecipe = withTop('shared-rust', RUST);

function withTop(name: string, top: number): ImageRecipe {
  return {
    name,
    version: 1,
    async build(layout) {
      for (const index of [...SHARED, top]) await layout.addLayerOf(SEVEN_LAYERS, index);
    },
  };
}
