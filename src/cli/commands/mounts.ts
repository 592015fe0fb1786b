import { imageMounts } from '../../engine/mount.js';
import { parsePlatform } from '../../spec/index.js';
import type { CommandContext, CommandResult } from '../command-context.js';
import { withStore } from '../with-store.js';

export interface MountsFlags {
  readonly platform?: string;
}

/** JSON whatever `--output` says: what reads this is a program. */
export async function mountsCommand(
  name: string,
  flags: MountsFlags,
  context: CommandContext,
): CommandResult {
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const mounts = await withStore(context, (store) => imageMounts(store, name, { platform }));
  context.stdout.write(`${JSON.stringify(mounts, null, 2)}\n`);
  return 0;
}
