import type { Verification } from '../../content/index.js';
import { type LoadedImage, platformsOf } from '../../engine/images/image.js';
import { type LayerPresence, layerPresence } from '../../engine/images/layer-blobs.js';
import { readVerified } from '../../engine/images/read-manifest.js';
import { knownVerifications } from '../../engine/trust/signature-sources.js';
import {
  type ContainerConfig,
  type Descriptor,
  type Digest,
  formatPlatform,
  formatSize,
  isIndexType,
  isManifestType,
  LIMITS,
  parsePlatform,
  type Platform,
} from '../../spec/index.js';
import { loadImageAnywhere } from '../../transfer/copy/repository-content.js';
import { type GraphNode, imageGraph } from '../../transfer/transports/image-graph.js';
import { invalidConfig } from '../config/settings.js';
import { countOf, fitEnd, printable } from '../format/text.js';
import { type OpenedImage, OpenedImages } from '../images/opened-images.js';
import { writeAll } from '../output/bytes-output.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';

export interface InspectFlags {
  readonly platform?: string;
  readonly raw?: boolean;
  readonly config?: boolean;
}

/** Shows what an image is made of, wherever it lies. */
export async function inspectCommand(
  name: string,
  flags: InspectFlags,
  context: CommandContext,
): CommandResult {
  if (flags.raw === true && flags.config === true) {
    throw invalidConfig('--raw and --config exclude each other', {
      hint: 'Ask for the manifest or for the config.',
    });
  }
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  await using images = new OpenedImages(context);
  const opened = await images.image(name);
  if (flags.raw === true || flags.config === true) {
    const bytes = await exactBytes(opened, platform, flags);
    await writeAll(context, [bytes]);
  } else {
    await describe(opened, platform, context);
  }
  return 0;
}

/** The target as it was fetched, a platform's manifest, or its config, byte for byte. */
async function exactBytes(
  { content, target }: OpenedImage,
  platform: Platform | undefined,
  flags: InspectFlags,
): Promise<Buffer> {
  if (flags.raw === true && platform === undefined) {
    return await readVerified(content, target, LIMITS.manifestBytes);
  }
  const image = await loadImageAnywhere(content, target, platform);
  return flags.raw === true
    ? await readVerified(content, image.manifestDescriptor, LIMITS.manifestBytes)
    : await readVerified(content, image.manifest.config, LIMITS.configBytes);
}

async function describe(
  opened: OpenedImage,
  platform: Platform | undefined,
  context: CommandContext,
): Promise<void> {
  const { name, content, store, target, isRemote, repository } = opened;
  const image = await loadImageAnywhere(content, target, platform);
  const graph = await imageGraph(target, {
    repository,
    content,
    isLocal: !isRemote,
    // Referrers of other platforms are not shown.
    platform: image.platform,
    signal: context.signal,
    onWarning: (message) => context.log.warn(message),
  });
  const info = imageInfo(name, target, image, {
    platforms: isRemote ? undefined : await platformsOf(content, target),
    verifications: store === undefined ? [] : await knownVerifications(store, target),
    presence: store === undefined ? undefined : await layerPresence(store, image.layers),
    graph,
  });
  answer(context, info, () => renderImageInfo(info));
}

type Field = readonly [title: string, value: string | undefined];

/** A digest fits into 80 columns behind it. */
const DIGEST_COLUMN = 9;
const COLUMN = 13;

/**
 * The facts of an image for people: its names and digests, its properties, and then the steps with their
 * layers, bottom first.
 */
export function renderImageInfo(info: ImageInfo): string {
  const { config } = info;
  const names: readonly Field[] = [
    ['Name', info.name],
    ['Digest', info.digest],
    ['Image ID', info.imageId],
    ['Chain ID', info.chainId],
  ];
  const properties: readonly Field[] = [
    ['Media type', info.mediaType],
    ['Platform', info.platform],
    ['Here', info.platforms.join(', ')],
    [info.platforms.length === 0 ? 'Platforms' : 'Not here', elsewhere(info)],
    ['Created', info.created],
    ['Author', info.author],
    ['Size', sizeLine(info.layers)],
    ['User', config.user],
    ['Entrypoint', commandLine(config.entrypoint)],
    ['Command', commandLine(config.cmd)],
    ['Directory', config.workingDir],
    ['Ports', config.exposedPorts.join(', ')],
    ['Volumes', config.volumes.join(', ')],
    ['Stop signal', config.stopSignal],
    ...titled('Environment', config.env),
    ...pairs('Labels', config.labels),
    ...pairs('Annotations', info.annotations),
    ...titled('Signatures', info.signatures.flatMap(signatureLines)),
  ];
  const blocks = [
    renderFields(names, DIGEST_COLUMN),
    renderFields(properties, COLUMN),
    ...(info.referrers.length === 0 ? [] : [`Referrers\n${info.referrers.map(referrerLines).join('')}`]),
    ...(info.layers.length === 0 ? [] : [renderLayers(info)]),
  ];
  return blocks.join('\n');
}

