import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { NativeModule } from '../../src/native-module.js';

/** What is wrong with a native module of an installation. */
export type Lack =
  'absent' | 'not built' | 'not built beside' | 'of another processor' | 'of another C library' | 'cut short';

const REPOSITORY = resolve(import.meta.dirname, '../..');

/** The file of each that is loaded, below node_modules. */
const BINARIES: Readonly<Record<NativeModule, string>> = {
  koffi: `@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`,
  sqlite3: `landfall/dist/native/${process.arch}/sqlite3.node`,
  'zstd-napi': `landfall/dist/native/${process.arch}/zstd-napi.node`,
};

/** Where an ELF header has its machine, and one that nobody has: Fujitsu's MMA. */
const ELF_MACHINE = 18;
const MMA = 54;

/**
 * The built landfall as if it were installed in a directory, with some of its native modules lacking; all
 * else of it is what is installed here. The directory has to be there and goes with whoever made it.
 *
 * @returns the path of the command
 */
export async function installedWithout(
  directory: string,
  lacks: Readonly<Partial<Record<NativeModule, Lack>>>,
): Promise<string> {
  const modules = join(directory, 'node_modules');
  // Without it, one of a directory above would say which package this is.
  await writeFile(join(directory, 'package.json'), '{ "private": true }');
  await linkPackages(modules);
  const landfall = join(modules, 'landfall');
  await mkdir(join(landfall, 'dist'), { recursive: true });
  await cp(join(REPOSITORY, 'package.json'), join(landfall, 'package.json'));
  for (const part of ['src', 'bin', 'native'])
    await promisify(execFile)('cp', ['-r', join(REPOSITORY, 'dist', part), join(landfall, 'dist')]);
  for (const module of Object.keys(lacks) as NativeModule[]) {
    const lack = lacks[module];
    if (lack !== undefined) await takeAway(modules, module, lack);
  }
  return join(landfall, 'dist/bin/landfall.js');
}

/** Links to all that is installed here, each by itself, so that single ones can be others. */
async function linkPackages(modules: string): Promise<void> {
  const installed = join(REPOSITORY, 'node_modules');
  await mkdir(modules);
  for (const name of await readdir(installed)) {
    if (name.startsWith('.')) continue;
    await symlink(join(installed, name), join(modules, name));
  }
}

async function takeAway(modules: string, module: NativeModule, lack: Lack): Promise<void> {
  const at = join(modules, module);
  await rm(at, { recursive: true });
  const own = join(modules, BINARIES[module]);
  if (module !== 'koffi') await rm(own);
  if (lack === 'absent') return;
  const installed = join(REPOSITORY, 'node_modules');
  const build = join(installed, module, 'build');
  // What is left out here lies in a directory that a link would lead back to.
  if (module === 'koffi' || lack === 'not built beside')
    await cp(join(installed, module), at, { recursive: true, filter: (path) => path !== build });
  if (module === 'koffi') {
    await rm(join(modules, '@koromix'));
    await mkdir(join(modules, '@koromix'));
  }
  const bytes = await binary(installed, module, lack);
  if (bytes === undefined) return;
  await mkdir(dirname(own), { recursive: true });
  await writeFile(own, bytes);
  if (module !== 'koffi') return;
  const [scope = '', name = ''] = BINARIES.koffi.split('/');
  for (const part of ['package.json', 'index.js'])
    await cp(join(installed, scope, name, part), join(modules, scope, name, part));
}

async function binary(installed: string, module: NativeModule, lack: Lack): Promise<Buffer | undefined> {
  const file =
    module === 'koffi'
      ? join(installed, BINARIES[module])
      : join(REPOSITORY, BINARIES[module].replace('landfall/', ''));
  switch (lack) {
    case 'absent':
    case 'not built':
    case 'not built beside':
      return undefined;
    case 'of another processor': {
      const bytes = await readFile(file);
      bytes.writeUInt16LE(MMA, ELF_MACHINE);
      return bytes;
    }
    case 'of another C library':
      // Both come with it, and this is not a machine of musl.
      return await readFile(file.replace('linux_', 'musl_'));
    case 'cut short':
      return Buffer.alloc(0);
  }
}
