import type { TarEntry } from '../../src/unpack/tar/tar-header.js';
import { TarReader } from '../../src/unpack/tar/tar-reader.js';
import type { ListedEntry, TreeListing } from './tree-lister.js';

interface Listed extends Omit<ListedEntry, 'nlink'> {
  nlink: number;
}

/** S_IFMT of each type, as the lister of trees tells it. */
const FORMATS = { fifo: 1, character: 2, block: 6 } as const;

/**
 * What a tar archive is a tree of, without extracting it: as TreeLister lists one. What no archive of a tree
 * may have throws: a name before the directory that holds it, a link before the file, a name twice that is no
 * directory.
 */
export function listArchive(archive: Buffer): TreeListing {
  const listing = new ArchiveListing();
  const reader = new TarReader(listing);
  reader.push(archive);
  reader.end();
  return listing.entries;
}

class ArchiveListing {
  readonly entries: Record<string, Listed> = {};
  #content: { readonly listed: Listed; readonly entry: TarEntry; readonly chunks: Buffer[] } | undefined;

  entry(entry: TarEntry): void {
    const path = treePath(entry.path);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (path !== '' && this.entries[parent]?.type !== 'directory')
      throw new Error(`${path} has no directory yet`);
    const listed = entry.type === 'link' ? this.#link(treePath(entry.linkPath)) : listedOf(entry, path);
    const before = this.entries[path]?.type;
    if (before !== undefined && (before !== 'directory' || listed.type !== 'directory')) {
      throw new Error(`${path} stands there twice`);
    }
    this.entries[path] = listed;
    if (entry.type === 'file') this.#content = { listed, entry, chunks: [] };
  }

  data(chunk: Buffer): void {
    this.#content?.chunks.push(Buffer.from(chunk));
  }

  endEntry(): void {
    if (this.#content === undefined) return;
    const { listed, entry, chunks } = this.#content;
    Object.assign(listed, { content: unpacked(entry, Buffer.concat(chunks)).toString('latin1') });
    this.#content = undefined;
  }

  #link(target: string): Listed {
    const file = this.entries[target];
    if (file === undefined || file.type === 'directory')
      throw new Error(`a link to ${target}, which is not there`);
    file.nlink += 1;
    return file;
  }
}

function listedOf(entry: TarEntry, path: string): Listed {
  const { mode, uid, gid, mtime } = entry;
  return {
    type: typeOf(entry),
    mode,
    owner: `${uid}:${gid}`,
    content: contentOf(entry),
    mtime: mtime.seconds + mtime.nanoseconds / 1e9,
    nlink: 1,
    file: path,
    xattrs: Object.fromEntries([...entry.xattrs].map(([name, value]) => [name, value.toString('latin1')])),
  };
}

function typeOf({ type }: TarEntry): Listed['type'] {
  return type === 'file' || type === 'directory' || type === 'symlink' ? type : 'other';
}

function contentOf({ type, linkPath, major, minor }: TarEntry): string {
  if (type === 'symlink') return linkPath;
  if (type !== 'fifo' && type !== 'character' && type !== 'block') return '';
  const device = (minor & 0xff) + (major & 0xfff) * 2 ** 8 + Math.floor(minor / 2 ** 8) * 2 ** 20;
  return `${FORMATS[type]}:${device}`;
}

/** A sparse file with its holes. */
function unpacked({ size, sparse }: TarEntry, packed: Buffer): Buffer {
  if (sparse === undefined) return packed;
  const whole = Buffer.alloc(size);
  let at = 0;
  for (const { offset, length } of sparse) {
    packed.copy(whole, offset, at, at + length);
    at += length;
  }
  return whole;
}

function treePath(path: string): string {
  return path.replace(/^\.\//, '').replace(/\/$/, '');
}
