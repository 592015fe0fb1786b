import { formatFigure } from './figures.js';
import type { BenchRecord, CaseRecord, ContestantRecord } from './record.js';

/*
 * Horizontal bars, a group for each case that has a reference; the reference's bar ends at the line at 1. The card is
 * white in every theme, so that explicit colours can be read on it.
 */

const WIDTH = 880;
const LEFT = 250;
const RIGHT = 120;
const BAR = 14;
const ROW = 19;
const HEADING = 30;
const GROUP_GAP = 16;
const TOP = 70;
const BOTTOM = 34;
/** A bar that is longer is cut here, and its figure says how long it is. */
const LONGEST = 2;
const TICKS = [0, 0.5, 1, 1.5, 2];

const COLOURS = {
  card: '#ffffff',
  edge: '#d0d7de',
  grid: '#eaeef2',
  one: '#57606a',
  text: '#1f2328',
  faint: '#57606a',
  own: '#0969da',
  reference: '#57606a',
  other: '#a8b1bb',
};

interface Placed {
  readonly record: CaseRecord;
  readonly top: number;
  readonly rows: readonly ContestantRecord[];
}

/** The wall times of a run as an SVG of its own. */
export function renderChart(record: BenchRecord): string {
  const groups = place(record.cases.filter(({ reference }) => reference !== undefined));
  const last = groups.at(-1);
  const bottom = last === undefined ? TOP : last.top + heightOf(last.rows.length);
  const height = bottom + BOTTOM;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`,
    `  font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12" role="img">`,
    `<title>Wall time of landfall and its peers, relative to each case's reference</title>`,
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8" fill="${COLOURS.card}" stroke="${COLOURS.edge}"/>`,
    text(20, 28, 'Wall time, less is better', { size: 15, weight: 600 }),
    text(20, 46, subtitle(record), { fill: COLOURS.faint, size: 11 }),
    ...TICKS.map((tick) => renderTick(tick, bottom)),
    ...groups.flatMap(renderGroup),
    '</svg>',
    '',
  ].join('\n');
}

function subtitle({ begun, machine }: BenchRecord): string {
  const where = `${machine.cores} cores of ${machine.processor}, Node ${machine.node.replace(/^v/, '')}`;
  return `Medians of one run, each case relative to its reference = 1. ${begun.slice(0, 10)}, ${where}`;
}

function place(cases: readonly CaseRecord[]): Placed[] {
  let top = TOP;
  return cases.map((record) => {
    const placed = { record, top, rows: record.contestants };
    top += heightOf(placed.rows.length) + GROUP_GAP;
    return placed;
  });
}

function heightOf(rows: number): number {
  return HEADING + rows * ROW;
}

function scale(ratio: number): number {
  return LEFT + (Math.min(ratio, LONGEST) / LONGEST) * (WIDTH - LEFT - RIGHT);
}

function renderTick(ratio: number, bottom: number): string {
  const x = scale(ratio);
  const stroke = ratio === 1 ? `stroke="${COLOURS.one}" stroke-dasharray="3 3"` : `stroke="${COLOURS.grid}"`;
  const line = `<line x1="${x}" y1="${TOP}" x2="${x}" y2="${bottom + 4}" ${stroke}/>`;
  return `${line}\n${text(x, bottom + 20, `${ratio} ×`, { fill: COLOURS.faint, anchor: 'middle', size: 11 })}`;
}

function renderGroup({ record, top, rows }: Placed): string[] {
  const title = text(20, top + 18, `(${record.id}) ${record.title}`, { weight: 600 });
  return [title, ...rows.map((row, at) => renderBar(record, row, top + HEADING + at * ROW))];
}

function renderBar(
  { reference }: CaseRecord,
  { name, figures, wallRatio }: ContestantRecord,
  top: number,
): string {
  const ratio = wallRatio?.ofMedians ?? 0;
  const end = scale(ratio);
  const seconds = formatFigure('wall', figures['wall']?.median ?? 0);
  const isOwn = name.startsWith('landfall');
  const fill = isOwn ? COLOURS.own : name === reference ? COLOURS.reference : COLOURS.other;
  const middle = top + BAR - 3;
  return [
    text(LEFT - 8, middle, name, { anchor: 'end', ...(isOwn ? { weight: 600 } : {}) }),
    `<rect x="${LEFT}" y="${top}" width="${(end - LEFT).toFixed(1)}" height="${BAR}" rx="2" fill="${fill}"/>`,
    ...(ratio > LONGEST ? [renderCut(end - 18, top)] : []),
    text(end + 6, middle, `${ratio.toFixed(2)} × · ${seconds}`, { fill: COLOURS.faint, size: 11 }),
  ].join('\n');
}

/** A gap across a bar, which says that it goes on. */
function renderCut(x: number, top: number): string {
  const [low, high] = [top + BAR + 1, top - 1];
  return `<path d="M${x} ${low} l6 ${high - low} h5 l-6 ${low - high} z" fill="${COLOURS.card}"/>`;
}

interface TextStyle {
  readonly fill?: string;
  readonly size?: number;
  readonly weight?: number;
  readonly anchor?: 'middle' | 'end';
}

function text(x: number, y: number, content: string, style: TextStyle): string {
  const { fill = COLOURS.text, size, weight, anchor } = style;
  const attributes = [
    `x="${x.toFixed(1)}" y="${y}" fill="${fill}"`,
    ...(size === undefined ? [] : [`font-size="${size}"`]),
    ...(weight === undefined ? [] : [`font-weight="${weight}"`]),
    ...(anchor === undefined ? [] : [`text-anchor="${anchor}"`]),
  ];
  return `<text ${attributes.join(' ')}>${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
