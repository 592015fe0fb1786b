import type { CoverageOptions } from 'vitest/node';

/**
 * Lines of each folder of `src/` that tests run in their own process, in per cent: what is reached, less two.
 * What runs only in the built command, in worker threads, or in daemons that tests start, is not seen.
 */
const LINES: Readonly<Record<string, number>> = {
  concurrency: 95,
  library: 79,
  metadata: 87,
  spec: 97,
  system: 81,
  trust: 96,
};

/** Collected by the nightly run. */
export const COVERED: CoverageOptions = {
  provider: 'v8',
  include: ['src/**/*.ts'],
  reporter: ['text-summary', 'json-summary'],
  thresholds: Object.fromEntries(
    Object.entries(LINES).map(([folder, lines]) => [`src/${folder}/**`, { lines }]),
  ),
};