/** Those that have a value. */
function renderFields(fields: readonly Field[], column: number): string {
  return fields
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([title, value = '']) => `${title.padEnd(column)}${printable(value)}\n`)
    .join('');
}

/** The platforms that are not here; at a registry, all. */
function elsewhere({ manifests, platforms }: ImageInfo): string {
  const others = manifests.filter(({ platform }) => !platforms.includes(platform));
  return [...new Set(others.map(({ platform }) => platform))].join(', ');
}

function sizeLine(layers: readonly LayerInfo[]): string {
  const sum = (sizes: readonly number[]): string => formatSize(sizes.reduce((all, size) => all + size, 0));
  const size = sum(layers.map((layer) => layer.size));
  const unpacked = layers.flatMap(({ unpackedSize }) => unpackedSize ?? []);
  const whole = unpacked.length === layers.length && layers.length > 0;
  return `${size} in ${countOf(layers.length, 'layer')}${whole ? `, ${sum(unpacked)} unpacked` : ''}`;
}

function referrerLines({ digest, mediaType, artifactType, size, tag }: ReferrerInfo): string {
  const by = tag === undefined ? '' : ', by its tag';
  return `  ${digest}\n  ${printable(artifactType ?? mediaType)} (${formatSize(size)}${by})\n`;
}

function signatureLines({ signedBy, policy, scope, verifiedAt }: SignatureInfo): string[] {
  return [signedBy, `${scope} in ${policy}`, `verified on ${verifiedAt.slice(0, 10)}`];
}

/** Each layer by its number, with the step that made it; steps that made none stand between. */
function renderLayers({ layers, history }: ImageInfo): string {
  const numbers = new Map(layers.map((layer, at) => [layer, at + 1]));
  const width = String(layers.length).length;
  const left = [...layers];
  const lines: string[] = [];
  const addLayer = (layer: LayerInfo): void => {
    lines.push(`${String(numbers.get(layer) ?? '').padStart(width)}  ${layer.digest}`);
    for (const line of [layerLine(layer), shortened(layer.createdBy ?? '')]) {
      if (line !== '') lines.push(`${' '.repeat(width)}  ${line}`);
    }
  };
  for (const step of history) {
    const layer = step.layer === undefined ? undefined : left.shift();
    if (layer !== undefined) addLayer(layer);
    else lines.push(`${'-'.padStart(width)}  ${emptyStep(step)}`);
  }
  for (const layer of left) addLayer(layer);
  return `Layers, the lowest first\n${lines.map((line) => `${line}\n`).join('')}`;
}

function layerLine({ size, unpackedSize, blob, unpacked, sharedWith }: LayerInfo): string {
  const [first] = sharedWith;
  const others = sharedWith.length - 1;
  return printable(
    [
      formatSize(size),
      ...(unpackedSize === undefined ? [] : [`${formatSize(unpackedSize)} unpacked`]),
      ...(unpacked === false ? ['not unpacked'] : []),
      ...(blob === 'missing' ? ['not here'] : []),
      ...(blob === 'discarded' ? ['blob dropped once unpacked'] : []),
      ...(first === undefined
        ? []
        : [`shared with ${first}${others > 0 ? ` and ${countOf(others, 'other')}` : ''}`]),
    ].join(', '),
  );
}

function emptyStep({ createdBy, comment }: StepInfo): string {
  const step = shortened(createdBy ?? comment ?? '');
  return step === '' ? '(a step that made no layer)' : step;
}

/** Behind the number of a layer, in 80 columns. */
const LONGEST_STEP = 75;

function shortened(step: string): string {
  return printable(fitEnd(step.replace(/\s+/g, ' ').trim(), LONGEST_STEP));
}

function commandLine(words: readonly string[]): string {
  return words.length === 0 ? '' : JSON.stringify(words);
}

function titled(title: string, values: readonly string[]): Field[] {
  return values.map((value, at) => [at === 0 ? title : '', value]);
}

function pairs(title: string, record: Readonly<Record<string, string>>): Field[] {
  return titled(
    title,
    Object.entries(record).map(([key, value]) => `${key}=${value}`),
  );
}

