import {
  bareMediaType,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  isDigest,
  isIndexType,
  isLayerType,
  isManifestType,
  parseManifest,
} from '../../spec/index.js';
import type { ReadManifestBytes } from '../images/read-manifest.js';

/*
 * What accompanies images: signatures, attestations, SBOMs, and whatever else refers to an image. Policies
 * ask for signatures of images; were they asked for of signatures too, none could ever be brought anywhere.
 */

/** By which clients find what refers to a digest: cosign's tags. */
const COSIGN_TAG = /^([a-z0-9+._-]+)-([0-9a-f]{64,128})\.(?:sig|att|sbom)$/;
/** That of the list of referrers (distribution-spec: Referrers Tag Schema), which may cut long digests. */
const REFERRERS_TAG = /^[a-z0-9+._-]{1,32}-[0-9a-f]{32,64}$/;

/** What cosign puts into manifests whose config is of an image's type. */
const COSIGN_LAYERS: ReadonlySet<string> = new Set([
  'application/vnd.dev.cosign.simplesigning.v1+json',
  'application/vnd.dsse.envelope.v1+json',
  'application/vnd.cyclonedx+json',
  'application/vnd.cyclonedx+xml',
  'application/vnd.syft+json',
  'text/spdx',
  'text/spdx+json',
]);

/**
 * Of layers that some program would unpack though they are of none of the types that are known here:
 * encrypted ones, say.
 */
const LAYER_PREFIXES = ['application/vnd.oci.image.layer.', 'application/vnd.docker.image.rootfs.'] as const;

/**
 * Whether a manifest is no image, but accompanies one, and so needs no signature itself: it was asked for
 * by one of cosign's tags (`sha256-….sig`, `.att`, `.sbom`), or by its digest alone and names a `subject`;
 * and no program could run it as an image, whatever it calls itself. What has a tag of its own stands for
 * itself, whatever it refers to: else a `subject`, which anybody can write down, would be a way around
 * every policy.
 *
 * @param tag by which it was asked for; undefined where that was its digest, alone or from a list of
 *   referrers
 */
export function isAccompaniment(manifest: ImageManifest | ImageIndex, tag?: string): boolean {
  if (manifest.kind === 'index') return false;
  const refers = tag === undefined ? manifest.subject !== undefined : isCosignTag(tag);
  return refers && !isRunnable(manifest, tag);
}

/**
 * As {@link isAccompaniment}, for what is known by its descriptor; also for an index that is only a list of
 * such: that of referrers which clients keep under a tag, or one that has a `subject` itself.
 *
 * Errors: those of reading and parsing it
 */
export async function accompanies(
  target: Descriptor,
  tag: string | undefined,
  read: ReadManifestBytes,
): Promise<boolean> {
  // Most are images, which their names show.
  const isList = tag !== undefined && REFERRERS_TAG.test(tag);
  if (tag !== undefined && !isList && !isCosignTag(tag)) return false;
  const manifest = parseManifest(await read(target), target.mediaType);
  if (manifest.kind === 'manifest') return isAccompaniment(manifest, tag);
  if (!isList && (tag !== undefined || manifest.subject === undefined)) return false;
  for (const entry of manifest.manifests) {
    if (!isIndexType(entry.mediaType) && !isManifestType(entry.mediaType)) return false;
    const listed = parseManifest(await read(entry), entry.mediaType);
    if (isList ? !isAccompaniment(listed) : listed.kind === 'index' || isRunnable(listed)) return false;
  }
  return true;
}

/**
 * What a tag accompanies by which cosign finds what it has made for a digest; undefined for every other tag.
 */
export function subjectOfCosignTag(tag: string): Digest | undefined {
  const [, algorithm = '', encoded = ''] = COSIGN_TAG.exec(tag) ?? [];
  const digest = `${algorithm}:${encoded}`;
  return algorithm !== '' && isDigest(digest) ? digest : undefined;
}

function isCosignTag(tag: string): boolean {
  return subjectOfCosignTag(tag) !== undefined;
}

/** Whether some program would make a root file system of it. */
function isRunnable({ config, layers }: ImageManifest, tag?: string): boolean {
  if (layers.some(({ mediaType }) => isImageLayer(mediaType))) return true;
  if (!isConfigType(bareMediaType(config.mediaType))) return false;
  // Some believe the config alone, and find out by themselves what a layer is. cosign writes such a config
  // only under its tags.
  if (tag === undefined || layers.length === 0) return true;
  return !layers.every(({ mediaType }) => COSIGN_LAYERS.has(mediaType));
}

function isImageLayer(mediaType: string): boolean {
  const bare = bareMediaType(mediaType);
  return isLayerType(bare) || LAYER_PREFIXES.some((prefix) => bare.startsWith(prefix));
}
