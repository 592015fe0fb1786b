import type { Verification } from '../../content/index.js';
import type { LoadedImage } from '../../engine/images/image.js';
import type { LayerPresence } from '../../engine/images/layer-blobs.js';
import {
  type ContainerConfig,
  type Descriptor,
  type Digest,
  formatPlatform,
  isIndexType,
  isManifestType,
  type Platform,
} from '../../spec/index.js';
import type { GraphNode } from '../../transfer/transports/image-graph.js';

/** What `inspect` tells of an image; the JSON output has these keys. */
export interface ImageFacts {
  readonly name: string;
  /** Of the target: an index where the name leads to one. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** The chosen platform's manifest. */
  readonly manifestDigest: Digest;
  readonly imageId: Digest;
  readonly chainId: Digest | undefined;
  readonly platform: string;
  /** Those whose manifest and config are here. */
  readonly platforms: readonly string[];
  /** Those that the image has, here or not, in the index's order. */
  readonly manifests: readonly ManifestFacts[];
  /** As the builder wrote it (RFC 3339). */
  readonly created: string | undefined;
  readonly author: string | undefined;
  /** Bytes of the layers' blobs. */
  readonly size: number;
  readonly config: ConfigFacts;
  /** Bottom first. */
  readonly layers: readonly LayerFacts[];
  /** The steps of the build, the first one first; empty where the config tells of none. */
  readonly history: readonly StepFacts[];
  readonly annotations: Readonly<Record<string, string>>;
  /** What refers to the image or to its manifest, as far as its place knows. */
  readonly referrers: readonly ReferrerFacts[];
  /** What of signature policies it was found to meet; empty in a layout, which remembers nothing. */
  readonly signatures: readonly SignatureFacts[];
}

/** One platform of an image. */
export interface ManifestFacts {
  readonly platform: string;
  readonly digest: Digest;
  /** Whether manifest and config are here; undefined at a registry. */
  readonly here: boolean | undefined;
}

/** A step of the build. */
export interface StepFacts {
  readonly createdBy: string | undefined;
  /** RFC 3339, as the builder wrote it. */
  readonly created: string | undefined;
  readonly comment: string | undefined;
  /** The digest of the layer that it made; undefined where it made none, or where the history does not fit the layers. */
  readonly layer: Digest | undefined;
}

export interface ReferrerFacts {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  /** Bytes of its manifest. */
  readonly size: number;
  readonly subject: Digest;
  /** By which it was found, where it refers by a tag alone. */
  readonly tag: string | undefined;
}

/** That the image had a signature that a policy asked for. */
export interface SignatureFacts {
  /** Of the manifest or index that is signed. */
  readonly digest: Digest;
  /** What the image was called. */
  readonly name: string;
  readonly signedBy: string;
  /** What the signature says that it is for. */
  readonly identity: string | undefined;
  readonly format: string;
  /** Of the signature's manifest. */
  readonly signature: Digest;
  readonly policy: string;
  readonly scope: string;
  /** RFC 3339. */
  readonly verifiedAt: string;
}

export interface LayerFacts {
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly chainId: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** The build step that made it, where the history tells. */
  readonly createdBy: string | undefined;
  /** Whether the store has its blob; `discarded` is one that was dropped once it was unpacked. Undefined elsewhere. */
  readonly blob: LayerPresence['blob'] | undefined;
  /** Whether the store has it unpacked. */
  readonly unpacked: boolean | undefined;
  /** Bytes of its snapshot. */
  readonly unpackedSize: number | undefined;
  /** Other images of the store that have it. */
  readonly sharedWith: readonly string[];
}

export interface ConfigFacts {
  readonly user: string | undefined;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string | undefined;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly stopSignal: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface ImageFactsOptions {
  /** Those that are here; undefined at a registry. */
  readonly platforms: readonly Platform[] | undefined;
  readonly verifications: readonly Verification[];
  /** What the store has of the layers, in their order; absent elsewhere. */
  readonly presence?: readonly LayerPresence[] | undefined;
  /** The image with what refers to it; of its documents, only those of the platform need be there. */
  readonly graph?: GraphNode | undefined;
}

export function imageFacts(
  name: string,
  target: Descriptor,
  image: LoadedImage,
  { platforms, verifications, presence = [], graph }: ImageFactsOptions,
): ImageFacts {
  const steps = stepFacts(image);
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    manifestDigest: image.manifestDescriptor.digest,
    imageId: image.imageId,
    chainId: image.chainId,
    platform: formatPlatform(image.platform),
    platforms: (platforms ?? []).map(formatPlatform),
    manifests: manifestFacts(target, image, platforms?.map(formatPlatform)),
    created: image.config.created,
    author: image.config.author,
    size: image.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0),
    config: configFacts(image.config.config ?? {}),
    layers: layerFacts(name, image, steps, presence),
    history: steps,
    annotations: image.manifest.annotations ?? {},
    referrers: graph === undefined ? [] : referrerFacts(graph),
    signatures: verifications.map(signatureFacts),
  };
}

