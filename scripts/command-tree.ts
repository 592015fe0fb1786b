import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import is from '@sindresorhus/is';
import { dependenciesOf, type LockedPackage, parsePackageLock, rootOf } from './package-lock.js';

/** What a package has for people, compilers and debuggers, and for machines with another C library. */
const NOT_TO_RUN = /\/(?:vendor|docs?|musl_[^/]+|[^/]+\.(?:c|cc|cpp|h|hh|inc|S|map|md|txt|d\.[cm]?ts))$/;

/**
 * Lays the built command out as a program of the system, below a prefix such as `/usr`, without what only its
 * installation or programs that import landfall need:
 *
 * - `lib/landfall`: the bundled command, its native modules, and the packages that are not bundled
 * - `bin/landfall`, and in `share` the manual, what shells complete, and the licences
 *
 * Native modules are those that were built or installed here, so the tree is for this processor and C library.
 */
export async function layOutCommand(repository: string, prefix: string): Promise<void> {
  const home = join(prefix, 'lib', 'landfall');
  const dist = join(repository, 'dist');
  await mkdir(home, { recursive: true });
  for (const part of ['bin', 'native'])
    await cp(join(dist, part), join(home, 'dist', part), { recursive: true });
  await cp(join(repository, 'package.json'), join(home, 'package.json'));
  for (const { path } of await packagesBeside(repository)) {
    const from = join(repository, path);
    // What another machine needs was not installed here.
    await cp(from, join(home, path), {
      recursive: true,
      filter: (file) => file === from || !(NOT_TO_RUN.test(file) || basename(file) === 'node_modules'),
    }).catch((error: unknown) => {
      if (!is.error(error) || !('code' in error) || error.code !== 'ENOENT') throw error;
    });
  }
  await mkdir(join(prefix, 'bin'), { recursive: true });
  await symlink('../lib/landfall/dist/bin/landfall.js', join(prefix, 'bin', 'landfall'));

  const share = join(prefix, 'share');
  for (const page of await readdir(join(dist, 'man'))) {
    const text = await readFile(join(dist, 'man', page));
    await put(join(share, 'man', 'man1', `${page}.gz`), await promisify(gzip)(text, { level: 9 }));
  }
  for (const [shell, file] of Object.entries(COMPLETIONS)) {
    const command = join(dist, 'bin', 'landfall.js');
    await put(join(share, file), execFileSync(process.execPath, [command, 'completion', shell]));
  }
  const licence = await readFile(join(repository, 'LICENSE'), 'utf8');
  const bundled = await readFile(join(dist, 'bin', 'LICENSES.txt'), 'utf8');
  await put(join(share, 'doc', 'landfall', 'copyright'), `${licence}\n${bundled}`);
  await put(
    join(share, 'doc', 'landfall', 'sbom.cdx.json'),
    await readFile(join(dist, 'sbom.cdx.json'), 'utf8'),
  );
}

/** Where each shell looks for the completions of programs of the system. */
const COMPLETIONS: Readonly<Record<string, string>> = {
  bash: 'bash-completion/completions/landfall',
  zsh: 'zsh/vendor-completions/_landfall',
  fish: 'fish/vendor_completions.d/landfall.fish',
};

async function put(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

/** The packages that the command loads from beside it, by their places. */
async function packagesBeside(repository: string): Promise<readonly LockedPackage[]> {
  const lock = parsePackageLock(await readFile(join(repository, 'package-lock.json'), 'utf8'));
  const bundled = await bundledNames(repository);
  const isBeside = ({ name, path }: LockedPackage): boolean =>
    path !== '' && !bundled.has(name) && !COMPILED.has(name);
  const found = new Set(dependenciesOf(lock, rootOf(lock)).filter(isBeside));
  for (const each of found)
    for (const needed of dependenciesOf(lock, each).filter(isBeside)) found.add(needed);
  return [...found];
}

/** Their compiled files are in `dist/native`. */
const COMPILED: ReadonlySet<string> = new Set(['sqlite3', 'zstd-napi']);

/** The names of the packages that are in the bundle, as its bill of materials says. */
async function bundledNames(repository: string): Promise<ReadonlySet<string>> {
  const bill: unknown = JSON.parse(await readFile(join(repository, 'dist', 'sbom.cdx.json'), 'utf8'));
  if (!is.plainObject(bill) || !is.array(bill['components'])) throw new Error('the bill lists nothing');
  const names = bill['components'].filter(is.plainObject).flatMap(({ group, name, properties }) => {
    const bundled = is.array(properties) && properties.length > 0;
    return bundled && is.string(name) ? [is.string(group) ? `${group}/${name}` : name] : [];
  });
  return new Set(names);
}
