import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { mapLimited } from '../../../concurrency/index.js';
import {
  type Abortable,
  ContentError,
  isLandfallError,
  SpecError,
  throwIfAborted,
  UnpackError,
} from '../../../errors.js';
import { createDigester, type Digest, formatSize, LIMITS, parseJson } from '../../../spec/index.js';
import { readDigest, readObject, requiredSize, requiredString } from '../../../spec/index.js';
import {
  type ArchiveFile,
  ArchiveStream,
  archiveTooLarge,
  JoinedFile,
  openArchiveFile,
} from './archive-file.js';

/** Parts that are read at once. */
const CONCURRENCY = 2;

/**
 * Opens the parts of an archive as one file, once each has the size and the digest that their list says.
 *
 * @param listPath the path of `FILE.parts.json`
 * @throws {LandfallError} BAD_ARCHIVE for parts that are missing or have another size, DIGEST_MISMATCH for
 *   altered ones, each with the names of all; BLOB_NOT_FOUND (no list), INVALID_MANIFEST, FILESYSTEM, ABORTED
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
    throw archiveTooLarge(path, `the list of parts has ${formatSize(file.size)}`);
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
    hint: 'Copy the named parts again from the original.',
  };
  if (code === 'DIGEST_MISMATCH') throw new ContentError(code, `${path}: ${which}`, o);
  throw new UnpackError(code, `${path}: ${which}`, o);
}

/** One file of an archive that was split. */
export interface ArchivePart {
  /** Of the file, which lies beside the manifest. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: Digest;
}

/** `FILE.parts.json`: of what files an archive consists, in order. */
export interface PartsManifest {
  /** Of the whole, in bytes. */
  readonly size: number;
  readonly digest: Digest;
  readonly parts: readonly ArchivePart[];
}

export const PARTS_SUFFIX = '.parts.json';
const VERSION = 1;
const PARTS_MANIFEST_MAX_BYTES: number = 16 * 1024 * 1024;
const MAX_PARTS = 100_000;

/** `FILE.000`, `FILE.001`, … */
export function partName(file: string, at: number): string {
  return `${file}.${String(at).padStart(3, '0')}`;
}

/** Whether a file is called as a part of an archive is. */
export function isPartOf(file: string, name: string): boolean {
  return name.startsWith(`${file}.`) && /^\d{3,}$/.test(name.slice(file.length + 1));
}

export function renderPartsManifest({ size, digest, parts }: PartsManifest): string {
  return `${JSON.stringify({ version: VERSION, size, digest, parts }, null, 2)}\n`;
}

/** @throws {SpecError} INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED; UNSUPPORTED for a later version */
export function parsePartsManifest(bytes: Uint8Array): PartsManifest {
  const raw = readObject(parseJson(bytes, 'list of parts', PARTS_MANIFEST_MAX_BYTES), '');
  if (raw['version'] !== VERSION) {
    throw new SpecError('UNSUPPORTED', 'the list of parts has a version that is not known', {
      hint: 'Use a newer landfall.',
    });
  }
  const list = raw['parts'];
  if (!Array.isArray(list) || list.length === 0) throw invalid('names no parts');
  if (list.length > MAX_PARTS) {
    throw new SpecError('LIMIT_EXCEEDED', `the list of parts has more than ${MAX_PARTS}`, {
      details: { actual: list.length, limit: MAX_PARTS },
    });
  }
  const parts = list.map(readPart);
  const size = requiredSize(raw, 'size', '');
  if (parts.reduce((sum, part) => sum + part.size, 0) !== size)
    throw invalid('has another size than its parts');
  return { size, digest: readDigest(raw['digest'], 'digest'), parts };
}

function readPart(value: unknown, at: number): ArchivePart {
  const where = `parts[${at}]`;
  const raw = readObject(value, where);
  const name = requiredString(raw, 'name', where);
  // A list of another origin must not lead to other files.
  if (name.includes('/') || name.includes('\0') || name === '..' || name.length > LIMITS.nameBytes) {
    throw invalid(`has a part that is no file beside it: ${JSON.stringify(name)}`);
  }
  return {
    name,
    size: requiredSize(raw, 'size', where),
    digest: readDigest(raw['digest'], `${where}.digest`),
  };
}

function invalid(fault: string): SpecError {
  return new SpecError('INVALID_MANIFEST', `the list of parts ${fault}`, {
    hint: 'Copy it again from where the archive was written.',
  });
}
