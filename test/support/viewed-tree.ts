import {
  LayerReader,
  LayerStack,
  readFile,
  type StoredLayer,
  type TreeEntry,
  type ViewedFile,
  walkTree,
} from '../../src/unpack/index.js';
import { collected, storedLayer } from './exported.js';
import type { ListedEntry, TreeListing } from './tree-lister.js';

/** Layers of these archives, bottom first, of which it is noted which were opened. */
export interface ViewedLayers {
  readonly stack: LayerStack;
  /** Their numbers, in the order in which they were opened for the first time. */
  readonly opened: readonly number[];
}

export function viewLayers(
  tars: readonly Buffer[],
  o: { readonly reader?: LayerReader; readonly isPart?: boolean } = {},
): ViewedLayers {
  const opened: number[] = [];
  const layers = tars.map((tar, at): StoredLayer => {
    const layer = storedLayer(tar);
    return {
      ...layer,
      open: async () => {
        if (!opened.includes(at)) opened.push(at);
        return await layer.open();
      },
    };
  });
  const reader = o.reader ?? new LayerReader({ layers: layers.length });
  return { stack: new LayerStack(layers, reader, { isPart: o.isPart ?? false }), opened };
}

/** The whole tree as TreeLister lists one, each file's content read. */
export async function listView(stack: LayerStack): Promise<TreeListing> {
  const names = new Map<object, string[]>();
  const entries: TreeEntry[] = [];
  const { root } = stack;
  entries.push({ path: '', name: '', node: root, attributes: await root.attributes() });
  for await (const entry of walkTree(root, { recursive: true })) entries.push(entry);
  for (const { path, node } of entries) {
    if (node.kind !== 'file') continue;
    const known = names.get(node.file);
    if (known === undefined) names.set(node.file, [path]);
    else known.push(path);
  }
  const listing: Record<string, ListedEntry> = {};
  for (const entry of entries) listing[entry.path] = await listed(entry, names);
  return listing;
}

async function listed(
  { path, node, attributes }: TreeEntry,
  names: ReadonlyMap<object, readonly string[]>,
): Promise<ListedEntry> {
  const { mode, uid, gid, mtime, xattrs } = attributes;
  const all = node.kind === 'file' ? (names.get(node.file) ?? []) : [];
  return {
    type: typeOf(node),
    mode,
    owner: `${uid}:${gid}`,
    content: node.kind === 'file' ? await contentOf(node) : '',
    mtime: mtime.seconds + mtime.nanoseconds / 1e9,
    nlink: Math.max(1, all.length),
    file: all[0] ?? path,
    xattrs: Object.fromEntries([...xattrs].map(([name, value]) => [name, value.toString('latin1')])),
  };
}

function typeOf(node: TreeEntry['node']): ListedEntry['type'] {
  if (node.kind !== 'file') return node.kind === 'directory' ? 'directory' : 'other';
  return node.file.type === 'file' || node.file.type === 'symlink' ? node.file.type : 'other';
}

/** S_IFMT of each type, as the lister of trees tells it. */
const FORMATS = { fifo: 1, character: 2, block: 6 } as const;

async function contentOf(node: ViewedFile): Promise<string> {
  const { type, linkPath, major, minor } = node.file;
  if (type === 'file') return (await collected(readFile(node))).toString('latin1');
  if (type === 'symlink') return linkPath;
  const device = (minor & 0xff) + (major & 0xfff) * 2 ** 8 + Math.floor(minor / 2 ** 8) * 2 ** 20;
  return `${FORMATS[type]}:${device}`;
}
