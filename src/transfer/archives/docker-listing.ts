import { buffer } from 'node:stream/consumers';
import { isSilent } from '../../engine/read-document.js';
import { LandfallError, SpecError } from '../../errors.js';
import {
  algorithmOf,
  closestPlatform,
  type Descriptor,
  type Digest,
  encodedOf,
  formatReference,
  hostPlatform,
  type ImageManifest,
  isConfigType,
  isLayerType,
  LIMITS,
  parseImageConfig,
  parseReference,
  type Platform,
  platformOf,
} from '../../spec/index.js';
import type { ArchiveContents } from './archive-contents.js';
import type { DockerImage } from './docker-manifest.js';

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
 * @throws {SpecError} with `strict`: UNSUPPORTED_MEDIA_TYPE for what is no container image; {LandfallError} UNSUPPORTED for one that
 *   is not whole
 */
export async function dockerListing(
  contents: ArchiveContents,
  o: DockerListingOptions,
): Promise<ListedImage[]> {
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
export function dockerImageOf({ manifest, tags }: ListedImage): DockerImage {
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
  const document = contents.get(descriptor.digest)?.document;
  if (document === undefined || depth > LIMITS.indexDepth) return [];
  if (document.kind === 'index') {
    return document.manifests.flatMap((child) => imagesBelow(contents, child, depth + 1));
  }
  const { config, layers, subject } = document;
  const isRunnable = descriptor.platform?.os !== 'unknown' && subject === undefined;
  const isImage = isConfigType(config.mediaType) && layers.every(({ mediaType }) => isLayerType(mediaType));
  const isWhole = [config, ...layers].every(({ digest }) => contents.get(digest) !== undefined);
  return isRunnable && isImage && isWhole ? [{ descriptor, manifest: document }] : [];
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
