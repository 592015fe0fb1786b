import type { ModelTree } from './layer-model.js';
import type { TreeListing } from './tree-lister.js';

export interface DescribeOptions {
  /** Who is not root sees all that it unpacked as its own, and no trusted attributes. */
  readonly privileged: boolean;
  /** Whether the paths of one file are told: overlayfs cannot add a name to a lower file, and copies it. */
  readonly links: boolean;
}

/** Each path in one line. */
export type Described = Readonly<Record<string, string>>;

export function describeModel(tree: ModelTree, o: DescribeOptions): Described {
  const names = new Map<object, string>();
  const counts = new Map<object, number>();
  for (const [path, node] of tree) {
    if (!names.has(node)) names.set(node, path);
    counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  return sorted(tree.keys(), (path) => {
    const node = tree.get(path);
    if (node === undefined) throw new Error(`${path} is gone`);
    const { type, mode, owner, content, time, xattrs } = node;
    const links = type === 'directory' ? {} : { file: names.get(node) ?? '', nlink: counts.get(node) ?? 0 };
    return line({ type, mode, owner, content, time, xattrs, ...links }, o);
  });
}

/** Where the model knows no time, it is that of unpacking. */
export function describeListing(listing: TreeListing, model: ModelTree, o: DescribeOptions): Described {
  // The names of one file are called by the first of them.
  const names = new Map<string, string>();
  for (const path of Object.keys(listing).sort()) {
    const file = listing[path]?.file ?? '';
    if (!names.has(file)) names.set(file, path);
  }
  return sorted(Object.keys(listing), (path) => {
    const entry = listing[path];
    if (entry === undefined) throw new Error(`${path} is gone`);
    const { type, mode, owner, content, mtime, nlink, xattrs } = entry;
    const time = model.get(path)?.time === undefined ? undefined : mtime;
    const links = type === 'directory' ? {} : { file: names.get(entry.file) ?? '', nlink };
    return line({ type, mode, owner, content, time, xattrs, ...links }, o);
  });
}

interface Line {
  readonly type: string;
  readonly mode: number;
  readonly owner: string;
  readonly content: string;
  readonly time: number | undefined;
  readonly xattrs: Readonly<Record<string, string>>;
  readonly file?: string;
  readonly nlink?: number;
}

function line(l: Line, { privileged, links }: DescribeOptions): string {
  const xattrs = Object.entries(l.xattrs)
    .filter(([name]) => name.startsWith('user.') || (privileged && name.startsWith('trusted.')))
    .sort()
    .map(([name, value]) => `${name}=${Buffer.from(value, 'latin1').toString('hex')}`);
  const parts = [
    l.type,
    l.mode.toString(8),
    ...(privileged ? [l.owner] : []),
    l.content,
    l.time ?? 'any time',
  ];
  if (links && l.file !== undefined) parts.push(`one of ${l.nlink} names of ${l.file}`);
  return [...parts, ...xattrs].join(' ');
}

function sorted(paths: Iterable<string>, describe: (path: string) => string): Described {
  return Object.fromEntries([...paths].sort().map((path) => [path, describe(path)]));
}
