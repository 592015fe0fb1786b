import type { Readable } from 'node:stream';

import { type BlobInfo, type ByteRange, checkLayoutVersion } from '../../content/index.js';
import { ContentError, type LandfallError } from '../../errors.js';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  digestOf,
  encodedOf,
  type ImageIndex,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
} from '../../spec/index.js';
import { infoOf, noPath, openArchived, requireArchived } from './archive-blobs.js';
import { brokenArchive } from './archive-error.js';
import type { ArchiveFile } from './archive-file.js';
import type { Archive, ArchiveFormat } from './archive.js';
import type { Declaration } from './declaration.js';
import type { TarIndex, TarMember } from './tar-index.js';

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
  readonly omitted: readonly Descriptor[];
  readonly #file: ArchiveFile;
  readonly #tar: TarIndex;
  readonly #index: ImageIndex;

  private constructor({ file, tar, declaration }: OpenedArchive, index: ImageIndex) {
    this.#file = file;
    this.#tar = tar;
    this.#index = index;
    this.format = tar.find('manifest.json') === undefined ? 'oci' : 'both';
    this.omitted = declaration?.omitted ?? [];
  }

  /** @throws {LandfallError} BAD_ARCHIVE; DIGEST_MISMATCH; INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED, UNSUPPORTED */
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
