import { checkLayout, type LayoutFault } from '../../content/index.js';
import { fsck, type FsckReport } from '../../engine/fsck/index.js';
import { rebuildStore } from '../../engine/rebuild-store.js';
import type { Store } from '../../engine/store.js';
import { optionalTextOf } from '../../metadata/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { openRegistry } from '../open-registry.js';
import { renderFsck } from '../render-fsck.js';
import { renderRebuild } from '../render-rebuild.js';
import { withStore } from '../with-store.js';

export interface FsckFlags {
  readonly quick?: boolean;
  readonly repair?: boolean;
  readonly rebuild?: boolean;
}

/** Something is damaged. */
const DAMAGED = 6;

export async function fsckCommand(flags: FsckFlags, context: CommandContext): CommandResult {
  if (flags.rebuild === true) return await rebuild(flags, context);
  const report = await check(flags, context);
  answer(context, report, () => renderFsck(report));
  return report.sound ? 0 : DAMAGED;
}

/** Makes the database anew; with one of the other options, what it then describes is checked too. */
async function rebuild(flags: FsckFlags, context: CommandContext): CommandResult {
  const { signal, log, settings } = context;
  const rebuilt = await rebuildStore(settings.root, {
    signal,
    onStep: (step) => {
      log.debug(`rebuild: ${step}`);
    },
  });
  if (flags.quick !== true && flags.repair !== true) {
    answer(context, rebuilt, () => renderRebuild(rebuilt));
    const { damagedBlobs, lostImages, lostSnapshots } = rebuilt;
    return damagedBlobs.length + lostImages.length + lostSnapshots.length === 0 ? 0 : DAMAGED;
  }
  const report = await check(flags, context);
  answer(context, { ...rebuilt, fsck: report }, () => `${renderRebuild(rebuilt)}\n${renderFsck(report)}`);
  return report.sound && rebuilt.lostImages.length === 0 ? 0 : DAMAGED;
}

async function check(flags: FsckFlags, context: CommandContext): Promise<FsckReport> {
  // Before the store is opened, which makes what is missing at its top.
  const layoutBefore = await checkLayout(context.settings.root);
  return await withStore(context, (store) => checkStore(store, flags, layoutBefore, context));
}

async function checkStore(
  store: Store,
  { quick = false, repair = false }: FsckFlags,
  layoutBefore: readonly LayoutFault[],
  context: CommandContext,
): Promise<FsckReport> {
  const { signal, log } = context;
  const options = {
    quick,
    layoutBefore,
    signal,
    onStep: (step: string) => {
      log.debug(`fsck: ${step}`);
    },
  };
  if (!repair) return await fsck(store, options);
  await using registry = await openRegistry(context, await sourcesOf(store));
  return await fsck(store, { ...options, repair, registry });
}

/** Where blobs may be fetched again. */
async function sourcesOf({ database, images }: Store): Promise<readonly string[]> {
  const rows = await database.all('SELECT source FROM blobs UNION SELECT source FROM discarded');
  const names = (await images.list()).map(({ name }) => name);
  return [...rows.flatMap((row) => optionalTextOf(row, 'source') ?? []), ...names];
}
