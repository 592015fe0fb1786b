import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import type { BlobInfo, ByteRange } from '../../content/index.js';
import { ContentError, LandfallError, SpecError } from '../../errors.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import { brokenArchive } from './archive-error.js';
import { type ArchiveFile, ArchiveStream } from './archive-file.js';
import type { TarIndex, TarMember } from './tar-index.js';

/** Bytes that lie in an archive, or that were made of it. */
export type ArchivedContent = TarMember | Buffer;

/** Opens content of an archive for `BlobProvider.open`. */
export function openArchived(
  file: ArchiveFile,
  content: ArchivedContent | undefined,
  descriptor: Descriptor,
  range: ByteRange | undefined,
): Readable {
  const { digest } = descriptor;
  if (content === undefined) {
    throw new ContentError('BLOB_NOT_FOUND', `${file.location} has no blob ${digest}`, {
      details: { digest, path: file.location },
      hint: 'The archive is not whole: have it written anew.',
    });
  }
  const size = sizeOf(content);
  if (size !== descriptor.size) {
    throw new ContentError(
      'SIZE_MISMATCH',
      `blob ${digest} has ${size} bytes in ${file.location}, not ${descriptor.size} as announced`,
      {
        details: { digest, path: file.location, expected: descriptor.size, actual: size },
        hint: 'Have the archive written anew.',
      },
    );
  }
  const { start, end } = spanOf(range, size);
  if (Buffer.isBuffer(content)) return Readable.from([content.subarray(start, end)], { objectMode: false });
  return new ArchiveStream(file, content.offset + start, content.offset + end);
}

export function infoOf(digest: Digest, content: ArchivedContent | undefined): BlobInfo | undefined {
  if (content === undefined) return undefined;
  return { digest, size: sizeOf(content), createdAt: new Date(0), labels: {} };
}

/** @throws {LandfallError} UNSUPPORTED, always */
export function noPath(location: string): LandfallError {
  return new LandfallError('UNSUPPORTED', `the blobs of ${location} are not files`, {
    hint: 'Load the archive into the store: landfall load -i FILE.',
  });
}

/**
 * A small file of an archive; undefined where it has none.
 *
 * @throws {SpecError} LIMIT_EXCEEDED
 */
export async function readArchived(
  file: ArchiveFile,
  tar: TarIndex,
  name: string,
  maxBytes: number,
): Promise<Buffer | undefined> {
  const member = tar.find(name);
  if (member === undefined) return undefined;
  if (member.size > maxBytes) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `${name} of ${file.location} has ${member.size} bytes; the limit is ${maxBytes}`,
      { details: { path: file.location, actual: member.size, limit: maxBytes } },
    );
  }
  return await buffer(new ArchiveStream(file, member.offset, member.offset + member.size));
}

/** @throws {UnpackError} BAD_ARCHIVE where it has none; {SpecError} LIMIT_EXCEEDED */
export async function requireArchived(
  file: ArchiveFile,
  tar: TarIndex,
  name: string,
  maxBytes: number,
): Promise<Buffer> {
  const bytes = await readArchived(file, tar, name, maxBytes);
  if (bytes === undefined) throw brokenArchive(file.location, `it lacks ${JSON.stringify(name)}`);
  return bytes;
}

function sizeOf(content: ArchivedContent): number {
  return Buffer.isBuffer(content) ? content.length : content.size;
}

function spanOf(range: ByteRange | undefined, size: number): { start: number; end: number } {
  const start = range?.offset ?? 0;
  const length = range?.length ?? size - start;
  if (Number.isSafeInteger(start) && start >= 0 && start <= size && length >= 0) {
    return { start, end: Math.min(start + length, size) };
  }
  throw new ContentError(
    'INVALID_CONFIG',
    `a range of ${length} bytes from ${start} is not within ${size} bytes`,
  );
}
