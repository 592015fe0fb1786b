import { gzipSync } from 'node:zlib';
import { type Digest, digestOf } from '../src/spec/index.js';

/** A layer that holds one small file, as it lies in a store. */
export interface SmallLayer {
  readonly name: string;
  readonly content: Buffer;
  readonly blob: Buffer;
  readonly digest: Digest;
  readonly diffId: Digest;
}

const BLOCK = 512;
/** What the file's times are, in seconds since 1970. */
export const FILE_TIME = 1_750_000_000;

/** The layer of a name: a gzipped tar with one file, of that name and content, owned by root, mode 0644. */
export function layerOf(name: string): SmallLayer {
  const content = Buffer.from(`${name}\n`);
  const tar = Buffer.alloc(4 * BLOCK);
  writeHeader(tar, name, content.length);
  content.copy(tar, BLOCK);
  const blob = gzipSync(tar, { level: 1 });
  return { name, content, blob, digest: digestOf(blob), diffId: digestOf(tar) };
}

/** A ustar header (POSIX.1-2017, pax: ustar Interchange Format). */
function writeHeader(tar: Buffer, name: string, size: number): void {
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  tar.write(name, 0, 100, 'latin1');
  tar.write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100, 'latin1');
  tar.write(`${octal(size, 11)}\0${octal(FILE_TIME, 11)}\0`, 124, 'latin1');
  // The checksum counts itself as blanks.
  tar.write('        0', 148, 'latin1');
  tar.write('ustar\x0000', 257, 'latin1');
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += tar[at] ?? 0;
  tar.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
}
