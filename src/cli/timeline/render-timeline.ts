import { formatSpan } from './format-span.js';
import { printable } from '../format/printable.js';
import { formatRate, formatSize } from '../format/size.js';
import { renderRow } from './render-row.js';
import { renderThroughput } from './render-throughput.js';
import { element, escapeXml, textAt } from './svg.js';
import { fitTextEnd, textWidth } from './text-width.js';
import { timeAxis, type TimeAxis } from './time-axis.js';
import type { LayerStepKind, Timeline } from './timeline.js';
import { timelineHeadline } from './timeline-headline.js';
import { type TimelineRow, timelineRows } from './timeline-rows.js';
import { TIMELINE_STYLE } from './timeline-style.js';

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
/** What a reason for failure takes. */
const REASON_HEIGHT = 18;

/**
 * The picture of a timeline, as an SVG document that needs nothing else: no script, no font, no network. It takes its colours from
 * the reader's preference, light or dark.
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
