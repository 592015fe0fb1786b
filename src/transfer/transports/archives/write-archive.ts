import { buffer } from 'node:stream/consumers';
import { type Abortable, LandfallError, SpecError, throwIfAborted } from '../../../errors.js';
import { isSilent } from '../../../engine/images/read-manifest.js';
import {
  algorithmOf,
  closestPlatform,
  type Descriptor,
  type Digest,
  digestOf,
  encodedOf,
  formatReference,
  hostPlatform,
  type ImageManifest,
  isConfigType,
  isLayerType,
  LIMITS,
  MEDIA_TYPES,
  parseImageConfig,
  parseReference,
  type Platform,
  platformOf,
} from '../../../spec/index.js';
import { encodeHeader, paddingOf, PLAIN_FILE } from '../../../unpack/index.js';
import { tooManyImages } from '../layout-index.js';
import type { ArchiveContents, ArchivedBlob } from './archive-contents.js';
import { DECLARATION_FILE, renderDeclaration } from '../declaration.js';
import { readVerifiedContent, verifiedContent } from '../verified-content.js';
import type { ArchiveFormat } from './archive.js';
import { DOCKER_MANIFEST, type DockerImage, renderDockerManifest } from './docker-archive.js';

export interface WriteArchiveOptions extends Abortable {
  readonly format: ArchiveFormat;
  /** Of an image for several, the one that Docker is shown; default: this machine's, else the first. */
  readonly platform?: Platform | undefined;
  readonly prefetch?: PrefetchOptions | undefined;
}

/** Written in one call: headers and small manifests would cost one each. */
const CHUNK_BYTES = 256 * 1024;
const END = Buffer.alloc(1024);

/**
 * The bytes of an archive: first what lists its images, then its blobs in the order of their digests. The
 * same contents give the same bytes, whoever put them in whatever order: no entry has a time or an owner.
 *
 * Errors: what opening and verifying blobs throws; UNSUPPORTED_MEDIA_TYPE for what the format cannot hold;
 * LIMIT_EXCEEDED; ABORTED.
 */
export async function* archiveBytes(
  contents: ArchiveContents,
  o: WriteArchiveOptions,
): AsyncGenerator<Buffer, void, undefined> {
  yield* bytesOfPlan(await planArchive(contents, o), o);
}

/** The bytes of a planned archive. Errors: as {@link archiveBytes}. */
export async function* bytesOfPlan(
  { head, blobs }: ArchivePlan,
  o: Pick<WriteArchiveOptions, 'prefetch' | 'signal'>,
): AsyncGenerator<Buffer, void, undefined> {
  await using prefetched = new PrefetchedBlobs(blobs, { ...o.prefetch, signal: o.signal });
  const gathered = new GatheredChunks();
  yield* gathered.add(head);
  for (const [at, { descriptor, onProgress }] of blobs.entries()) {
    throwIfAborted(o.signal);
    yield* gathered.add(header(blobName(descriptor.digest), descriptor.size));
    let written = 0;
    for await (const chunk of prefetched.take(at)) {
      yield* gathered.add(chunk);
      written += chunk.length;
      onProgress?.(written);
    }
    yield* gathered.add(padding(descriptor.size));
  }
  yield* gathered.add(END);
  yield* gathered.rest();
}

/** What an archive consists of. */
export interface ArchivePlan {
  /** All that stands before the blobs. */
  readonly head: Buffer;
  /** In their order. */
  readonly blobs: readonly ArchivedBlob[];
  /** Of the whole. */
  readonly size: number;
}

/** Errors: as {@link archiveBytes}. */
export async function planArchive(contents: ArchiveContents, o: WriteArchiveOptions): Promise<ArchivePlan> {
  const { manifests, blobs } = await planOf(contents, o);
  const head = Buffer.concat([
    ...manifests.flatMap(([name, bytes]) => [header(name, bytes.length), bytes, padding(bytes.length)]),
    ...directoriesOf(blobs).map(directoryHeader),
  ]);
  const sizes = blobs.map(({ descriptor: { digest, size } }) => {
    return header(blobName(digest), size).length + size + paddingOf(size);
  });
  return { head, blobs, size: sizes.reduce((sum, size) => sum + size, head.length + END.length) };
}

interface ListedContents {
  /** By their names, in order. */
  readonly manifests: readonly (readonly [name: string, bytes: Buffer])[];
  readonly blobs: readonly ArchivedBlob[];
}

