/**
 * Puts what landfall loads of the native packages into `dist/native`, so that a user need neither install nor
 * compile them: the package is what is compiled here, and `scripts/natives` compiles for other processors
 * too. See docs/internals/decisions/0005-dependencies.md.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { licencesOf } from './bundled-licences.js';

const ROOT = join(import.meta.dirname, '..', '..');
const MODULES = join(ROOT, 'node_modules');
const NATIVE = join(ROOT, 'dist', 'native');

/** The compiled file of each. */
const COMPILED: Readonly<Record<string, string>> = {
  sqlite3: 'build/Release/node_sqlite3.node',
  'zstd-napi': 'build/Release/binding.node',
};

/** A file of each package that is part of those, in their sources or compiled. */
export const NATIVE_SOURCES: readonly string[] = [
  'sqlite3/lib/sqlite3.js',
  'node-addon-api/napi.h',
  'zstd-napi/binding.js',
  'zstd-napi/node_modules/node-addon-api/napi.h',
].map((file) => join(MODULES, file));

/** The machines of ELF headers, as Node names them. */
const MACHINES: Readonly<Record<number, string>> = { 0x3e: 'x64', 0xb7: 'arm64' };
const ELF_MACHINE = 18;

export async function writeNativeFiles(): Promise<void> {
  for (const [name, file] of Object.entries(COMPILED)) {
    const from = join(MODULES, name, file);
    if (!existsSync(from)) {
      process.stderr.write(`${name} is not compiled here: the package has none for this machine\n`);
      continue;
    }
    const bytes = await readFile(from);
    const machine = bytes.readUInt16LE(ELF_MACHINE);
    const into = join(NATIVE, MACHINES[machine] ?? `machine-${machine}`);
    await mkdir(into, { recursive: true });
    // Another process may have the old one loaded.
    await writeFile(join(into, `${name}.node.new`), bytes, { mode: 0o644 });
    await rename(join(into, `${name}.node.new`), join(into, `${name}.node`));
    await writeFile(join(NATIVE, `${name}.cjs`), await scriptOf(name));
  }
  const zstd = await readFile(join(MODULES, 'zstd-napi/deps/zstd/LICENSE'), 'utf8');
  const licences = [await licencesOf(NATIVE_SOURCES), `zstd (part of zstd-napi)\n\n${zstd}`];
  await writeFile(join(NATIVE, 'LICENSES.txt'), licences.join(`\n${'-'.repeat(80)}\n\n`));
}

/** What loads the file of the processor that it runs on. */
async function scriptOf(name: string): Promise<string> {
  const binding = `module.exports = require(\`./\${process.arch}/${name}.node\`);\n`;
  if (name !== 'sqlite3') return binding;
  await using build = await rolldown({
    input: join(MODULES, 'sqlite3/lib/sqlite3.js'),
    platform: 'node',
    plugins: [
      { name: 'binding', load: (id) => (id.endsWith('/sqlite3/lib/sqlite3-binding.js') ? binding : null) },
    ],
  });
  const { output } = await build.generate({ format: 'cjs' });
  return output[0].code;
}

if (process.argv[1] === import.meta.filename) await writeNativeFiles();
