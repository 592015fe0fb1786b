import type { LayerStep, TimedBlob, TimedLayer, TimedPull, Timeline } from './timeline.js';

/** A line of the picture. */
export type TimelineRow =
  | { readonly kind: 'pull'; readonly pull: TimedPull }
  | { readonly kind: 'document'; readonly pull: TimedPull; readonly blob: TimedBlob }
  | { readonly kind: 'layer'; readonly pull: TimedPull; readonly layer: TimedLayer }
  /** A layer of another platform. */
  | { readonly kind: 'other'; readonly pull: TimedPull; readonly blob: TimedBlob }
  /** Layers for which nothing had to be done, in a row. */
  | { readonly kind: 'reused'; readonly pull: TimedPull; readonly layers: readonly TimedLayer[] }
  /** Layers for which there is no room, so many. */
  | { readonly kind: 'folded'; readonly pull: TimedPull; readonly count: number };

/** So many lines can be read at all, and opened by a browser; of more layers those stay that took longest. */
const MOST_ROWS = 1500;

export function timelineRows({ pulls }: Timeline): readonly TimelineRow[] {
  const layers = pulls.flatMap((pull) => [...pull.layers, ...pull.others]);
  const room = Math.max(0, MOST_ROWS - 4 * pulls.length);
  const shown =
    layers.length <= room
      ? undefined
      : new Set([...layers].sort((a, b) => busyMs(b) - busyMs(a)).slice(0, room));
  return pulls.flatMap((pull) => rowsOf(pull, (blob) => shown?.has(blob) ?? true));
}

function rowsOf(pull: TimedPull, isShown: (blob: TimedBlob) => boolean): readonly TimelineRow[] {
  const rows: TimelineRow[] = [{ kind: 'pull', pull }];
  rows.push(...pull.documents.filter(isBusy).map((blob): TimelineRow => ({ kind: 'document', pull, blob })));
  let folded = 0;
  for (const layer of pull.layers) {
    const last = rows.at(-1);
    if (!isBusy(layer) && layer.settledAt !== undefined) {
      if (last?.kind === 'reused') rows[rows.length - 1] = { ...last, layers: [...last.layers, layer] };
      else rows.push({ kind: 'reused', pull, layers: [layer] });
    } else if (isShown(layer)) rows.push({ kind: 'layer', pull, layer });
    else folded += 1;
  }
  for (const blob of pull.others.filter(isBusy)) {
    if (isShown(blob)) rows.push({ kind: 'other', pull, blob });
    else folded += 1;
  }
  if (folded > 0) rows.push({ kind: 'folded', pull, count: folded });
  return rows;
}

function isBusy({ steps }: TimedBlob): boolean {
  return steps.some(({ kind }) => kind !== 'wait');
}

function busyMs({ steps }: TimedBlob): number {
  return steps.reduce((sum, { kind, start, end }: LayerStep) => sum + (kind === 'wait' ? 0 : end - start), 0);
}
