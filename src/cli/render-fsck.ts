import type { FsckProblem, FsckRemark, FsckReport, FsckStep } from '../engine/fsck/index.js';
import { countOf } from './format/count.js';
import { formatDuration } from './format/duration.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';
import { renderTable } from './format/table.js';

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
