import type { Store } from '../engine/store.js';
import { type Abortable, LandfallError } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import { type Platform, quoted } from '../spec/index.js';
import { toBytePath } from '../system/index.js';
import { ImageViews } from '../transfer/image-views.js';
import { parseTransport } from '../transfer/transports/image-transport.js';
import { resolveReadable } from '../transfer/copy/resolve-source.js';
import { loadImageAnywhere, RepositoryContent } from '../transfer/copy/repository-content.js';
import { findPath, type FoundPath, type ViewedFile } from '../unpack/index.js';
import { LibraryTransports } from './library-transports.js';

/** Where an image is, and how it is read. */
export interface ReadImageFileOptions extends Abortable {
  /**
   * For names without a transport; of other images the layers that it has are read there. Closed by its
   * owner. Default: none.
   */
  readonly store?: Store;
  /**
   * The client that registries are asked through, closed by its owner. Default: what {@link openRegistry}
   * opens, for this call alone.
   */
  readonly registry?: RegistryClient;
  /** Default: this machine's, else the only one that the image has. */
  readonly platform?: Platform;
  /** Told what people should know. */
  readonly onWarning?: (message: string) => void;
}

/**
 * The bytes of one file of an image, wherever that lies, without unpacking it. Layers are fetched from the
 * topmost down, only until the file is found, and each is verified before anything of it is given. Symlinks
 * lead where they lead inside the image.
 *
 * @param source `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`, `dir:DIR`, or
 *   `REF` for an image of the store
 * @param path inside the image: `/etc/os-release`
 * @returns its chunks; leaving the loop early ends what is under way
 * @throws
 * - {@link LandfallError} NOT_FOUND (no such file), INVALID_CONFIG (it has no content: a directory, a
 *   device), ABORTED
 * - {@link RegistryError}, {@link ContentError} where the image is not there or cannot be read
 * - {@link SpecError} INVALID_REFERENCE, NO_MATCHING_PLATFORM, LIMIT_EXCEEDED
 * - {@link UnpackError} for a layer that is malformed; DIFF_ID_MISMATCH
 */
export async function* readImageFile(
  source: string,
  path: string,
  options: ReadImageFileOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const { store, platform, signal, onWarning } = options;
  await using transports = new LibraryTransports(options);
  const { repository, from } = await transports.source(source);
  const content = new RepositoryContent(repository, { signal });
  const target = await resolveReadable(repository, from, { content, signal });
  const { layers } = await loadImageAnywhere(content, target, platform);
  const isRemote = parseTransport(source).kind === 'registry';
  await using views = new ImageViews([{ repository, isRemote, layers }], {
    limits: store?.limits,
    inflate: store?.inflate,
    keep: true,
    local: store?.content,
    signal,
    onWarning,
  });
  for (const { root } of views.stacks)
    yield* views.readFile(fileOf(await findPath(root, toBytePath(path)), path));
}

function fileOf({ node }: FoundPath, path: string): ViewedFile {
  if (node.kind === 'file' && node.file.type === 'file') return node;
  const what = node.kind === 'file' ? `a ${node.file.type}` : `a ${node.kind}`;
  throw new LandfallError('INVALID_CONFIG', `${quoted(path)} is ${what}, and has no content`, {
    hint: 'Name a file.',
    details: { path },
  });
}
