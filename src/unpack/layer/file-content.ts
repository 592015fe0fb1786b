import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { write } from '../../system/index.js';
import type { SparseSegment, TarEntry } from '../archive/tar-entry.js';

/** Writes the content of one file, with holes where the archive leaves them. */
export class FileContent {
  readonly fd: number;
  readonly entry: TarEntry;
  /** Of the directory that it was made in. */
  readonly group: number;
  readonly #segments: readonly SparseSegment[] | undefined;
  #segment = 0;
  /** Bytes of the current segment that are written. */
  #written = 0;

  constructor(fd: number, entry: TarEntry, group: number) {
    this.fd = fd;
    this.entry = entry;
    this.group = group;
    this.#segments = entry.sparse;
  }

  write(chunk: Buffer): void {
    if (this.#segments === undefined) write(this.fd, chunk);
    else this.#writeSparse(chunk, this.#segments);
  }

  #writeSparse(chunk: Buffer, segments: readonly SparseSegment[]): void {
    for (let at = 0; at < chunk.length;) {
      const segment = segments[this.#segment];
      // The reader has held the map against the content, so this only guards against a loop without end.
      if (segment === undefined) return;
      const count = Math.min(chunk.length - at, segment.length - this.#written);
      writeAt(this.fd, chunk, at, count, segment.offset + this.#written);
      at += count;
      this.#written += count;
      if (this.#written < segment.length) continue;
      this.#segment += 1;
      this.#written = 0;
    }
  }

  /** All content is there: gives a sparse file the hole at its end. */
  finish(): void {
    if (this.#segments !== undefined) ftruncateSync(this.fd, this.entry.size);
  }

  close(): void {
    closeSync(this.fd);
  }
}

function writeAt(fd: number, chunk: Buffer, offset: number, length: number, position: number): void {
  for (let done = 0; done < length;) {
    done += writeSync(fd, chunk, offset + done, length - done, position + done);
  }
}
