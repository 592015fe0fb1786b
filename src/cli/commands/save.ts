import { mapLimited } from '../../concurrency/index.js';
import { ArchiveDestination } from '../../transfer/transports/archives/archive-destination.js';
import type { ArchiveFormat } from '../../transfer/transports/archives/archive.js';
import type { CopyReport } from '../../transfer/copy/copy-report.js';
import { CopySession } from '../../transfer/copy/copy-session.js';
import { copyIntoArchive } from '../../transfer/copy/copy.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { copyChoice, type CopyFlags, copyJson, renderCopies } from './copy-info.js';
import { formatSize } from '../../spec/index.js';
import { countOf, printable, type TableOptions } from '../format/text.js';
import { refuseTerminal } from '../output/bytes-output.js';
import { CommandTransports } from '../images/command-transports.js';
import { openCopyDisplay } from '../progress/event-display.js';
import { tableWidth } from '../output/terminal.js';
import { type Outcome, outcomeOf, reportFailures, valuesOf } from '../output/several.js';
import { invalidConfig } from '../config/settings.js';

export interface SaveFlags extends CopyFlags {
  readonly file: string;
  readonly format?: ArchiveFormat;
  /** Bytes. */
  readonly split?: number;
  readonly quiet?: boolean;
}

/** Images whose manifests are read at once. */
const CONCURRENCY = 8;

export async function saveCommand(
  references: readonly string[],
  flags: SaveFlags,
  context: CommandContext,
): CommandResult {
  refuseImpossible(flags, context);
  const { file, format = 'both', split, quiet = false } = flags;
  const { signal, stdout, env } = context;
  const toStdout = file === '-';
  await using archive = await ArchiveDestination.open(toStdout ? { stream: stdout } : { file }, {
    format,
    splitBytes: split,
    signal,
  });
  await using transports = new CommandTransports(context);
  const display = openCopyDisplay(context, { quiet });
  let outcomes: readonly Outcome<CopyReport>[];
  try {
    const session = new CopySession({
      signal,
      concurrency: context.settings.concurrency,
      onEvent: (event) => display.show(event),
    });
    const choice = copyChoice(flags, 'present');
    const add = (source: string): Promise<CopyReport> =>
      copyIntoArchive(transports, { ...choice, source, archive }, session);
    // All of them, whatever becomes of one.
    outcomes = await mapLimited(references, CONCURRENCY, (one) => outcomeOf(one, () => add(one)));
    // An archive that lacks what was asked for would be found out only where nothing can be done about it.
    if (outcomes.every((outcome) => 'value' in outcome)) await archive.finish({ signal });
  } finally {
    display.finish();
  }
  const failed = reportFailures(outcomes, context);
  if (failed !== 0) return failed;
  if (toStdout) return 0;
  const reports = valuesOf(outcomes);
  const saved = { file, format, size: archive.bytesWritten, parts: archive.parts, reports };
  answer(context, savedJson(saved), () =>
    quiet
      ? reports.map(({ target }) => `${target.digest}\n`).join('')
      : renderSaved(saved, { width: tableWidth(stdout, env) }),
  );
  return 0;
}

function refuseImpossible(flags: SaveFlags, context: CommandContext): void {
  if (flags.file === '-') refuseTerminal(context);
  if (flags.file === '-' && flags.split !== undefined)
    throw invalidConfig('what goes to standard output cannot be split', { hint: 'Name a file with -o.' });
  if (flags.format === 'docker' && flags.artifactType !== undefined) {
    throw invalidConfig('an archive of Docker alone cannot hold referrers', {
      hint: 'Leave out --format docker: the default is loaded by Docker too.',
    });
  }
}

/** An archive that was written. */
export interface SavedImages {
  readonly file: string;
  readonly format: ArchiveFormat;
  /** Bytes. */
  readonly size: number;
  /** Names of the files that it was split into; none where it was not. */
  readonly parts: readonly string[];
  readonly reports: readonly CopyReport[];
}

/** As docs/json-output.md has it. */
export function savedJson({ file, format, size, parts, reports }: SavedImages): object {
  const written = parts.length === 0 ? undefined : parts;
  return { file, format, size, parts: written, images: reports.map(copyJson) };
}

export function renderSaved({ file, size, parts, reports }: SavedImages, options: TableOptions): string {
  const into = parts.length === 0 ? '' : `, ${countOf(parts.length, 'part')}`;
  const images = reports.map((report) => ({ name: report.source, report }));
  const left = reports.filter(({ referrersLeftOut }) => referrersLeftOut === true).length;
  const without = left === 0 ? '' : `referrers of ${countOf(left, 'image')} left out\n`;
  return `${renderCopies(images, options)}${without}wrote ${formatSize(size)}${into} to ${printable(file)}\n`;
}
