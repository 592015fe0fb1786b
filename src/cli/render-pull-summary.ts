import type { PullResult } from '../engine/pull-result.js';
import { formatPlatform } from '../spec/index.js';
import { countOf } from './format/count.js';
import { formatDuration } from './format/duration.js';
import { printable } from './format/printable.js';
import { formatRate, formatSize } from './format/size.js';

/** What a pull did, in a few lines: what is here now, how much of it is new, what it took. */
export function renderPullSummary(result: PullResult): string {
  const reused = result.layers.filter((layer) => layer.reused).length;
  const fresh = result.layers.length - reused;
  const { bytesDownloaded, bytesDiscarded, fetchMs } = result;
  const total = formatDuration(result.resolveMs + Math.max(fetchMs, result.unpackMs));
  const lines =
    bytesDownloaded === 0 && fresh === 0
      ? [`up to date: nothing was downloaded (${countOf(reused, 'layer')} already present, ${total})`]
      : [
          `layers    ${fresh} new, ${reused} already present`,
          bytesDownloaded === 0
            ? 'download  up to date: nothing was downloaded'
            : `download  ${formatSize(bytesDownloaded)} in ${formatDuration(fetchMs)}${rate(bytesDownloaded, fetchMs)}`,
          `time      ${total} (resolve ${formatDuration(result.resolveMs)}${unpackTime(result)})`,
        ];
  if (bytesDiscarded > 0) {
    const discarded = result.layers.filter((layer) => layer.discarded).length;
    lines.push(
      `freed     ${formatSize(bytesDiscarded)} of disk: ${countOf(discarded, 'layer')} kept unpacked only`,
    );
  }
  return [
    printable(result.reference),
    `  digest    ${result.digest}`,
    `  platform  ${printable(formatPlatform(result.platform))}`,
    ...signers(result).map((signer) => `  signed    by ${printable(signer)}`),
    ...lines.map((line) => `  ${line}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function signers({ signatures = [] }: PullResult): readonly string[] {
  return [...new Set(signatures.map(({ signedBy }) => signedBy))];
}

function unpackTime({ chainId, unpackMs }: PullResult): string {
  return chainId === undefined ? '' : `, unpack ${formatDuration(unpackMs)}`;
}

/** A rate over a few milliseconds says nothing. */
function rate(bytes: number, milliseconds: number): string {
  return milliseconds < 100 ? '' : `, ${formatRate((bytes * 1000) / milliseconds)}`;
}
