import type { RebuildReport } from '../engine/rebuild-store.js';
import { countOf } from './format/count.js';
import { formatDuration } from './format/duration.js';
import { printable } from './format/printable.js';

/** What the new database has, then what was lost and what could not be known. */
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
    ...report.quarantined.map((path) => `moved a snapshot that nobody knows to ${printable(path)}`),
    ...report.unknown.map((what) => `not known: ${printable(what)}`),
  ];
  if (report.damagedBlobs.length + report.lostSnapshots.length > 0) {
    lines.push('Repair the rest: landfall fsck --repair');
  }
  return `${lines.join('\n')}\n`;
}