/** The answer of `inspect`; the JSON output has these keys. */
export interface ImageInfo {
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
  readonly manifests: readonly ManifestSummary[];
  /** As the builder wrote it (RFC 3339). */
  readonly created: string | undefined;
  readonly author: string | undefined;
  /** Bytes of the layers' blobs. */
  readonly size: number;
  readonly config: ConfigInfo;
  /** Bottom first. */
  readonly layers: readonly LayerInfo[];
  /** The steps of the build, the first one first; empty where the config tells of none. */
  readonly history: readonly StepInfo[];
  readonly annotations: Readonly<Record<string, string>>;
  /** The referrers of the image and of its manifest, as far as its transport knows them. */
  readonly referrers: readonly ReferrerInfo[];
  /** The requirements of signature policies that it met; empty in a layout, which remembers nothing. */
  readonly signatures: readonly SignatureInfo[];
}

/** One platform of an image. */
export interface ManifestSummary {
  readonly platform: string;
  readonly digest: Digest;
  /** Whether manifest and config are here; undefined at a registry. */
  readonly here: boolean | undefined;
}

/** A step of the build. */
export interface StepInfo {
  readonly createdBy: string | undefined;
  /** RFC 3339, as the builder wrote it. */
  readonly created: string | undefined;
  readonly comment: string | undefined;
  /**
   * The digest of the layer that it made; undefined where it made none, or where the history does not fit the
   * layers.
   */
  readonly layer: Digest | undefined;
}

export interface ReferrerInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  /** Bytes of its manifest. */
  readonly size: number;
  readonly subject: Digest;
  /** By which it was found, where it refers by a tag alone. */
  readonly tag: string | undefined;
}

/** A signature of the image that a policy asked for. */
export interface SignatureInfo extends Omit<Verification, 'requirement' | 'identity' | 'verifiedAt'> {
  /** The name that was signed. */
  readonly identity: string | undefined;
  /** RFC 3339. */
  readonly verifiedAt: string;
}

export interface LayerInfo {
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly chainId: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** The build step that made it, where the history tells. */
  readonly createdBy: string | undefined;
  /**
   * Whether the store has its blob; `discarded` is one that was dropped once it was unpacked. Undefined
   * elsewhere.
   */
  readonly blob: LayerPresence['blob'] | undefined;
  /** Whether the store has it unpacked. */
  readonly unpacked: boolean | undefined;
  /** Bytes of its snapshot. */
  readonly unpackedSize: number | undefined;
  /** Other images of the store that have it. */
  readonly sharedWith: readonly string[];
}

export interface ConfigInfo {
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

export interface ImageInfoOptions {
  /** Those that are here; undefined at a registry. */
  readonly platforms: readonly Platform[] | undefined;
  readonly verifications: readonly Verification[];
  /** The layers in the store, in their order; absent elsewhere. */
  readonly presence?: readonly LayerPresence[] | undefined;
  /** The image with what refers to it; of its manifests, only those of the platform need be there. */
  readonly graph?: GraphNode | undefined;
}

export function imageInfo(
  name: string,
  target: Descriptor,
  image: LoadedImage,
  { platforms, verifications, presence = [], graph }: ImageInfoOptions,
): ImageInfo {
  const steps = stepInfo(image);
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    manifestDigest: image.manifestDescriptor.digest,
    imageId: image.imageId,
    chainId: image.chainId,
    platform: formatPlatform(image.platform),
    platforms: (platforms ?? []).map(formatPlatform),
    manifests: manifestSummary(target, image, platforms?.map(formatPlatform)),
    created: image.config.created,
    author: image.config.author,
    size: image.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0),
    config: configInfo(image.config.config ?? {}),
    layers: layerInfo(name, image, steps, presence),
    history: steps,
    annotations: image.manifest.annotations ?? {},
    referrers: graph === undefined ? [] : referrerInfo(graph),
    signatures: verifications.map(signatureInfo),
  };
}

function signatureInfo(verification: Verification): SignatureInfo {
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

function configInfo(config: ContainerConfig): ConfigInfo {
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

function layerInfo(
  name: string,
  { layers }: LoadedImage,
  steps: readonly StepInfo[],
  presence: readonly LayerPresence[],
): LayerInfo[] {
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
function stepInfo({ layers, config }: LoadedImage): readonly StepInfo[] {
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
function manifestSummary(
  target: Descriptor,
  { index, manifestDescriptor, platform }: LoadedImage,
  here: readonly string[] | undefined,
): readonly ManifestSummary[] {
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
function referrerInfo(node: GraphNode): readonly ReferrerInfo[] {
  const { children, referrers, descriptor: subject } = node;
  const own = referrers.map(({ descriptor, artifactType, tag }): ReferrerInfo => ({
    digest: descriptor.digest,
    mediaType: descriptor.mediaType,
    artifactType,
    size: descriptor.size,
    subject: subject.digest,
    tag,
  }));
  return [...own, ...[...referrers, ...children].flatMap(referrerInfo)];
}
