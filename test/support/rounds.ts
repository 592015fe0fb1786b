/**
 * How often a test repeats what happens by chance: `long` times under LANDFALL_LONG, and a few times
 * otherwise.
 */
export function rounds(o: { readonly short: number; readonly long: number }): number {
  return isLong ? o.long : o.short;
}

/** Whether this is `npm run test:long`. */
export const isLong: boolean = (process.env['LANDFALL_LONG'] ?? '') !== '';
