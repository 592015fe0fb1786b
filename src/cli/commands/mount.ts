import { mountImage } from '../../engine/mount.js';
import { parsePlatform } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { printable } from '../format/printable.js';
import { withStore } from '../with-store.js';

export interface MountFlags {
  readonly platform?: string;
  readonly rw?: boolean;
}

export async function mountCommand(
  name: string,
  directory: string,
  flags: MountFlags,
  context: CommandContext,
): CommandResult {
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const writable = flags.rw ?? false;
  const mounted = await withStore(context, (store) =>
    mountImage(store, name, directory, { platform, writable }),
  );
  answer(context, mounted, () => {
    return `mounted ${printable(name)} at ${printable(mounted.target)} ${writable ? 'read-write' : 'read-only'}\n`;
  });
  return 0;
}
