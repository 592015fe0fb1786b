import { collectGarbage, type GarbageReport } from '../../engine/upkeep/collect-garbage.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { formatSize } from '../../spec/index.js';
import { countOf, printable } from '../format/text.js';
import { parseDuration } from '../options/parse-duration.js';
import { withStore } from '../images/with-store.js';

export interface GcFlags {
  readonly dryRun?: boolean;
  /** Durations. */
  readonly unusedFor?: string;
  readonly partialsOlderThan?: string;
}

export async function gcCommand(flags: GcFlags, context: CommandContext): CommandResult {
  const { dryRun = false, unusedFor, partialsOlderThan } = flags;
  const options = {
    dryRun,
    ...(unusedFor === undefined ? {} : { unusedForMs: parseDuration('--unused-for', unusedFor) }),
    ...(partialsOlderThan === undefined
      ? {}
      : { partialsOlderThanMs: parseDuration('--partials-older-than', partialsOlderThan) }),
  };
  const { signal } = context;
  const report = await withStore(context, (store) => collectGarbage(store, { ...options, signal }));
  for (const warning of report.warnings) context.log.warn(warning);
  answer(context, report, () => renderReport(report));
  return 0;
}

/** Images by name, since names were given by people; of the rest how much it is. */
function renderReport(report: GarbageReport): string {
  const { dryRun, images, blobs, snapshots, partials, uploads, freed } = report;
  const what = [
    ...(images.length === 0 ? [] : [countOf(images.length, 'image')]),
    countOf(blobs.length, 'blob'),
    countOf(snapshots.length, 'snapshot'),
    countOf(partials.length, 'partial download'),
    ...(uploads === 0 ? [] : [countOf(uploads, 'abandoned upload')]),
  ].join(', ');
  const names = images.map((name) => `${dryRun ? 'would remove' : 'removed'} ${printable(name)}\n`).join('');
  return dryRun
    ? `${names}would remove ${what}, and free ${formatSize(freed)}\n`
    : `${names}removed ${what}; freed ${formatSize(freed)}\n`;
}
