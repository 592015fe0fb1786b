import type { Readable } from 'node:stream';
import { Limiter, ResultCache } from '../../../concurrency/index.js';
import { type BlobInfo, type ByteRange, REF_NAME } from '../../../content/index.js';
import { type Abortable, type LandfallError, SpecError, UnpackError } from '../../../errors.js';
import {
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  type ImageConfig,
  type ImageIndex,
  LIMITS,
  MEDIA_TYPES,
  parseImageConfig,
  parseJson,
  parseReference,
  platformOf,
} from '../../../spec/index.js';
import { optionalStrings, readObject, requiredString } from '../../../spec/index.js';
import type { Compression } from '../../../unpack/index.js';
import {
  type ArchivedContent,
  infoOf,
  noPath,
  openArchived,
  type OpenedArchive,
  requireArchived,
} from './archive-blobs.js';
import { type ArchiveFile, ArchiveStream, brokenArchive } from './archive-file.js';
import type { Declaration } from '../declaration.js';
import type { Archive, ArchiveFormat } from './archive.js';
import { type ExaminedLayer, examineLayer } from './examine-layer.js';
import type { TarIndex, TarMember } from './tar-index.js';

const LAYER_TYPES: Readonly<Record<Compression, string>> = {
  none: MEDIA_TYPES.ociLayer,
  gzip: MEDIA_TYPES.ociLayerGzip,
  zstd: MEDIA_TYPES.ociLayerZstd,
};
/** Layers that are read at once. */
const CONCURRENCY = 4;
/** In the name of a config, and of the blobs of newer Dockers: the digest of the file. */
const NAMED_DIGEST = /(?:^|\/)(?:([0-9a-f]{64})\.json|blobs\/sha256\/([0-9a-f]{64}))$/;

interface MadeImages {
  readonly index: ImageIndex;
  readonly blobs: ReadonlyMap<Digest, ArchivedContent>;
  readonly faults: readonly LandfallError[];
}

/** What `docker save` wrote before it wrote an OCI layout, and what other programs still do. */
export class DockerArchive implements Archive {
  readonly format: ArchiveFormat = 'docker';
  readonly declaration: Declaration;
  readonly #file: ArchiveFile;
  readonly #tar: TarIndex;
  readonly #images: readonly DockerImage[];
  readonly #layers = new ResultCache<number, ExaminedLayer>();
  readonly #limiter = new Limiter(CONCURRENCY);
  readonly #made = new ResultCache<'images', MadeImages>();

  private constructor({ file, tar, declaration }: OpenedArchive, images: readonly DockerImage[]) {
    this.#file = file;
    this.#tar = tar;
    this.#images = images;
    this.declaration = declaration ?? { omitted: [] };
  }

  /** @throws {LandfallError} BAD_ARCHIVE, INVALID_MANIFEST, LIMIT_EXCEEDED, FILESYSTEM */
  static async open(opened: OpenedArchive): Promise<DockerArchive> {
    const { file, tar, declaration } = opened;
    const bytes = await requireArchived(file, tar, DOCKER_MANIFEST, DOCKER_MANIFEST_MAX_BYTES);
    const expected = declaration?.files?.[DOCKER_MANIFEST];
    if (expected !== undefined && digestOf(bytes) !== expected) {
      throw brokenArchive(file.location, `${DOCKER_MANIFEST} was altered`);
    }
    return new DockerArchive(opened, parseDockerManifest(bytes));
  }

  get location(): string {
    return this.#file.location;
  }

  async index(o: Abortable = {}): Promise<ImageIndex> {
    const { index, faults } = await this.#make(o);
    const [first] = faults;
    if (first !== undefined) throw first;
    return index;
  }

  async faults(o: Abortable = {}): Promise<readonly LandfallError[]> {
    return (await this.#make(o)).faults;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    return infoOf(digest, (await this.#make({})).blobs.get(digest));
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    const { blobs } = await this.#make({});
    return openArchived(this.#file, blobs.get(descriptor.digest), descriptor, range);
  }

  path(): Promise<string> {
    return Promise.reject(noPath(this.location));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  /** Once, for all who ask meanwhile; what fails is tried again by whoever asks next. */
  #make(o: Abortable): Promise<MadeImages> {
    return this.#made.get('images', (signal) => this.#makeAll({ signal }), o);
  }

  async #makeAll(o: Abortable): Promise<MadeImages> {
    const blobs = new Map<Digest, ArchivedContent>();
    const faults: LandfallError[] = [];
    const manifests: Descriptor[] = [];
    const made = await Promise.all(
      this.#images.map((image) => this.#makeImage(image, { blobs, faults, ...o })),
    );
    for (const [at, target] of made.entries()) {
      const tags = this.#images[at]?.tags ?? [];
      const names = tags.length === 0 ? [undefined] : tags.map(canonical);
      for (const name of names) {
        manifests.push(name === undefined ? target : { ...target, annotations: { [REF_NAME]: name } });
      }
    }
    return { index: { kind: 'index', mediaType: MEDIA_TYPES.ociIndex, manifests }, blobs, faults };
  }

  /**
   * In the types of OCI, so that layouts and archives that it is copied to are read by everybody (image-spec:
   * manifest.md).
   */
  async #makeImage(
    image: DockerImage,
    o: Abortable & { blobs: Map<Digest, ArchivedContent>; faults: LandfallError[] },
  ): Promise<Descriptor> {
    const configBytes = await requireArchived(this.#file, this.#tar, image.config, LIMITS.configBytes);
    const config = parseImageConfig(configBytes);
    const configDescriptor = describe(MEDIA_TYPES.ociConfig, configBytes);
    const members = image.layers.map((path) => this.#layerAt(path));
    const layers = await Promise.all(members.map((member) => this.#examine(member, o)));
    o.faults.push(...faultsOf(this.location, image, { config, digest: configDescriptor.digest, layers }));
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config: configDescriptor,
        layers: layers.map(({ digest, size, compression }) => ({
          mediaType: LAYER_TYPES[compression],
          digest,
          size,
        })),
      }),
    );
    const target = describe(MEDIA_TYPES.ociManifest, manifest);
    o.blobs.set(configDescriptor.digest, configBytes).set(target.digest, manifest);
    for (const [at, { digest }] of layers.entries()) {
      const member = members[at];
      if (member !== undefined) o.blobs.set(digest, member);
    }
    return { ...target, platform: platformOf(config) };
  }

  #layerAt(path: string): TarMember {
    const member = this.#tar.find(path);
    if (member !== undefined) return member;
    throw brokenArchive(this.location, `it lacks the layer ${JSON.stringify(path)}`);
  }

