import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { mapLimited } from '../../concurrency/index.js';
import { type Abortable, ContentError, isLandfallError, throwIfAborted, UnpackError } from '../../errors.js';
import { createDigester } from '../../spec/index.js';
import { archiveTooLarge } from './archive-error.js';
import { type ArchiveFile, ArchiveStream, JoinedFile, openArchiveFile } from './archive-file.js';
import { type ArchivePart, parsePartsManifest, PARTS_MANIFEST_MAX_BYTES } from './parts-manifest.js';

/** Parts that are read at once. */
const CONCURRENCY = 2;

/**
 * Opens the parts of an archive as one file, once each has the size and the digest that their list says.
 *
 * @param listPath the path of `FILE.parts.json`
 * @throws {LandfallError} BAD_ARCHIVE for parts that are missing or have another size, DIGEST_MISMATCH for altered ones, each
 *   with the names of all; BLOB_NOT_FOUND (no list), INVALID_MANIFEST, FILESYSTEM, ABORTED
 */
export async function openSplitArchive(listPath: string, o: Abortable): Promise<ArchiveFile> {
  const { parts } = parsePartsManifest(await readList(listPath));
  const files = await openParts(dirname(listPath), parts);
  const joined = new JoinedFile(
    files.filter((file) => file !== undefined),
    listPath,
  );
  try {
    refuse(
      listPath,
      'BAD_ARCHIVE',
      'missing',
      names(parts, (_part, at) => files[at] === undefined),
    );
    refuse(
      listPath,
      'BAD_ARCHIVE',
      'of another size than listed',
      names(parts, (part, at) => files[at]?.size !== part.size),
    );
    const right = await mapLimited([...parts.entries()], CONCURRENCY, ([at, part]) =>
      hasDigest(files[at], part, o),
    );
    refuse(
      listPath,
      'DIGEST_MISMATCH',
      'damaged',
      names(parts, (_part, at) => right[at] !== true),
    );
    return joined;
  } catch (error) {
    await joined[Symbol.asyncDispose]();
    throw error;
  }
}

async function readList(path: string): Promise<Buffer> {
  await using file = await openArchiveFile(path);
  if (file.size > PARTS_MANIFEST_MAX_BYTES) {
    throw archiveTooLarge(path, `the list of parts has ${file.size} bytes`);
  }
  return await buffer(new ArchiveStream(file));
}

/** Errors: FILESYSTEM, when none is open. */
async function openParts(
  directory: string,
  parts: readonly ArchivePart[],
): Promise<readonly (ArchiveFile | undefined)[]> {
  const files: (ArchiveFile | undefined)[] = [];
  try {
    for (const part of parts) files.push(await openPart(directory, part));
    return files;
  } catch (error) {
    for (const file of files) await file?.[Symbol.asyncDispose]();
    throw error;
  }
}

/** Undefined where it is missing. */
async function openPart(directory: string, part: ArchivePart): Promise<ArchiveFile | undefined> {
  try {
    return await openArchiveFile(join(directory, part.name));
  } catch (error) {
    if (isLandfallError(error) && error.code === 'BLOB_NOT_FOUND') return undefined;
    throw error;
  }
}

async function hasDigest(
  file: ArchiveFile | undefined,
  part: ArchivePart,
  { signal }: Abortable,
): Promise<boolean> {
  if (file === undefined) return false;
  const digester = createDigester(part.digest);
  for await (const chunk of new ArchiveStream(file) as AsyncIterable<Buffer>) {
    throwIfAborted(signal);
    digester.update(chunk);
  }
  return digester.digest() === part.digest;
}

function names(parts: readonly ArchivePart[], isWrong: (part: ArchivePart, at: number) => boolean): string[] {
  return parts.filter(isWrong).map(({ name }) => name);
}

function refuse(
  path: string,
  code: 'BAD_ARCHIVE' | 'DIGEST_MISMATCH',
  fault: string,
  parts: readonly string[],
): void {
  if (parts.length === 0) return;
  const which =
    parts.length === 1
      ? `the part ${parts.join()} is ${fault}`
      : `these parts are ${fault}: ${parts.join(', ')}`;
  const o = {
    details: { path, parts },
    hint: 'Copy what is named again from where the archive was written.',
  };
  if (code === 'DIGEST_MISMATCH') throw new ContentError(code, `${path}: ${which}`, o);
  throw new UnpackError(code, `${path}: ${which}`, o);
}
