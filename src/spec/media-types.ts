/**
 * The media types that this program knows (image-spec: media-types.md; distribution: Image Manifest Version
 * 2, Schema 2).
 */
export const MEDIA_TYPES = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociNonDistributableLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ociNonDistributableLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ociNonDistributableLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

/** What a resolver or fetcher of manifests asks for, in its `Accept` header. */
export const ACCEPTED_MANIFEST_TYPES: readonly string[] = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerList,
  MEDIA_TYPES.dockerManifest,
];

const INDEXES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerList]);
const MANIFESTS: ReadonlySet<string> = new Set([MEDIA_TYPES.ociManifest, MEDIA_TYPES.dockerManifest]);
const CONFIGS: ReadonlySet<string> = new Set([MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig]);
const SCHEMA1: ReadonlySet<string> = new Set([MEDIA_TYPES.dockerSchema1, MEDIA_TYPES.dockerSchema1Signed]);
const NON_DISTRIBUTABLE: ReadonlySet<string> = new Set([
  MEDIA_TYPES.ociNonDistributableLayer,
  MEDIA_TYPES.ociNonDistributableLayerGzip,
  MEDIA_TYPES.ociNonDistributableLayerZstd,
  MEDIA_TYPES.dockerForeignLayer,
  MEDIA_TYPES.dockerForeignLayerGzip,
]);
const LAYERS: ReadonlySet<string> = new Set([
  MEDIA_TYPES.ociLayer,
  MEDIA_TYPES.ociLayerGzip,
  MEDIA_TYPES.ociLayerZstd,
  MEDIA_TYPES.dockerLayer,
  MEDIA_TYPES.dockerLayerGzip,
  MEDIA_TYPES.dockerLayerZstd,
  ...NON_DISTRIBUTABLE,
]);

/** An OCI image index or a Docker manifest list. */
export function isIndexType(mediaType: string): boolean {
  return INDEXES.has(mediaType);
}

/** An OCI image manifest or a Docker schema 2 manifest. */
export function isManifestType(mediaType: string): boolean {
  return MANIFESTS.has(mediaType);
}

/** The config of an image, as opposed to that of some other artifact. */
export function isConfigType(mediaType: string): boolean {
  return CONFIGS.has(mediaType);
}

/** A layer that can be unpacked, the non-distributable ones included. */
export function isLayerType(mediaType: string): boolean {
  return LAYERS.has(mediaType);
}

/** A layer that registries need not hold, so that its `urls` say where it is. */
export function isNonDistributable(mediaType: string): boolean {
  return NON_DISTRIBUTABLE.has(mediaType);
}

/** Docker's manifest of before 2015, signed or not, which is refused with a hint. */
export function isDockerSchema1(mediaType: string): boolean {
  return SCHEMA1.has(mediaType);
}

/** The compression that a tar's media type names; undefined where it names no tar or a form unknown here. */
export function compressionOf(mediaType: string): 'none' | 'gzip' | 'zstd' | undefined {
  if (mediaType.endsWith('.tar')) return 'none';
  const suffix = /\.tar[.+](gzip|zstd)$/.exec(mediaType)?.[1];
  return suffix === 'gzip' || suffix === 'zstd' ? suffix : undefined;
}

/**
 * A media type without its parameters, in lower case: how Content-Type is to be compared (RFC 9110, 8.3.1).
 */
export function bareMediaType(contentType: string): string {
  const semicolon = contentType.indexOf(';');
  return (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}
