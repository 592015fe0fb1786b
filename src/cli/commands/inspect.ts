import { platformsOf } from '../../engine/images/image.js';
import { layerPresence } from '../../engine/images/layer-presence.js';
import { readVerified } from '../../engine/images/read-document.js';
import { knownVerifications } from '../../engine/trust/registry-signatures.js';
import { LIMITS, parsePlatform, type Platform } from '../../spec/index.js';
import { imageGraph } from '../../transfer/transports/image-graph.js';
import { loadImageAnywhere } from '../../transfer/copy/repository-content.js';
import { writeAll } from '../output/bytes-output.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { countOf, formatSize } from '../format/size.js';
import { fitEnd, printable } from '../format/table.js';
import {
  imageFacts,
  type ImageFacts,
  type LayerFacts,
  type ReferrerFacts,
  type SignatureFacts,
  type StepFacts,
} from './image-facts.js';
import { type OpenedImage, OpenedImages } from '../images/opened-images.js';
import { invalidConfig } from '../config/settings.js';

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
    // What refers to other platforms is theirs.
    platform: image.platform,
    signal: context.signal,
    onWarning: (message) => context.log.warn(message),
  });
  const facts = imageFacts(name, target, image, {
    platforms: isRemote ? undefined : await platformsOf(content, target),
    verifications: store === undefined ? [] : await knownVerifications(store, target),
    presence: store === undefined ? undefined : await layerPresence(store, image.layers),
    graph,
  });
  answer(context, facts, () => renderImageFacts(facts));
}

/** The facts of an image for people: a block of names and values, then the steps with their layers, bottom first. */
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
    [facts.platforms.length === 0 ? 'Platforms' : 'Not here', elsewhere(facts)],
    ['Created', facts.created],
    ['Author', facts.author],
    ['Size', sizeLine(facts.layers)],
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
    ...facts.referrers.map((one, at) => [at === 0 ? 'Referrers' : '', referrerLine(one)] as const),
    ...facts.signatures.map((one, at) => [at === 0 ? 'Signatures' : '', signatureLine(one)] as const),
  ];
  const block = fields
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([title, value = '']) => `${title.padEnd(13)}${printable(value)}\n`)
    .join('');
  return facts.layers.length === 0 ? block : `${block}\n${renderLayers(facts)}`;
}

/** The platforms that are not here; at a registry, all. */
function elsewhere({ manifests, platforms }: ImageFacts): string {
  const others = manifests.filter(({ platform }) => !platforms.includes(platform));
  return [...new Set(others.map(({ platform }) => platform))].join(', ');
}

function sizeLine(layers: readonly LayerFacts[]): string {
  const sum = (sizes: readonly number[]): string => formatSize(sizes.reduce((all, size) => all + size, 0));
  const size = sum(layers.map((layer) => layer.size));
  const unpacked = layers.flatMap(({ unpackedSize }) => unpackedSize ?? []);
  const whole = unpacked.length === layers.length && layers.length > 0;
  return `${size} in ${countOf(layers.length, 'layer')}${whole ? `, ${sum(unpacked)} unpacked` : ''}`;
}

function referrerLine({ digest, mediaType, artifactType, size, tag }: ReferrerFacts): string {
  const by = tag === undefined ? '' : ', by its tag';
  return `${artifactType ?? mediaType} ${digest} (${formatSize(size)}${by})`;
}

function signatureLine({ signedBy, policy, scope, verifiedAt }: SignatureFacts): string {
  return `${signedBy}, as ${scope} in ${policy} asks (${verifiedAt.slice(0, 10)})`;
}

/** Each layer by its number, with the step that made it; steps that made none stand between. */
function renderLayers({ layers, history }: ImageFacts): string {
  const numbers = new Map(layers.map((layer, at) => [layer, at + 1]));
  const width = String(layers.length).length;
  const left = [...layers];
  const lines: string[] = [];
  const addLayer = (layer: LayerFacts): void => {
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

function layerLine({ size, unpackedSize, blob, unpacked, sharedWith }: LayerFacts): string {
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

function emptyStep({ createdBy, comment }: StepFacts): string {
  const step = shortened(createdBy ?? comment ?? '');
  return step === '' ? '(a step that made no layer)' : step;
}

const LONGEST_STEP = 100;

function shortened(step: string): string {
  return printable(fitEnd(step.replace(/\s+/g, ' ').trim(), LONGEST_STEP));
}

function commandLine(words: readonly string[]): string {
  return words.length === 0 ? '' : JSON.stringify(words);
}

function pairs(title: string, record: Readonly<Record<string, string>>): (readonly [string, string])[] {
  return Object.entries(record).map(
    ([key, value], at) => [at === 0 ? title : '', `${key}=${value}`] as const,
  );
}
