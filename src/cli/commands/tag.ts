import { tagImage } from '../../engine/tag.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { withStore } from '../with-store.js';

export async function tagCommand(source: string, name: string, context: CommandContext): CommandResult {
  const record = await withStore(context, (store) => tagImage(store, source, name));
  const { target } = record;
  answer(context, { name: record.name, digest: target.digest, mediaType: target.mediaType }, () => {
    return `tagged ${record.name} (${target.digest})\n`;
  });
  return 0;
}
