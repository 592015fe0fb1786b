import { listImages } from '../../engine/images.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { parseImageFilter } from '../image-filter.js';
import { renderImages } from '../render-images.js';
import { tableWidth } from '../terminal.js';
import { withStore } from '../with-store.js';

export interface ImagesFlags {
  readonly quiet?: boolean;
  readonly filter?: readonly string[];
}

export async function imagesCommand(flags: ImagesFlags, context: CommandContext): CommandResult {
  const filters = (flags.filter ?? []).map(parseImageFilter);
  const images = await withStore(context, (store) => listImages(store));
  const shown = images.filter((image) => filters.every((fits) => fits(image)));
  const { stdout, env } = context;
  if (flags.quiet === true) {
    const digests = [...new Set(shown.map(({ digest }) => digest))];
    answer(context, digests, () => digests.map((digest) => `${digest}\n`).join(''));
  } else {
    answer(context, shown, () => renderImages(shown, new Date(), { width: tableWidth(stdout, env) }));
  }
  return 0;
}
