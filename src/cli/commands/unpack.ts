import path from 'node:path';
import {
  bundleTarget,
  exportTarget,
  unpackTarget,
  type UnpackImageResult,
} from '../../engine/files/unpack.js';
import { formatPlatform } from '../../spec/index.js';
import { checkIdRanges, defaultOwnership, type Ownership } from '../../unpack/index.js';
import { ArchiveOutput } from '../output/bytes-output.js';
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
    unpackTarget({ ...image, directory, ownership }),
  );
  const json = unpackedJson(directory, result);
  answer(context, json, () => `unpacked ${shown(result)} into ${printable(directory)}\n`);
  return 0;
}

export async function exportCommand(
  sourceName: string,
  flags: { readonly platform?: string; readonly file?: string },
  context: CommandContext,
): CommandResult {
  await using output = await ArchiveOutput.open(flags.file, context);
  let size = 0;
  const result = await withLocalImage(sourceName, flags.platform, context, async (image) => {
    const { archive, ...exported } = await exportTarget(image);
    size = await output.write(archive);
    return exported;
  });
  const { file } = output;
  // Where the archive itself goes to standard output, nothing else does.
  if (file === undefined) return 0;
  const json = { ...imageJson(result), file, size };
  answer(context, json, () => `exported ${shown(result)} to ${printable(file)}\n`);
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
    bundleTarget({ ...image, ...options, directory }),
  );
  const { config, warnings } = result.done;
  for (const warning of warnings) context.log.warn(warning);
  const { args, cwd, user } = config.process;
  const json = { ...unpackedJson(directory, result), args, cwd, user, warnings };
  answer(context, json, () => `made a bundle of ${shown(result)} in ${printable(directory)}\n`);
  return 0;
}

type Result = LocalImageResult<UnpackImageResult>;

/** The answer for an image whose layers were read: docs/json-output.md. */
function imageJson({ name, done }: Result, directory?: string): object {
  const { digest, imageId, chainId } = done;
  const layers = done.layers.map(({ descriptor: { digest: blob, size }, ...ids }) => ({
    digest: blob,
    ...ids,
    size,
  }));
  return { name, digest, platform: formatPlatform(done.platform), imageId, chainId, directory, layers };
}

/** And of one that was unpacked into a directory. */
function unpackedJson(directory: string, result: Result): object {
  return { ...imageJson(result, directory), omittedDevices: result.omittedDevices };
}

/** `debian:trixie (linux/amd64, 3 layers)`. */
function shown({ name, done }: Result): string {
  return `${printable(name)} (${formatPlatform(done.platform)}, ${countOf(done.layers.length, 'layer')})`;
}

/**
 * The owners that the options ask for; where an option is absent, its default.
 *
 * @throws {LandfallError} INVALID_CONFIG for ranges that are none, or overlap
 */
export function ownershipOf({ uidMap, gidMap }: IdMapFlags): Ownership {
  checkIdRanges(uidMap ?? []);
  checkIdRanges(gidMap ?? []);
  const { uid, gid } = defaultOwnership();
  return { uid: uidMap ?? uid, gid: gidMap ?? gid };
}
