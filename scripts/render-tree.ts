import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';

import { fitEnd } from '../src/cli/format/fit.js';
import { printable } from '../src/cli/format/printable.js';
import { formatSize } from '../src/cli/format/size.js';

export interface TreeLimits {
  /** Directories within directories that are opened. */
  readonly depth: number;
  /** Entries of one directory that are shown. */
  readonly entries: number;
}

const NAME_WIDTH = 44;

/** A directory as a tree, with modes and owners as `ls -ln` has them; what is beyond the limits is counted. */
export function renderTree(root: string, limits: TreeLimits): string {
  return `${describeFile(root, '.', lstatSync(root), '')}\n${renderBelow(root, '', 0, limits)}`;
}

function renderBelow(directory: string, indent: string, depth: number, limits: TreeLimits): string {
  const names = readdirSync(directory).sort();
  if (depth === limits.depth) return names.length === 0 ? '' : counted(names.length, indent);
  const shown = names.slice(0, limits.entries);
  const hidden = names.length - shown.length;
  const lines = shown.map((name, at) => {
    const path = join(directory, name);
    const stat = lstatSync(path);
    const last = hidden === 0 && at === shown.length - 1;
    const line = `${describeFile(path, name, stat, `${indent}${last ? '└─ ' : '├─ '}`)}\n`;
    return stat.isDirectory()
      ? line + renderBelow(path, `${indent}${last ? '   ' : '│  '}`, depth + 1, limits)
      : line;
  });
  return lines.join('') + (hidden === 0 ? '' : counted(hidden, indent));
}

/** Under the names, to the right of the columns of modes and owners. */
function counted(count: number, indent: string): string {
  return `${' '.repeat(24)}${indent}└─ … ${count} more\n`;
}

function describeFile(path: string, name: string, stat: Stats, indent: string): string {
  const owner = `${stat.uid}:${stat.gid}`;
  return `  ${modeText(stat)}  ${`${owner} `.padEnd(10)}${indent}${fitEnd(printable(name), NAME_WIDTH)}${detail(path, stat)}`;
}

function detail(path: string, stat: Stats): string {
  if (stat.isSymbolicLink()) return ` -> ${fitEnd(printable(readlinkSync(path)), NAME_WIDTH)}`;
  if (!stat.isFile()) return '';
  return `  ${formatSize(stat.size)}${stat.nlink > 1 ? `, ${stat.nlink} links` : ''}`;
}

/** `drwxr-xr-x`, with setuid, setgid and sticky in the places where `ls` puts them. */
function modeText(stat: Stats): string {
  const special = [0o4000, 0o2000, 0o1000].map((bit) => (stat.mode & bit) !== 0);
  const triplets = [6, 3, 0].map((shift, at) => {
    const bits = (stat.mode >> shift) & 7;
    const letter = at === 2 ? 't' : 's';
    const execute =
      special[at] === true
        ? (bits & 1) === 0
          ? letter.toUpperCase()
          : letter
        : (bits & 1) === 0
          ? '-'
          : 'x';
    return `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${execute}`;
  });
  return typeLetter(stat) + triplets.join('');
}

function typeLetter(stat: Stats): string {
  if (stat.isDirectory()) return 'd';
  if (stat.isSymbolicLink()) return 'l';
  if (stat.isFIFO()) return 'p';
  if (stat.isCharacterDevice()) return 'c';
  if (stat.isBlockDevice()) return 'b';
  return stat.isSocket() ? 's' : '-';
}
