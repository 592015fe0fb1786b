import { LandfallError } from '../../errors.js';
import { LIMITS, quoted } from '../../spec/index.js';
import { fromBytePath, type BytePath } from '../../system/index.js';
import type { ViewedDirectory, ViewedNode } from './viewed-directory.js';

/** As many as the kernel follows for one path (linux/namei.h: MAXSYMLINKS). */
const MAX_SYMLINKS = 40;

export interface FindPathOptions {
  /** Whether a symlink at the end of the path is followed. Default true; one with a slash behind it always is. */
  readonly follow?: boolean | undefined;
}

/** What a path leads to. */
export interface FoundPath {
  /** From the root, without a slash before it, and without symlinks on the way; `''` for the root. */
  readonly path: BytePath;
  readonly node: ViewedNode;
}

/**
 * Follows a path from the root of an image as a process in a container would: symlinks lead where they lead there, and `..` never out of
 * the root. Lower layers are read only where those above do not tell.
 *
 * Errors: NOT_FOUND, whose `details.nearest` is the nearest directory that is there, and whose `details.path` is what is not; those of
 * reading layers.
 */
export async function findPath(
  root: ViewedDirectory,
  path: BytePath,
  { follow = true }: FindPathOptions = {},
): Promise<FoundPath> {
  if (path.length > LIMITS.pathBytes) throw notFound(root, path, 'is longer than any path can be');
  const mustBeDirectory = /(?:^|\/)\.{0,2}$/.test(path);
  let directory = root;
  let symlinks = 0;
  const todo = componentsOf(path).reverse();
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (name === '..') {
      directory = directory.parent ?? root;
      continue;
    }
    const node = await directory.child(name);
    if (node === undefined) throw notFound(directory, directory.pathOf(name), 'is not in the image');
    if (node.kind === 'directory') {
      directory = node;
      continue;
    }
    const isLast = todo.length === 0;
    if (node.kind === 'file' && node.file.type === 'symlink' && (!isLast || follow || mustBeDirectory)) {
      symlinks += 1;
      const target = node.file.linkPath;
      if (symlinks > MAX_SYMLINKS || target.length > LIMITS.pathBytes) {
        throw notFound(directory, directory.pathOf(name), 'leads through too many symbolic links');
      }
      if (target.startsWith('/')) directory = root;
      todo.push(...componentsOf(target).reverse());
      continue;
    }
    if (isLast && !mustBeDirectory) return { path: directory.pathOf(name), node };
    throw notFound(directory, directory.pathOf(name), 'is not a directory in the image');
  }
  return { path: directory.path, node: directory };
}

function componentsOf(path: BytePath): BytePath[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function notFound(nearest: ViewedDirectory, path: BytePath, why: string): LandfallError {
  const absolute = `/${fromBytePath(nearest.path)}`;
  return new LandfallError('NOT_FOUND', `${quoted(`/${fromBytePath(path)}`, 200)} ${why}`, {
    hint: `The nearest directory that is there is ${quoted(absolute, 200)}: list it with \`landfall ls\`.`,
    details: { path: `/${fromBytePath(path)}`, nearest: absolute },
  });
}
