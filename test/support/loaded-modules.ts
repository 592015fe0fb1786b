import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type CommandResult, landfall } from './landfall-command.js';

/** What the built command loaded. */
export interface LoadedModules extends CommandResult {
  /** Our own modules as they lie below `src/`, without `.js`, those of worker threads included. */
  readonly own: readonly string[];
  /** Packages, whether they are a part of the bundle or not. */
  readonly packages: readonly string[];
  /** Native libraries of packages, by their file names. */
  readonly native: readonly string[];
  /** Node's own modules, those that only others of them use included. */
  readonly builtin: readonly string[];
}

const url = (script: string): string => `data:text/javascript,${encodeURIComponent(script)}`;

/** Runs in Node's thread for such things, before anything is loaded. */
const HOOKS = `
import { appendFileSync } from 'node:fs';
let file;
export function initialize(to) { file = to; }
export function load(url, context, next) {
  if (url.startsWith('file:')) appendFileSync(file, url + '\\n');
  return next(url, context);
}`;

const recorder = (file: string): string => `
import { appendFileSync, readFileSync } from 'node:fs';
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';
register(${JSON.stringify(url(HOOKS))}, { data: ${JSON.stringify(file)} });
if (isMainThread) process.on('exit', () => {
  const maps = readFileSync('/proc/self/maps', 'utf8');
  const lines = [...(maps.match(/\\S+\\.node$/gm) ?? []), ...process.moduleLoadList];
  appendFileSync(${JSON.stringify(file)}, lines.join('\\n') + '\\n');
});`;

/**
 * Runs the built command and tells what it loaded.
 *
 * @param file a path where nothing is yet, for what is recorded meanwhile
 */
export async function loadedBy(args: readonly string[], file: string): Promise<LoadedModules> {
  const result = await landfall(args, { env: { NODE_OPTIONS: `--import ${url(recorder(file))}` } });
  const lines = new Set((await readFile(file, 'utf8')).split('\n').filter((line) => line !== ''));
  const files = [...lines].filter((line) => line.startsWith('file:'));
  const parts = (await Promise.all(files.map(partsOf))).flat();
  const own = parts.flatMap((part) => /^dist\/(?:src|bin)\/(.*)\.js$/.exec(part)?.[1] ?? []);
  const packages = parts.flatMap(
    (part) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(part)?.[1] ?? [],
  );
  return {
    ...result,
    own: [...new Set(own)].sort(),
    packages: [...new Set(packages)].sort(),
    native: [...lines].filter((line) => line.endsWith('.node')).map((path) => basename(path)),
    builtin: [...lines].flatMap((line) => /^NativeModule (.*)$/.exec(line)?.[1] ?? []),
  };
}

/**
 * The files that a file of the bundle was made of: each stands in a comment of its own above what became of
 * it. Or the file itself.
 */
async function partsOf(file: string): Promise<readonly string[]> {
  if (file.includes('/node_modules/')) return [file];
  const text = await readFile(fileURLToPath(file), 'utf8');
  return [...text.matchAll(/^\/\/ (\S+\.[cm]?js)$/gm)].map(([, part = '']) => part);
}
