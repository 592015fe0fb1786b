import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

/** The files and packages that loading a source file loads with it; types and `import()` load nothing. */
function loadedWith(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, clause = '', from = ''] of text.matchAll(
    /^(?:import|export) (?!type )([^;]*?)from '([^']+)';/gms,
  )) {
    if (/^\{(?:\s*type [^,}]+,?)+\s*\}\s*$/.test(clause)) continue;
    if (from.startsWith('.')) loadedWith(path.join(path.dirname(file), from.replace(/\.js$/, '.ts')), seen);
    else seen.add(from);
  }
  return seen;
}

test('--version loads not even the parser', () => {
  expect([...loadedWith('src/cli/main.ts')].sort()).toEqual([
    'node:module',
    'src/cli/main.ts',
    'src/cli/output/version.ts',
    'src/errors.ts',
  ]);
});

test('--help and usage errors load no command and no engine', () => {
  const loaded = [...loadedWith('src/cli/command-line.ts')];
  expect(loaded).toContain('src/cli/program.ts');
  expect(
    loaded
      .filter(
        (name) => !/^(node:|src\/cli\/[^/]+\.ts$|src\/cli\/(config|format|options|output)\/)/.test(name),
      )
      .sort(),
    // Of the engine only where its store lies, which loads nothing more.
  ).toEqual(['commander', 'src/engine/default-root.ts', 'src/errors.ts']);
});
