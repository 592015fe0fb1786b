import type { Readable } from 'node:stream';

import { type Abortable, SpecError, throwIfAborted } from '../../../errors.js';
import { compressionOfBytes } from '../../../unpack/index.js';
import { OciArchive, readArchived } from './archive-blobs.js';
import {
  archiveError,
  type ArchiveFile,
  ArchiveStream,
  brokenArchive,
  openArchiveFile,
} from './archive-file.js';
import { type Archive, transportOf } from './archive.js';
import { isThere } from '../layout-index.js';
import { LayoutTransport } from '../layout-transport.js';
import { type Declaration, DECLARATION_FILE, parseDeclaration } from '../declaration.js';
import { DOCKER_MANIFEST, DOCKER_REPOSITORIES, DockerArchive } from './docker-archive.js';
import { openSplitArchive, PARTS_SUFFIX } from './split-archive.js';
import { spoolArchive, type SpoolOptions } from './spool-archive.js';
import { type ArchiveLimits, indexTar, type TarIndex } from './tar-index.js';

/** A file, or a stream such as standard input. Whoever gives a stream closes it. */
export type ArchiveInput = { readonly file: string } | { readonly stream: Readable };

export interface OpenArchiveOptions extends Abortable {
  /** Where what is compressed or no file is unpacked to while it is read. Default `/var/tmp`. */
  readonly spoolDirectory?: string | undefined;
  readonly limits?: ArchiveLimits | undefined;
}

const DECLARATION_MAX_BYTES = 64 * 1024 * 1024;
const STANDARD_INPUT = 'standard input';

/**
 * Opens an archive of images to read: see {@link Archive} for what is read. A file that is not compressed is
 * read where it lies, in any order; all else is first written to a file without a name.
 *
 * An archive that was split is opened by its `FILE.parts.json`, or by `FILE` where there is only that; all of
 * its parts are held against the list first.
 *
 * Errors: BLOB_NOT_FOUND (no such file); BAD_ARCHIVE, DIGEST_MISMATCH, INVALID_MANIFEST, INVALID_DIGEST,
 * UNSUPPORTED_MEDIA_TYPE, LIMIT_EXCEEDED, UNSUPPORTED for what is in it; NO_SPACE, FILESYSTEM; ABORTED.
 */
export async function openArchive(input: ArchiveInput, o: OpenArchiveOptions = {}): Promise<Archive> {
  throwIfAborted(o.signal);
  const file = 'file' in input ? await openByName(input.file, o) : await spoolStream(input.stream, o);
  try {
    return await openTar(file, o);
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw archiveError(error, file.location, o.signal);
  }
}

/** The images of an archive to copy from. Errors: as {@link openArchive}. */
export async function openArchivePlace(
  input: ArchiveInput,
  location: string,
  o: OpenArchiveOptions = {},
): Promise<LayoutTransport> {
  const content = await openArchive(input, o);
  const path = 'file' in input ? input.file : undefined;
  const declaration = (): Promise<Declaration> => Promise.resolve(content.declaration);
  const file = { transport: transportOf(content), path };
  return new LayoutTransport({ content, location, path, declaration, file });
}

async function openByName(name: string, o: OpenArchiveOptions): Promise<ArchiveFile> {
  const list = name.endsWith(PARTS_SUFFIX) ? name : await listInstead(name);
  const file = list === undefined ? await openArchiveFile(name) : await openSplitArchive(list, o);
  if (file.isRegular && (await compressionOf(file)) === 'none') return file;
  try {
    return await spoolArchive(new ArchiveStream(file), spoolOptions(file.location, o));
  } finally {
    await file[Symbol.asyncDispose]();
  }
}

/** The list of parts, where there is that and no file of the name itself. */
async function listInstead(name: string): Promise<string | undefined> {
  const list = `${name}${PARTS_SUFFIX}`;
  const [whole, split] = await Promise.all([isThere(name), isThere(list)]);
  return split && !whole ? list : undefined;
}

async function compressionOf(file: ArchiveFile): Promise<string> {
  const head = Buffer.alloc(4);
  return compressionOfBytes(head.subarray(0, await file.read(head, 0)));
}

async function spoolStream(stream: Readable, o: OpenArchiveOptions): Promise<ArchiveFile> {
  return await spoolArchive(stream, spoolOptions(STANDARD_INPUT, o));
}

function spoolOptions(location: string, o: OpenArchiveOptions): SpoolOptions {
  return { location, directory: o.spoolDirectory, limits: o.limits, signal: o.signal };
}

/**
 * Opens an archive that is neither compressed nor split. Errors: as {@link openArchive}, of tar without the
 * file's name.
 */
export async function openTar(file: ArchiveFile, o: OpenArchiveOptions = {}): Promise<Archive> {
  const tar = await indexTar(file, o);
  const declaration = await readDeclaration(file, tar);
  const opened = { file, tar, declaration };
  if (tar.find('index.json') !== undefined && tar.find('oci-layout') !== undefined) {
    return await OciArchive.open(opened);
  }
  if (tar.find(DOCKER_MANIFEST) !== undefined) return await DockerArchive.open(opened);
  if (tar.find(DOCKER_REPOSITORIES) !== undefined) {
    throw new SpecError(
      'UNSUPPORTED_MEDIA_TYPE',
      `${file.location} was written by a Docker before 1.10: its images have no config`,
      {
        hint: 'Load it into a current Docker or Podman and save it again.',
        details: { path: file.location },
      },
    );
  }
  throw brokenArchive(
    file.location,
    'it is no archive of images: it has neither index.json nor manifest.json',
  );
}

async function readDeclaration(file: ArchiveFile, tar: TarIndex): Promise<Declaration | undefined> {
  const bytes = await readArchived(file, tar, DECLARATION_FILE, DECLARATION_MAX_BYTES);
  if (bytes === undefined) return undefined;
  const declaration = parseDeclaration(bytes);
  if (declaration.files !== undefined && !tar.isStrict) {
    throw brokenArchive(file.location, 'its end is missing, or a header was altered');
  }
  return declaration;
}
