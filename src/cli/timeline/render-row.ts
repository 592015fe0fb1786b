import { formatRate, formatSize, shortDigest } from '../../spec/index.js';
import { countOf, printable } from '../format/text.js';
import { element, fitTextStart, formatSpan, textAt, textWidth, type TimeAxis, tooltip } from './svg.js';
import {
  type LayerStep,
  lengthOf,
  type PullStep,
  type Span,
  stepWords,
  type TimedBlob,
  type TimedLayer,
  type TimedPull,
  type Timeline,
  type WaitedFor,
  whereTimeWent,
} from './timeline.js';

/** Where a line is, and what it is measured by. */
export interface RowPlace {
  readonly axis: TimeAxis;
  readonly top: number;
  readonly height: number;
  /** Left edge of its name. */
  readonly left: number;
  /** Right edge of its figure. */
  readonly right: number;
}

/** A shorter bar would not be seen. */
const NARROWEST = 1;
const IN_BAR = { size: 11 } as const;
/** Between a bar and the edge of its line. */
const MARGIN = 3;
/** Between a name, or what stands in a bar, and what it must not touch. */
const CLEAR = 8;

export function renderRow(row: TimelineRow, place: RowPlace): string {
  switch (row.kind) {
    case 'pull':
      return renderPull(row.pull, place);
    case 'manifest':
    case 'other':
      return renderBlob(row.blob, place);
    case 'layer':
      return renderBlob(row.layer, place);
    case 'reused':
      return renderReused(row.layers, place);
    case 'folded':
      return textAt(place.left + 16, baseOf(place), `and ${countOf(row.count, 'more layer')}`, FAINT);
  }
}

const NAME = { size: 12, bold: true } as const;
const FAINT = { class: 'faint' } as const;

/** An image: its name, and what it as a whole was waiting for. */
function renderPull(pull: TimedPull, place: RowPlace): string {
  const { left, right, top, height, axis } = place;
  const name = pull.platform === undefined ? pull.reference : `${pull.reference} (${pull.platform})`;
  const steps = whereTimeWent(pull);
  const ended = pull.outcome === 'done' ? formatSpan(lengthOf(pull)) : pull.outcome;
  const x = axis.at(pull.end);
  return element(
    'g',
    {},
    textAt(left, baseOf(place), fitTextStart(printable(pull.reference), axis.left - left - CLEAR, NAME), {
      class: 'name',
    }),
    tooltip([name, pull.digest, pull.error, spanWords(pull)].filter((fact) => fact !== undefined).join('; ')),
    ...steps.map((step) => renderPullStep(step, place)),
    ...(pull.outcome === 'done'
      ? []
      : [element('path', { class: 'end', d: `M${round(x)} ${top}v${height}` })]),
    textAt(right, baseOf(place), ended, { class: pull.outcome === 'done' ? 'faint right' : 'error right' }),
  );
}

function renderPullStep(step: PullStep, place: RowPlace): string {
  const { x, width } = across(step, place.axis);
  const words = stepWords(step);
  const text = [words, shortWords(step)].find((each) => textWidth(each, IN_BAR) + CLEAR <= width);
  const top = place.top + MARGIN;
  return element(
    'g',
    {},
    tooltip(`${words}: ${formatSpan(lengthOf(step))}; ${spanWords(step)}`),
    element('rect', {
      class: OTHER.includes(step.kind) ? 'other' : step.kind,
      x,
      y: top,
      width,
      height: place.height - 2 * MARGIN,
    }),
    ...(text !== undefined ? [textAt(x + width / 2, baseOf(place), text, { class: 'inside middle' })] : []),
  );
}

function shortWords({ kind, layer }: PullStep): string {
  return layer === undefined ? kind : `${kind} ${layer.number}`;
}

const OTHER: readonly PullStep['kind'][] = ['resolve', 'check', 'manifests', 'record'];

/**
 * A blob: what brings it in the upper half, what is made of it in the lower, so that it is seen what happens
 * at once.
 */
function renderBlob(blob: TimedBlob | TimedLayer, place: RowPlace): string {
  const { left, right, axis } = place;
  const base = baseOf(place);
  const isLayer = 'number' in blob;
  const settled = blob.steps.at(-1);
  const isOpen = blob.steps.some(({ open }) => open === true);
  const busy = blob.steps.filter(({ kind }) => kind !== 'wait');
  const took =
    settled === undefined
      ? 0
      : settled.end - Math.min(...(busy.length > 0 ? busy : blob.steps).map(({ start }) => start));
  return element(
    'g',
    {},
    tooltip(blobTooltip(blob)),
    element('rect', { x: left, y: place.top, width: right - left, height: place.height, fill: 'none' }),
    isLayer
      ? textAt(left + 26, base, String(blob.number), { class: 'number' })
      : textAt(left + 26, base, blob.role === 'layer' ? 'other platform' : blob.role, FAINT),
    ...(isLayer ? [textAt(left + 36, base, shortDigest(blob.digest), { class: 'digest' })] : []),
    textAt(axis.left - 10, base, formatSize(blob.size), { class: 'faint right' }),
    ...blob.steps.map((step) => renderStep(step, blob, place)),
    ...blob.retries.map((retry) => renderRetry(retry, place)),
    textAt(right, base, isOpen ? 'unfinished' : formatSpan(took), { class: 'faint right' }),
  );
}

