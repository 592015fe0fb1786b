import { exportImage } from '../../engine/export.js';
import { openArchiveOutput } from '../archive-output.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { countOf } from '../format/count.js';
import { printable } from '../format/printable.js';
import { imageJson } from '../unpacked-json.js';
import { withLocalImage } from '../with-local-image.js';

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
