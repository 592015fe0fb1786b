import { describe, expect, test } from 'vitest';
import { selectTags, subjectOfTag } from '../../../src/transfer/sync/mirror-file.js';
import { read } from './read.js';

const HEX = '0123456789abcdef'.repeat(4);
const TAGS = [
  'latest',
  '1.0.0',
  '1.2.0',
  'v1.10.0',
  '1.3',
  '2.0.0-rc.1',
  '2.0.0',
  '22.04',
  '20240101',
  '1.2.0-alpine',
  `sha256-${HEX}`,
  `sha256-${HEX}.sig`,
];

/** When each was made: nobody says so of `latest`. */
const MADE: Readonly<Record<string, string>> = {
  '1.0.0': '2023-01-01',
  '1.2.0': '2025-06-01',
  'v1.10.0': '2024-01-01',
  '1.3': '2026-01-01',
  '2.0.0-rc.1': '2025-12-24',
  '2.0.0': '2025-12-31',
  '22.04': '2022-04-01',
  '20240101': '2024-01-01',
  '1.2.0-alpine': '2025-06-01',
};

async function taken(rules: string): Promise<{ tags: string[]; asked: string[] }> {
  const [source] = read(`sources: [{ registry: a.lan, repositories: [app], tags: ${rules} }]`).sources;
  const asked: string[] = [];
  const [selection] = source?.selections ?? [];
  if (selection === undefined) throw new Error('nothing is selected');
  const tags = await selectTags(selection.tags, TAGS, (tag) => {
    asked.push(tag);
    const made = MADE[tag];
    return Promise.resolve(made === undefined ? undefined : Date.parse(made));
  });
  return { tags: tags.sort(), asked };
}

const ORDINARY = TAGS.filter((tag) => !tag.startsWith('sha256-'));

describe('which tags are wanted', () => {
  test.each<[string, string[]]>([
    ['{}', ORDINARY],
    ['[latest, none]', ['latest', 'none']],
    ['{ list: [latest, none] }', ['latest', 'none']],
    ['{ include: "1\\\\..*" }', ['1.0.0', '1.2.0', '1.2.0-alpine', '1.3']],
    ['{ include: ["1", "2"] }', []],
    ['{ include: ["1.*", latest], exclude: [".*-.*", "1.3"] }', ['1.0.0', '1.2.0', 'latest']],
    ['{ exclude: ".*\\\\d.*" }', ['latest']],
    ['{ semver: ">=1.2 <2" }', ['1.2.0', '1.3', 'v1.10.0']],
    ['{ semver: ">=1.2, <2" }', ['1.2.0', '1.3', 'v1.10.0']],
    ['{ semver: "1.x || 22" }', ['1.0.0', '1.2.0', '1.3', '22.04', 'v1.10.0']],
    ['{ semver: ">=2.0.0-rc.0 <3" }', ['2.0.0', '2.0.0-rc.1']],
    ['{ semver: "^1.2", prereleases: true }', ['1.2.0', '1.2.0-alpine', '1.3', 'v1.10.0']],
    ['{ semver: ">=1.2.0-a <1.3", prereleases: true }', ['1.2.0', '1.2.0-alpine']],
    ['{ newest: 2 }', ['2.0.0', '22.04']],
    ['{ newest: 3, semver: "<20" }', ['1.3', '2.0.0', 'v1.10.0']],
    ['{ newest: 3, semver: "<20", prereleases: true }', ['2.0.0', '2.0.0-rc.1', 'v1.10.0']],
    ['{ newest: { count: 2, by: created } }', ['1.3', '2.0.0']],
    ['{ since: "2025-12-31" }', ['1.3', '2.0.0', 'latest']],
    ['{ since: "40d", exclude: latest }', ['1.3', '2.0.0', '2.0.0-rc.1']],
    ['{ since: "2024-01-01", semver: "1.x", newest: 1 }', ['v1.10.0']],
    ['{ list: [latest], semver: "2.x" }', ['2.0.0', 'latest']],
  ])('%s', async (rules, wanted) => {
    expect((await taken(rules)).tags).toEqual([...wanted].sort());
  });

  test('dates are asked for as few as can be', async () => {
    expect((await taken('{ semver: "1.x" }')).asked).toEqual([]);
    expect((await taken('{ semver: "1.x", since: "2024-01-01" }')).asked.sort()).toEqual([
      '1.0.0',
      '1.2.0',
      '1.3',
      'v1.10.0',
    ]);
  });

  test.each<[string, string | undefined]>([
    [`sha256-${HEX}`, `sha256:${HEX}`],
    [`sha256-${HEX}.sig`, `sha256:${HEX}`],
    [`sha512-${HEX}${HEX}.att`, `sha512:${HEX}${HEX}`],
    [`sha512-${HEX}`, `sha512:${HEX}`],
    ['sha256-0123', undefined],
    ['latest', undefined],
  ])('the tag %s refers to a digest', (tag, subject) => {
    expect(subjectOfTag(tag)).toBe(subject);
  });
});
