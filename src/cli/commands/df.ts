import { diskUsage } from '../../engine/disk-usage.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { renderDiskUsage } from '../render-disk-usage.js';
import { showsUnicode, wantsColor } from '../terminal.js';
import { withStore } from '../with-store.js';

const WIDEST = 80;

export async function dfCommand(context: CommandContext): CommandResult {
  const { signal, stdout, env } = context;
  const usage = await withStore(context, (store) => diskUsage(store, { signal }));
  answer(context, usage, () =>
    renderDiskUsage(usage, {
      width: Math.min(stdout.columns ?? WIDEST, WIDEST),
      // What is piped is read by other programs, or later and elsewhere.
      unicode: stdout.isTTY === true && showsUnicode(env),
      color: wantsColor(stdout, env),
    }),
  );
  return 0;
}
