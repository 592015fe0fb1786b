import path from 'node:path';
import { bundleImage, exportImage, unpackImage, type UnpackImageResult } from '../../engine/files/unpack.js';
import { type Digest, formatPlatform } from '../../spec/index.js';
import { checkIdRanges, defaultOwnership, type OmittedDevice, type Ownership } from '../../unpack/index.js';
import { openArchiveOutput } from '../output/bytes-output.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { countOf, printable } from '../format/text.js';
import type { IdMapFlags } from '../options/options.js';
import { type LocalImageResult, withLocalImage } from '../images/with-local-image.js';

export interface UnpackFlags extends IdMapFlags {
  readonly platform?: string;
}

export async function unpackCommand(
  sourceName: string,
  directoryName: string,
  flags: UnpackFlags,
  context: CommandContext,
): CommandResult {
  const directory = path.resolve(directoryName);
  const ownership = ownershipOf(flags);
  const result = await withLocalImage(sourceName, flags.platform, context, (image) =>
    unpackImage({ ...image, directory, ownership }),
  );
  const json = unpackedJson(directory, result);
  answer(context, json, () => {
    return `unpacked ${printable(json.name)} (${json.platform}, ${countOf(json.layers.length, 'layer')}) into ${printable(directory)}\n`;
  });
  return 0;
}

export interface ExportFlags {
  readonly platform?: string;
  readonly file?: string;
}

export async function exportCommand(
  sourceName: string,
  flags: ExportFlags,
  context: CommandContext,
): CommandResult {
  await using output = await openArchiveOutput(flags.file, context);
  let size = 0;
  const result = await withLocalImage(sourceName, flags.platform, context, async (image) => {
    const { archive, ...exported } = await exportImage(image);
    size = await output.write(archive);
    return exported;
  });
  const { file } = output;
  // Where the archive itself goes to standard output, nothing else does.
  if (file === undefined) return 0;
  const json = { ...imageJson(result), file, size };
  answer(context, json, () => {
    return `exported ${printable(json.name)} (${json.platform}, ${countOf(json.layers.length, 'layer')}) to ${printable(file)}\n`;
  });
  return 0;
}

export interface BundleFlags extends IdMapFlags {
  readonly platform?: string;
  readonly rootless?: boolean;
  readonly terminal?: boolean;
}

export async function bundleCommand(
  sourceName: string,
  directoryName: string,
  flags: BundleFlags,
  context: CommandContext,
): CommandResult {
  const directory = path.resolve(directoryName);
  const { platform, ...options } = flags;
  const result = await withLocalImage(sourceName, platform, context, (image) =>
    bundleImage({ ...image, ...options, directory }),
  );
  const { config, warnings } = result.done;
  for (const warning of warnings) context.log.warn(warning);
  const { args, cwd, user } = config.process;
  const json = { ...unpackedJson(directory, result), args, cwd, user, warnings };
  answer(context, json, () => {
    return `made a bundle of ${printable(json.name)} (${json.platform}, ${countOf(json.layers.length, 'layer')}) in ${printable(directory)}\n`;
  });
  return 0;
}

/** What is answered of an image whose layers were read: docs/json-output.md. */
export interface ImageJson {
  readonly name: string;
  readonly digest: Digest;
  readonly platform: string;
  readonly imageId: Digest;
  readonly chainId: Digest | undefined;
  readonly layers: readonly {
    readonly digest: Digest;
    readonly diffId: Digest;
    readonly chainId: Digest;
    readonly size: number;
  }[];
}

/** And of one that was unpacked into a directory. */
export interface UnpackedJson extends ImageJson {
  readonly directory: string;
  readonly omittedDevices: readonly OmittedDevice[];
}

export function imageJson({ name, done }: LocalImageResult<UnpackImageResult>): ImageJson {
  const { digest, imageId, chainId } = done;
  const layers = done.layers.map(({ descriptor, ...ids }) => ({
    digest: descriptor.digest,
    ...ids,
    size: descriptor.size,
  }));
  const platform = formatPlatform(done.platform);
  return { name, digest, platform, imageId, chainId, layers };
}

export function unpackedJson(directory: string, result: LocalImageResult<UnpackImageResult>): UnpackedJson {
  const { layers, ...facts } = imageJson(result);
  return { ...facts, directory, layers, omittedDevices: result.omittedDevices };
}

/**
 * What the options ask for; where one is absent, its owners are what they are without any.
 *
 * @throws {LandfallError} INVALID_CONFIG for ranges that are none, or overlap
 */
export function ownershipOf({ uidMap, gidMap }: IdMapFlags): Ownership {
  checkIdRanges(uidMap ?? []);
  checkIdRanges(gidMap ?? []);
  const { uid, gid } = defaultOwnership();
  return { uid: uidMap ?? uid, gid: gidMap ?? gid };
}
