import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlobProvider, DATABASE_FILE } from '../../content/index.js';
import type { ImageLayer, LoadedImage } from '../../engine/images/image.js';
import type { Store } from '../../engine/store.js';
import { ContentError, isLandfallError, LandfallError, TrustError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  isDigest,
  isIndexType,
  isManifestType,
  parsePlatform,
  parseReference,
  quoted,
  repositoryName,
} from '../../spec/index.js';
import { loadImageAnywhere, RepositoryContent } from '../../transfer/copy/repository-content.js';
import { resolveReadable, resolveSource } from '../../transfer/copy/resolve-source.js';
import { findLayer } from '../../transfer/find-layer.js';
import type { SourceRepository } from '../../transfer/transports/destination.js';
import { parseTransport } from '../../transfer/transports/image-transport.js';
import type { SourceImage } from '../../transfer/transports/image-transports.js';
import type { JudgedImage } from '../../transfer/verify/judge-images.js';
import { invalidConfig } from '../config/settings.js';
import type { CommandContext } from '../output/command-context.js';
import { CommandTransports } from './command-transports.js';
import { foundPolicy } from './with-store.js';

/** An image that a command looks at, wherever it lies. */
export interface OpenedImage {
  /** Canonical in the store, as it was typed elsewhere. */
  readonly name: string;
  readonly repository: SourceRepository;
  /** At a registry, manifests are fetched through it, once. */
  readonly content: BlobProvider;
  readonly target: Descriptor;
  /** Whether it is asked for at a registry. */
  readonly isRemote: boolean;
  /** The store of the image, where it is in one. */
  readonly store?: Store | undefined;
}

/** An image for one platform, or one layer of one. */
export type OpenedLayers = OpenedImage & {
  readonly layers: readonly ImageLayer[];
} & (
    | { readonly kind: 'image'; readonly image: LoadedImage }
    | { readonly kind: 'layer'; readonly layer: ImageLayer }
  );

/** Opens the images that a command looks at, each place once. To be disposed of. */
export class OpenedImages implements AsyncDisposable {
  readonly #context: CommandContext;
  readonly #transports: CommandTransports;

  constructor(context: CommandContext) {
    this.#context = context;
    // Layers that the store dropped are read where they are unpacked.
    this.#transports = new CommandTransports(context, { isLocal: true });
  }

