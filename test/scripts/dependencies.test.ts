import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const RECORD = readFileSync('docs/internals/decisions/0005-dependencies.md', 'utf8');
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

/** The rows of a table of the record, in which no cell is empty. */
function rowsBelow(title: string): readonly (readonly string[])[] {
  const lines = RECORD.slice(RECORD.indexOf(title)).split('\n');
  const begin = lines.findIndex((line) => line.startsWith('| -'));
  const length = lines.slice(begin).findIndex((line) => !line.startsWith('|'));
  return lines.slice(begin + 1, begin + length).map((line) =>
    line
      .slice(2, -2)
      .split(' | ')
      .map((cell) => cell.trim()),
  );
}

describe('the decision record of the dependencies', () => {
  it.each([
    ['what is installed', 'Installed with landfall', manifest.dependencies, 5],
    ['what builds and tests', 'For building and testing only', manifest.devDependencies, 2],
  ])('has a line for each of %s, and no other', (_which, title, dependencies, cells) => {
    const rows = rowsBelow(title);
    expect(rows.map(([name]) => name).sort()).toEqual(Object.keys(dependencies).sort());
    for (const row of rows) {
      expect(row, row[0]).toHaveLength(cells);
      for (const cell of row) expect(cell, row[0]).not.toBe('');
    }
  });

  it('has each of them only once', () => {
    const both = Object.keys(manifest.dependencies).filter((name) => name in manifest.devDependencies);
    expect(both).toEqual([]);
  });
});

describe('what is imported', () => {
  it('includes each that a user gets', () => {
    const text = ['src', 'bin']
      .flatMap((folder) =>
        readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
      )
      .filter((path) => path.endsWith('.ts'))
      .map((path) => readFileSync(path, 'utf8'))
      .join('\n');
    const unused = Object.keys(manifest.dependencies).filter(
      (name) => !new RegExp(`['"]${name}(/[^'"]*)?['"]`).test(text),
    );
    expect(unused).toEqual([]);
  });
});