  /** Each once, however many images have it and under however many names. */
  #examine({ offset, size }: TarMember, { signal }: Abortable): Promise<ExaminedLayer> {
    const examine = (all: AbortSignal): Promise<ExaminedLayer> =>
      this.#limiter.run(
        () => examineLayer(new ArchiveStream(this.#file, offset, offset + size), { size, signal: all }),
        { signal: all },
      );
    return this.#layers.get(offset, examine, { signal });
  }
}

/** What of an image does not fit its own config, or the names of its files. */
function faultsOf(
  location: string,
  image: DockerImage,
  { config, digest, layers }: { config: ImageConfig; digest: Digest; layers: readonly ExaminedLayer[] },
): LandfallError[] {
  const faults: LandfallError[] = [];
  const name = image.tags[0] ?? digest;
  const emit = (what: string, expected: string, actual: string): void => {
    faults.push(
      new UnpackError(
        'DIFF_ID_MISMATCH',
        `${location}: ${what} of ${name} reads as ${actual}, not ${expected}`,
        {
          details: { path: location, expected, actual },
          hint: 'Something altered the archive: copy it again from where it was written, or have it written anew.',
        },
      ),
    );
  };
  const named = namedDigest(image.config);
  if (named !== undefined && named !== digest) emit('the config', named, digest);
  const expected = config.rootfs.diff_ids;
  if (expected.length !== layers.length) {
    faults.push(
      brokenArchive(location, `${name} has ${layers.length} layers, and a config for ${expected.length}`),
    );
    return faults;
  }
  for (const [at, layer] of layers.entries()) {
    const diffId = expected[at];
    if (diffId === undefined || layer.diffId === diffId) continue;
    if (layer.diffId !== undefined) emit(`layer ${at + 1}`, diffId, layer.diffId);
    else faults.push(brokenArchive(location, `layer ${at + 1} of ${name}: ${reasonOf(layer.fault)}`));
  }
  return faults;
}

function reasonOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : 'it cannot be decompressed';
}

function namedDigest(path: string): string | undefined {
  const [, asConfig, asBlob] = NAMED_DIGEST.exec(path) ?? [];
  const encoded = asConfig ?? asBlob;
  return encoded === undefined ? undefined : `sha256:${encoded}`;
}

function describe(mediaType: string, bytes: Buffer): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** A tag that is no reference stays as it is: it names the image within the archive. */
function canonical(tag: string): string {
  try {
    return formatReference(parseReference(tag, { defaultTag: true }));
  } catch {
    return tag;
  }
}

/** One image of a `manifest.json`, as `docker save` writes it. */
export interface DockerImage {
  /** Paths within the archive. */
  readonly config: string;
  /** Bottom first. */
  readonly layers: readonly string[];
  /** `alpine:3` */
  readonly tags: readonly string[];
}

/** The file's name, at the top of an archive. */
export const DOCKER_MANIFEST = 'manifest.json';
/** That of an archive before Docker 1.10, which has no `manifest.json`. */
export const DOCKER_REPOSITORIES = 'repositories';
const DOCKER_MANIFEST_MAX_BYTES: number = 64 * 1024 * 1024;

/** @throws {SpecError} INVALID_MANIFEST, LIMIT_EXCEEDED */
function parseDockerManifest(bytes: Uint8Array): DockerImage[] {
  const list = parseJson(bytes, DOCKER_MANIFEST, DOCKER_MANIFEST_MAX_BYTES);
  if (!Array.isArray(list)) throw new SpecError('INVALID_MANIFEST', `${DOCKER_MANIFEST} is not a list`);
  if (list.length > LIMITS.indexManifests) {
    throw new SpecError('LIMIT_EXCEEDED', `${DOCKER_MANIFEST} has more than ${LIMITS.indexManifests} images`);
  }
  return list.map((value: unknown, at): DockerImage => {
    const where = `[${at}]`;
    const raw = readObject(value, where);
    return {
      config: requiredString(raw, 'Config', where),
      layers: optionalStrings(raw, 'Layers', where) ?? [],
      tags: optionalStrings(raw, 'RepoTags', where) ?? [],
    };
  });
}

/** The bytes of the file, as Docker and Podman read it. */
export function renderDockerManifest(images: readonly DockerImage[]): Buffer {
  const list = images.map(({ config, layers, tags }) => ({
    Config: config,
    RepoTags: tags.length === 0 ? null : tags,
    Layers: layers,
  }));
  return Buffer.from(`${JSON.stringify(list)}\n`);
}
