/** Bytes that had arrived at a moment, in milliseconds. */
export interface Sample {
  readonly at: number;
  readonly bytes: number;
}
/** Oldest first. */
export type Samples = readonly Sample[];

/** Milliseconds over which a rate is taken: short enough to follow, long enough to be read. */
const WINDOW = 3000;
/** Milliseconds between samples that are kept. */
const GRAIN = 100;

/**
 * The samples with one more, without what is too old to count and without more than {@link GRAIN} asks for.
 */
export function withSample(samples: Samples, sample: Sample): Samples {
  const last = samples.at(-1);
  const before = samples.at(-2);
  const kept =
    last !== undefined && before !== undefined && last.at - before.at < GRAIN
      ? samples.slice(0, -1)
      : samples;
  return [...kept.filter(({ at }) => at >= sample.at - WINDOW), sample];
}

/**
 * Bytes per second over the window that ends `now`; undefined while there is too little to tell. A stream
 * that stalls slows down and comes to 0, though it gives no samples.
 */
export function rateOf(samples: Samples, now: number): number | undefined {
  const recent = samples.filter(({ at }) => at >= now - WINDOW);
  const first = recent[0];
  const last = recent.at(-1);
  if (first === undefined || last === undefined) return samples.length > 1 ? 0 : undefined;
  const span = Math.max(now, last.at) - first.at;
  return span < GRAIN ? undefined : ((last.bytes - first.bytes) * 1000) / span;
}
