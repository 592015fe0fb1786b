import type { FileHandle } from 'node:fs/promises';
import { basename, join, resolve as resolvePath } from 'node:path';
import type { Readable } from 'node:stream';
import { ResultCache } from '../../concurrency/index.js';
import { ContentError, isLandfallError, SpecError } from '../../errors.js';
import {
  createDigester,
  type Descriptor,
  type Digest,
  type ImageIndex,
  LIMITS,
  MEDIA_TYPES,
  parseJson,
  parseManifest,
  parseReference,
  quoted,
  type Reference,
} from '../../spec/index.js';
import { BLOB_CHUNK_BYTES, blobNotFound, streamBlobFile } from './blob-stream.js';
import type { BlobInfo, BlobProvider, ByteRange } from './content-store.js';
import {
  blobPath,
  fileError,
  INDEX_FILE,
  LAYOUT_FILE,
  openBelow,
  REF_NAME,
  statBelow,
} from './layout-files.js';

const LAYOUT_MAX_BYTES = 64 * 1024;
/** A file that was changed a shorter time ago, in ms, may be changed again without its times telling. */
const SETTLED_MS = 100;
/** How many names a message lists. */
const NAMES_SHOWN = 20;

/**
 * Any OCI image layout directory, read in place; nothing is written to it (image-spec: image-layout.md).
 *
 * Another user may have written it, and may be writing it now. So only regular files are read, and no link is
 * followed below the directory. Nothing says that its blobs were verified: {@link OciLayout.verified} digests
 * a blob before it gives out the first byte, for bytes that leave this machine; {@link OciLayout.open} leaves
 * that to its reader, as an ingest does at its commit.
 */
export class OciLayout implements BlobProvider {
  /** Absolute path. */
  readonly directory: string;
  /** By digest and state of the file: what was verified is not digested again until its file changes. */
  readonly #verified = new ResultCache<string, true>();

  private constructor(directory: string) {
    this.directory = directory;
  }

  /**
   * @throws ContentError BLOB_NOT_FOUND where it is not a layout; FILESYSTEM; SpecError INVALID_MANIFEST,
   *   UNSUPPORTED
   */
  static async open(directory: string): Promise<OciLayout> {
    const path = join(directory, LAYOUT_FILE);
    const bytes = await readSmallFile(directory, LAYOUT_FILE, LAYOUT_MAX_BYTES);
    if (bytes === undefined) {
      throw new ContentError(
        'BLOB_NOT_FOUND',
        `${directory} is not an OCI image layout: it has no ${LAYOUT_FILE}`,
        {
          details: { path },
          hint: 'Name a directory that was written in OCI layout, for example by skopeo copy … oci:DIR:TAG.',
        },
      );
    }
    checkLayoutVersion(bytes);
    return new OciLayout(directory);
  }

  /**
   * `index.json`, read anew at each call, since other programs may be writing it.
   *
   * @throws ContentError BLOB_NOT_FOUND, FILESYSTEM; SpecError INVALID_MANIFEST, INVALID_DIGEST,
   *   LIMIT_EXCEEDED
   */
  async index(): Promise<ImageIndex> {
    const path = join(this.directory, INDEX_FILE);
    const bytes = await readSmallFile(this.directory, INDEX_FILE, LIMITS.manifestBytes);
    if (bytes === undefined) {
      throw new ContentError('BLOB_NOT_FOUND', `the OCI layout ${this.directory} has no ${INDEX_FILE}`, {
        details: { path },
        hint: 'Write the layout again: it is not whole.',
      });
    }
    const manifest = parseManifest(bytes, MEDIA_TYPES.ociIndex);
    if (manifest.kind === 'index') return manifest;
    throw new SpecError('INVALID_MANIFEST', `${path} is not an image index`);
  }

  /**
   * The names of its images, in order, each once.
   *
   * @throws as {@link index}
   */
  async names(): Promise<string[]> {
    const { manifests } = await this.index();
    const names = manifests.flatMap(({ annotations }) => annotations?.[REF_NAME] ?? []);
    return [...new Set(names)].sort();
  }

