import type { ImageRecipe } from '../contract.js';
import { SEVEN_LAYERS } from './seven-layers.js';

/** Which of the seven layers is the largest. */
const JAVA = 4;

/** One layer of 154 MB compressed and 300 MB unpacked: that of the seven with the Java development kit. */
export const JAVA_LAYER: ImageRecipe = {
  name: 'java-layer',
  version: 1,
  build: (layout) => layout.addLayerOf(SEVEN_LAYERS, JAVA),
};
