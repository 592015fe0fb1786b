import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { releasedChangelog, versionsIn } from '../../../scripts/release/changelog.js';

const HEAD = '# Changelog\n\nWhat changed.\n\n';
const OLD = '## 0.1.0 - 2026-01-02\n\n- The first one.\n';

describe('the changelog of a release', () => {
  it('has the part of the version, and an empty one for what comes', () => {
    const { changelog, notes } = releasedChangelog(
      `${HEAD}## Unreleased\n\n### Added\n\n- Sails.\n\n${OLD}`,
      '0.2.0',
      '2026-11-29',
    );
    expect(notes).toBe('### Added\n\n- Sails.\n');
    expect(changelog).toBe(
      `${HEAD}## Unreleased\n\n## 0.2.0 - 2026-11-29\n\n### Added\n\n- Sails.\n\n${OLD}`,
    );
  });

  it('is made of the one that is here, twice in a row', () => {
    const text = readFileSync('CHANGELOG.md', 'utf8').replace(
      '## Unreleased\n',
      '## Unreleased\n\n- Something.\n',
    );
    const first = releasedChangelog(text, '90.0.0', '2026-11-29');
    expect(versionsIn(first.changelog)[0]).toBe('90.0.0');
    const more = first.changelog.replace('## Unreleased\n', '## Unreleased\n\n- More.\n');
    const second = releasedChangelog(more, '90.0.1', '2026-11-30');
    expect(second.notes).toBe('- More.\n');
    expect(versionsIn(second.changelog).slice(0, 2)).toEqual(['90.0.1', '90.0.0']);
    expect(second.changelog).toContain(first.notes);
  });

  it.each([
    ['says nothing', `${HEAD}## Unreleased\n\n${OLD}`, '0.2.0', 'says nothing of what is to be released'],
    ['has no such part', HEAD + OLD, '0.2.0', 'has no part "## Unreleased"'],
    [
      'has the version',
      `${HEAD}## Unreleased\n\n- Sails.\n\n${OLD}`,
      '0.1.0',
      'has a part for 0.1.0 already',
    ],
  ])('is refused where it %s', (_how, text, version, why) => {
    expect(() => releasedChangelog(text, version, '2026-11-29')).toThrow(why);
  });

  it('names its versions, with brackets or without', () => {
    expect(versionsIn('## Unreleased\n\n## [1.1.0] - 2026-01-02\n\n## 1.0.0\n\n### 0.9.0\n')).toEqual([
      '1.1.0',
      '1.0.0',
    ]);
  });
});
