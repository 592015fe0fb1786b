import { expect, it } from 'vitest';
import { disagreements, type VersionInfo } from '../../../scripts/release/agreement.js';

const AGREED: VersionInfo = {
  manifest: '0.2.0',
  lock: '0.2.0',
  changelog: '## Unreleased\n\n- Sails.\n\n## 0.1.0 - 2026-01-02\n',
  tags: ['v0.1.0', 'other'],
};

it.each<[string, Partial<VersionInfo>, readonly string[]]>([
  ['all agree', {}, []],
  ['it is the first one', { changelog: '## Unreleased\n', tags: [] }, []],
  ['the version is none', { manifest: '2' }, ["package.json's version, 2, is none"]],
  [
    'the lock is of another',
    { lock: '0.1.0' },
    ['package-lock.json says 0.1.0, package.json 0.2.0: run `npm install --package-lock-only`'],
  ],
  ['it is tagged', { tags: ['v0.2.0'] }, ['there is a tag v0.2.0 already']],
  [
    'it is not above the last one',
    { manifest: '0.1.0-rc.1', lock: '0.1.0-rc.1' },
    ["CHANGELOG.md's newest version is 0.1.0, and package.json's, 0.1.0-rc.1, is not above it"],
  ],
  [
    'several things are wrong',
    { manifest: '0.1.0', lock: '0.3.0', tags: ['v0.1.0'] },
    [
      'package-lock.json says 0.3.0, package.json 0.1.0: run `npm install --package-lock-only`',
      'there is a tag v0.1.0 already',
      "CHANGELOG.md's newest version is 0.1.0, and package.json's, 0.1.0, is not above it",
    ],
  ],
])('a version and what says it, where %s', (_how, change, problems) => {
  expect(disagreements({ ...AGREED, ...change })).toEqual(problems);
});
