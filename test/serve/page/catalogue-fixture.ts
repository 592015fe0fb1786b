import { Readable } from 'node:stream';

import type { BlobProvider, ManifestInfo } from '../../../src/content/index.js';
import {
  type Catalogue,
  makeCatalogue,
  type NamedImage,
  referrerKind,
} from '../../../src/serve/page/catalogue.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';

export interface FixtureImage {
  readonly platforms?: readonly string[];
  readonly layers?: number;
  /** Bytes of each layer. */
  readonly layerSize?: number;
  readonly config?: object;
  readonly history?: readonly object[];
  readonly annotations?: Record<string, string>;
  readonly author?: string;
  readonly created?: string;
}

/** A mirror in memory, for its pages: documents and configs, and layers that nobody could read. */
export class CatalogueFixture {
  readonly images: NamedImage[] = [];
  readonly documents: Map<Digest, ManifestInfo> = new Map<Digest, ManifestInfo>();
  /** Signatures that were found right. */
  readonly verified: Set<Digest> = new Set<Digest>();
  /** What was read so far. */
  readonly opened: Digest[] = [];
  readonly #blobs = new Map<Digest, Buffer>();
  readonly #types = new Map<Digest, string>();

  get blobs(): BlobProvider {
    return {
      info: (digest) => {
        const bytes = this.#blobs.get(digest);
        return Promise.resolve(
          bytes === undefined
            ? undefined
            : { digest, size: bytes.length, createdAt: new Date(0), labels: {} },
        );
      },
      open: ({ digest }) => {
        this.opened.push(digest);
        return Promise.resolve(Readable.from([this.#blobs.get(digest) ?? Buffer.of()]));
      },
      path: () => Promise.reject(new Error('a page has no need of paths')),
    };
  }

  catalogue(): Promise<Catalogue> {
    const { images, documents, verified } = this;
    return makeCatalogue({
      images,
      documents,
      verified,
      describe: (digest) => {
        const type = this.#types.get(digest);
        return Promise.resolve(type === undefined ? undefined : { kind: referrerKind(type), type });
      },
    });
  }

  /** @param name canonical */
  add(name: string, o: FixtureImage = {}, since: Date = new Date('2026-01-01T00:00:00Z')): Descriptor {
    const { platforms = ['linux/amd64'] } = o;
    const manifests = platforms.map((platform) => this.#manifest(name, platform, o));
    const [only] = manifests;
    const target =
      manifests.length === 1 && only !== undefined
        ? only
        : this.#document(
            { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests },
            MEDIA_TYPES.ociIndex,
            {
              children: manifests,
            },
          );
    this.images.push({ name, target, since });
    return target;
  }

  /** Something that refers to what is here. */
  refer(subject: Descriptor, artifactType: string): Descriptor {
    const descriptor = this.#document(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, artifactType, subject },
      MEDIA_TYPES.ociManifest,
      { children: [], subject: subject.digest },
    );
    this.#types.set(descriptor.digest, artifactType);
    return descriptor;
  }

  /** Gives a further name to what is here. */
  name(name: string, target: Descriptor): void {
    this.images.push({ name, target, since: new Date('2026-01-01T00:00:00Z') });
  }

  #manifest(name: string, platform: string, o: FixtureImage): Descriptor {
    const { layers: count = 2, layerSize = 1024, config: run, history, annotations, author, created } = o;
    const [os, architecture, variant] = platform.split('/');
    const config = this.#blob(
      JSON.stringify({
        os,
        architecture,
        variant,
        author,
        created,
        config: run,
        history,
        rootfs: { type: 'layers', diff_ids: [] },
      }),
      MEDIA_TYPES.ociConfig,
    );
    const layers = Array.from({ length: count }, (_, at) => ({
      mediaType: MEDIA_TYPES.ociLayerGzip,
      digest: digestOf(Buffer.from(`${name} ${platform} ${at}`)),
      size: layerSize,
    }));
    return this.#document(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers, annotations },
      MEDIA_TYPES.ociManifest,
      { children: [config, ...layers], platform },
    );
  }

  #document(
    document: object,
    mediaType: string,
    { children, ...info }: { children: readonly Descriptor[]; subject?: Digest; platform?: string },
  ): Descriptor {
    const descriptor = this.#blob(JSON.stringify(document), mediaType);
    this.documents.set(descriptor.digest, {
      digest: descriptor.digest,
      mediaType,
      ...info,
      children: children.map(({ digest, size }) => ({ digest, size })),
      chainIds: [],
    });
    return descriptor;
  }

  #blob(text: string, mediaType: string): Descriptor {
    const bytes = Buffer.from(text);
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }
}
