import path from 'node:path';
import { unpackImage } from '../../engine/unpack.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { countOf } from '../format/count.js';
import { printable } from '../format/printable.js';
import type { IdMapFlags } from '../id-map.js';
import { ownershipOf } from '../ownership-of.js';
import { unpackedJson } from '../unpacked-json.js';
import { withLocalImage } from '../with-local-image.js';

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
