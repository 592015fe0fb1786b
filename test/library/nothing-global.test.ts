import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** All of the library: not the command. */
const FILES: readonly string[] = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.startsWith('cli/'))
  .map((name) => join('src', name));

/** Where the environment is read, each as docs/library.md says. */
const READS_ENVIRONMENT: readonly string[] = [
  'src/engine/default-root.ts',
  'src/registry/open-registry.ts',
  'src/registry/auth/auth-file.ts',
  'src/registry/auth/credential-store.ts',
  // What tests kill it by.
  'src/system/fault-point.ts',
];

/**
 * What is remembered for the whole process, or thread: facts about the machine, which are the same for every
 * store.
 */
const REMEMBERS: Readonly<Record<string, readonly string[]>> = {
  'src/system/paths/beneath.ts': ['detected'],
  'src/system/fault-point.ts': ['left'],
  'src/system/calls/libc.ts': ['failure', 'koffi', 'loaded', 'names', 'tracks'],
  'src/system/process-identity.ts': ['boot', 'place'],
  'src/system/calls/sync.ts': ['cleared'],
  'src/system/calls/at.ts': ['scratch'],
};

const SOURCES: ReadonlyMap<string, ts.SourceFile> = new Map(
  FILES.map((file) => [file, ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest)]),
);

/** Every `process.NAME` and `console.NAME` of a file. */
function usesOf(source: ts.SourceFile): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (
      ts.isPropertyAccessExpression(node) &&
      ts.isIdentifier(node.expression) &&
      ['console', 'process'].includes(node.expression.text)
    ) {
      found.push(`${node.expression.text}.${node.name.text}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** The variables of a module that can be given another value. */
function variablesOf(source: ts.SourceFile): string[] {
  return source.statements
    .filter(ts.isVariableStatement)
    .filter(({ declarationList }) => (declarationList.flags & ts.NodeFlags.Const) === 0)
    .flatMap(({ declarationList }) =>
      declarationList.declarations.flatMap(({ name }) => (ts.isIdentifier(name) ? [name.text] : [])),
    )
    .sort();
}

/** Uses of the process that change nothing of it. */
const HARMLESS =
  /^process\.(?:arch|cpuUsage|cwd|geteuid|getegid|getuid|getgid|getgroups|hrtime|kill|memoryUsage|nextTick|pid|platform|version|versions|execPath|resourceUsage|uptime)$/;

describe('the library', () => {
  it('has its files looked at', () => {
    expect(FILES.length).toBeGreaterThan(300);
  });

  it('reads the environment only where that is documented', () => {
    const reading = [...SOURCES].flatMap(([file, source]) =>
      usesOf(source).includes('process.env') ? [file] : [],
    );
    expect(reading.sort()).toEqual([...READS_ENVIRONMENT].sort());
  });

  it('neither ends the process, nor listens to it, nor prints', () => {
    const others = [...SOURCES].flatMap(([file, source]) =>
      usesOf(source)
        .filter((use) => use !== 'process.env' && !HARMLESS.test(use))
        .map((use) => `${file}: ${use}`),
    );
    expect(others).toEqual([]);
  });

  it('keeps nothing in its modules but facts about the machine', () => {
    const kept = Object.fromEntries(
      [...SOURCES]
        .map(([file, source]) => [file, variablesOf(source)] as const)
        .filter(([, names]) => names.length > 0),
    );
    expect(kept).toEqual(REMEMBERS);
  });
});
