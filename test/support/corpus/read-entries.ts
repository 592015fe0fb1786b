import { extract, type Header } from 'tar-stream';
import type { TarEntry } from '../../../src/unpack/tar/tar-header.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';

/**
 * One entry as a reader of archives tells of it; texts, so that two can be held against each other fact by
 * fact.
 */
export type EntryInfo = Readonly<Record<string, string>>;

/**
 * What the reader under test makes of an archive whose chunks have a given size. Each is overwritten after
 * its turn, as a decoder does it.
 */
export function entriesOf(bytes: Buffer, chunkBytes: number): EntryInfo[] {
  const entries: EntryInfo[] = [];
  let current: TarEntry | undefined;
  let content = new Checksum();
  const reader = new TarReader({
    entry: (entry) => {
      current = entry;
      content = new Checksum();
    },
    data: (chunk) => content.update(chunk),
    endEntry: () => {
      if (current === undefined) throw new Error('an entry ended that had not begun');
      entries.push(infoOf(current, content));
      current = undefined;
    },
  });
  const chunk = Buffer.alloc(chunkBytes);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    reader.push(chunk.subarray(0, bytes.copy(chunk, 0, at, at + chunkBytes)));
    chunk.fill(0xaa);
  }
  reader.end();
  return entries;
}

function infoOf(entry: TarEntry, content: Checksum): EntryInfo {
  return {
    path: fromUtf8(entry.path),
    type: entry.sparse === undefined ? entry.type : `sparse ${entry.type}`,
    link: fromUtf8(entry.linkPath),
    mode: entry.mode.toString(8),
    owner: `${entry.uid}:${entry.gid}`,
    size: String(entry.size),
    mtime: `${entry.mtime.seconds}.${entry.mtime.nanoseconds}`,
    device: `${entry.major}:${entry.minor}`,
    content: String(content.value),
    ...(entry.sparse === undefined ? {} : { map: JSON.stringify(entry.sparse) }),
    ...Object.fromEntries(
      [...entry.xattrs].map(([name, value]) => [`xattr ${name}`, value.toString('latin1')]),
    ),
  };
}

/** What tar-stream makes of an archive, or the message of its error. */
export async function tarStreamEntries(bytes: Buffer): Promise<EntryInfo[] | string> {
  const entries: EntryInfo[] = [];
  // Its types do not have this option.
  const options: object = { allowUnknownFormat: true };
  const unpack = extract(options);
  unpack.on('entry', (header, stream, next) => {
    const content = new Checksum();
    stream.on('data', (chunk) => content.update(chunk as Buffer));
    stream.on('end', () => {
      entries.push(streamInfo(header as StreamHeader, content));
      next();
    });
  });
  try {
    await new Promise<void>((resolve, reject) => {
      unpack.on('finish', () => resolve());
      unpack.on('error', reject);
      unpack.end(bytes);
    });
    return entries;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** As it is, for all that its types say. */
interface StreamHeader extends Omit<Header, 'type' | 'linkname' | 'pax'> {
  readonly type: Header['type'] | null;
  readonly linkname: string | null;
  readonly pax: Readonly<Record<string, string>> | null;
}

/** Its names for what goes by another one here. */
const STREAM_TYPES: Readonly<Record<string, string>> = {
  'character-device': 'character',
  'block-device': 'block',
};
const XATTR = 'SCHILY.xattr.';

function streamInfo(header: StreamHeader, content: Checksum): EntryInfo {
  const { type, pax, mtime } = header;
  const isLink = type === 'link' || type === 'symlink';
  const xattrs = Object.entries(pax ?? {}).filter(([key]) => key.startsWith(XATTR));
  return {
    path: header.name,
    type: type === null ? 'unknown' : (STREAM_TYPES[type] ?? type),
    link: isLink ? (header.linkname ?? '') : '',
    mode: (header.mode % 0o10000).toString(8),
    owner: `${header.uid}:${header.gid}`,
    size: type === 'file' || type === null ? String(header.size) : '0',
    mtime: `${Math.floor(mtime.getTime() / 1000)}.${((mtime.getTime() % 1000) + 1000) % 1000}`,
    device: `${header.devmajor}:${header.devminor}`,
    content: String(content.value),
    ...Object.fromEntries(xattrs.map(([key, value]) => [`xattr ${key.slice(XATTR.length)}`, value])),
  };
}

/** tar-stream takes names for UTF-8, so they are held against each other as that. */
function fromUtf8(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}

/** FNV-1a over the content and its length; chunks of single bytes would be slow in any native one. */
class Checksum {
  value = 0x811c9dc5;

  update(chunk: Buffer): void {
    let value = this.value;
    for (const byte of chunk) value = Math.imul(value ^ byte, 0x01000193);
    this.value = value;
  }
}