function renderStep(step: LayerStep, blob: TimedBlob | TimedLayer, place: RowPlace): string {
  const { x, width } = across(step, place.axis);

  const half = (place.height - 2 * MARGIN) / 2;
  const lane = place.top + MARGIN + (isBelow(step) ? half : 0);
  // Where nothing happens there is a line only.
  const [y, height] = step.kind === 'wait' ? [lane + half / 2 - 0.75, 1.5] : [lane, half];
  const name = step.open === true ? `${step.kind} open` : step.kind;
  return element('rect', { class: name, x, y, width, height }, tooltip(stepTooltip(step, blob)));
}

/** Whether it is about unpacking, which goes on beside a download. */
export function isBelow({ kind, waitedFor }: LayerStep): boolean {
  return kind === 'unpack' || kind === 'commit' || (kind === 'wait' && waitedFor !== 'download');
}

function renderRetry(retry: Span, place: RowPlace): string {
  const { x, width } = across(retry, place.axis);
  const height = (place.height - 2 * MARGIN) / 2;
  return element(
    'rect',
    { class: 'retry', x, y: place.top + MARGIN, width, height },
    tooltip(`the download broke off; ${spanWords(retry)}`),
  );
}

function renderReused(layers: readonly TimedLayer[], place: RowPlace): string {
  const [first, last] = [layers[0]?.number ?? 0, layers.at(-1)?.number ?? 0];
  const numbers = first === last ? `layer ${first}` : `layers ${first} to ${last}`;
  const size = layers.reduce((sum, layer) => sum + layer.size, 0);
  return element(
    'g',
    {},
    tooltip(layers.slice(0, 50).map(blobTooltip).join('\n')),
    textAt(place.left + 26, baseOf(place), numbers, FAINT),
    textAt(place.axis.left - 10, baseOf(place), formatSize(size), { class: 'faint right' }),
    textAt(place.right, baseOf(place), 'present', { class: 'faint right' }),
  );
}

function across({ start, end }: Span, axis: TimeAxis): { readonly x: number; readonly width: number } {
  const from = axis.at(start);
  const width = Math.max(NARROWEST, axis.at(end) - from);
  // A bar at the very end is drawn before it, not beyond.
  return { x: Math.min(from, axis.left + axis.width - width), width };
}

function baseOf({ top, height }: RowPlace): number {
  return top + height / 2 + 4;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A line of the picture. */
export type TimelineRow =
  | { readonly kind: 'pull'; readonly pull: TimedPull }
  | { readonly kind: 'manifest'; readonly pull: TimedPull; readonly blob: TimedBlob }
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
  rows.push(...pull.documents.filter(isBusy).map((blob): TimelineRow => ({ kind: 'manifest', pull, blob })));
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

/** `layer 3`, `manifest`, `layer of another platform`. */
export function blobName(blob: TimedBlob | TimedLayer): string {
  if ('number' in blob) return `layer ${blob.number}`;
  return blob.role === 'layer' || blob.role === 'other' ? `${blob.role} of another platform` : blob.role;
}

/** The tooltip of a whole line. */
function blobTooltip(blob: TimedBlob | TimedLayer): string {
  const parts = blob.steps.map((step) => `${describeStep(step)} ${formatSpan(step.end - step.start)}`);
  return [`${blobName(blob)}, ${blob.digest}, ${formatSize(blob.size)}`, ...parts].join('; ');
}

/** The tooltip of one step. */
function stepTooltip(step: LayerStep, blob: TimedBlob | TimedLayer): string {
  const ms = step.end - step.start;
  const info = [`${blobName(blob)} (${shortDigest(blob.digest)}): ${describeStep(step)}`, formatSpan(ms)];
  if (step.kind === 'download') {
    info.push(formatSize(blob.bytes));
    if (ms >= 1) info.push(formatRate((blob.bytes * 1000) / ms));
    const broken = blob.retries.filter(({ start }) => start >= step.start && start <= step.end).length;
    if (broken > 0) info.push(`broke off ${countOf(broken, 'time')}`);
  }
  if (step.open === true) info.push('not finished');
  return `${info.join(', ')}; ${spanWords(step)}`;
}

function spanWords({ start, end }: Span): string {
  return `from ${formatSpan(start)} to ${formatSpan(end)}`;
}

const TOLD: Readonly<Record<Exclude<LayerStep['kind'], 'wait'>, string>> = {
  elsewhere: 'another pull brings it',
  download: 'downloaded',
  unpack: 'unpacked',
  commit: 'committed',
};
const WAITS: Readonly<Record<WaitedFor, string>> = {
  parents: 'waits for the layers below',
  unpack: 'waits to be unpacked',
  download: 'waits to be downloaded',
};

function describeStep({ kind, waitedFor = 'download' }: LayerStep): string {
  return kind === 'wait' ? WAITS[waitedFor] : TOLD[kind];
}
