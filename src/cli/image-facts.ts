import type { Verification } from '../content/index.js';
import type { LoadedImage } from '../engine/image.js';
import {
  type ContainerConfig,
  type Descriptor,
  type Digest,
  formatPlatform,
  type Platform,
} from '../spec/index.js';
import { countOf } from './format/count.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';
import { renderTable } from './format/table.js';

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
  /** As the builder wrote it (RFC 3339). */
  readonly created: string | undefined;
  readonly author: string | undefined;
  /** Bytes of the layers' blobs. */
  readonly size: number;
  readonly config: ConfigFacts;
  readonly layers: readonly LayerFacts[];
  readonly annotations: Readonly<Record<string, string>>;
  /** What of signature policies it was found to meet; empty in a layout, which remembers nothing. */
  readonly signatures: readonly SignatureFacts[];
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

export function imageFacts(
  name: string,
  target: Descriptor,
  image: LoadedImage,
  o: { readonly platforms: readonly Platform[]; readonly verifications: readonly Verification[] },
): ImageFacts {
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    manifestDigest: image.manifestDescriptor.digest,
    imageId: image.imageId,
    chainId: image.chainId,
    platform: formatPlatform(image.platform),
    platforms: o.platforms.map(formatPlatform),
    created: image.config.created,
    author: image.config.author,
    size: image.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0),
    config: configFacts(image.config.config ?? {}),
    layers: layerFacts(image),
    annotations: image.manifest.annotations ?? {},
    signatures: o.verifications.map(signatureFacts),
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

function layerFacts({ layers, config }: LoadedImage): LayerFacts[] {
  // History lists the steps that made no layer too, and may be absent or not fit.
  const steps = (config.history ?? []).filter((step) => step.empty_layer !== true);
  const fits = steps.length === layers.length;
  return layers.map(({ descriptor, diffId, chainId }, at) => ({
    digest: descriptor.digest,
    diffId,
    chainId,
    mediaType: descriptor.mediaType,
    size: descriptor.size,
    createdBy: fits ? steps[at]?.created_by : undefined,
  }));
}

/** The facts for people: a block of names and values, then the layers, bottom first. */
export function renderImageFacts(facts: ImageFacts): string {
  const { config } = facts;
  const fields: readonly (readonly [string, string | undefined])[] = [
    ['Name', facts.name],
    ['Digest', facts.digest],
    ['Media type', facts.mediaType],
    ['Image ID', facts.imageId],
    ['Chain ID', facts.chainId],
    ['Platform', facts.platform],
    ['Here', facts.platforms.join(', ')],
    ['Created', facts.created],
    ['Author', facts.author],
    ['Size', `${formatSize(facts.size)} in ${countOf(facts.layers.length, 'layer')}`],
    ['User', config.user],
    ['Entrypoint', commandLine(config.entrypoint)],
    ['Command', commandLine(config.cmd)],
    ['Directory', config.workingDir],
    ['Ports', config.exposedPorts.join(', ')],
    ['Volumes', config.volumes.join(', ')],
    ['Stop signal', config.stopSignal],
    ...config.env.map((entry, at) => [at === 0 ? 'Environment' : '', entry] as const),
    ...pairs('Labels', config.labels),
    ...pairs('Annotations', facts.annotations),
    ...facts.signatures.map((one, at) => [at === 0 ? 'Signatures' : '', signatureLine(one)] as const),
  ];
  const block = fields
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([title, value = '']) => `${title.padEnd(13)}${printable(value)}\n`)
    .join('');
  return facts.layers.length === 0 ? block : `${block}\n${renderLayers(facts.layers)}`;
}

function signatureLine({ signedBy, policy, scope, verifiedAt }: SignatureFacts): string {
  return `${signedBy}, as ${scope} in ${policy} asks (${verifiedAt.slice(0, 10)})`;
}

function renderLayers(layers: readonly LayerFacts[]): string {
  return renderTable(
    [{ title: 'LAYER' }, { title: 'SIZE', align: 'right' }, { title: 'CREATED BY' }],
    layers.map((layer) => [layer.digest, formatSize(layer.size), shortened(layer.createdBy ?? '')]),
  );
}

const LONGEST_STEP = 60;

function shortened(step: string): string {
  const line = step.replace(/\s+/g, ' ');
  return line.length > LONGEST_STEP ? `${line.slice(0, LONGEST_STEP - 1)}…` : line;
}

function commandLine(words: readonly string[]): string {
  return words.length === 0 ? '' : JSON.stringify(words);
}

function pairs(title: string, record: Readonly<Record<string, string>>): (readonly [string, string])[] {
  return Object.entries(record).map(
    ([key, value], at) => [at === 0 ? title : '', `${key}=${value}`] as const,
  );
}
