/**
 * The three packages that are compiled for a machine, and what is said where one of them is not there. Each
 * is loaded where it is first used, so what needs none of them works without.
 */
import { type ErrorDetails, LandfallError } from './errors.js';

export type NativeModule = 'koffi' | 'sqlite3' | 'zstd-napi';

export interface NativeModuleDetails extends ErrorDetails {
  /** The package. */
  readonly module: NativeModule;
}

interface Info {
  /** Its job in landfall. */
  readonly task: string;
  /** The tools that `npm rebuild` of it needs; absent where a ready-made file comes as a package. */
  readonly tools?: string;
}

const FACTS: Readonly<Record<NativeModule, Info>> = {
  koffi: { task: 'calls the C library' },
  sqlite3: { task: "keeps the store's database", tools: 'python3, make and g++' },
  'zstd-napi': { task: 'decompresses zstd layers', tools: 'python3, make and g++' },
};

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
  const message = `the native module ${module}, which ${FACTS[module].task}, ${reasonOf(module, text)}`;
  return new LandfallError('UNSUPPORTED', message, {
    // The loader's message fills a screen; its first line is the reason.
    cause: new Error(firstLineOf(text), { cause }),
    hint: remedyOf(module, where),
    details: { module },
  });
}

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
  [
    /Could not locate the bindings file|native Koffi module|Cannot find module '\.\/build\//,
    'was not built here',
  ],
];

function reasonOf(module: NativeModule, text: string): string {
  if (new RegExp(`Cannot find (module|package) '${module}('|/)`).test(text)) return 'is not installed';
  return REASONS.find(([said]) => said.test(text))?.[1] ?? 'cannot be loaded';
}

function firstLineOf(text: string): string {
  const [first = ''] = text.trim().split('\n');
  return first.replace(/\. Tried:$/, '');
}

function remedyOf(module: NativeModule, where: string): string {
  const { tools } = FACTS[module];
  const { place, flags, name } = projectOf(where);
  return tools === undefined
    ? `Run \`npm install${flags} --include=optional${name}\`${place}, on the machine where landfall is to run.`
    : `Run \`npm rebuild${flags} ${module}\`${place}; it needs ${tools}.`;
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
