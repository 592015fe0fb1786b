import type { BytePath } from '../../system/index.js';
import type { ViewedFile } from './viewed-directory.js';
import type { TreeEntry } from './walk-tree.js';

/** What of a file can differ. */
export type ChangedAspect = 'type' | 'content' | 'target' | 'device' | 'mode' | 'owner' | 'xattrs' | 'time';

/** What differs between two things at one path. A file's size is part of its content, and a type of all that goes with it. */
export function changedAspects(
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
