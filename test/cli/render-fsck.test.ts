import { expect, test } from 'vitest';
import { renderFsck } from '../../src/cli/commands/fsck.js';
import type { FsckProblem, FsckRemark, FsckReport } from '../../src/engine/upkeep/fsck-run.js';

function reportOf(problems: readonly FsckProblem[], remarks: readonly FsckRemark[] = []): FsckReport {
  const steps = [
    { name: 'layout', checked: 5, durationMs: 1, problems: 0, remarks: [] },
    { name: 'blobs', checked: 1200, durationMs: 3200, problems: problems.length, remarks },
  ] as const;
  const sound = problems.every(({ state }) => state === 'repaired');
  return { root: '/store', quick: false, repair: false, sound, steps, problems };
}

const problem: FsckProblem = {
  step: 'blobs',
  kind: 'blob-digest',
  subject: 'sha256:aa',
  path: '/store/blobs/sha256/aa',
  detail: 'its content reads as sha256:bb',
  images: ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
  state: 'found',
};

test('a sound store is a table and a sentence', () => {
  expect(renderFsck(reportOf([]))).toBe(
    `STEP    CHECKED   TIME  RESULT
layout        5   1 ms  ok
blobs      1200  3.2 s  ok

the store is sound
`,
  );
});

test('a problem is told with who needs it and what became of it', () => {
  expect(renderFsck(reportOf([problem]))).toBe(
    `STEP    CHECKED   TIME  RESULT
layout        5   1 ms  ok
blobs      1200  3.2 s  1 problem

sha256:aa: its content reads as sha256:bb
  needed by a, b, c, d, e and 2 more
  not repaired, since it was not asked for

the store is damaged: 1 problem. Repair it: landfall fsck --repair
`,
  );
});

test.each([
  [[{ ...problem, state: 'repaired' }], 'repaired\n', 'the store is sound again\n'],
  [
    [{ ...problem, state: 'unrepaired', reason: 'why\u001b[31m' }],
    'could not be repaired: why\\u001b[31m\n',
    '1 problem. Pull the images again, or remove them\n',
  ],
  [
    [{ ...problem, state: 'quarantined', path: '/store/quarantine/x', reason: 'why' }],
    'could not be repaired, and was moved to /store/quarantine/x: why\n',
    '1 problem. Pull the images again, or remove them\n',
  ],
  [
    [problem, { ...problem, kind: 'database-damaged' }],
    'not repaired',
    '2 problems. Make its database anew: landfall fsck --rebuild\n',
  ],
  [
    [problem, { ...problem, state: 'repaired' }],
    'repaired\n',
    '1 problem. Repair it: landfall fsck --repair\n',
  ],
] as const)('%j says what to do', (problems, outcome, verdict) => {
  const text = renderFsck(reportOf(problems));
  expect(text).toContain(outcome);
  expect(text.endsWith(verdict)).toBe(true);
});

test('what is no damage stands beside its step', () => {
  const remarks: FsckRemark[] = [
    { kind: 'orphan-blob', subject: 'sha256:aa', bytes: 1000 },
    { kind: 'orphan-blob', subject: 'sha256:bb', bytes: 500 },
    { kind: 'orphan-snapshot', subject: 'snapshots/9' },
    { kind: 'partial', subject: 'sha256:cc', bytes: 2000 },
    { kind: 'unchecked', subject: 'x', reason: 'its layer is not here, or damaged' },
    { kind: 'unchecked', subject: 'y', reason: 'another' },
  ];
  expect(renderFsck(reportOf([], remarks))).toContain(
    'ok; 2 blobs (1.5 kB) for gc to remove; 1 snapshot for gc to remove; 2.0 kB to be resumed; ' +
      '2 not checked: its layer is not here, or damaged\n',
  );
});
