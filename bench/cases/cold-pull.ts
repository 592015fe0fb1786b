import type { BenchCase, BenchEnvironment, Contestant, ImageRecipe, PublishedImage } from '../contract.js';
import { ONE_LAYER } from '../images/one-layer.js';
import { SEVEN_LAYERS, SEVEN_LAYERS_ZSTD } from '../images/seven-layers.js';
import { SMALL_FILES } from '../images/small-files.js';
import {
  CONTAINERD,
  CONTAINERD_GO,
  CONTAINERD_UNPIGZ,
  CONTAINERDS,
  containerd,
  containerdByInflater,
} from '../peers/containerd.js';
import {
  LANDFALL,
  LANDFALL_ISA_L,
  LANDFALL_ZLIB,
  landfallByInflater,
  landfallPull,
} from '../peers/landfall.js';
import { SHELL_FLOOR, shellFloor } from '../peers/shell-floor.js';
import { skopeoUmoci } from '../peers/skopeo.js';
import { peakOf, wallRatio, whateverInflates } from './promise.js';

/** Cold pulls: from a registry on loopback to unpacked layers, into an empty store each time. */
interface ColdPull extends Omit<BenchCase, 'open'> {
  readonly recipe: ImageRecipe;
  readonly contestants: (environment: BenchEnvironment, image: PublishedImage) => Promise<Contestant[][]>;
}

function coldPull({ recipe, contestants, ...rest }: ColdPull): BenchCase {
  return {
    ...rest,
    open: async (environment) => {
      const image = await environment.publish(recipe);
      return {
        contestants: (await contestants(environment, image)).flat(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    },
  };
}

export const COLD_PULL: BenchCase = coldPull({
  id: 'a',
  title: 'seven layers',
  description:
    'A cold pull: Debian 13 and six layers of its packages, some 660 MB compressed with gzip -6 and 1.8 GB unpacked.',
  recipe: SEVEN_LAYERS,
  reference: CONTAINERDS,
  targets: [
    wallRatio(LANDFALL_ZLIB, CONTAINERDS, 0.38),
    wallRatio(LANDFALL_ZLIB, [SHELL_FLOOR], 0.87),
    wallRatio(LANDFALL_ISA_L, CONTAINERDS, 0.33),
    wallRatio(LANDFALL_ISA_L, [SHELL_FLOOR], 0.75),
    { figure: 'cpu', of: LANDFALL_ZLIB, compare: 'ratio', against: [CONTAINERD_GO], atMost: 0.6 },
    peakOf(LANDFALL_ZLIB),
    peakOf(LANDFALL_ISA_L),
  ],
  contestants: async (environment, image) => [
    await containerdByInflater(environment, image),
    await skopeoUmoci(environment, image.reference),
    await shellFloor(environment, image),
    await landfallByInflater(environment, image),
  ],
});

export const COLD_PULL_ONE_LAYER: BenchCase = coldPull({
  id: 'b',
  title: 'one layer',
  description:
    'A cold pull of one layer: the packages of (a) without its base, with two browsers, some 850 MB compressed with gzip -6 and 2.3 GB unpacked.',
  recipe: ONE_LAYER,
  reference: CONTAINERDS,
  targets: whateverInflates([CONTAINERD_UNPIGZ], 0.6),
  contestants: async (environment, image) => [
    await containerdByInflater(environment, image),
    await shellFloor(environment, image),
    await landfallByInflater(environment, image),
  ],
});

export const COLD_PULL_ZSTD: BenchCase = coldPull({
  id: 'e',
  title: 'seven layers, zstd',
  description: 'A cold pull of the files of (a), with each layer compressed with zstd -3.',
  recipe: SEVEN_LAYERS_ZSTD,
  reference: [CONTAINERD],
  targets: [wallRatio(LANDFALL, [CONTAINERD], 0.5), peakOf(LANDFALL)],
  contestants: async (environment, image) => [
    await containerd(environment, image),
    [await landfallPull({ ...image, name: LANDFALL })],
  ],
});

export const COLD_PULL_SMALL_FILES: BenchCase = coldPull({
  id: 'f',
  title: '100,000 small files',
  description: 'A cold pull of 100,000 files of 0.5 to 16 KB in four layers, compressed with gzip -6.',
  recipe: SMALL_FILES,
  reference: CONTAINERDS,
  targets: whateverInflates(CONTAINERDS, 0.6),
  contestants: async (environment, image) => [
    await containerdByInflater(environment, image),
    await shellFloor(environment, image),
    await landfallByInflater(environment, image),
  ],
});
