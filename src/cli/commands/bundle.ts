import path from 'node:path';
import { bundleImage } from '../../engine/bundle.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { countOf } from '../format/count.js';
import { printable } from '../format/printable.js';
import type { IdMapFlags } from '../id-map.js';
import { unpackedJson } from '../unpacked-json.js';
import { withLocalImage } from '../with-local-image.js';

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