function signatureFacts(verification: Verification): SignatureFacts {
  const { digest, name, signedBy, identity, format, signature, policy, scope, verifiedAt } = verification;
  return {
    digest,
    name,
    signedBy,
    identity,
    format,
    signature,
    policy,
    scope,
    verifiedAt: verifiedAt.toISOString(),
  };
}

function configFacts(config: ContainerConfig): ConfigFacts {
  return {
    user: config.User,
    env: config.Env ?? [],
    entrypoint: config.Entrypoint ?? [],
    cmd: config.Cmd ?? [],
    workingDir: config.WorkingDir,
    exposedPorts: Object.keys(config.ExposedPorts ?? {}),
    volumes: Object.keys(config.Volumes ?? {}),
    stopSignal: config.StopSignal,
    labels: config.Labels ?? {},
  };
}

function layerFacts(
  name: string,
  { layers }: LoadedImage,
  steps: readonly StepFacts[],
  presence: readonly LayerPresence[],
): LayerFacts[] {
  const made = steps.filter(({ layer }) => layer !== undefined);
  return layers.map(({ descriptor, diffId, chainId }, at) => ({
    digest: descriptor.digest,
    diffId,
    chainId,
    mediaType: descriptor.mediaType,
    size: descriptor.size,
    createdBy: made[at]?.createdBy,
    blob: presence[at]?.blob,
    unpacked: presence[at]?.isUnpacked,
    unpackedSize: presence[at]?.unpackedSize,
    sharedWith: presence[at]?.images.filter((other) => other !== name) ?? [],
  }));
}

/** History lists the steps that made no layer too, and may be absent or not fit. */
function stepFacts({ layers, config }: LoadedImage): readonly StepFacts[] {
  const history = config.history ?? [];
  const fits = history.filter((step) => step.empty_layer !== true).length === layers.length;
  let at = 0;
  return history.map(({ created_by: createdBy, created, comment, empty_layer: isEmpty }) => ({
    createdBy,
    created,
    comment,
    layer: fits && isEmpty !== true ? layers[at++]?.descriptor.digest : undefined,
  }));
}

/** Of an index within an index only the platforms that it says itself are known. */
function manifestFacts(
  target: Descriptor,
  { index, manifestDescriptor, platform }: LoadedImage,
  here: readonly string[] | undefined,
): readonly ManifestFacts[] {
  const isHere = (text: string): boolean | undefined => here?.includes(text);
  const own = formatPlatform(platform);
  if (index === undefined) return [{ platform: own, digest: target.digest, here: isHere(own) }];
  return index.manifests.flatMap((entry) => {
    if (!isManifestType(entry.mediaType) && !isIndexType(entry.mediaType)) return [];
    const isChosen = entry.digest === manifestDescriptor.digest;
    if (entry.platform === undefined && !isChosen) return [];
    const text = isChosen ? own : formatPlatform(entry.platform ?? platform);
    // An attestation says that it is for no platform.
    return text.startsWith('unknown') ? [] : [{ platform: text, digest: entry.digest, here: isHere(text) }];
  });
}

/** All that refers to something in the graph, and what refers to that. */
function referrerFacts(node: GraphNode): readonly ReferrerFacts[] {
  const { children, referrers, descriptor: subject } = node;
  const own = referrers.map(({ descriptor, artifactType, tag }): ReferrerFacts => ({
    digest: descriptor.digest,
    mediaType: descriptor.mediaType,
    artifactType,
    size: descriptor.size,
    subject: subject.digest,
    tag,
  }));
  return [...own, ...[...referrers, ...children].flatMap(referrerFacts)];
}
