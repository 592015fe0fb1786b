import { statSync } from 'node:fs';
import { type MountInfo, readMountInfo, toBytePath } from '../../system/index.js';

/**
 * Where a directory is mounted, by itself or as a layer of an overlay, as far as this mount namespace tells; the mounts
 * of others are not seen.
 */
export function mountOf(directory: string): string | undefined {
  return readMountInfo().find((mount) => isBoundTo(mount, directory) || isLayerOf(mount, directory))?.target;
}

/** The kernel tells the path within the file system only; its end says which mounts are worth a look. */
function isBoundTo({ root, target }: MountInfo, directory: string): boolean {
  return tailOf(root, 3) === tailOf(directory, 3) && isSame(target, directory);
}

/** Who mounted it chose how to name its layers: by their paths, or as containerd does for many, from a common directory. */
function isLayerOf({ type, superOptions }: MountInfo, directory: string): boolean {
  if (type !== 'overlay') return false;
  const short = tailOf(directory, 2);
  return superOptions
    .flatMap((option) => option.slice(option.indexOf('=') + 1).split(':'))
    .some((layer) => layer === short || (tailOf(layer, 2) === short && isSame(layer, directory)));
}

function tailOf(path: string, count: number): string {
  return toBytePath(path).split('/').slice(-count).join('/');
}

function isSame(path: string, directory: string): boolean {
  try {
    const [a, b] = [statSync(path, { bigint: true }), statSync(directory, { bigint: true })];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
