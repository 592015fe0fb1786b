import { formatPlatform } from '../spec/index.js';
import type { CopyReport } from '../transfer/copy-report.js';
import { copyCounts } from './copy-facts.js';
import { countOf } from './format/count.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';

/** What a copy did, in a few lines. */
export function renderCopy(report: CopyReport): string {
  const { destination, target, resolved, omitted, referrers, signatures = [] } = report;
  const facts: [string, string][] = [['digest', target.digest]];
  if (resolved.digest !== target.digest) facts.push(['source', `${resolved.digest}, which is an index`]);
  facts.push(['content', contentLine(report)]);
  if (omitted.length > 0) facts.push(['left out', omittedNames(report)]);
  if (referrers.length > 0) facts.push(['referrers', countOf(countReferrers(referrers), 'artifact')]);
  const signers = new Set(signatures.map(({ signedBy }) => signedBy));
  if (signers.size > 0) facts.push(['signed by', [...signers].join(', ')]);
  return [printable(destination), ...facts.map(([name, fact]) => `  ${name.padEnd(10)}${printable(fact)}`)]
    .map((line) => `${line}\n`)
    .join('');
}

function contentLine(report: CopyReport): string {
  const { copied, mounted, exists, planned } = copyCounts(report);
  if (report.outcome === 'exists') return 'up to date: nothing was copied';
  const parts: string[] = [];
  if (planned.count > 0) parts.push(`${planned.count} to copy (${formatSize(planned.bytes)})`);
  if (copied.count > 0) parts.push(`${copied.count} copied (${formatSize(copied.bytes)})`);
  if (mounted.count > 0) parts.push(`${mounted.count} mounted (${formatSize(mounted.bytes)})`);
  if (exists.count > 0) parts.push(`${exists.count} already there`);
  return parts.join(', ');
}

function omittedNames({ omitted }: CopyReport): string {
  return omitted
    .map(({ platform, digest }) => (platform === undefined ? digest : formatPlatform(platform)))
    .join(', ');
}

function countReferrers(referrers: readonly CopyReport[]): number {
  return referrers.reduce((sum, { referrers: below }) => sum + 1 + countReferrers(below), 0);
}
