import { mutateArchive } from './mutate-archive.js';
import { randomLayer } from './random-layer.js';
import type { Random } from './random.js';

/** An archive that is right, or nearly. */
export function randomArchive(random: Random, seeds: readonly Buffer[]): Buffer {
  const made = seeds.length === 0 || random.chance(0.5) ? randomLayer(random) : random.pick(seeds);
  return random.chance(0.7) ? mutateArchive(made, random) : made;
}
