import type { Target } from '../contract.js';

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
