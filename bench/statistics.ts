/** What there is to say of a few measurements of one thing, in their unit. */
export interface Summary {
  readonly median: number;
  readonly minimum: number;
  readonly maximum: number;
}

/** Throws where there is nothing to summarize. */
export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const minimum = sorted[0];
  const maximum = sorted.at(-1);
  if (minimum === undefined || maximum === undefined) throw new Error('nothing was measured');
  const upper = sorted[sorted.length >> 1] ?? NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? NaN;
  return { median: (lower + upper) / 2, minimum, maximum };
}

export function median(values: readonly number[]): number {
  return summarize(values).median;
}

/** How far the values lie apart, as a part of their median: 0.1 is ten percent. */
export function spread({ median: middle, minimum, maximum }: Summary): number {
  return (maximum - minimum) / middle;
}

/**
 * One contestant against another, each measured once in every round. Below 1, the first took less. Where the
 * machine was slow for a while, both took long in the same rounds, and the ratios within a round say more
 * than that of the medians; where the two differ much, neither is to be believed.
 */
export interface Ratio {
  readonly ofMedians: number;
  /** Of the ratios within a round: their median, least and most. */
  readonly byRound: Summary;
}

/** Value by value of the same rounds. Throws where the numbers of rounds differ. */
export function ratioOf(values: readonly number[], reference: readonly number[]): Ratio {
  if (values.length !== reference.length) throw new Error('not measured in the same rounds');
  return {
    ofMedians: median(values) / median(reference),
    byRound: summarize(values.map((value, round) => value / (reference[round] ?? NaN))),
  };
}