  /**
   * `REF` in the store, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]` or
   * `docker://REF`. Errors: INVALID_CONFIG, INVALID_REFERENCE; BLOB_NOT_FOUND, NOT_FOUND; those of opening,
   * and of a policy that refuses it.
   */
  async image(text: string): Promise<OpenedImage> {
    const { transport, digest } = splitFileName(text);
    const { name, repository, from, content, store } = await this.#source(transport);
    const { signal } = this.#context;
    const read = content ?? new RepositoryContent(repository, { signal });
    const target =
      content === undefined
        ? await resolveReadable(repository, digest ?? from, { content: read, signal })
        : await resolveSource(repository, digest ?? from, { signal });
    await this.#admit({
      target,
      repository,
      governed: () => repository.governed(digest ?? from, { signal }),
    });
    return {
      name: digest === undefined ? name : text,
      repository,
      target,
      content: read,
      isRemote: content === undefined,
      store,
    };
  }

  /**
   * The same for one platform; or of what is written as {@link image} takes it, one layer: `REF@DIGEST` with
   * the digest of a layer, or its diffId. Errors: also those of loadImage.
   */
  async layers(text: string, platformName: string | undefined): Promise<OpenedLayers> {
    const platform = platformName === undefined ? undefined : parsePlatform(platformName);
    const remote = await this.#layerAtRegistry(text);
    if (remote !== undefined) return remote;
    let opened: OpenedImage | undefined;
    try {
      opened = await this.image(text);
      if (isManifestOrIndex(opened.target)) {
        const image = await loadImageAnywhere(opened.content, opened.target, platform);
        return { ...opened, kind: 'image', image, layers: image.layers };
      }
    } catch (error) {
      const isAbsent = isLandfallError(error) && ['BLOB_NOT_FOUND', 'NOT_FOUND'].includes(error.code);
      // Of an image that is there something else may be missing.
      if (!isAbsent || opened !== undefined) throw error;
      const layer = await this.#layer(text);
      if (layer === undefined) throw error;
      return layer;
    }
    const layer = await this.#layer(text);
    if (layer !== undefined) return layer;
    throw new LandfallError(
      'UNSUPPORTED_MEDIA_TYPE',
      `${quoted(text)} is neither an image nor a layer of one`,
      {
        hint: '`landfall tree` lists its content.',
        details: { mediaType: opened.target.mediaType },
      },
    );
  }

  /** The store, where there is one already that can be read: it may have what would be fetched otherwise. */
  async presentStore(): Promise<Store | undefined> {
    const { settings, log } = this.#context;
    try {
      await access(join(settings.root, DATABASE_FILE));
      return await this.#transports.store();
    } catch (error) {
      log.debug(`the store at ${settings.root} is not looked at: ${String(error)}`);
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transports[Symbol.asyncDispose]();
  }

  /**
   * Some registries answer a question for a manifest with a fault where the digest is a blob's, so that is
   * asked first.
   */
  async #layerAtRegistry(text: string): Promise<OpenedLayers | undefined> {
    const named = parseTransport(text);
    if (named.kind !== 'registry' || named.reference.digest === undefined) return undefined;
    const { signal } = this.#context;
    const { repository } = await this.#source(text);
    const size = await repository.blobSize?.(named.reference.digest, { signal });
    return size === undefined ? undefined : await this.#layer(text);
  }

  /**
   * Asks the policy of `--policy` or `LANDFALL_POLICY`. That of a machine or a user governs what comes into a
   * store, and lets everything be looked at.
   */
  async #admit(image: JudgedImage): Promise<void> {
    const found = await foundPolicy(this.#context);
    if (found?.origin !== 'option' && found?.origin !== 'environment') return;
    const { judgeImages } = await import('../../transfer/verify/judge-images.js');
    const [verdict] = await judgeImages([image], found.file, { signal: this.#context.signal });
    if (verdict?.outcome === 'refused') throw verdict.error;
  }

  async #source(text: string): Promise<SourceImage> {
    try {
      return await this.#transports.source(text);
    } catch (error) {
      throw withRegistryHint(error, text);
    }
  }

  async #layer(text: string): Promise<OpenedLayers | undefined> {
    const at = text.lastIndexOf('@');
    const digest = text.slice(at + 1);
    if (at < 0 || !isDigest(digest)) return undefined;
    for (const opened of await this.#imagesWith(text.slice(0, at))) {
      const layer = await findLayer(opened.content, opened.target, digest);
      if (layer !== undefined) return { ...opened, name: text, kind: 'layer', layer, layers: [layer] };
    }
    return undefined;
  }

  /** The image of a name; in the store without a tag also all others of its repository. */
  async #imagesWith(text: string): Promise<readonly OpenedImage[]> {
    try {
      return [await this.image(text)];
    } catch (error) {
      if (error instanceof TrustError) throw error;
      const isAbsent = isLandfallError(error) && error.code === 'BLOB_NOT_FOUND';
      if (!isAbsent || parseTransport(text).kind !== 'store') return [];
    }
    const wanted = repositoryName(parseReference(text));
    const { catalog } = await this.#transports.store();
    const names = (await catalog.list()).map(({ name }) => name);
    const ours = names.filter((name) => repositoryName(parseReference(name)) === wanted);
    return await Promise.all(ours.map((name) => this.image(name)));
  }
}

function isManifestOrIndex({ mediaType }: Descriptor): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType);
}

/** `@DIGEST` behind the name of a layout or an archive, which else would be a part of a path or a tag. */
function splitFileName(text: string): { readonly transport: string; readonly digest: Digest | undefined } {
  const at = text.lastIndexOf('@');
  const digest = text.slice(at + 1);
  if (at > 0 && isDigest(digest) && /^(?:oci|oci-archive|docker-archive):/.test(text)) {
    return { transport: text.slice(0, at), digest };
  }
  return { transport: text, digest: undefined };
}

/** Says where else to look for what the store does not have. */
function withRegistryHint(error: unknown, text: string): unknown {
  if (!isLandfallError(error) || error.code !== 'BLOB_NOT_FOUND') return error;
  if (parseTransport(text).kind !== 'store') return error;
  return new ContentError('BLOB_NOT_FOUND', error.message, {
    cause: error,
    details: error.details as Record<string, string>,
    hint: `See \`landfall images\`, pull it first, or look at the registry's with docker://${text}.`,
  });
}

/** A blob by its digest, in a place of which only the name is written. */
export interface NamedBlob {
  /** The place without the digest. */
  readonly transport: string;
  readonly digest: Digest;
}

/**
 * Reads `PLACE@DIGEST`.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseBlobName(text: string): NamedBlob {
  const at = text.lastIndexOf('@');
  const digest = text.slice(at + 1);
  if (at > 0 && isDigest(digest)) return { transport: text.slice(0, at), digest };
  throw invalidConfig(`${quoted(text)} does not name a blob`, {
    hint: 'Write REPOSITORY@DIGEST, for example alpine@sha256: and 64 hexadecimal digits.',
  });
}
