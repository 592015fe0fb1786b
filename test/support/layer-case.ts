import type { TreeListing } from './tree-lister.js';

/** The forms that layers are unpacked into; `exported` is an archive, which is the same whoever makes it. */
export type FormName = 'overlay' | 'userxattr' | 'native' | 'merged' | 'exported';

/**
 * Layers, and what they come to in every form, as root sees it; who is not root, see {@link
 * withoutPrivileges}.
 */
export interface LayerCase {
  readonly name: string;
  /** Bottom first; the parts of each archive. */
  readonly layers: readonly (readonly Buffer[])[];
  /** As {@link describeTree} says it. The root need not be named where no layer lists it. */
  readonly tree?: Readonly<Record<string, string>>;
  /** Paths that are one file, in a group each; all others are files of their own. */
  readonly same?: readonly (readonly string[])[];
  /** Where overlayfs cannot show what the other forms do: its lower layers do not change. */
  readonly sameInOverlay?: readonly (readonly string[])[];
  readonly warnings?: readonly RegExp[];
  /** What an archive can have, and no file system. */
  readonly exported?: {
    readonly tree: Readonly<Record<string, string>>;
    readonly warnings: readonly RegExp[];
  };
  /** Of the error, where the layers are refused. */
  readonly code?: string;
}

/** What the builders of archives give every entry unless they are told otherwise. */
const USUAL_TIME = 1_000_000_000;

export const IMPLIED = 'dir 755, now';

/**
 * Each path in one line: `dir MODE`, `file MODE CONTENT`, `symlink TARGET`, `fifo MODE`, `char MAJOR:MINOR
 * MODE`, `block …`; behind it, each after a comma, what is not usual: `UID:GID` other than 0:0, `at SECONDS`
 * or `now` for a time, `NAME=VALUE` of xattrs.
 *
 * @param since - seconds; what has a later time has it `now`
 */
export function describeTree(listing: TreeListing, since: number): Record<string, string> {
  const lines = Object.entries(listing).map(([path, entry]): [string, string] => {
    const { type, mode, owner, content, mtime, xattrs } = entry;
    const parts = [nodeOf(type, mode.toString(8), content)];
    if (owner !== '0:0') parts.push(owner);
    if (mtime >= since) parts.push('now');
    else if (mtime !== USUAL_TIME) parts.push(`at ${mtime}`);
    for (const [name, value] of Object.entries(xattrs).sort()) parts.push(`${name}=${readable(value)}`);
    return [path, parts.join(', ')];
  });
  return Object.fromEntries(lines);
}

/** The paths of each file that has several, in groups. */
export function describeLinks(listing: TreeListing): string[][] {
  const groups = new Map<string, string[]>();
  for (const [path, { file, type }] of Object.entries(listing)) {
    if (type !== 'directory') groups.set(file, [...(groups.get(file) ?? []), path]);
  }
  return [...groups.values()].filter(({ length }) => length > 1).map((group) => group.sort());
}

function nodeOf(type: TreeListing[string]['type'], mode: string, content: string): string {
  switch (type) {
    case 'directory':
      return `dir ${mode}`;
    case 'file':
      return `file ${mode} ${content}`;
    case 'symlink':
      return `symlink ${content}`;
    case 'other':
      return special(mode, content);
  }
}

/** The lister gives the type as the high bits of a mode, and the device in the kernel's encoding. */
function special(mode: string, content: string): string {
  const [type = 0, device = 0] = content.split(':').map(Number);
  const numbers = `${(device >> 8) & 0xfff}:${(device & 0xff) | ((device >>> 12) & 0xfff00)}`;
  if (type === 1) return `fifo ${mode}`;
  return `${type === 2 ? 'char' : 'block'} ${numbers} ${mode}`;
}

function readable(value: string): string {
  return /^[ -~]*$/.test(value) ? value : `0x${Buffer.from(value, 'latin1').toString('hex')}`;
}

const DEVICE = /^(?:char|block) /;
const OWNER = /, \d+:\d+(?=,|$)/;
const PRIVILEGED_XATTR = /, (?:trusted|security)\.[^,]*/g;

/**
 * What a tree comes to for who is not root: it is all the user's, without devices and without what only root
 * may set.
 */
export function withoutPrivileges(tree: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(tree).filter(([, line]) => !DEVICE.test(line));
  return Object.fromEntries(
    kept.map(([path, line]) => [path, line.replace(OWNER, '').replaceAll(PRIVILEGED_XATTR, '')]),
  );
}

/** An archive knows no time of unpacking. */
export function withFixedTimes(tree: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tree).map(([path, line]) => [path, line.replace(/, now(?=,|$)/, ', at 0')]),
  );
}

const PRIVILEGE_WARNING =
  /^(?:character|block) devices are left out|^extended attributes in "(?:trusted|security)" are not kept/;

/** Whether it is what who is not root is told about what only root can have. */
export function isAboutPrivileges(warning: string): boolean {
  return PRIVILEGE_WARNING.test(warning);
}

/** In a user namespace nobody sees what only root of the machine may read. */
export function withoutTrusted(tree: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tree).map(([path, line]) => [path, line.replaceAll(/, trusted\.[^,]*/g, '')]),
  );
}
