import { unmountImage } from '../../engine/mount.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { printable } from '../format/printable.js';
import { withStore } from '../with-store.js';

export async function umountCommand(directory: string, context: CommandContext): CommandResult {
  const unmounted = await withStore(context, (store) => unmountImage(store, directory));
  answer(context, unmounted, () => `unmounted ${printable(unmounted.target)}\n`);
  return 0;
}
