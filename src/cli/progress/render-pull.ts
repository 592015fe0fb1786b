import { countOf } from '../format/count.js';
import { fitEnd, fitStart } from '../format/fit.js';
import { printable } from '../format/printable.js';
import { formatPart, formatRate, formatSize } from '../format/size.js';
import { type LayerRow, renderLayer } from './render-layer.js';
import {
  isSettled,
  layerState,
  type LayerState,
  type PullModel,
  type PullProgress,
  pullTotals,
} from './pull-model.js';
import { rateOf } from './rate.js';

export interface RenderOptions {
  /** Columns and lines of the terminal. */
  readonly width: number;
  readonly height: number;
  /** Milliseconds since the pulls began: the `at` of an event that came now. */
  readonly now: number;
  readonly unicode: boolean;
  readonly color: boolean;
}

interface Row {
  readonly text: string;
  /** Rows of a lower rank stay when there is no room for all. */
  readonly rank: number;
  readonly state?: LayerState;
}

/**
 * The pulls as lines: for each image one that sums up and one per layer. No line reaches the last column, so that
 * none wraps, and there are fewer lines than the terminal has; what does not fit is counted in a last line.
 */
export function renderPulls(model: PullModel, options: RenderOptions): string[] {
  const rows = model.pulls.flatMap((pull) => [
    headRow(model, pull, options),
    ...layerRows(model, pull, options),
  ]);
  // The line below the last one is where the cursor stands.
  const room = Math.max(1, options.height - 1);
  if (rows.length <= room) return rows.map((row) => row.text);
  const kept = new Set(
    [...rows.entries()]
      .sort(([a, left], [b, right]) => left.rank - right.rank || a - b)
      .slice(0, room - 1)
      .map(([at]) => at),
  );
  const hidden = rows.filter((_, at) => !kept.has(at));
  return [...rows.filter((_, at) => kept.has(at)).map((row) => row.text), foldLine(hidden, options)];
}

/** Columns within which most names can be told apart. */
const ENOUGH_NAME = 40;

function headRow(model: PullModel, pull: PullProgress, options: RenderOptions): Row {
  const width = options.width - 1;
  const facts = headFacts(model, pull, options);
  const name = printable(pull.reference);
  // The facts at the end are the first to go when the name would be left without room.
  while (facts.length > 1 && facts.join('  ').length + 2 + Math.min(name.length, ENOUGH_NAME) > width)
    facts.pop();
  const right = facts.join('  ');
  const text = fitEnd(`${fitStart(name, Math.max(8, width - right.length - 2))}  ${right}`, width);
  return { text, rank: pull.phase === 'resolving' || pull.phase === 'pulling' ? 0 : 2 };
}

function headFacts(model: PullModel, pull: PullProgress, { now }: RenderOptions): string[] {
  const totals = pullTotals(model, pull);
  const platform = pull.platform === undefined ? [] : [pull.platform];
  switch (pull.phase) {
    case 'resolving':
      return ['resolving'];
    case 'failed':
      return ['failed'];
    case 'done':
      return [
        pull.bytesDownloaded === 0 ? 'up to date' : 'done',
        ...(pull.bytesDownloaded === 0 ? [] : [`${formatSize(pull.bytesDownloaded)} downloaded`]),
        countOf(totals.layers, 'layer'),
        ...platform,
      ];
    case 'pulling': {
      if (totals.layers === 0) return ['reading the manifest', ...platform];
      const rate = pullRate(pull, now);
      return [
        `${totals.settled}/${countOf(totals.layers, 'layer')}`,
        formatPart(totals.bytes, totals.size),
        ...(rate === undefined ? [] : [formatRate(rate)]),
        ...platform,
      ];
    }
  }
}

/** What all blobs that are under way bring together. */
function pullRate(pull: PullProgress, now: number): number | undefined {
  const rates = [...pull.blobs.values()].flatMap((blob) =>
    blob.state === 'downloading' ? [rateOf(blob.samples, now)].filter((rate) => rate !== undefined) : [],
  );
  return rates.length === 0 ? undefined : rates.reduce((sum, rate) => sum + rate, 0);
}

function layerRows(model: PullModel, pull: PullProgress, options: RenderOptions): Row[] {
  return pull.layers.map((layer) => {
    const state = layerState(model, pull, layer);
    const row: LayerRow = { model, pull, layer, state };
    return { text: renderLayer(row, options), rank: rankOf(state), state };
  });
}

function rankOf(state: LayerState): number {
  if (isSettled(state)) return 4;
  return state === 'waiting' ? 3 : 1;
}

function foldLine(hidden: readonly Row[], options: RenderOptions): string {
  const layers = hidden.filter((row) => row.state !== undefined);
  const settled = layers.filter((row) => row.state !== undefined && isSettled(row.state)).length;
  const waiting = layers.filter((row) => row.state === 'waiting').length;
  const running = layers.length - settled - waiting;
  const images = hidden.length - layers.length;
  const parts = [
    ...(settled === 0 ? [] : [`${settled} done`]),
    ...(running === 0 ? [] : [`${running} running`]),
    ...(waiting === 0 ? [] : [`${waiting} waiting`]),
  ];
  const counts = [
    ...(images === 0 ? [] : [countOf(images, 'more image')]),
    ...(layers.length === 0 ? [] : [`${countOf(layers.length, 'more layer')}: ${parts.join(', ')}`]),
  ];
  return fitEnd(`  and ${counts.join(', ')}`, options.width - 1);
}
