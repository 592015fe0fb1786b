import type { Target } from '../contract.js';
import { LANDFALL_ISA_L, LANDFALL_ZLIB } from '../peers/landfall.js';

/** What a pull may hold at once, whatever it pulls. */
const PEAK_BYTES = 200e6;

/** No longer than a part of what the fastest of the others takes. */
export function wallRatio(of: string, against: readonly string[], atMost: number): Target {
  return { figure: 'wall', of, compare: 'ratio', against, atMost };
}

/** Not more memory than any pull may take. */
export function peakOf(of: string): Target {
  return { figure: 'peak', of, compare: 'value', atMost: PEAK_BYTES };
}

/** Both of these, whatever inflates. */
export function whateverInflates(against: readonly string[], atMost: number): readonly Target[] {
  const both = [LANDFALL_ZLIB, LANDFALL_ISA_L];
  return [...both.map((of) => wallRatio(of, against, atMost)), ...both.map((of) => peakOf(of))];
}
