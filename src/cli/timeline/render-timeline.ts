import { printable } from '../format/text.js';
import { renderRow, type RowPlace, type TimelineRow, timelineRows } from './render-row.js';
import {
  element,
  escapeXml,
  fitTextEnd,
  formatSpan,
  textAt,
  textWidth,
  timeAxis,
  type TimeAxis,
  tooltip,
} from './svg.js';
import { timelineHeadline } from './timeline-headline.js';
import type { LayerStepKind, Throughput, Timeline } from './timeline.js';
import { formatRate, formatSize } from '../../spec/index.js';

const WIDTH = 960;
const MARGIN = 20;
/** Where the bars begin and end. */
const LEFT = 268;
const RIGHT = WIDTH - 96;
const ROOM = WIDTH - 2 * MARGIN;
const HEADER = 104;
const ROW = 20;
/** Of pictures with many layers. */
const LOW_ROW = 16;
const MANY_ROWS = 60;
const GAP = 10;
const AXIS = 22;
const RATES = 44;
const SENTENCE = { size: 16, bold: true } as const;
const REASON = { size: 12 } as const;
/** The height of a reason for failure. */
const REASON_HEIGHT = 18;

/**
 * The picture of a timeline, as an SVG document that needs nothing else: no script, no font, no network. It
 * takes its colours from the reader's preference, light or dark.
 */
export function renderTimeline(timeline: Timeline): string {
  const rows = timelineRows(timeline);
  const axis = timeAxis(timeline.end, { left: LEFT, width: RIGHT - LEFT });
  const { sentence, reason } = timelineHeadline(timeline);
  const top = HEADER + (reason === undefined ? 0 : REASON_HEIGHT);
  const { rows: placed, bottom } = place(rows, top);
  const height = bottom + AXIS + RATES + MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    element('title', {}, escapeXml(sentence)),
    `<style>${TIMELINE_STYLE}</style>`,
    element('rect', { class: 'card', x: 0.5, y: 0.5, width: WIDTH - 1, height: height - 1, rx: 8 }),
    textAt(MARGIN, 32, fitTextEnd(sentence, ROOM, SENTENCE), { class: 'headline' }),
    ...(reason === undefined
      ? []
      : [textAt(MARGIN, 52, fitTextEnd(printable(reason), ROOM, REASON), { class: 'error' })]),
    textAt(MARGIN, top - 52, subtitle(timeline), { class: 'faint' }),
    renderLegend(timeline, top - 32),
    renderAxis(axis, top - 8, bottom),
    ...placed.map(({ row, top: y, height: tall }) =>
      [
        ...(row.kind === 'pull' ? [bandBehind(y, tall)] : []),
        renderRow(row, { axis, top: y, height: tall, left: MARGIN, right: WIDTH - MARGIN }),
      ].join('\n'),
    ),
    renderThroughput(timeline.throughput, { axis, top: bottom + AXIS, height: RATES, left: MARGIN }),
    '</svg>',
    '',
  ].join('\n');
}

interface PlacedRow {
  readonly row: TimelineRow;
  readonly top: number;
  readonly height: number;
}

function place(
  rows: readonly TimelineRow[],
  first: number,
): {
  readonly rows: readonly PlacedRow[];
  readonly bottom: number;
} {
  const low = rows.length > MANY_ROWS ? LOW_ROW : ROW;
  let top = first;
  const placed = rows.map((row, at) => {
    if (row.kind === 'pull' && at > 0) top += GAP;
    const height = row.kind === 'pull' ? ROW + 2 : low;
    const here = { row, top, height };
    top += height;
    return here;
  });
  return { rows: placed, bottom: top + 4 };
}

function bandBehind(y: number, height: number): string {
  return element('rect', { class: 'band', x: MARGIN - 8, y, width: WIDTH - 2 * MARGIN + 16, height, rx: 4 });
}

function subtitle({ begun, end, pulls, throughput }: Timeline): string {
  const layers = pulls.reduce((sum, pull) => sum + pull.layers.length, 0);
  const bytes = throughput.bytes.reduce((sum, each) => sum + each, 0);
  const rate = end < 100 || bytes === 0 ? '' : `, ${formatRate((bytes * 1000) / end)} on average`;
  const moved = bytes === 0 ? 'nothing downloaded' : `${formatSize(bytes)} downloaded${rate}`;
  const when = begun
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
  return `${layers} ${layers === 1 ? 'layer' : 'layers'}, ${moved}, ${formatSpan(end)} from ${when}`;
}

const LEGEND: readonly (readonly [LayerStepKind | 'other' | 'retry', string])[] = [
  ['other', 'resolve, manifests, record'],
  ['wait', 'wait'],
  ['elsewhere', 'another pull downloads'],
  ['download', 'download'],
  ['retry', 'broken off'],
  ['unpack', 'unpack'],
  ['commit', 'commit'],
];

