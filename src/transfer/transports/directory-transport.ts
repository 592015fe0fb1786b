import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  type BlobInfo,
  blobNotFound,
  type BlobProvider,
  type ByteRange,
  makeDirectory,
  openBelow,
  outputError,
  statBelow,
  streamBlobFile,
  sweepTemporaryFiles,
  TemporaryFile,
} from '../../content/index.js';
import { readManifest } from '../../engine/images/read-manifest.js';
import { ContentError, LandfallError, throwIfAborted } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  digestOf,
  encodedOf,
  type ImageIndex,
  isIndexType,
  isManifestType,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
} from '../../spec/index.js';
import type {
  DestinationRepository,
  DestinationTransport,
  OpenContent,
  PutOptions,
  PutOutcome,
  SourceRepository,
} from './destination.js';
import { writeWhole } from './layout-index.js';
import { LayoutTransport } from './layout-transport.js';
import { verifiedContent } from './verified-content.js';

/*
 * skopeo's `dir:` (containers-transports(5)): one image, whose index or manifest is `manifest.json`. A blob is named by the
 * hexadecimal digits of its digest, and a manifest below an index is `HEX.manifest.json`. `signature-N` are signatures that
 * skopeo keeps beside it; they are neither read nor written here.
 */
const MANIFEST = 'manifest.json';
const VERSION = 'version';
const VERSION_TEXT = 'Directory Transport Version: 1.1\n';
const KNOWN_VERSION = /^Directory Transport Version: 1\.[01]\s*$/;
/** What other programs, and file systems, leave in a directory that is otherwise empty. */
const NOTHING: ReadonlySet<string> = new Set(['lost+found']);
/** What belongs to an image, so that it goes when another image takes its place. */
const OWN = /^(?:[0-9a-f]{64}|[0-9a-f]{128})(?:\.manifest\.json|\.signature-\d+)?$|^signature-\d+$/;

/** The image of a `dir:`, to read. */
class DirectoryContent implements BlobProvider {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Errors: BLOB_NOT_FOUND where there is no image; INVALID_MANIFEST; LIMIT_EXCEEDED; FILESYSTEM. */
  async index(): Promise<ImageIndex> {
    const main = await this.main();
    if (main !== undefined) return { kind: 'index', mediaType: MEDIA_TYPES.ociIndex, manifests: [main] };
    throw new ContentError('BLOB_NOT_FOUND', `${this.directory} is no image of dir:, it has no ${MANIFEST}`, {
      details: { path: this.directory },
      hint: 'Name a directory that `skopeo copy … dir:DIR` or `landfall copy … dir:DIR` has written.',
    });
  }

  /** The index or manifest of the image; undefined where there is none yet. */
  async main(): Promise<Descriptor | undefined> {
    const file = await statBelow(this.directory, MANIFEST);
    if (file === undefined) return undefined;
    if (file.size > LIMITS.manifestBytes) {
      throw new LandfallError('LIMIT_EXCEEDED', `${join(this.directory, MANIFEST)} is too large`, {
        details: { path: this.directory, limit: LIMITS.manifestBytes },
      });
    }
    const handle = await openBelow(this.directory, MANIFEST);
    if (handle === undefined) return undefined;
    const bytes = await buffer(handle.createReadStream());
    return { mediaType: parseManifest(bytes).mediaType, digest: digestOf(bytes), size: bytes.length };
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    const found = await this.#find(digest);
    return found && { digest, size: found.size, createdAt: found.mtime, labels: {} };
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    const name = (await this.#find(descriptor.digest))?.name;
    if (name === undefined) throw blobNotFound(descriptor.digest);
    const handle = await openBelow(this.directory, name);
    return await streamBlobFile(handle, join(this.directory, name), { descriptor, range });
  }

  async path(digest: Digest): Promise<string> {
    const name = (await this.#find(digest))?.name;
    if (name === undefined) throw blobNotFound(digest);
    return join(this.directory, name);
  }

  async #find(digest: Digest): Promise<{ name: string; size: number; mtime: Date } | undefined> {
    for (const name of [encodedOf(digest), `${encodedOf(digest)}.${MANIFEST}`]) {
      const file = await statBelow(this.directory, name);
      if (file !== undefined) return { name, size: file.size, mtime: file.mtime };
    }
    if ((await this.main())?.digest !== digest) return undefined;
    const file = await statBelow(this.directory, MANIFEST);
    return file && { name: MANIFEST, size: file.size, mtime: file.mtime };
  }
}

/** Opens a `dir:` to read. Its only image has no name. */
export function openDirectory(directory: string): LayoutTransport {
  return transportOf(new DirectoryContent(directory));
}

function transportOf(content: DirectoryContent): LayoutTransport {
  const { directory } = content;
  const file = { transport: 'dir', path: directory } as const;
  return new LayoutTransport({ content, location: `dir:${directory}`, file });
}

/**
 * A `dir:` to write. It takes one image, in place of the one that it had; the manifest of that stays until all
 * else of the new one is there.
 */
export class DirectoryDestination implements DestinationTransport {
  readonly kind = 'directory';
  readonly holdsArtifacts = false;
  readonly name: string;
  readonly content: DirectoryContent;
  /** What was put as the image itself. */
  main: Digest | undefined;

  private constructor(directory: string) {
    this.name = `dir:${directory}`;
    this.content = new DirectoryContent(directory);
  }

