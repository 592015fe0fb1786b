import { type Abortable, LandfallError, throwIfAborted } from '../../errors.js';
import { LIMITS, quoted } from '../../spec/index.js';
import { type BytePath, fromBytePath } from '../../system/index.js';
import { type ImageAttributes, UNLISTED } from './image-tree.js';
import type { ViewedDirectory, ViewedNode } from './viewed-directory.js';

/** Something in a merged tree, with what it is. */
export interface TreeEntry {
  /** From the root, without a slash before it; `''` for the root. */
  readonly path: BytePath;
  readonly name: BytePath;
  readonly node: ViewedNode;
  readonly attributes: ImageAttributes;
}

/**
 * What is in a directory, in the order of the names' bytes; with `recursive` what is in each directory
 * follows it. Errors: those of reading layers; ABORTED.
 */
export async function* walkTree(
  directory: ViewedDirectory,
  o: Abortable & { readonly recursive?: boolean | undefined } = {},
): AsyncGenerator<TreeEntry, void, undefined> {
  const { recursive = false, signal } = o;
  // By hand, since generators within generators would make each entry as slow as it is deep.
  const open: { directory: ViewedDirectory; names: BytePath[] }[] = [await opened(directory)];
  for (let at = open.at(-1); at !== undefined; at = open.at(-1)) {
    throwIfAborted(signal);
    const name = at.names.pop();
    if (name === undefined) {
      open.pop();
      continue;
    }
    const node = await at.directory.child(name);
    if (node === undefined) continue;
    yield await entryOf(at.directory.pathOf(name), name, node);
    if (recursive && node.kind === 'directory') open.push(await opened(node));
  }
}

/** What something in a merged tree is. */
export async function entryOf(path: BytePath, name: BytePath, node: ViewedNode): Promise<TreeEntry> {
  return { path, name, node, attributes: await attributesOf(node) };
}

async function attributesOf(node: ViewedNode): Promise<ImageAttributes> {
  switch (node.kind) {
    case 'directory':
      return await node.attributes();
    case 'file':
      return node.file;
    case 'link':
      // What it is stands in a layer that is not looked at.
      return UNLISTED;
  }
}

async function opened(
  directory: ViewedDirectory,
): Promise<{ readonly directory: ViewedDirectory; readonly names: BytePath[] }> {
  return { directory, names: [...(await directory.names())].reverse() };
}

/** As many as the kernel follows for one path (linux/namei.h: MAXSYMLINKS). */
const MAX_SYMLINKS = 40;

export interface FindPathOptions {
  /**
   * Whether a symlink at the end of the path is followed. Default true; one with a slash behind it always is.
   */
  readonly follow?: boolean | undefined;
}

/** What a path leads to. */
export interface FoundPath {
  /** From the root, without a slash before it, and without symlinks on the way; `''` for the root. */
  readonly path: BytePath;
  readonly node: ViewedNode;
}

/**
 * Follows a path from the root of an image as a process in a container would: symlinks lead where they lead
 * there, and `..` never out of the root. Lower layers are read only where those above do not tell.
 *
 * Errors: NOT_FOUND, whose `details.nearest` is the nearest directory that is there, and whose `details.path`
 * is what is not; those of reading layers.
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
