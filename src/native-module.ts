/**
 * The three packages that are compiled for a machine, and what is said where one of them is not there. Each
 * is loaded where it is first used, so what needs none of them works without.
 */
import { createRequire } from 'node:module';
import { type ErrorDetails, LandfallError } from './errors.js';

export type NativeModule = 'koffi' | 'sqlite3' | 'zstd-napi';

export interface NativeModuleDetails extends ErrorDetails {
  /** The package. */
  readonly module: NativeModule;
}

interface Info {
  /** Its job in landfall. */
  readonly task: string;
  /** Whether landfall brings the file itself; a package of its own has it otherwise. */
  readonly isBrought: boolean;
}

const FACTS: Readonly<Record<NativeModule, Info>> = {
  koffi: { task: 'calls the C library', isBrought: false },
  sqlite3: { task: "keeps the store's database", isBrought: true },
  'zstd-napi': { task: 'decompresses zstd layers', isBrought: true },
};

/**
 * Loads a native module that landfall brings: its own file, made ready in `dist/native`; where there is none
 * for this machine, or it does not load, the package of that name beside landfall. By `require`, since
 * `import` would first search the text for names to export, in as long again.
 *
 * @throws LandfallError UNSUPPORTED
 */
export function loadNativeModule(module: 'sqlite3' | 'zstd-napi'): unknown {
  const load = createRequire(import.meta.url);
  try {
    return load(`#native/${module}`);
  } catch (own) {
    try {
      return load(module === 'sqlite3' ? module : 'zstd-napi/binding.js');
    } catch (installed) {
      const text = installed instanceof Error ? installed.message : String(installed);
      throw nativeModuleError(module, isAbsent(module, text) ? own : installed);
    }
  }
}

/**
 * Why a native module does not load, and what to do. `where` is the file of landfall that asked for it: what
 * is to be done is done in the project that it is installed in.
 */
export function nativeModuleError(
  module: NativeModule,
  cause: unknown,
  where: string = import.meta.filename,
): LandfallError<'UNSUPPORTED', NativeModuleDetails> {
  const text = cause instanceof Error ? cause.message : String(cause);
  const reason = reasonOf(module, text);
  const message = `the native module ${module}, which ${FACTS[module].task}, ${reason}`;
  return new LandfallError('UNSUPPORTED', message, {
    // The loader's message fills a screen; its first line is the reason.
    cause: new Error(firstLineOf(text), { cause }),
    hint: reason === BUNDLED ? BUNDLE_HINT : remedyOf(module, reason === NOT_BUILT, where),
    details: { module },
  });
}

const NOT_BUILT = 'was not built here';
/** A file that landfall loads from beside itself is missing if landfall was bundled into a program. */
export const BUNDLE_HINT =
  'Leave landfall out of the bundle, as with `--external:landfall`, and install it beside the bundle.';
const BUNDLED = 'is not found from inside a bundle';

/** Messages of the loader, the most telling first; glibc and musl have words of their own. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/libc\.musl-|ld-musl-/, 'was built for musl, and this system has another C library'],
  [/Error loading shared library ld-linux/, 'was built for glibc, and this system has musl'],
  [/version `?GLIBC(XX)?_[\d.]+'? not found/, 'was built for a newer C library than this system has'],
  [
    /wrong ELF class|\.node: cannot open shared object file|Exec format error/,
    'was built for another processor',
  ],
  [/invalid ELF header/, 'was built for another system'],
  [/file too short/, 'was not written as a whole'],
  [
    /undefined symbol|symbol not found|did not self-register|different Node\.js version/,
    'was built for another Node.js',
  ],
  [
    /cannot open shared object file|Error loading shared library/,
    'needs a library that this system does not have',
  ],
  [/Could not locate the bindings file|native Koffi module|Cannot find module '\.\/build\//, NOT_BUILT],
  [/['"]#native\//, BUNDLED],
  [/Cannot find module '(\.\/\w+\/|.*\/dist\/native\/)/, `is not ready-made for linux-${process.arch}`],
];

function reasonOf(module: NativeModule, text: string): string {
  if (isAbsent(module, text)) return 'is not installed';
  return REASONS.find(([said]) => said.test(text))?.[1] ?? 'cannot be loaded';
}

function isAbsent(module: NativeModule, text: string): boolean {
  return new RegExp(`Cannot find (module|package) '${module}('|/)`).test(text);
}

function firstLineOf(text: string): string {
  const [first = ''] = text.trim().split('\n');
  return first.replace(/\. Tried:$/, '');
}

function remedyOf(module: NativeModule, isInstalled: boolean, where: string): string {
  const { place, flags, name } = projectOf(where);
  if (!FACTS[module].isBrought)
    return `Run \`npm install${flags} --include=optional${name}\`${place}, on the machine where landfall is to run.`;
  const action = isInstalled ? 'rebuild' : 'install';
  return `Run \`npm ${action}${flags} ${module}\`${place}; it needs python3, make and g++.`;
}

interface Project {
  /** Where npm is to be run. */
  readonly place: string;
  /** The flags that name another place. */
  readonly flags: string;
  /** The package to install there; nothing where a package.json names it. */
  readonly name: string;
}

function projectOf(where: string): Project {
  const end = where.indexOf('/node_modules/');
  if (end < 0) return { place: ' where landfall is installed', flags: '', name: '' };
  const directory = where.slice(0, end);
  // A global installation lies below the prefix's lib, in which there is no project.
  if (!directory.endsWith('/lib')) return { place: ` in ${directory}`, flags: '', name: '' };
  return { place: '', flags: ` --global --prefix ${directory.slice(0, -'/lib'.length)}`, name: ' landfall' };
}
