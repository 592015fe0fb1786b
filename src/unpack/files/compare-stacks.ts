import { type Abortable, throwIfAborted } from '../../errors.js';
import type { BytePath } from '../../system/index.js';
import {
  BELOW,
  type LayerStack,
  type ViewedDirectory,
  type ViewedFile,
  type ViewedNode,
} from './viewed-directory.js';
import { entryOf, type TreeEntry, walkTree } from './walk-tree.js';

/** One difference between two trees. */
export type TreeChange =
  | { readonly kind: 'added'; readonly path: BytePath; readonly after: TreeEntry }
  | { readonly kind: 'removed'; readonly path: BytePath; readonly before: TreeEntry }
  | {
      readonly kind: 'changed';
      readonly path: BytePath;
      readonly before: TreeEntry;
      readonly after: TreeEntry;
      /** What of it; never empty. */
      readonly aspects: readonly ChangedAspect[];
    };

export interface CompareStacksOptions extends Abortable {
  /** Whether modification times count. Default false: builds seldom agree on them. */
  readonly times?: boolean | undefined;
  /** Only these paths, and what is below them; without a slash before them. Default: all. */
  readonly paths?: readonly BytePath[] | undefined;
}

/**
 * What differs between two merged trees, by path, in the order of the names' bytes; what is in a directory
 * follows it. Hard links are compared as files, each name by itself. Both stacks have to be of one reader,
 * one that digests contents.
 *
 * Layers that both have at their bottom are read only where those above do not tell what differs: whether a
 * file that only one of them mentions is new, say. Errors: those of reading layers; ABORTED.
 */
export async function* compareStacks(
  before: LayerStack,
  after: LayerStack,
  o: CompareStacksOptions = {},
): AsyncGenerator<TreeChange, void, undefined> {
  const comparison = new Comparison(commonLayers(before, after), o);
  yield* comparison.directories(before.root, after.root);
}

/** How many layers both have at their bottom. */
export function commonLayers(a: LayerStack, b: LayerStack): number {
  let count = 0;
  while (count < a.layers.length && a.layers[count]?.diffId === b.layers[count]?.diffId) count += 1;
  return count;
}

class Comparison {
  readonly #common: number;
  readonly #options: CompareStacksOptions;

  constructor(common: number, options: CompareStacksOptions) {
    this.#common = common;
    this.#options = options;
  }

