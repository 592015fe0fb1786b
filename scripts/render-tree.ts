import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';

import { branches, drawTree, fitEnd, formatMode, printable } from '../src/cli/format/text.js';
import { formatSize } from '../src/spec/index.js';

export interface TreeLimits {
  /** Directories within directories that are opened. */
  readonly depth: number;
  /** Entries of one directory that are shown. */
  readonly entries: number;
}

/** A line of the tree: a file, or how many more there are. */
type Shown =
  | { readonly path: string; readonly name: string; readonly stat: Stats; readonly depth: number }
  | { readonly hidden: number };

const NAME_WIDTH = 44;

/**
 * A directory as a tree, with modes and owners as `ls -ln` has them; what is beyond the limits is counted.
 */
export function renderTree(root: string, limits: TreeLimits): string {
  const top = { path: root, name: '.', stat: lstatSync(root), depth: 0 };
  const below = (shown: Shown): readonly Shown[] => shownBelow(shown, limits);
  const lines = [...drawTree(below(top), below, branches({ unicode: true }))].map(({ node, branch }) =>
    'hidden' in node
      ? `${' '.repeat(24)}${branch}… ${node.hidden} more`
      : describeFile(node.path, node.name, node.stat, branch),
  );
  return [describeFile(root, '.', top.stat, ''), ...lines, ''].join('\n');
}

function shownBelow(shown: Shown, limits: TreeLimits): readonly Shown[] {
  if ('hidden' in shown || !shown.stat.isDirectory()) return [];
  const { path, depth } = shown;
  const names = readdirSync(path).sort();
  if (depth === limits.depth) return names.length === 0 ? [] : [{ hidden: names.length }];
  const files = names.slice(0, limits.entries).map((name) => {
    const file = join(path, name);
    return { path: file, name, stat: lstatSync(file), depth: depth + 1 };
  });
  const hidden = names.length - files.length;
  return hidden === 0 ? files : [...files, { hidden }];
}

function describeFile(path: string, name: string, stat: Stats, indent: string): string {
  const owner = `${stat.uid}:${stat.gid}`;
  return `  ${typeLetter(stat)}${formatMode(stat.mode)}  ${`${owner} `.padEnd(10)}${indent}${fitEnd(printable(name), NAME_WIDTH)}${detail(path, stat)}`;
}

function detail(path: string, stat: Stats): string {
  if (stat.isSymbolicLink()) return ` -> ${fitEnd(printable(readlinkSync(path)), NAME_WIDTH)}`;
  if (!stat.isFile()) return '';
  return `  ${formatSize(stat.size)}${stat.nlink > 1 ? `, ${stat.nlink} links` : ''}`;
}

function typeLetter(stat: Stats): string {
  if (stat.isDirectory()) return 'd';
  if (stat.isSymbolicLink()) return 'l';
  if (stat.isFIFO()) return 'p';
  if (stat.isCharacterDevice()) return 'c';
  if (stat.isBlockDevice()) return 'b';
  return stat.isSocket() ? 's' : '-';
}
