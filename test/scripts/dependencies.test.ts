import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePackageLock, productionPackages } from '../../scripts/package-lock.js';

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

const SOURCES = ['src', 'bin']
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  )
  .filter((path) => path.endsWith('.ts'))
  .map((path) => readFileSync(path, 'utf8'))
  .join('\n');

function isImported(name: string): boolean {
  return new RegExp(`['"]${name}(/[^'"]*)?['"]`).test(SOURCES);
}

function importedOf(dependencies: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(dependencies).filter(isImported);
}

describe('the decision record of the dependencies', () => {
  it.each([
    ['what is installed', 'What npm installs with landfall', Object.keys(manifest.dependencies), 5],
    ['what is copied', 'What the package has a copy of', importedOf(manifest.devDependencies), 5],
    [
      'what builds and tests',
      'For building and testing only',
      Object.keys(manifest.devDependencies).filter((name) => !isImported(name)),
      2,
    ],
  ])('has a line for each of %s, and no other', (_which, title, names, cells) => {
    const rows = rowsBelow(title);
    expect(rows.map(([name]) => name).sort()).toEqual([...names].sort());
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

describe('what a user gets', () => {
  it('is used, each of it', () => {
    expect(Object.keys(manifest.dependencies).filter((name) => !isImported(name))).toEqual([]);
  });

  it('has at most 60 packages and 45 MB, of which landfall itself has a half', () => {
    const lock = parsePackageLock(readFileSync('package-lock.json', 'utf8'));
    // Those for other machines are not installed.
    const here = productionPackages(lock).filter(
      ({ name, optional }) => !optional || name.endsWith(`-linux-${process.arch}`),
    );
    expect(here.map(({ name }) => name)).toContain(`@koromix/koffi-linux-${process.arch}`);
    expect(here.length + 1).toBeLessThanOrEqual(60);
    const beside = here.reduce((sum, { path }) => sum + bytesBelow(path), 0);
    const own = ['dist/bin', 'dist/man', 'dist/native', 'dist/src', 'docs'].reduce(
      (sum, path) => sum + bytesBelow(path),
      0,
    );
    // Source maps and the compiled command are counted, though they are not packed.
    expect((beside + own) / 1e6).toBeLessThan(45);
    expect(beside / 1e6).toBeLessThan(20);
  });
});

/** What the files below a directory take on the disk, in bytes; what lies in packages below it is not part of it. */
function bytesBelow(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.slice(directory.length).includes('node_modules'))
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).blocks * 512, 0);
}
