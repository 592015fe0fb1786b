import { collectGarbage } from '../../engine/collect-garbage.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { countOf } from '../format/count.js';
import { formatSize } from '../format/size.js';
import { withStore } from '../with-store.js';

export interface GcFlags {
  readonly dryRun?: boolean;
}

export async function gcCommand(flags: GcFlags, context: CommandContext): CommandResult {
  const { signal } = context;
  const report = await withStore(context, (store) =>
    collectGarbage(store, { signal, dryRun: flags.dryRun ?? false }),
  );
  answer(context, report, () => {
    const { blobs, snapshots, partials } = report;
    const what = [
      countOf(blobs.length, 'blob'),
      countOf(snapshots.length, 'snapshot'),
      countOf(partials.length, 'partial download'),
    ].join(', ');
    return report.dryRun
      ? `would remove ${what}, and free ${formatSize(report.freed)}\n`
      : `removed ${what}; freed ${formatSize(report.freed)}\n`;
  });
  return 0;
}
