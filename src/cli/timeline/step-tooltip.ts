import { shortDigest } from '../../spec/index.js';
import { countOf } from '../format/count.js';
import { formatSpan } from './format-span.js';
import { formatRate, formatSize } from '../format/size.js';
import type { LayerStep, Span, TimedBlob, TimedLayer } from './timeline.js';

/** `layer 3`, `manifest`, `layer of another platform`. */
export function blobName(blob: TimedBlob | TimedLayer): string {
  if ('number' in blob) return `layer ${blob.number}`;
  return blob.role === 'layer' || blob.role === 'other' ? `${blob.role} of another platform` : blob.role;
}

/** What is told of a whole line. */
export function blobTooltip(blob: TimedBlob | TimedLayer): string {
  const parts = blob.steps.map((step) => `${stepTold(step)} ${formatSpan(step.end - step.start)}`);
  return [`${blobName(blob)}, ${blob.digest}, ${formatSize(blob.size)}`, ...parts].join('; ');
}

/** What is told of one step. */
export function stepTooltip(step: LayerStep, blob: TimedBlob | TimedLayer): string {
  const ms = step.end - step.start;
  const facts = [`${blobName(blob)} (${shortDigest(blob.digest)}): ${stepTold(step)}`, formatSpan(ms)];
  if (step.kind === 'download') {
    facts.push(formatSize(blob.bytes));
    if (ms >= 1) facts.push(formatRate((blob.bytes * 1000) / ms));
    const broken = blob.retries.filter(({ start }) => start >= step.start && start <= step.end).length;
    if (broken > 0) facts.push(`broke off ${countOf(broken, 'time')}`);
  }
  if (step.open === true) facts.push('not finished');
  return `${facts.join(', ')}; ${spanWords(step)}`;
}

export function spanWords({ start, end }: Span): string {
  return `from ${formatSpan(start)} to ${formatSpan(end)}`;
}

function stepTold({ kind, waitedFor }: LayerStep): string {
  switch (kind) {
    case 'wait':
      return waitedFor === 'parents'
        ? 'waits for the layers below'
        : waitedFor === 'unpack'
          ? 'waits to be unpacked'
          : 'waits to be downloaded';
    case 'elsewhere':
      return 'another pull brings it';
    case 'download':
      return 'downloaded';
    case 'unpack':
      return 'unpacked';
    case 'commit':
      return 'committed';
  }
}