async function planOf(
  contents: ArchiveContents,
  { format, platform }: WriteArchiveOptions,
): Promise<ListedContents> {
  const strict = format === 'docker';
  const images = format === 'oci' ? [] : await dockerListing(contents, { platform, strict });
  const listing = renderDockerManifest(images.map(dockerImageOf));
  if (format === 'docker') {
    const used = new Set<Digest>();
    for (const { manifest } of images) {
      for (const { digest } of [manifest.config, ...manifest.layers]) used.add(digest);
    }
    return {
      manifests: sealed([[DOCKER_MANIFEST, listing]], contents),
      blobs: contents.blobs().filter(({ descriptor }) => used.has(descriptor.digest)),
    };
  }
  const layout: [string, Buffer][] = [
    ['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')],
    ['index.json', indexBytes(contents)],
  ];
  // Without an image for Docker it would be a list of nothing, which some take for an archive of Docker's all
  // the same.
  if (images.length > 0) layout.push([DOCKER_MANIFEST, listing]);
  return { manifests: sealed(layout, contents), blobs: contents.blobs() };
}

/** With what says how they have to read, and what was left out. */
function sealed(
  manifests: readonly (readonly [string, Buffer])[],
  contents: ArchiveContents,
): ListedContents['manifests'] {
  const files = Object.fromEntries(manifests.map(([name, bytes]) => [name, digestOf(bytes)]));
  return [...manifests, [DECLARATION_FILE, renderDeclaration({ ...contents.declaration(), files })]];
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

/** An image as Docker sees it: one manifest, and the names that lead to it. */
export interface ListedImage {
  readonly manifest: ImageManifest;
  readonly tags: readonly string[];
}

export interface DockerListingOptions {
  /** Which one of an image for several; default: this machine's, else the first. */
  readonly platform?: Platform | undefined;
  /** Whether what Docker cannot read is an error. */
  readonly strict: boolean;
}

/**
 * The images that Docker's `manifest.json` lists: of each name one manifest, since it knows no indexes.
 *
 * @throws {SpecError} with `strict`: UNSUPPORTED_MEDIA_TYPE for what is no container image; {LandfallError}
 *   UNSUPPORTED for one that is not whole
 */
async function dockerListing(contents: ArchiveContents, o: DockerListingOptions): Promise<ListedImage[]> {
  const listed = new Map<Digest, { manifest: ImageManifest; tags: Set<string> }>();
  for (const { name, target } of contents.roots()) {
    const manifest = await chosenManifest(contents, target, o);
    if (manifest === undefined) {
      if (o.strict) throw notAnImage(name ?? target.digest);
      continue;
    }
    const tag = tagOf(name);
    const known = listed.get(manifest.config.digest) ?? { manifest, tags: new Set<string>() };
    if (tag !== undefined) known.tags.add(tag);
    listed.set(manifest.config.digest, known);
  }
  return [...listed.values()].map(({ manifest, tags }) => ({ manifest, tags: [...tags].sort() }));
}

/** By the paths that blobs have in an OCI layout, which Docker itself writes too. */
function dockerImageOf({ manifest, tags }: ListedImage): DockerImage {
  return {
    config: blobName(manifest.config.digest),
    layers: manifest.layers.map(({ digest }) => blobName(digest)),
    tags,
  };
}

export function blobName(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`;
}

/** Undefined where there is none that Docker could use. */
async function chosenManifest(
  contents: ArchiveContents,
  target: Descriptor,
  { platform = hostPlatform() }: DockerListingOptions,
): Promise<ImageManifest | undefined> {
  const candidates = imagesBelow(contents, target, 0);
  if (candidates.length < 2) return candidates[0]?.manifest;
  const stated = candidates.flatMap((each) => {
    const { platform: of } = each.descriptor;
    return of === undefined ? [] : [{ ...each, platform: of }];
  });
  const closest = closestPlatform(stated, platform);
  if (closest !== undefined) return closest.manifest;
  const silent: (Candidate & { readonly platform: Platform })[] = [];
  for (const each of candidates.filter(({ descriptor }) => isSilent(descriptor)))
    silent.push({ ...each, platform: await configuredPlatform(contents, each.manifest) });
  return (closestPlatform(silent, platform) ?? candidates[0])?.manifest;
}

/** What a config says, whose bytes are verified when they are written. */
async function configuredPlatform(contents: ArchiveContents, { config }: ImageManifest): Promise<Platform> {
  const blob = contents.get(config.digest);
  if (blob === undefined || config.size > LIMITS.configBytes) return { os: '', architecture: '' };
  return platformOf(parseImageConfig(await buffer(await blob.open(0))));
}

interface Candidate {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
}

function imagesBelow(contents: ArchiveContents, descriptor: Descriptor, depth: number): Candidate[] {
  const manifest = contents.get(descriptor.digest)?.manifest;
  if (manifest === undefined || depth > LIMITS.indexDepth) return [];
  if (manifest.kind === 'index') {
    return manifest.manifests.flatMap((child) => imagesBelow(contents, child, depth + 1));
  }
  const { config, layers, subject } = manifest;
  const isRunnable = descriptor.platform?.os !== 'unknown' && subject === undefined;
  const isImage = isConfigType(config.mediaType) && layers.every(({ mediaType }) => isLayerType(mediaType));
  const isWhole = [config, ...layers].every(({ digest }) => contents.get(digest) !== undefined);
  return isRunnable && isImage && isWhole ? [{ descriptor, manifest: manifest }] : [];
}

/** `docker.io/library/alpine:3`; undefined for a name that Docker would not take. */
function tagOf(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  try {
    const reference = parseReference(name);
    // In full: of a short name Podman makes one below localhost.
    return reference.tag === undefined || reference.digest !== undefined
      ? undefined
      : formatReference(reference);
  } catch (error) {
    if (error instanceof LandfallError) return undefined;
    throw error;
  }
}

function notAnImage(name: string): SpecError {
  return new SpecError('UNSUPPORTED_MEDIA_TYPE', `${name} is no container image that Docker could load`, {
    hint: 'Use the format oci, which holds artifacts too.',
  });
}

export interface PrefetchOptions extends Abortable {
  /** What is larger is not held in memory but passed on. Default 8 MiB. */
  readonly smallBytes?: number | undefined;
  /** Held in memory at once. Default 64 MiB. */
  readonly memoryBytes?: number | undefined;
  /** That are on their way at once. Default 8. */
  readonly concurrency?: number | undefined;
}

const MiB = 1024 * 1024;

/**
 * Gives blobs in order, while the next small ones are on their way: what each costs is mostly the time until
 * its first byte. Each is verified. To be disposed of in any case.
 */
export class PrefetchedBlobs implements AsyncDisposable {
  readonly #blobs: readonly ArchivedBlob[];
  readonly #smallBytes: number;
  readonly #memoryBytes: number;
  readonly #concurrency: number;
  readonly #ended = new AbortController();
  readonly #signal: AbortSignal;
  readonly #fetched = new Map<number, Promise<Buffer>>();
  #next = 0;
  #running = 0;
  #held = 0;

  constructor(blobs: readonly ArchivedBlob[], o: PrefetchOptions = {}) {
    this.#blobs = blobs;
    this.#smallBytes = o.smallBytes ?? 8 * MiB;
    this.#memoryBytes = o.memoryBytes ?? 64 * MiB;
    this.#concurrency = o.concurrency ?? 8;
    this.#signal =
      o.signal === undefined ? this.#ended.signal : AbortSignal.any([o.signal, this.#ended.signal]);
  }

  /**
   * The bytes of the next blob, in order.
   * Errors: as `verifiedContent`.
   */
  async *take(at: number): AsyncGenerator<Buffer, void, undefined> {
    const blob = this.#blobs[at];
    if (blob === undefined) return;
    if (blob.bytes !== undefined) {
      yield blob.bytes;
      return;
    }
    this.#next = Math.max(this.#next, at);
    this.#fill();
    const fetched = this.#fetched.get(at);
    if (fetched === undefined) {
      this.#next = Math.max(this.#next, at + 1);
      yield* verifiedContent(blob.descriptor, blob.open, { signal: this.#signal });
      return;
    }
    try {
      yield await fetched;
    } finally {
      this.#fetched.delete(at);
      this.#held -= blob.descriptor.size;
      this.#fill();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await Promise.allSettled(this.#fetched.values());
  }

  #fill(): void {
    while (this.#running < this.#concurrency && !this.#signal.aborted) {
      const blob = this.#blobs[this.#next];
      if (blob === undefined) return;
      const { size } = blob.descriptor;
      const isSmall = blob.bytes === undefined && size <= this.#smallBytes;
      if (isSmall && this.#held > 0 && this.#held + size > this.#memoryBytes) return;
      const at = this.#next;
      this.#next += 1;
      if (isSmall) this.#fetch(at, blob);
    }
  }

  #fetch(at: number, blob: ArchivedBlob): void {
    const { descriptor, open, onProgress } = blob;
    // While it is on its way nothing of it is written.
    const fetching = (): void => onProgress?.(0);
    this.#held += descriptor.size;
    this.#running += 1;
    const fetched = readVerifiedContent(descriptor, open, {
      signal: this.#signal,
      onProgress: fetching,
    }).finally(() => {
      this.#running -= 1;
      this.#fill();
    });
    // Looked at when its turn comes, which may be never.
    fetched.catch(() => undefined);
    this.#fetched.set(at, fetched);
  }
}
