import type { ImageRecipe } from '../contract.js';
import { treeOfPackages } from './debian-packages.js';
import { PACKAGE_GROUPS } from './seven-layers.js';

/** With the packages of the seven layers they make more than 800 MB. */
const BROWSERS: readonly string[] = ['chromium', 'firefox-esr'];

/**
 * The packages of all layers but the base, and two browsers, in one layer: some 850 MB compressed with gzip
 * -6.
 */
export const ONE_LAYER: ImageRecipe = {
  name: 'one-layer',
  version: 1,
  async build(layout, scratch) {
    const packages = [...Object.values(PACKAGE_GROUPS).flat(), ...BROWSERS];
    await layout.addTree(await treeOfPackages(scratch, 'all', packages), 'gzip');
  },
};
