import { type Abortable, throwIfAborted } from '../../errors.js';
import { algorithmOf, type Digest, digestOf, LIMITS, MEDIA_TYPES, type Platform } from '../../spec/index.js';
import { encodeHeader, paddingOf, PLAIN_FILE } from '../../unpack/index.js';
import { tooManyImages } from '../layout-index.js';
import type { ArchiveContents, ArchivedBlob } from './archive-contents.js';
import type { ArchiveFormat } from './archive.js';
import { DECLARATION_FILE, renderDeclaration } from './declaration.js';
import { blobName, dockerImageOf, dockerListing } from './docker-listing.js';
import { DOCKER_MANIFEST, renderDockerManifest } from './docker-manifest.js';
import { PrefetchedBlobs, type PrefetchOptions } from './prefetched-blobs.js';

export interface WriteArchiveOptions extends Abortable {
  readonly format: ArchiveFormat;
  /** Of an image for several, the one that Docker is shown; default: this machine's, else the first. */
  readonly platform?: Platform | undefined;
  readonly prefetch?: PrefetchOptions | undefined;
}

/** Written in one call: headers and small documents would cost one each. */
const CHUNK_BYTES = 256 * 1024;
const END = Buffer.alloc(1024);

/**
 * The bytes of an archive: first what lists its images, then its blobs in the order of their digests. The same contents give
 * the same bytes, whoever put them in whatever order: no entry has a time or an owner.
 *
 * Errors: what opening and verifying blobs throws; UNSUPPORTED_MEDIA_TYPE for what the format cannot hold; LIMIT_EXCEEDED; ABORTED.
 */
export async function* archiveBytes(
  contents: ArchiveContents,
  o: WriteArchiveOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const { documents, blobs } = await planOf(contents, o);
  await using prefetched = new PrefetchedBlobs(blobs, { ...o.prefetch, signal: o.signal });
  const gathered = new GatheredChunks();
  for (const [name, bytes] of documents) {
    yield* gathered.add(header(name, bytes.length), bytes, padding(bytes.length));
  }
  for (const directory of directoriesOf(blobs)) yield* gathered.add(directoryHeader(directory));
  for (const [at, { descriptor }] of blobs.entries()) {
    throwIfAborted(o.signal);
    yield* gathered.add(header(blobName(descriptor.digest), descriptor.size));
    for await (const chunk of prefetched.take(at)) yield* gathered.add(chunk);
    yield* gathered.add(padding(descriptor.size));
  }
  yield* gathered.add(END);
  yield* gathered.rest();
}

interface ArchivePlan {
  /** By their names, in order. */
  readonly documents: readonly (readonly [name: string, bytes: Buffer])[];
  readonly blobs: readonly ArchivedBlob[];
}

async function planOf(
  contents: ArchiveContents,
  { format, platform }: WriteArchiveOptions,
): Promise<ArchivePlan> {
  const strict = format === 'docker';
  const images = format === 'oci' ? [] : await dockerListing(contents, { platform, strict });
  const listing = renderDockerManifest(images.map(dockerImageOf));
  if (format === 'docker') {
    const used = new Set<Digest>();
    for (const { manifest } of images) {
      for (const { digest } of [manifest.config, ...manifest.layers]) used.add(digest);
    }
    return {
      documents: sealed([[DOCKER_MANIFEST, listing]], contents),
      blobs: contents.blobs().filter(({ descriptor }) => used.has(descriptor.digest)),
    };
  }
  const layout: [string, Buffer][] = [
    ['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')],
    ['index.json', indexBytes(contents)],
  ];
  // Without an image for Docker it would be a list of nothing, which some take for an archive of Docker's all the same.
  if (images.length > 0) layout.push([DOCKER_MANIFEST, listing]);
  return { documents: sealed(layout, contents), blobs: contents.blobs() };
}

/** With what says how they have to read, and what was left out. */
function sealed(
  documents: readonly (readonly [string, Buffer])[],
  contents: ArchiveContents,
): ArchivePlan['documents'] {
  const files = Object.fromEntries(documents.map(([name, bytes]) => [name, digestOf(bytes)]));
  return [...documents, [DECLARATION_FILE, renderDeclaration({ omitted: contents.omitted(), files })]];
}

function indexBytes(contents: ArchiveContents): Buffer {
  const manifests = contents.entries();
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
  if (manifests.length > LIMITS.indexManifests || bytes.length > LIMITS.manifestBytes) {
    throw tooManyImages(manifests.length);
  }
  return bytes;
}

function directoriesOf(blobs: readonly ArchivedBlob[]): string[] {
  const algorithms = new Set(blobs.map(({ descriptor }) => algorithmOf(descriptor.digest)));
  return ['blobs/', ...[...algorithms].sort().map((algorithm) => `blobs/${algorithm}/`)];
}

function header(path: string, size: number): Buffer {
  return encodeHeader({ ...PLAIN_FILE, path, size });
}

function directoryHeader(path: string): Buffer {
  return encodeHeader({ ...PLAIN_FILE, path, type: 'directory', mode: 0o755 });
}

function padding(size: number): Buffer {
  return Buffer.alloc(paddingOf(size));
}

/** Joins small chunks, and passes on large ones. */
class GatheredChunks {
  #held: Buffer[] = [];
  #bytes = 0;

  *add(...chunks: readonly Buffer[]): Generator<Buffer, void, undefined> {
    for (const chunk of chunks) {
      if (chunk.length === 0) continue;
      this.#held.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes >= CHUNK_BYTES) yield* this.rest();
    }
  }

  *rest(): Generator<Buffer, void, undefined> {
    const [first, ...others] = this.#held;
    if (first === undefined) return;
    this.#held = [];
    this.#bytes = 0;
    yield others.length === 0 ? first : Buffer.concat([first, ...others]);
  }
}
