import { imageMounts, mountImage, unmountImage } from '../../engine/files/mount.js';
import { parsePlatform } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { printable } from '../format/text.js';
import { policyOf, withStore } from '../images/with-store.js';

export async function mountCommand(
  name: string,
  directory: string,
  flags: {
    readonly platform?: string;
    readonly rw?: boolean;
    readonly suid?: boolean;
    readonly dev?: boolean;
  },
  context: CommandContext,
): CommandResult {
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const { rw: writable = false, suid, dev } = flags;
  const policy = await policyOf(context);
  const mounted = await withStore(context, (store) =>
    mountImage(store, name, directory, { platform, writable, suid, dev, policy }),
  );
  answer(context, mounted, () => {
    return `mounted ${printable(name)} at ${printable(mounted.target)} ${writable ? 'read-write' : 'read-only'}\n`;
  });
  return 0;
}

export async function umountCommand(directory: string, context: CommandContext): CommandResult {
  const unmounted = await withStore(context, (store) => unmountImage(store, directory));
  answer(context, unmounted, () => `unmounted ${printable(unmounted.target)}\n`);
  return 0;
}

/** JSON whatever `--output` says: what reads this is a program. */
export async function mountsCommand(
  name: string,
  flags: { readonly platform?: string },
  context: CommandContext,
): CommandResult {
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const policy = await policyOf(context);
  const mounts = await withStore(context, (store) => imageMounts(store, name, { platform, policy }));
  context.stdout.write(`${JSON.stringify(mounts, null, 2)}\n`);
  return 0;
}
