import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.js';
import { ROWS, wordsOf } from './migration-rows.js';

describe('docs/migration.md', () => {
  it('has a table for each tool', () => {
    const tools = ROWS.map(({ theirs }) => theirs.split(' ')[0] ?? '');
    expect([...new Set(tools)]).toEqual(
      expect.arrayContaining(['skopeo', 'ctr', 'crane', 'regctl', 'oras', 'umoci', 'docker']),
    );
    expect(ROWS.length).toBeGreaterThan(90);
  });

  it.each(ROWS.filter(({ ours }) => ours.length > 0))(
    'what stands for “$theirs” parses',
    async ({ ours }) => {
      for (const command of ours) {
        const program = createProgram(() => Promise.resolve());
        await expect(
          program.parseAsync(wordsOf(command).slice(1), { from: 'user' }),
          command,
        ).resolves.toBeDefined();
      }
    },
  );
});
