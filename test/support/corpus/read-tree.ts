import { execFileSync } from 'node:child_process';
import type { BytePath } from '../../../src/system/index.js';

/**
 * What one path is, by the machine's own tools, so that what landfall unpacked is not judged by its own code:
 * type, mode, owner, size (not of directories), target, links (all paths of one file), mtime (seconds, dot,
 * nanoseconds after them), device, content (its digest), and `xattr NAME` for each attribute, in hexadecimal
 * digits.
 */
export type PathInfo = Readonly<Record<string, string>>;

/** By path, bytes as latin1; the root is `''`. */
export type TreeInfo = ReadonlyMap<BytePath, PathInfo>;

/** Between the four listings, whose fields end in NUL. */
const NEXT = '-- next listing --';

const LIST = String.raw`
set -eu
cd "$1"
export LC_ALL=C
find . -printf '%P\0%y\0%m\0%U:%G\0%s\0%l\0%n\0%i\0%T@\0'
printf '%s' "$2"
find . -type f -print0 | xargs -0r sha256sum -z
printf '%s' "$2"
find . \( -type c -o -type b \) -print0 | xargs -0r stat --printf '%n\0%t:%T\0'
printf '%s' "$2"
getfattr -R -h -d -m - -e hex --absolute-names .
`;

const FIELDS = 9;

export function readTree(directory: string): TreeInfo {
  const output = execFileSync('sh', ['-c', LIST, 'list', directory, NEXT], { maxBuffer: 1 << 28 });
  const [entries = '', digests = '', devices = '', xattrs = ''] = output.toString('latin1').split(NEXT);
  const tree = new Map<BytePath, Record<string, string>>();
  const links = new Map<string, BytePath[]>();
  const fields = entries.split('\0');
  for (let i = 0; i + FIELDS <= fields.length; i += FIELDS) {
    const [
      path = '',
      type = '',
      mode = '',
      owner = '',
      size = '',
      target = '',
      nlink,
      inode = '',
      mtime = '',
    ] = fields.slice(i, i + FIELDS);
    const isDirectory = type === 'd';
    tree.set(path, { type, mode, owner, mtime, ...(isDirectory ? {} : { size, target }) });
    if (!isDirectory && nlink !== '1') links.set(inode, [...(links.get(inode) ?? []), path]);
  }
  const add = (path: BytePath, name: string, value: string): void => {
    const info = tree.get(path.replace(/^\.\/?/, ''));
    if (info === undefined) throw new Error(`${path} is not in the tree`);
    info[name] = value;
  };
  for (const paths of links.values()) {
    for (const path of paths) add(path, 'links', [...paths].sort().join(' '));
  }
  for (const line of digests.split('\0')) if (line !== '') add(line.slice(66), 'content', line.slice(0, 64));
  const pairs = devices.split('\0');
  for (let i = 0; i + 2 <= pairs.length; i += 2) add(pairs[i] ?? '', 'device', pairs[i + 1] ?? '');
  addXattrs(xattrs, add);
  return tree;
}

function addXattrs(listing: string, add: (path: BytePath, name: string, value: string) => void): void {
  let path = '';
  for (const line of listing.split('\n')) {
    if (line === '') continue;
    const [name = '', value = ''] = line.split('=');
    if (line.startsWith('# file: ')) path = unescaped(line.slice('# file: '.length));
    else add(path, `xattr ${unescaped(name)}`, value);
  }
}

/** getfattr writes bytes that would break its lines as a backslash and three octal digits. */
function unescaped(text: string): BytePath {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/** A fact on which two trees differ; absent on one side where the path is not there, or has no such fact. */
export interface Difference {
  readonly path: BytePath;
  /** A fact, or `path` where one tree has no such path. */
  readonly fact: string;
  readonly ours: string | undefined;
  readonly theirs: string | undefined;
}

export function differences(ours: TreeInfo, theirs: TreeInfo): Difference[] {
  const found: Difference[] = [];
  for (const path of [...new Set([...ours.keys(), ...theirs.keys()])].sort()) {
    const [mine, other] = [ours.get(path), theirs.get(path)];
    if (mine === undefined || other === undefined) {
      found.push({ path, fact: 'path', ours: mine?.['type'], theirs: other?.['type'] });
      continue;
    }
    for (const fact of [...new Set([...Object.keys(mine), ...Object.keys(other)])].sort()) {
      if (mine[fact] !== other[fact]) found.push({ path, fact, ours: mine[fact], theirs: other[fact] });
    }
  }
  return found;
}
