import { checkLayout, type LayoutFault } from '../../content/index.js';
import { fsck } from '../../engine/upkeep/fsck.js';
import type { FsckProblem, FsckRemark, FsckReport, FsckStep } from '../../engine/upkeep/fsck-run.js';
import { type RebuildReport, rebuildStore } from '../../engine/upkeep/rebuild-store.js';
import type { Store } from '../../engine/store.js';
import { optionalTextOf } from '../../metadata/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { formatSize } from '../../spec/index.js';
import { countOf, formatDuration, printable, renderTable } from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { withStore } from '../images/with-store.js';

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

/** So many images that need a damaged thing are named. */
const IMAGES_SHOWN = 5;

/** A line for each step, then each problem with what became of it, then the verdict with what to do. */
export function renderFsck(report: FsckReport): string {
  const table = renderTable(
    [
      { title: 'STEP' },
      { title: 'CHECKED', align: 'right' },
      { title: 'TIME', align: 'right' },
      { title: 'RESULT' },
    ],
    report.steps.map((step) => [
      step.name,
      String(step.checked),
      formatDuration(step.durationMs),
      resultOf(step),
    ]),
  );
  const problems = report.problems.map(renderProblem);
  return [table, ...problems, verdictOf(report)].join('\n');
}

function resultOf({ problems, remarks }: FsckStep): string {
  const said = problems === 0 ? 'ok' : countOf(problems, 'problem');
  return [said, ...remarksOf(remarks)].join('; ');
}

function remarksOf(remarks: readonly FsckRemark[]): string[] {
  const of = (kind: FsckRemark['kind']): readonly FsckRemark[] => remarks.filter((r) => r.kind === kind);
  const size = (some: readonly FsckRemark[]): string =>
    formatSize(some.reduce((sum, { bytes = 0 }) => sum + bytes, 0));
  const [blobs, snapshots] = [of('orphan-blob'), of('orphan-snapshot')];
  const [partials, unchecked] = [of('partial'), of('unchecked')];
  const [first] = unchecked;
  return [
    ...(blobs.length === 0 ? [] : [`${countOf(blobs.length, 'blob')} (${size(blobs)}) for gc to remove`]),
    ...(snapshots.length === 0 ? [] : [`${countOf(snapshots.length, 'snapshot')} for gc to remove`]),
    ...(partials.length === 0 ? [] : [`${size(partials)} to be resumed`]),
    ...(first === undefined ? [] : [`${unchecked.length} not checked: ${first.reason ?? 'no reason known'}`]),
  ];
}

function renderProblem(problem: FsckProblem): string {
  const { subject, detail, path, images, state, reason } = problem;
  const more = images.length > IMAGES_SHOWN ? ` and ${images.length - IMAGES_SHOWN} more` : '';
  const lines = [
    `${printable(subject)}: ${printable(detail)}`,
    ...(images.length === 0 ? [] : [`  needed by ${images.slice(0, IMAGES_SHOWN).join(', ')}${more}`]),
    `  ${outcomeOf(state, path)}${reason === undefined ? '' : `: ${printable(reason)}`}`,
  ];
  return `${lines.join('\n')}\n`;
}

function outcomeOf(state: FsckProblem['state'], path: string | undefined): string {
  switch (state) {
    case 'found':
      return 'not repaired, since it was not asked for';
    case 'repaired':
      return 'repaired';
    case 'quarantined':
      return `could not be repaired, and was moved to ${printable(path ?? 'quarantine')}`;
    case 'unrepaired':
      return 'could not be repaired';
  }
}

function verdictOf({ problems, sound }: FsckReport): string {
  if (problems.length === 0) return 'the store is sound\n';
  if (sound) return 'the store is sound again\n';
  const damaged = problems.filter(({ state }) => state !== 'repaired');
  const said = `the store is damaged: ${countOf(damaged.length, 'problem')}`;
  if (damaged.some(({ kind }) => kind === 'database-damaged')) {
    return `${said}. Make its database anew: landfall fsck --rebuild\n`;
  }
  if (damaged.some(({ state }) => state === 'found')) {
    return `${said}. Repair it: landfall fsck --repair\n`;
  }
  return `${said}. Pull the images again, or remove them\n`;
}

/** The content of the new database, then the losses, then the parts that could not be known. */
export function renderRebuild(report: RebuildReport): string {
  const { images, blobs, snapshots, database, durationMs } = report;
  const found = [
    countOf(images.length, 'image'),
    countOf(blobs, 'blob'),
    countOf(snapshots, 'snapshot'),
  ].join(', ');
  const lines = [
    `made the database anew in ${formatDuration(durationMs)}: ${found}`,
    ...(database.kept === undefined ? [] : [`the old one is kept at ${printable(database.kept)}`]),
    ...report.lostImages.map(({ name }) => `lost ${printable(name)}: pull it again`),
    ...report.damagedBlobs.map(({ digest, actual }) =>
      actual === undefined
        ? `damaged ${digest}: it cannot be read`
        : `damaged ${digest}: it reads as ${actual}`,
    ),
    ...report.lostSnapshots.map((name) => `lost the snapshot ${printable(name)}`),
    ...report.quarantined.map((path) => `moved an unknown snapshot to ${printable(path)}`),
    ...report.unknown.map((what) => `not known: ${printable(what)}`),
  ];
  if (report.damagedBlobs.length + report.lostSnapshots.length > 0) {
    lines.push('Repair the rest: landfall fsck --repair');
  }
  return `${lines.join('\n')}\n`;
}
