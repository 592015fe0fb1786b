import is from '@sindresorhus/is';

/** What a package-lock.json says of one place in node_modules. */
export interface LockedPackage {
  /** Where it lies: `node_modules/a`, `node_modules/a/node_modules/b`; empty for the package itself. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  /** An SPDX expression, as the package gives it. */
  readonly licence?: string;
  /** Its archive's digest, as npm writes it: `sha512-` and base64. */
  readonly integrity?: string;
  /** Whether npm may leave it out, such as a file for another machine. */
  readonly optional: boolean;
  /** The names of those that npm installs with it; without those of its development. */
  readonly needs: readonly string[];
}

/** All of a package-lock.json, by path. */
export type PackageLock = ReadonlyMap<string, LockedPackage>;

/** @throws Error where it is no package-lock.json of npm 7 or later */
export function parsePackageLock(text: string): PackageLock {
  const json: unknown = JSON.parse(text);
  if (!is.plainObject(json) || !is.plainObject(json['packages'])) throw new Error('the lock has no packages');
  return new Map(Object.entries(json['packages']).map(([path, entry]) => [path, lockedPackage(path, entry)]));
}

function lockedPackage(path: string, entry: unknown): LockedPackage {
  if (!is.plainObject(entry)) throw new Error(`the lock says nothing of ${path}`);
  const { name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length), version } = entry;
  if (!is.string(name) || !is.string(version)) throw new Error(`the lock does not say what ${path} is`);
  const { license: licence, integrity, peerDependenciesMeta: peers } = entry;
  const isOptionalPeer = (peer: string): boolean =>
    is.plainObject(peers) && is.plainObject(peers[peer]) && peers[peer]['optional'] === true;
  return {
    path,
    name,
    version,
    ...(is.string(licence) ? { licence } : {}),
    ...(is.string(integrity) ? { integrity } : {}),
    optional: entry['optional'] === true || entry['devOptional'] === true,
    needs: ['dependencies', 'optionalDependencies', 'peerDependencies'].flatMap((key) =>
      is.plainObject(entry[key])
        ? Object.keys(entry[key]).filter((peer) => key !== 'peerDependencies' || !isOptionalPeer(peer))
        : [],
    ),
  };
}

/**
 * What npm installs beside the package: all that it needs, directly or not, by path. What only its
 * development needs is no part of it, though it may lie beside it.
 */
export function productionPackages(lock: PackageLock): readonly LockedPackage[] {
  const found = new Set<LockedPackage>();
  const todo = dependenciesOf(lock, rootOf(lock));
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    todo.push(...dependenciesOf(lock, next));
  }
  return byPath(found);
}

/**
 * What npm installs, and what lies in the package itself as a copy.
 *
 * @param bundled paths of the lock
 */
export function shippedPackages(lock: PackageLock, bundled: ReadonlySet<string>): readonly LockedPackage[] {
  const copies = [...bundled].flatMap((path) => lock.get(path) ?? []);
  return byPath(new Set([...productionPackages(lock), ...copies]));
}

function byPath(packages: Iterable<LockedPackage>): readonly LockedPackage[] {
  return [...packages].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The package whose lock it is. */
export function rootOf(lock: PackageLock): LockedPackage {
  const root = lock.get('');
  if (root === undefined) throw new Error('the lock does not say whose it is');
  return root;
}

/** Those that a package finds by its own names for them; what is optional may be nowhere. */
export function dependenciesOf(lock: PackageLock, of: LockedPackage): LockedPackage[] {
  return of.needs.flatMap((name) => resolve(lock, of.path, name) ?? []);
}

/** As Node does: in the package's own node_modules, then in that of each directory above. */
function resolve(lock: PackageLock, path: string, name: string): LockedPackage | undefined {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const found = lock.get(at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`);
    if (found !== undefined || at === '') return found;
  }
}
