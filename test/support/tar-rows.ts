import { expect, it } from 'vitest';
import type { BytePath } from '../../src/system/index.js';
import type { TarEntry, TarTime } from '../../src/unpack/tar/tar-header.js';
import { TarReader, type TarLimits } from '../../src/unpack/tar/tar-reader.js';
import { archive, file } from './tar-builder.js';

/** An entry as it was read. */
export interface Found {
  readonly entry: TarEntry;
  /** With the holes of a sparse file filled. */
  readonly content: string;
}

/**
 * Reads an archive in chunks, each of which is overwritten after its turn, as a decoder does with its memory.
 */
export function readArchive(bytes: Buffer, chunkBytes: number = bytes.length, limits?: TarLimits): Found[] {
  const found: Found[] = [];
  let chunks: Buffer[] = [];
  let current: TarEntry | undefined;
  const reader = new TarReader(
    {
      entry: (next) => (current = next),
      data: (chunk) => chunks.push(Buffer.from(chunk)),
      endEntry: () => {
        if (current === undefined) throw new Error('an entry ended that had not begun');
        found.push({ entry: current, content: unpacked(current, Buffer.concat(chunks)) });
        current = undefined;
        chunks = [];
      },
    },
    limits,
  );
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
    reader.push(chunk);
    chunk.fill(0xaa);
  }
  reader.end();
  expect(reader.entries).toBe(found.length);
  return found;
}

function unpacked(of: TarEntry, packed: Buffer): string {
  if (of.sparse === undefined) return packed.toString('latin1');
  const whole = Buffer.alloc(of.size);
  let at = 0;
  for (const { offset, length } of of.sparse) {
    packed.copy(whole, offset, at, at + length);
    at += length;
  }
  return whole.toString('latin1');
}

/** One entry, and what a row says of it; the rest is not looked at. */
export interface EntryRow {
  readonly name: string;
  readonly bytes: Buffer;
  readonly is: Partial<Omit<TarEntry, 'xattrs' | 'atime'>> & {
    content?: string;
    atime?: TarTime | undefined;
    xattrs?: Record<BytePath, string>;
  };
}

/**
 * Tests that each row's entry is read as it says, in chunks of any size, and that it leaves nothing to the
 * next one.
 */
export function itReads(rows: readonly EntryRow[]): void {
  for (const { name, bytes, is } of rows) {
    it.each([1 << 20, 512, 100, 7, 1])(`reads ${name} (chunks of %i bytes)`, (chunkBytes) => {
      const [found, next, ...rest] = readArchive(archive(bytes, file('next', 'after')), chunkBytes);
      expect(rest).toEqual([]);
      expect(found && summary(found, is)).toEqual(is);
      expect(next).toMatchObject({ entry: { path: 'next', size: 5, linkPath: '' }, content: 'after' });
      expect(next?.entry.sparse).toBeUndefined();
    });
  }
}

function summary({ entry: found, content }: Found, like: EntryRow['is']): unknown {
  const xattrs = Object.fromEntries(
    [...found.xattrs].map(([name, value]) => [name, value.toString('latin1')]),
  );
  const all: Record<string, unknown> = { ...found, content, xattrs };
  return Object.fromEntries(Object.keys(like).map((key) => [key, all[key]]));
}

/** An archive that is refused. */
export interface RefusedRow {
  readonly name: string;
  readonly bytes: Buffer;
  readonly message: RegExp;
  /** Default BAD_ARCHIVE. */
  readonly code?: string;
}

export function itRefuses(rows: readonly RefusedRow[]): void {
  it.each(rows)('refuses $name', ({ bytes, message, code = 'BAD_ARCHIVE' }) => {
    for (const chunkBytes of [bytes.length, 100]) {
      expect(() => readArchive(bytes, chunkBytes)).toThrow(
        expect.objectContaining({
          code,
          hint: expect.any(String) as string,
          message: expect.stringMatching(message) as string,
        }),
      );
    }
  });
}
