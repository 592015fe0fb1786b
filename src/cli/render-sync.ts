import { shortDigest } from '../spec/index.js';
import type { RepositoryPrune, SyncedImage, SyncResult } from '../transfer/sync/index.js';
import { countOf } from './format/count.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';
import { renderTable, type TableColumn } from './format/table.js';
import { syncTotals } from './sync-report.js';

const COLUMNS: readonly TableColumn[] = [
  { title: 'IMAGE', shrinks: true, keeps: 'end' },
  { title: 'DESTINATION', shrinks: true, keeps: 'end' },
  { title: 'WHAT' },
  { title: 'BYTES', align: 'right' },
  { title: 'DIGEST', optional: true },
];

/** What became of each image: all of them in a run that only looks, else those that were not there already. */
export function renderSync(
  result: SyncResult,
  { dryRun, width }: { readonly dryRun: boolean; readonly width: number | undefined },
): string {
  const shown = result.images.filter(
    ({ outcome }) => dryRun || (outcome !== 'exists' && outcome !== 'unchanged'),
  );
  const table = shown.length === 0 ? '' : renderTable(COLUMNS, shown.map(rowOf), { width });
  const pruned = result.pruned.map(
    ({ destination, outcome, digest }) =>
      `${PRUNED[outcome]} ${printable(destination)}${digest === undefined ? '' : ` (${shortDigest(digest)})`}\n`,
  );
  const unpruned = result.unpruned.map(
    ({ destination, reason }) => `deleted nothing in ${printable(destination)}: ${printable(reason)}\n`,
  );
  return [table, ...pruned, ...unpruned, totalLine(result)].join('');
}

/** What is about to be deleted. */
export function renderPrunes(prunes: readonly RepositoryPrune[]): string {
  return renderTable(
    [{ title: 'TO DELETE' }, { title: 'DIGEST' }],
    prunes.flatMap(({ repository, tags }) =>
      tags.map(({ tag, descriptor }) => [`${repository.location}:${tag}`, shortDigest(descriptor.digest)]),
    ),
  );
}

export function totalLine(result: SyncResult): string {
  const { images, copied, planned, exists, unchanged, failed, bytes, pruned } = syncTotals(result);
  const isDry = planned > 0 || result.pruned.some(({ outcome }) => outcome === 'planned');
  const parts = [
    ...(planned > 0 ? [`${planned} to copy (${formatSize(bytes)})`] : []),
    ...(copied > 0 ? [`${copied} copied (${formatSize(bytes)})`] : []),
    ...(exists > 0 ? [`${exists} already there`] : []),
    ...(unchanged > 0 ? [`${unchanged} delivered before`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(pruned > 0 ? [`${countOf(pruned, 'tag')} ${isDry ? 'to delete' : 'deleted'}`] : []),
  ];
  return `${countOf(images, 'image')}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}\n`;
}

const WORDS = {
  copied: 'copied',
  exists: 'already there',
  planned: 'to copy',
  unchanged: 'delivered before',
  failed: 'failed',
} as const satisfies Readonly<Record<SyncedImage['outcome'], string>>;

const PRUNED = {
  planned: 'would delete',
  deleted: 'deleted',
  kept: 'kept, since its digest is needed:',
  failed: 'could not delete',
} as const;

function rowOf({ source, name, target, outcome, bytes }: SyncedImage): string[] {
  return [
    source,
    name,
    WORDS[outcome],
    bytes === 0 ? '-' : formatSize(bytes),
    target === undefined ? '' : shortDigest(target.digest),
  ];
}
