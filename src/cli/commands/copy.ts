import { LandfallError } from '../../errors.js';
import { copyResolved, resolveSource } from '../../transfer/copy.js';
import type { CopyReport } from '../../transfer/copy-report.js';
import { CopySession } from '../../transfer/copy-session.js';
import type { PolicyFile } from '../../trust/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { copyJson } from '../copy-facts.js';
import { copyChoice, type CopyFlags } from '../copy-options.js';
import { parseImagePlace } from '../image-place.js';
import { ImagePlaces, type ImagePlacesOptions } from '../image-places.js';
import { policyOf } from '../policy-of.js';
import { openCopyDisplay } from '../progress/copy-display.js';
import { renderCopy } from '../render-copy.js';

export interface CopyCommandFlags extends CopyFlags {
  readonly dryRun?: boolean;
  readonly recheck?: boolean;
  readonly srcCreds?: string;
  readonly destCreds?: string;
  readonly quiet?: boolean;
}

export async function copyCommand(
  source: string,
  destination: string,
  flags: CopyCommandFlags,
  context: CommandContext,
): CommandResult {
  const { srcCreds: sourceCreds, destCreds: destinationCreds, quiet = false } = flags;
  const toStdout = isStandardOutput(destination);
  if (toStdout && context.stdout.isTTY === true) {
    throw new LandfallError('INVALID_CONFIG', 'an archive is not written to a terminal', {
      hint: 'Name a file, or lead the output into another program.',
    });
  }
  const policy = await policyOf(context);
  const report = await copyImage(
    source,
    destination,
    { ...flags, sourceCreds, destinationCreds, policy },
    context,
  );
  // Whatever came after the archive would make it one that is refused.
  if (toStdout) return 0;
  answer(context, copyJson(report), () => (quiet ? `${report.target.digest}\n` : renderCopy(report)));
  return 0;
}

export interface CopyImageFlags extends CopyFlags, ImagePlacesOptions {
  readonly dryRun?: boolean;
  readonly recheck?: boolean;
  readonly quiet?: boolean;
  /** Without one, no signature is asked for. */
  readonly policy?: PolicyFile | undefined;
}

/** Copies one image between two places as they are typed. */
export async function copyImage(
  source: string,
  destination: string,
  flags: CopyImageFlags,
  context: CommandContext,
): Promise<CopyReport> {
  const choice = copyChoice(flags, 'one');
  const { dryRun = false, recheck = false, quiet = false, policy } = flags;
  const { concurrency } = context.settings;
  const { signal } = context;
  await using places = new ImagePlaces(context, flags);
  const { repository: from, from: name } = await places.source(source);
  // Before the destination, which may be made by being opened.
  const resolved = await resolveSource(from, name, { signal });
  const { place, repository: to, tag } = await places.destination(destination);
  refuseDryArchive(place.kind, dryRun);
  const display = openCopyDisplay(context, { quiet });
  try {
    const session = new CopySession({
      dryRun,
      recheck,
      policy,
      signal,
      ...(concurrency === undefined ? {} : { concurrency }),
      onEvent: (event) => display.show(event),
    });
    const report = await copyResolved(from, to, { ...choice, from: name, resolved, tag }, session);
    if (!dryRun) await place.finish({ signal });
    return report;
  } finally {
    display.finish();
  }
}

function isStandardOutput(destination: string): boolean {
  const place = parseImagePlace(destination);
  return place.kind === 'archive' && place.file === '-';
}

/** An archive is written anew each time, so that there is nothing to compare with. */
function refuseDryArchive(kind: string, dryRun: boolean): void {
  if (!dryRun || kind !== 'archive') return;
  throw new LandfallError(
    'INVALID_CONFIG',
    'an archive is written whole each time, so --dry-run says nothing',
    {
      hint: 'Leave out --dry-run, or name another destination.',
    },
  );
}
