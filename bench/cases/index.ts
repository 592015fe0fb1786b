import type { BenchCase } from '../contract.js';
import { COLD_PULL, COLD_PULL_ONE_LAYER, COLD_PULL_SMALL_FILES, COLD_PULL_ZSTD } from './cold-pull.js';
import { NO_UNPACK } from './no-unpack.js';
import { ON_DISK } from './on-disk.js';
import { SHARED_LAYERS } from './shared-layers.js';
import { START_UP } from './start-up.js';
import { CAPPED_CONNECTIONS, FAR_REGISTRY } from './through-proxy.js';
import { WARM_PULL } from './warm-pull.js';

/** All cases, in the order in which they run and are shown. */
export const CASES: readonly BenchCase[] = [
  COLD_PULL,
  COLD_PULL_ONE_LAYER,
  FAR_REGISTRY,
  CAPPED_CONNECTIONS,
  COLD_PULL_ZSTD,
  COLD_PULL_SMALL_FILES,
  WARM_PULL,
  SHARED_LAYERS,
  NO_UNPACK,
  START_UP,
  ON_DISK,
];
