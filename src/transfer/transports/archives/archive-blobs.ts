import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type BlobInfo, type ByteRange, checkLayoutVersion } from '../../../content/index.js';
import { ContentError, LandfallError, SpecError } from '../../../errors.js';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  digestOf,
  encodedOf,
  exactSize,
  formatSize,
  type ImageIndex,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
} from '../../../spec/index.js';
import type { Declaration } from '../declaration.js';
import { type ArchiveFile, ArchiveStream, brokenArchive } from './archive-file.js';
import type { Archive, ArchiveFormat } from './archive.js';
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
      `blob ${digest} has ${exactSize(size)} in ${file.location}, not ${exactSize(descriptor.size)} as announced`,
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
      `${name} of ${file.location} has ${exactSize(member.size)}; the limit is ${formatSize(maxBytes)}`,
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

const INDEX_FILE = 'index.json';
const LAYOUT_FILE = 'oci-layout';
const LAYOUT_MAX_BYTES = 64 * 1024;
/** Docker's `manifest.json` for as many images as an index lists, with dozens of layers each. */
const LISTED_MAX_BYTES = 64 * 1024 * 1024;

export interface OpenedArchive {
  readonly file: ArchiveFile;
  readonly tar: TarIndex;
  /** Absent where the archive is not one of ours. */
  readonly declaration: Declaration | undefined;
}

/** An OCI layout in a tar archive. */
export class OciArchive implements Archive {
  readonly format: ArchiveFormat;
  readonly declaration: Declaration;
  readonly #file: ArchiveFile;
  readonly #tar: TarIndex;
  readonly #index: ImageIndex;

  private constructor({ file, tar, declaration }: OpenedArchive, index: ImageIndex) {
    this.#file = file;
    this.#tar = tar;
    this.#index = index;
    this.format = tar.find('manifest.json') === undefined ? 'oci' : 'both';
    this.declaration = declaration ?? { omitted: [] };
  }

  /**
   * @throws {LandfallError} BAD_ARCHIVE; DIGEST_MISMATCH; INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED,
   *   UNSUPPORTED
   */
  static async open(opened: OpenedArchive): Promise<OciArchive> {
    const { file, tar, declaration } = opened;
    const layout = await requireArchived(file, tar, LAYOUT_FILE, LAYOUT_MAX_BYTES);
    const bytes = await requireArchived(file, tar, INDEX_FILE, LIMITS.manifestBytes);
    await checkFiles(opened, declaration?.files ?? {});
    checkLayoutVersion(layout);
    const index = parseManifest(bytes, MEDIA_TYPES.ociIndex);
    if (index.kind === 'index') return new OciArchive(opened, index);
    throw brokenArchive(file.location, `${INDEX_FILE} is not an image index`);
  }

  get location(): string {
    return this.#file.location;
  }

  index(): Promise<ImageIndex> {
    return Promise.resolve(this.#index);
  }

  faults(): Promise<readonly LandfallError[]> {
    return Promise.resolve([]);
  }

  info(digest: Digest): Promise<BlobInfo | undefined> {
    return Promise.resolve(infoOf(digest, this.#member(digest)));
  }

  open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    const content = this.#member(descriptor.digest);
    return Promise.resolve().then(() => openArchived(this.#file, content, descriptor, range));
  }

  path(): Promise<string> {
    return Promise.reject(noPath(this.location));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  #member(digest: Digest): TarMember | undefined {
    return this.#tar.find(`blobs/${algorithmOf(digest)}/${encodedOf(digest)}`);
  }
}

/** Holds the files that have no other digest against those that the declaration says. */
async function checkFiles(
  { file, tar }: OpenedArchive,
  files: Readonly<Record<string, Digest>>,
): Promise<void> {
  for (const [name, expected] of Object.entries(files)) {
    const actual = digestOf(await requireArchived(file, tar, name, LISTED_MAX_BYTES));
    if (actual === expected) continue;
    throw new ContentError('DIGEST_MISMATCH', `${name} of ${file.location} reads as ${actual}`, {
      details: { digest: expected, expected, actual, path: file.location },
      hint: 'Something altered the archive: copy it again from where it was written, or have it written anew.',
    });
  }
}
