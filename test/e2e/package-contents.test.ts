import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { pack, sha256Of } from '../../scripts/release/pack.js';
import { runProgram } from '../../scripts/release/run-program.js';
import { packedPackage } from '../support/packed-package.js';

const MEBIBYTE = 1024 * 1024;
/** What a user downloads; it was 4.1 MB when this was written, natives for one processor among them. */
const MOST_BYTES = 8 * MEBIBYTE;

interface PackedFile {
  readonly header: Header;
  readonly text: string;
}

async function filesOf(archive: string): Promise<ReadonlyMap<string, PackedFile>> {
  const files = new Map<string, PackedFile>();
  const reading = extract();
  reading.end(gunzipSync(await readFile(archive)));
  for await (const entry of reading) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const path = entry.header.name.replace(/^package\//, '');
    files.set(path, { header: entry.header, text: Buffer.concat(chunks).toString() });
  }
  return files;
}

describe('the package', () => {
  let archive: string;
  let files: ReadonlyMap<string, PackedFile>;
  let paths: readonly string[];
  beforeAll(async () => {
    archive = await packedPackage();
    files = await filesOf(archive);
    paths = [...files.keys()];
  });

  it('has the command, the library, what a person reads, licences and a bill of materials', () => {
    expect(paths).toEqual(
      expect.arrayContaining([
        'package.json',
        'README.md',
        'CHANGELOG.md',
        'LICENSE',
        'dist/bin/landfall.js',
        'dist/bin/LICENSES.txt',
        'dist/bin/chunks/worker.js',
        `dist/native/${process.arch}/sqlite3.node`,
        `dist/native/${process.arch}/zstd-napi.node`,
        'dist/native/LICENSES.txt',
        'dist/native/sqlite3.cjs',
        'dist/src/index.js',
        'dist/src/index.d.ts',
        'dist/src/unpack/workers/worker.js',
        'dist/sbom.cdx.json',
        'docs/cli.md',
        'docs/licences.md',
      ]),
    );
    expect(paths.filter((path) => /^dist\/bin\/chunks\/protos\/.*\.proto$/.test(path))).not.toEqual([]);
  });

  it('has nothing else: no tests, sources, maps, fixtures, or what is the repository’s own', () => {
    const allowed =
      /^(package\.json|(README|CHANGELOG|SECURITY)\.md|LICENSE|dist\/sbom\.cdx\.json|dist\/bin\/.*\.(js|txt|proto)|dist\/bin\/landfall\.d\.ts|dist\/native\/(\w+\/)?[\w-]+\.(cjs|node|txt)|dist\/src\/.*\.(js|d\.ts)|man\/.*\.[1-8]|dist\/man\/.*\.[1-8]|completions\/.*|deploy\/.*|docs\/.*\.(md|svg|png|json|yaml|toml|html|css|js))$/;
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
    expect(
      paths.filter((path) =>
        /(^|\/)(test|fixtures|bench|scripts|node_modules)\/|\.map$|(?<!\.d)\.ts$/.test(path),
      ),
    ).toEqual([]);
    // The command has its own copy of these, in which it finds all that it needs.
    expect(paths.filter((path) => /^dist\/src\/(cli|daemon|observe)\//.test(path))).toEqual([]);
  });

  it('has all that it names: entrances, and what their files import', () => {
    const manifest = JSON.parse(files.get('package.json')?.text ?? '') as {
      readonly bin: Readonly<Record<string, string>>;
      readonly man?: string | readonly string[];
      readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
    };
    const named = [
      ...Object.values(manifest.bin),
      ...[manifest.man ?? []].flat(),
      ...Object.values(manifest.exports).flatMap((entry) =>
        typeof entry === 'string' ? entry : Object.values(entry),
      ),
    ].map((path) => posix.normalize(path));
    expect(named.filter((path) => !files.has(path))).toEqual([]);
    const missing: string[] = [];
    for (const [path, { text }] of files) {
      if (!/^dist\/.*\.(js|d\.ts)$/.test(path)) continue;
      for (const [, specifier = ''] of text.matchAll(
        /^(?:import|export)\b[^'"\n]*?(?:from )?['"](\.\.?\/[^'"]+)['"]/gm,
      )) {
        const target = posix.join(dirname(path), specifier);
        const declared = target.replace(/\.js$/, '.d.ts');
        if (!files.has(path.endsWith('.d.ts') ? declared : target)) missing.push(`${path} -> ${specifier}`);
      }
    }
    expect(missing).toEqual([]);
  });

  it('has no page with a dead link', () => {
    const dead: string[] = [];
    for (const [path, { text }] of files) {
      // The changelog says where things were.
      if (!path.endsWith('.md') || path === 'CHANGELOG.md') continue;
      for (const [, target = ''] of text.matchAll(/\]\(([^)#\s]+)[^)\s]*\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const found = posix.join(dirname(path), target).replace(/\/$/, '');
        if (!paths.some((one) => one === found || one.startsWith(`${found}/`)))
          dead.push(`${path} -> ${target}`);
      }
    }
    expect(dead).toEqual([]);
  });

  it('has modes that let everybody run the command and read the rest', () => {
    const modes = new Map<number | undefined, string[]>();
    for (const [path, { header }] of files) modes.set(header.mode, [...(modes.get(header.mode) ?? []), path]);
    expect([...modes.keys()].sort()).toEqual([0o644, 0o755]);
    expect(modes.get(0o755)).toEqual(['dist/bin/landfall.js']);
    expect(files.get('dist/bin/landfall.js')?.text).toMatch(/^#!\/usr\/bin\/env node\n/);
  });

  it('is made of sources that are there: nothing that an earlier one left', () => {
    const stale = paths
      .filter((path) => /^dist\/src\/.*\.js$/.test(path))
      .map((path) => path.replace(/^dist\/(.*)\.js$/, '$1.ts'))
      .filter((source) => !existsSync(source));
    expect(stale).toEqual([]);
  });

  it('runs no script of its own where it is installed', () => {
    const { scripts } = JSON.parse(files.get('package.json')?.text ?? '') as {
      scripts: Record<string, string>;
    };
    // `prepare` is run in the repository, and where somebody installs from there.
    for (const name of ['preinstall', 'install', 'postinstall']) expect(scripts).not.toHaveProperty(name);
  });

  it('is small', async () => {
    const { size } = await stat(archive);
    process.stdout.write(`the package: ${(size / 1e6).toFixed(2)} MB in ${files.size} files\n`);
    expect(size).toBeLessThan(MOST_BYTES);
  });

  it('is the same bytes when it is packed again', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-packed-again-'));
    try {
      const again = await pack(runProgram, process.cwd(), directory);
      expect(await sha256Of(again)).toBe(await sha256Of(archive));
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