  /**
   * Opens a directory that is empty or of this kind, or makes one.
   *
   * @throws {LandfallError} INVALID_CONFIG for a directory with something else in it; FILESYSTEM, NO_SPACE
   */
  static async open(directory: string): Promise<DirectoryDestination> {
    try {
      await makeDirectory(directory);
      await sweepTemporaryFiles(directory);
      if ((await versionOf(directory)) === undefined) {
        const others = (await readdir(directory)).filter((name) => !NOTHING.has(name));
        if (others.length > 0) throw refused(directory, 'neither empty nor of dir:');
        await writeWhole(directory, VERSION, Buffer.from(VERSION_TEXT));
      }
      return new DirectoryDestination(directory);
    } catch (error) {
      throw outputError(error, directory);
    }
  }

  repository(): DirectoryRepository {
    return new DirectoryRepository(this);
  }

  /** Takes away what the image that was there before had, and this one has not. */
  async finish(): Promise<void> {
    const main = await this.content.main();
    if (main === undefined || main.digest !== this.main) return;
    const needed = new Set<string>();
    for (const child of await this.#childrenOf(main)) await this.#addNames(child, needed);
    const { directory } = this.content;
    const old = (await readdir(directory)).filter((name) => OWN.test(name) && !needed.has(name));
    for (const name of old) await rm(join(directory, name), { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #addNames(descriptor: Descriptor, needed: Set<string>): Promise<void> {
    needed.add(nameOf(descriptor));
    for (const child of await this.#childrenOf(descriptor)) await this.#addNames(child, needed);
  }

  /** None of a blob, and of a manifest that was left out. */
  async #childrenOf(descriptor: Descriptor): Promise<readonly Descriptor[]> {
    if (!isManifest(descriptor) || (await this.content.info(descriptor.digest)) === undefined) return [];
    return childrenOf(await readManifest(this.content, descriptor));
  }
}

function isManifest({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

/** The file of what is not the image itself. */
function nameOf(descriptor: Descriptor): string {
  const encoded = encodedOf(descriptor.digest);
  return isManifest(descriptor) ? `${encoded}.${MANIFEST}` : encoded;
}

/** Undefined where there is no such file. @throws {LandfallError} INVALID_CONFIG for another version */
async function versionOf(directory: string): Promise<string | undefined> {
  const handle = await openBelow(directory, VERSION);
  if (handle === undefined) return undefined;
  const text = String(await buffer(handle.createReadStream({ end: 200 })));
  if (!KNOWN_VERSION.test(text)) throw refused(directory, 'of a version that is not known');
  return text;
}

function refused(directory: string, what: string): LandfallError {
  return new LandfallError('INVALID_CONFIG', `${directory} is ${what}`, {
    hint: 'Name a directory that is empty or does not exist.',
    details: { path: directory },
  });
}

class DirectoryRepository implements DestinationRepository {
  readonly name = '';
  readonly location: string;
  readonly transport: DirectoryDestination;
  readonly blobs: Pick<BlobProvider, 'info' | 'open'>;
  readonly readBack: SourceRepository;

  constructor(transport: DirectoryDestination) {
    this.location = transport.name;
    this.transport = transport;
    this.blobs = transport.content;
    this.readBack = transportOf(transport.content).repository('');
  }

  async stored(tagOrDigest: string): Promise<Descriptor | undefined> {
    const main = await this.transport.content.main();
    return main?.digest === tagOrDigest ? main : undefined;
  }

  async has({ digest, size }: Descriptor): Promise<boolean> {
    return (await this.transport.content.info(digest))?.size === size;
  }

  async put(descriptor: Descriptor, open: OpenContent, o: PutOptions = {}): Promise<PutOutcome> {
    const { digest } = descriptor;
    const isMain = o.root === true || o.tag !== undefined;
    if (isMain) this.#claim(digest);
    const isThere = isMain ? (await this.stored(digest)) !== undefined : await this.has(descriptor);
    if (isThere) return 'exists';
    const { directory } = this.transport.content;
    try {
      await using file = await TemporaryFile.create(directory);
      for await (const chunk of verifiedContent(descriptor, open, o)) await file.handle.writeFile(chunk);
      throwIfAborted(o.signal);
      await file.publish(join(directory, isMain ? MANIFEST : nameOf(descriptor)));
      return 'copied';
    } catch (error) {
      throw outputError(error, directory);
    }
  }

  async *tags(): AsyncGenerator<string> {
    // The image has no name.
  }

  deleteTag(): Promise<void> {
    return Promise.reject(this.#deletesNothing());
  }

  deleteManifest(): Promise<void> {
    return Promise.reject(this.#deletesNothing());
  }

  /** @throws {LandfallError} UNSUPPORTED for a second image, or what refers to the image */
  #claim(digest: Digest): void {
    this.transport.main ??= digest;
    if (this.transport.main === digest) return;
    throw new LandfallError(
      'UNSUPPORTED',
      `${this.location} takes one image, and nothing that refers to it`,
      {
        hint: 'Copy without referrers, or to oci:DIR, which holds signatures and SBOMs too.',
      },
    );
  }

  #deletesNothing(): LandfallError {
    return new LandfallError('UNSUPPORTED', `${this.location} has one image, of which nothing is deleted`, {
      hint: 'Remove the directory.',
    });
  }
}