  /**
   * The image of a name, or the only one there is where no name is given. Of several with one name, the
   * first, as skopeo does.
   *
   * @throws ContentError BLOB_NOT_FOUND, with the names that there are; and as {@link index}
   */
  async resolve(name?: string): Promise<Descriptor> {
    const { manifests } = await this.index();
    if (name !== undefined) {
      const found = manifests.find(({ annotations }) => annotations?.[REF_NAME] === name);
      if (found !== undefined) return found;
      throw await this.#notFound(`has no image ${quoted(name)}`);
    }
    const [only, ...others] = manifests;
    if (only === undefined) throw await this.#notFound('has no image');
    if (others.length > 0) throw await this.#notFound(`has ${manifests.length} images, and none was named`);
    return only;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    const file = await statBelow(this.directory, blobPath('', digest));
    return file && { digest, size: file.size, createdAt: file.mtime, labels: {} };
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    return await this.#open(descriptor, { range });
  }

  /** The same blobs, where `open` fails with DIGEST_MISMATCH before the first byte. */
  get verified(): BlobProvider {
    const check = (file: FileHandle, path: string, digest: Digest): Promise<void> =>
      this.#verify(file, path, digest);
    return {
      info: (digest) => this.info(digest),
      path: (digest) => this.path(digest),
      open: (descriptor, range) => this.#open(descriptor, { range, check }),
    };
  }

  async #open(
    descriptor: Descriptor,
    o: {
      readonly range: ByteRange | undefined;
      readonly check?: (file: FileHandle, path: string, digest: Digest) => Promise<void>;
    },
  ): Promise<Readable> {
    const { digest } = descriptor;
    const handle = await openBelow(this.directory, blobPath('', digest));
    const path = blobPath(this.directory, digest);
    const check = async (file: FileHandle): Promise<void> => await o.check?.(file, path, digest);
    return await streamBlobFile(handle, path, { descriptor, range: o.range, check });
  }

  async path(digest: Digest): Promise<string> {
    if ((await this.info(digest)) === undefined) throw blobNotFound(digest);
    return blobPath(this.directory, digest);
  }

  async #verify(file: FileHandle, path: string, digest: Digest): Promise<void> {
    const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
    const settled = Date.now() - Number(ctimeNs / 1_000_000n) > SETTLED_MS;
    const work = async (): Promise<true> => await verifyFile(file, path, digest);
    if (!settled) await work();
    else await this.#verified.get([digest, dev, ino, size, mtimeNs, ctimeNs].join(' '), work);
  }

  async #notFound(fault: string): Promise<ContentError> {
    const names = await this.names();
    const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
    const hint =
      names.length === 0
        ? 'None of its images has a name.'
        : `Name one that is there: ${names.slice(0, NAMES_SHOWN).join(', ')}${more}.`;
    return new ContentError('BLOB_NOT_FOUND', `the OCI layout ${this.directory} ${fault}`, {
      hint,
      details: { path: this.directory, names },
    });
  }
}

/**
 * Refuses an `oci-layout` file of a version that is not known (image-spec: image-layout.md, oci-layout file).
 *
 * @throws {SpecError} INVALID_MANIFEST, LIMIT_EXCEEDED, UNSUPPORTED
 */
export function checkLayoutVersion(bytes: Uint8Array): void {
  const value = parseJson(bytes, LAYOUT_FILE, LAYOUT_MAX_BYTES);
  const version =
    typeof value === 'object' && value !== null && 'imageLayoutVersion' in value
      ? value.imageLayoutVersion
      : undefined;
  if (typeof version !== 'string') {
    throw new SpecError('INVALID_MANIFEST', `${LAYOUT_FILE} has no imageLayoutVersion`);
  }
  // The specification has had no other major version; a later minor one must stay readable.
  if (!/^1\.\d+\.\d+$/.test(version)) {
    throw new SpecError('UNSUPPORTED', `OCI layout version ${quoted(version)} is not known`, {
      hint: 'Write the layout in version 1.0.0.',
    });
  }
}

