import { type Abortable, throwIfAborted } from '../../errors.js';
import type { BytePath } from '../../system/index.js';
import { type ImageAttributes, UNLISTED } from '../image-tree/image-tree.js';
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
 * What is in a directory, in the order of the names' bytes; with `recursive` what is in each directory follows it. Errors: those of reading
 * layers; ABORTED.
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
