import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** Who stands left of whom: a folder may import only from levels before its own. */
const LEVELS: readonly (readonly string[])[] = [
  ['errors'],
  ['native-module'],
  ['spec'],
  ['concurrency'],
  ['system', 'metadata', 'observe', 'formats'],
  ['registry', 'content', 'unpack', 'trust'],
  ['engine'],
  ['transfer', 'serve', 'daemon'],
  ['cli', 'library'],
  ['bin', 'entries', 'index'],
];

/**
 * The third-party packages that each folder is allowed; `@sindresorhus/is` and Node's own modules are
 * everybody's.
 */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  concurrency: ['p-limit'],
  system: ['koffi'],
  metadata: ['sqlite3'],
  observe: ['prom-client'],
  formats: ['smol-toml'],
  registry: ['undici'],
  unpack: ['zstd-napi'],
  trust: [
    '@sigstore/bundle',
    '@sigstore/core',
    '@sigstore/protobuf-specs',
    '@sigstore/verify',
    'jsonc-parser',
  ],
  transfer: ['yaml', 'ajv', 'semver'],
  daemon: [
    '@grpc/grpc-js',
    '@grpc/proto-loader',
    '@grpc/reflection',
    'grpc-health-check',
    'prom-client',
    '@opentelemetry/api',
    '@opentelemetry/exporter-trace-otlp-http',
    '@opentelemetry/resources',
    '@opentelemetry/sdk-trace-base',
  ],
  serve: ['bcryptjs'],
  cli: ['commander', 'smol-toml'],
};

/** Folders that meet only through types, from the importing to the imported. */
const TYPES_ONLY: ReadonlySet<string> = new Set(['unpack -> content']);

/** What a developer imports: `landfall`, and `landfall/…` below it. */
const ENTRANCES: ReadonlySet<string> = new Set(['index', 'entries']);

interface Import {
  readonly file: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const root = resolve(import.meta.dirname, '..');

function importsIn(folder: string): Import[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => importsOf(join(root, folder, name)));
}

function importsOf(path: string): Import[] {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier !== undefined
    ) {
      found.push(describeImport(path, node, node.moduleSpecifier));
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument !== undefined && ts.isStringLiteral(argument)) {
        found.push({ file: path, specifier: argument.text, typeOnly: false });
      }
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) {
        found.push({ file: path, specifier: node.argument.literal.text, typeOnly: true });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function describeImport(
  file: string,
  node: ts.ImportDeclaration | ts.ExportDeclaration,
  specifier: ts.Expression,
): Import {
  const clause = ts.isImportDeclaration(node) ? node.importClause : undefined;
  const named = clause?.namedBindings;
  const everyNamedIsType =
    named !== undefined &&
    ts.isNamedImports(named) &&
    named.elements.length > 0 &&
    named.elements.every((element) => element.isTypeOnly) &&
    clause?.name === undefined;
  const typeOnly = ts.isExportDeclaration(node)
    ? node.isTypeOnly
    : clause?.phaseModifier === ts.SyntaxKind.TypeKeyword || everyNamedIsType;
  return { file, specifier: ts.isStringLiteral(specifier) ? specifier.text : '', typeOnly };
}

/** The folder of the design that a file belongs to; `index` for the library's own entrance. */
function folderOf(path: string): string {
  const [first = '', second = ''] = relative(root, path).split(sep);
  if (first === 'bin') return 'bin';
  return second.replace(/\.[jt]s$/, '');
}

const levelOf = (folder: string): number => LEVELS.findIndex((level) => level.includes(folder));

function offence({ file, specifier, typeOnly }: Import): string | undefined {
  const from = folderOf(file);
  const where = `${relative(root, file)} imports ${specifier}`;
  if (specifier.startsWith('.')) {
    const to = folderOf(join(dirname(file), specifier));
    // The library's entrances have nothing to do with the command.
    if (ENTRANCES.has(from) && to === 'cli') return where;
    if (to === from || levelOf(to) < levelOf(from)) return undefined;
    return typeOnly && TYPES_ONLY.has(`${from} -> ${to}`) ? undefined : where;
  }
  if (specifier.startsWith('node:') || specifier === '@sindresorhus/is') return undefined;
  if (builtinModules.includes(specifier)) return `${where} without node:`;
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  return (PACKAGES[from] ?? []).includes(name) ? undefined : where;
}

describe('the import rule', () => {
  const imports = [...importsIn('src'), ...importsIn('bin')];

  it('reads the imports of the whole program', () => {
    expect(imports.length).toBeGreaterThan(100);
  });

  it('knows every folder of src', () => {
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    expect(folders.filter((folder) => levelOf(folder) < 0)).toEqual([]);
  });

  it('lets nobody import from the right, from a neighbour, or a package that belongs elsewhere', () => {
    expect(imports.map(offence).filter((found) => found !== undefined)).toEqual([]);
  });

  it.each<[string, Import, boolean]>([
    ['the right', { file: 'src/spec/digest.ts', specifier: '../engine/pull/pull.js', typeOnly: false }, true],
    [
      'the left',
      { file: 'src/engine/pull/pull.ts', specifier: '../../spec/index.js', typeOnly: false },
      false,
    ],
    ['a neighbour', { file: 'src/registry/x.ts', specifier: '../content/index.js', typeOnly: true }, true],
    [
      'types of content',
      { file: 'src/unpack/x.ts', specifier: '../content/index.js', typeOnly: true },
      false,
    ],
    [
      'values of content',
      { file: 'src/unpack/x.ts', specifier: '../content/index.js', typeOnly: false },
      true,
    ],
    ['its own package', { file: 'src/metadata/x.ts', specifier: 'sqlite3', typeOnly: false }, false],
    ["another's package", { file: 'src/content/x.ts', specifier: 'sqlite3', typeOnly: false }, true],
  ])('judges an import from %s', (_name, found, refused) => {
    expect(offence({ ...found, file: join(root, found.file) }) !== undefined).toBe(refused);
  });
});