  /** Two directories at one path, with all that is in them. */
  async *directories(
    before: ViewedDirectory,
    after: ViewedDirectory,
  ): AsyncGenerator<TreeChange, void, undefined> {
    throwIfAborted(this.#options.signal);
    if (this.#isWanted(after.path) && (await this.#mayDiffer(before, after))) {
      const { path, name } = after;
      yield* this.#pair(await entryOf(path, name, before), await entryOf(path, name, after));
    }
    for (const name of await this.#namesToCompare(before, after)) {
      const path = after.pathOf(name);
      if (this.#isWanted(path) || this.#isOnTheWay(path)) {
        yield* this.#nodes(path, name, { before: await before.child(name), after: await after.child(name) });
      }
    }
  }

  async *#nodes(
    path: BytePath,
    name: BytePath,
    { before, after }: { readonly before: ViewedNode | undefined; readonly after: ViewedNode | undefined },
  ): AsyncGenerator<TreeChange, void, undefined> {
    if (before?.kind === 'directory' && after?.kind === 'directory') {
      yield* this.directories(before, after);
      return;
    }
    const isWanted = this.#isWanted(path);
    const [old, now] = [await entryOrNone(path, name, before), await entryOrNone(path, name, after)];
    if (isWanted && old !== undefined && now !== undefined) yield* this.#pair(old, now);
    else if (isWanted && old !== undefined) yield { kind: 'removed', path, before: old };
    else if (isWanted && now !== undefined) yield { kind: 'added', path, after: now };
    if (before?.kind === 'directory') {
      for await (const entry of this.#below(before))
        yield { kind: 'removed', path: entry.path, before: entry };
    }
    if (after?.kind === 'directory') {
      for await (const entry of this.#below(after)) yield { kind: 'added', path: entry.path, after: entry };
    }
  }

  *#pair(before: TreeEntry, after: TreeEntry): Generator<TreeChange, void, undefined> {
    const aspects = changedAspects(before, after, this.#options);
    if (aspects.length > 0) yield { kind: 'changed', path: after.path, before, after, aspects };
  }

  async *#below(directory: ViewedDirectory): AsyncGenerator<TreeEntry, void, undefined> {
    for await (const entry of walkTree(directory, { recursive: true, signal: this.#options.signal })) {
      if (this.#isWanted(entry.path)) yield entry;
    }
  }

  /**
   * Whether what both say of the directory itself may differ, as far as that can be told without the common
   * layers.
   */
  async #mayDiffer(before: ViewedDirectory, after: ViewedDirectory): Promise<boolean> {
    const [a, b] = [await before.attributesAbove(this.#common), await after.attributesAbove(this.#common)];
    return a !== BELOW || b !== BELOW;
  }

  /**
   * The names at which the two may differ. Where both show what the common layers have, only those that a
   * layer above them mentions can.
   */
  async #namesToCompare(before: ViewedDirectory, after: ViewedDirectory): Promise<readonly BytePath[]> {
    const [a, b] = [await before.partsAbove(this.#common), await after.partsAbove(this.#common)];
    const names = new Set<BytePath>();
    if (!a.isOpen || !b.isOpen) {
      for (const name of [...(await before.names()), ...(await after.names())]) names.add(name);
      return [...names].sort();
    }
    for (const { directory } of [...a.parts, ...b.parts]) {
      const { files, links, children, absent, whiteouts } = directory;
      for (const mentioned of [
        files.keys(),
        links.keys(),
        children.keys(),
        absent?.keys() ?? [],
        whiteouts,
      ]) {
        for (const name of mentioned) names.add(name);
      }
    }
    return [...names].sort();
  }

  #isWanted(path: BytePath): boolean {
    const { paths } = this.#options;
    if (paths === undefined) return true;
    return paths.some((wanted) => wanted === '' || path === wanted || path.startsWith(`${wanted}/`));
  }

  #isOnTheWay(path: BytePath): boolean {
    return this.#options.paths?.some((wanted) => wanted.startsWith(`${path}/`)) ?? false;
  }
}

async function entryOrNone(
  path: BytePath,
  name: BytePath,
  node: ViewedNode | undefined,
): Promise<TreeEntry | undefined> {
  return node === undefined ? undefined : await entryOf(path, name, node);
}

/** What of a file can differ. */
export type ChangedAspect = 'type' | 'content' | 'target' | 'device' | 'mode' | 'owner' | 'xattrs' | 'time';

/**
 * What differs between two things at one path. A file's size is part of its content, and a type of all that
 * goes with it.
 */
function changedAspects(
  before: TreeEntry,
  after: TreeEntry,
  { times = false }: { readonly times?: boolean | undefined } = {},
): readonly ChangedAspect[] {
  const aspects: ChangedAspect[] = [];
  if (typeOf(before) !== typeOf(after)) aspects.push('type');
  else aspects.push(...differentContent(before, after));
  const [a, b] = [before.attributes, after.attributes];
  if (a.mode !== b.mode) aspects.push('mode');
  if (a.uid !== b.uid || a.gid !== b.gid) aspects.push('owner');
  if (!areSameXattrs(a.xattrs, b.xattrs)) aspects.push('xattrs');
  const { mtime } = b;
  if (times && (a.mtime.seconds !== mtime.seconds || a.mtime.nanoseconds !== mtime.nanoseconds)) {
    aspects.push('time');
  }
  return aspects;
}

function typeOf({ node }: TreeEntry): string {
  return node.kind === 'file' ? node.file.type : node.kind;
}

/** Of two things of one type. */
function differentContent({ node: a }: TreeEntry, { node: b }: TreeEntry): readonly ChangedAspect[] {
  if (a.kind === 'link' && b.kind === 'link') return a.target === b.target ? [] : ['target'];
  if (a.kind !== 'file' || b.kind !== 'file') return [];
  switch (a.file.type) {
    case 'file':
      return isSameContent(a, b) ? [] : ['content'];
    case 'symlink':
      return a.file.linkPath === b.file.linkPath ? [] : ['target'];
    case 'character':
    case 'block':
      return a.file.major === b.file.major && a.file.minor === b.file.minor ? [] : ['device'];
    case 'fifo':
      return [];
  }
}

function isSameContent(a: ViewedFile, b: ViewedFile): boolean {
  if (a.file === b.file) return true;
  if (a.file.size !== b.file.size) return false;
  if (a.file.size === 0) return true;
  const content = a.layer.contents.get(a.file.entry);
  return content !== undefined && content === b.layer.contents.get(b.file.entry);
}

function areSameXattrs(a: ReadonlyMap<BytePath, Buffer>, b: ReadonlyMap<BytePath, Buffer>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) if (b.get(name)?.equals(value) !== true) return false;
  return true;
}