/** Never reads more than one byte beyond the limit, whatever the file's size is. */
async function readSmallFile(
  directory: string,
  name: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const file = await openBelow(directory, name);
  if (file === undefined) return undefined;
  try {
    return await readUpTo(file, maxBytes + 1);
  } catch (error) {
    throw fileError(error, 'read the OCI layout', join(directory, name));
  } finally {
    await file.close();
  }
}

async function verifyFile(file: FileHandle, path: string, digest: Digest): Promise<true> {
  const digester = createDigester(digest);
  const buffer = Buffer.allocUnsafe(BLOB_CHUNK_BYTES);
  for (let at = 0; ;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) break;
    digester.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  const actual = digester.digest();
  if (actual === digest) return true;
  throw new ContentError('DIGEST_MISMATCH', `blob ${digest} reads as ${actual}`, {
    details: { path, digest, expected: digest, actual },
    hint: 'The blob is damaged where it lies: write the layout again.',
  });
}

async function readUpTo(file: FileHandle, maxBytes: number): Promise<Uint8Array> {
  const { size } = await file.stat();
  const buffer = Buffer.alloc(Math.min(size, maxBytes));
  let at = 0;
  while (at < buffer.length) {
    const { bytesRead } = await file.read(buffer, at, buffer.length - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return buffer.subarray(0, at);
}

/** Where containerd puts the full name of an image; its ref.name then holds the tag alone. */
export const CONTAINERD_NAME = 'io.containerd.image.name';

/** An entry of an `index.json`, and what image it is by the rules of {@link namedEntries}. */
export interface NamedEntry {
  readonly target: Descriptor;
  /** Undefined where it has no name that is one here: it can be had by its digest. */
  readonly reference: Reference | undefined;
}

/**
 * The images that an `index.json` names (image-spec: image-layout.md).
 *
 * The specification leaves the form of `org.opencontainers.image.ref.name` open, and tools differ:
 * - `io.containerd.image.name`, where it stands, is the full name, whatever the other says;
 * - a name with `:`, `/` or `@` is a reference: `landfall/demo:1.0` is tag 1.0 of docker.io/landfall/demo;
 * - a bare word, which is what umoci writes, is a tag in a repository named like the directory or file: tag
 *   `1.0` of the layout `/srv/Demo` is `demo:1.0`;
 * - the only image of a layout that gives it no name is `latest` of that repository;
 * - anything else has no name.
 *
 * @param place the path of the directory or file, for its name; without one a bare word names nothing
 */
export function namedEntries(index: ImageIndex, place: string | undefined): NamedEntry[] {
  const ownName = place === undefined ? undefined : repositoryOf(place);
  const only = index.manifests.length === 1;
  return index.manifests.map((target) => ({ target, reference: referenceOf(target, ownName, only) }));
}

/** The names that an entry has, as they stand there: containerd's first. */
export function rawNamesOf({ annotations }: Descriptor): string[] {
  const names = [annotations?.[CONTAINERD_NAME], annotations?.[REF_NAME]];
  return [...new Set(names.filter((name) => name !== undefined))];
}

function referenceOf(target: Descriptor, ownName: string | undefined, only: boolean): Reference | undefined {
  const [name] = rawNamesOf(target);
  if (name !== undefined && /[:/@]/.test(name)) return tryParse(name);
  if (ownName === undefined) return undefined;
  if (name === undefined) return only ? tryParse(`${ownName}:latest`) : undefined;
  return tryParse(`${ownName}:${name}`);
}

/** A name is somebody else's text: one that is no reference only means that the image has none here. */
function tryParse(text: string): Reference | undefined {
  try {
    return parseReference(text, { defaultTag: true });
  } catch (error) {
    if (isLandfallError(error) && error.code === 'INVALID_REFERENCE') return undefined;
    throw error;
  }
}

/**
 * A path's name as the last component of a repository: lower case, and one `-` for each run of what a name
 * cannot hold.
 */
function repositoryOf(place: string): string {
  const name = basename(resolvePath(place))
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return name === '' ? 'image' : name;
}