/** Of what there is always, and of what is seen only now and then where it is there. */
function renderLegend({ pulls }: Timeline, base: number): string {
  const blobs = pulls.flatMap(({ layers, documents, others }) => [...layers, ...documents, ...others]);
  const isThere = (kind: string): boolean =>
    kind === 'retry'
      ? blobs.some(({ retries }) => retries.length > 0)
      : kind !== 'elsewhere' || blobs.some(({ steps }) => steps.some((step) => step.kind === 'elsewhere'));
  let x = MARGIN;
  const parts = LEGEND.filter(([kind]) => isThere(kind)).map(([kind, words]) => {
    const at = x;
    x += 18 + textWidth(words, { size: 11 }) + 12;
    const [y, height] = kind === 'wait' ? [base - 4, 1.5] : [base - 9, 10];
    return [
      element('rect', { class: kind, x: at, y, width: 12, height }),
      textAt(at + 18, base, words, { class: 'faint' }),
    ].join('');
  });
  return element('g', {}, ...parts);
}

/** Lines down the picture, with moments at both ends of them. */
function renderAxis(axis: TimeAxis, top: number, bottom: number): string {
  return axis.ticks
    .map(({ at, label }) => {
      const x = axis.at(at);
      return [
        element('line', { class: 'grid', x1: x, y1: top, x2: x, y2: bottom }),
        textAt(x, top - 4, label, { class: 'tick middle' }),
        textAt(x, bottom + 14, label, { class: 'tick middle' }),
      ].join('');
    })
    .join('\n');
}

/** The style of the picture. Steps are told apart by place and height too, not by colour alone. */
export const TIMELINE_STYLE: string = `
svg { --card: #ffffff; --edge: #d0d7de; --grid: #eaeef2; --band: #f6f8fa; --text: #1f2328; --faint: #59636e;
  --wait: #9aa4af; --elsewhere: #86a8d8; --download: #1f6feb; --unpack: #d97706; --commit: #8250df;
  --other: #6e7781; --retry: #cf222e; --inside: #ffffff }
@media (prefers-color-scheme: dark) {
  svg { --card: #0d1117; --edge: #30363d; --grid: #21262d; --band: #151b23; --text: #f0f6fc; --faint: #9198a1;
    --wait: #59636e; --elsewhere: #4a6591; --download: #4493f8; --unpack: #e3a02b; --commit: #ab7df8;
    --other: #8b949e; --retry: #ff6a5f; --inside: #0d1117 }
}
text { fill: var(--text); font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif }
.headline { font-size: 16px; font-weight: 600 }
.name { font-weight: 600 }
.faint, .tick { fill: var(--faint); font-size: 11px }
.digest { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 11px }
.number { fill: var(--text); font-size: 11px; text-anchor: end }
.right { text-anchor: end }
.middle { text-anchor: middle }
.error { fill: var(--retry); font-size: 12px }
.inside { fill: var(--inside); font-size: 11px }
.card { fill: var(--card); stroke: var(--edge) }
.band { fill: var(--band) }
.grid { stroke: var(--grid) }
.end { stroke: var(--retry); stroke-width: 1.5 }
.wait { fill: var(--wait) }
.elsewhere { fill: var(--elsewhere) }
.download { fill: var(--download) }
.unpack { fill: var(--unpack) }
.commit { fill: var(--commit) }
.other { fill: var(--other) }
.retry { fill: var(--retry) }
.open { opacity: 0.6 }
.rate { fill: var(--download); fill-opacity: 0.25; stroke: var(--download); stroke-width: 1 }
`.replaceAll('\n', '\n  ');

/** So many steps can be told apart on the picture. */
const MOST_STEPS = 120;

/** The rate of bytes, as steps below the layers. */
export function renderThroughput(
  throughput: Throughput,
  { axis, top, height, left }: Omit<RowPlace, 'right'>,
): string {
  const rates = ratesOf(throughput, axis.end);
  const most = Math.max(0, ...rates.map(({ rate }) => rate));
  if (most === 0) return '';
  const base = top + height;
  const y = (rate: number): number => Math.round((base - (rate / most) * (height - 8)) * 100) / 100;
  const x = (at: number): number => Math.round(axis.at(at) * 100) / 100;
  const steps = rates.map(({ rate, start, end }) => `L${x(start)} ${y(rate)}L${x(end)} ${y(rate)}`).join('');
  const d = `M${x(0)} ${base}${steps}L${x(rates.at(-1)?.end ?? 0)} ${base}Z`;
  return element(
    'g',
    {},
    tooltip(`bytes from the network; at most ${formatRate(most)}`),
    textAt(left, base - 16, 'network', { class: 'name' }),
    textAt(left, base - 2, `at most ${formatRate(most)}`, { class: 'faint' }),
    element('path', { class: 'rate', d }),
  );
}

function ratesOf(
  { interval, bytes }: Throughput,
  end: number,
): readonly { readonly rate: number; readonly start: number; readonly end: number }[] {
  const group = Math.max(1, Math.ceil(bytes.length / MOST_STEPS));
  return Array.from({ length: Math.ceil(bytes.length / group) }, (_, at) => {
    const start = at * group * interval;
    const until = Math.min(Math.max(end, start), start + group * interval);
    const sum = bytes.slice(at * group, (at + 1) * group).reduce((total, each) => total + each, 0);
    // The last interval may have hardly begun.
    return { rate: (sum * 1000) / Math.max(until - start, interval), start, end: until };
  });
}
