import { type BytePath, fromBytePath, toBytePath } from '../../system/index.js';
import type { TreeEntry } from '../../unpack/index.js';
import { formatMode, printable } from '../format/text.js';
import { formatSize } from '../../spec/index.js';

/** Where a file of an image is, as the JSON outputs tell it. */
export interface PathInfo {
  /** From the root, with a slash before it; what is not UTF-8 in it is U+FFFD. */
  readonly path: string;
  /** The exact bytes in base64, where they are not UTF-8. */
  readonly pathBase64?: string;
}

/** A file of an image, as the JSON outputs show it. */
export interface NodeInfo {
  /** `link` is a hard link to what a layer that is not looked at has. */
  readonly type: 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'link';
  /** Four octal digits. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; of files only. */
  readonly size?: number;
  /** RFC 3339. */
  readonly modifiedAt: string;
  readonly target?: string;
  readonly targetBase64?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Values in base64. */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** The digest of the layer that it comes from; a directory may come from several. */
  readonly layer?: string;
}

export function pathInfo(path: BytePath): PathInfo {
  const exact = unlessText(`/${path}`);
  return { path: `/${fromBytePath(path)}`, ...(exact === undefined ? {} : { pathBase64: exact }) };
}

export function nodeInfo({ node, attributes }: TreeEntry): NodeInfo {
  const { mode, uid, gid, mtime, xattrs } = attributes;
  const texts = [...xattrs].map(([name, value]) => [fromBytePath(name), value.toString('base64')] as const);
  return {
    type: node.kind === 'file' ? node.file.type : node.kind,
    mode: mode.toString(8).padStart(4, '0'),
    uid,
    gid,
    modifiedAt: timeOf(mtime),
    ...contentInfo(node),
    ...(texts.length === 0 ? {} : { xattrs: Object.fromEntries(texts) }),
  };
}

function contentInfo(node: TreeEntry['node']): Partial<NodeInfo> {
  switch (node.kind) {
    case 'directory':
      return {};
    case 'link':
      return targetInfo(node.target);
    case 'file': {
      const { file, layer } = node;
      const { type, size, linkPath, major, minor } = file;
      return {
        ...(type === 'file' ? { size } : {}),
        ...(type === 'symlink' ? targetInfo(linkPath) : {}),
        ...(type === 'character' || type === 'block' ? { major, minor } : {}),
        layer: layer.stored.descriptor.digest,
      };
    }
  }
}

function targetInfo(target: BytePath): Pick<NodeInfo, 'target' | 'targetBase64'> {
  const exact = unlessText(target);
  return { target: fromBytePath(target), ...(exact === undefined ? {} : { targetBase64: exact }) };
}

/** The bytes in base64 where text cannot say them. */
function unlessText(bytes: BytePath): string | undefined {
  return toBytePath(fromBytePath(bytes)) === bytes
    ? undefined
    : Buffer.from(bytes, 'latin1').toString('base64');
}

function timeOf({ seconds, nanoseconds }: TreeEntry['attributes']['mtime']): string {
  const date = new Date(seconds * 1000);
  // Beyond what a date can be: as near as it can be told.
  if (Number.isNaN(date.getTime())) return `@${seconds}`;
  const fraction = nanoseconds === 0 ? '' : `.${nanoseconds.toString().padStart(9, '0').replace(/0+$/, '')}`;
  return date.toISOString().replace('.000Z', `${fraction}Z`);
}

const TYPES: Readonly<Record<NodeInfo['type'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  character: 'c',
  block: 'b',
  fifo: 'p',
  link: 'h',
};

/** The columns of a long listing, but for the name: `-rw-r--r--  0:0  1.2 kB  2025-01-02 03:04`. */
export function longColumns(
  entry: TreeEntry,
): readonly [mode: string, owner: string, size: string, time: string] {
  const { type, uid, gid, size, major, minor, modifiedAt } = nodeInfo(entry);
  return [
    `${TYPES[type]}${formatMode(entry.attributes.mode)}`,
    `${uid}:${gid}`,
    major === undefined ? (size === undefined ? '-' : formatSize(size)) : `${major}, ${minor ?? 0}`,
    modifiedAt.replace('T', ' ').slice(0, 'YYYY-MM-DD hh:mm'.length),
  ];
}

/** A name fit for a terminal, with what it leads to. */
export function nameWithTarget(name: BytePath, entry: TreeEntry): string {
  const { target } = nodeInfo(entry);
  return `${printable(fromBytePath(name))}${target === undefined ? '' : ` -> ${printable(target)}`}`;
}

/**
 * An object as `JSON.stringify` indents it by two, in pieces: the keys of one object, a list that is taken as
 * it comes, and the keys of another, which is asked for when the list was taken. All of it may be larger than
 * a text can be, and than what memory there is.
 */
export async function* jsonWithList(
  head: object,
  key: string,
  items: AsyncIterable<object>,
  tail: () => object = () => ({}),
): AsyncGenerator<string, void, undefined> {
  const before = membersOf(head);
  yield `{${before}${before === '' ? '' : ','}\n  ${JSON.stringify(key)}: [`;
  let isEmpty = true;
  for await (const item of items) {
    yield `${isEmpty ? '' : ','}\n    ${JSON.stringify(item, null, 2).replaceAll('\n', '\n    ')}`;
    isEmpty = false;
  }
  const after = membersOf(tail());
  yield `${isEmpty ? '' : '\n  '}]${after === '' ? '' : ','}${after}\n}\n`;
}

/** The text between the braces of an object, without the last line break. */
function membersOf(object: object): string {
  return JSON.stringify(object, null, 2).slice(1, -1).trimEnd();
}
