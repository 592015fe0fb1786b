import { beforeAll, describe, expect, it } from 'vitest';
import { runSuite, SUITE_CASES, type SuiteVerdict, whyNoSuite } from '../support/snapshotter-suite.js';

/** Building it takes minutes where nothing of it was built before. */
const PATIENCE_MS = 900_000;

describe.skipIf(whyNoSuite() !== undefined)('containerd’s conformance suite for snapshotters', () => {
  let verdicts: ReadonlyMap<string, SuiteVerdict>;
  beforeAll(async () => {
    verdicts = await runSuite();
  }, PATIENCE_MS);

  it.each(SUITE_CASES)('%s', (name) => {
    const { verdict, log } = verdicts.get(name) ?? { verdict: 'none', log: [...verdicts.keys()].join(', ') };
    expect(verdict, log).toBe('PASS');
  });
});
