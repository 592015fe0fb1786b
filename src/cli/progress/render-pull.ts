import { formatPart, formatRate, formatSize, shortDigest } from '../../spec/index.js';
import {
  ASCII_BAR,
  countOf,
  fitEnd,
  fitStart,
  paint,
  printable,
  renderBar,
  UNICODE_BAR,
} from '../format/text.js';
import type { CommandContext } from '../output/command-context.js';
import { columnsOf, rowsOf, showsUnicode, wantsColor } from '../output/terminal.js';
import { LiveLines } from './live-lines.js';
import {
  allTotals,
  downloadedBytes,
  emptyPullModel,
  imagesDone,
  isSettled,
  type LayerProgress,
  layerState,
  type LayerState,
  PendingEvents,
  type ProgressDisplay,
  type ProgressDisplayOptions,
  type ProgressEvent,
  type PullModel,
  type PullProgress,
  pullTotals,
  reducePull,
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
 * The pulls as lines: for each image one that sums up and one per layer, and one for all images where there
 * are several. No line reaches the last column, so that none wraps, and there are fewer lines than the
 * terminal has; what does not fit is counted in a line.
 */
export function renderPulls(model: PullModel, options: RenderOptions): string[] {
  const rows = model.pulls.flatMap((pull) => [
    headRow(model, pull, options),
    ...layerRows(model, pull, options),
  ]);
  const overall = model.images < 2 ? [] : [overallLine(model, options)];
  // The line below the last one is where the cursor stands.
  const room = options.height - 1 - overall.length;
  if (rows.length <= room) return [...rows.map((row) => row.text), ...overall];
  if (room < 1) return overall.length > 0 ? overall : rows.slice(0, 1).map((row) => row.text);
  const kept = new Set(
    [...rows.entries()]
      .sort(([a, left], [b, right]) => left.rank - right.rank || a - b)
      .slice(0, room - 1)
      .map(([at]) => at),
  );
  const hidden = rows.filter((_, at) => !kept.has(at));
  const shown = rows.filter((_, at) => kept.has(at)).map((row) => row.text);
  return [...shown, foldLine(hidden, options), ...overall];
}

/** `2 of 20 images  5/41 layers  53.9/800 MB  22.5 MB/s`; what does not fit is left out. */
function overallLine(model: PullModel, { now, width }: RenderOptions): string {
  const totals = allTotals(model);
  const rate = sumOfRates(model.pulls, now);
  const fields = [
    imagesDone(model),
    ...(totals.layers === 0
      ? []
      : [`${totals.settled}/${countOf(totals.layers, 'layer')}`, formatPart(totals.bytes, totals.size)]),
    ...(rate === undefined ? [] : [formatRate(rate)]),
  ];
  while (fields.length > 1 && fields.join('  ').length >= width) fields.pop();
  return fitEnd(fields.join('  '), width - 1);
}

/** Columns within which most names can be told apart. */
const ENOUGH_NAME = 40;

function headRow(model: PullModel, pull: PullProgress, options: RenderOptions): Row {
  const width = options.width - 1;
  const info = headFields(model, pull, options);
  const name = printable(pull.reference);
  // The facts at the end are the first to go when the name would be left without room.
  while (info.length > 1 && info.join('  ').length + 2 + Math.min(name.length, ENOUGH_NAME) > width)
    info.pop();
  const right = info.join('  ');
  const text = fitEnd(`${fitStart(name, Math.max(8, width - right.length - 2))}  ${right}`, width);
  return { text, rank: pull.phase === 'resolving' || pull.phase === 'pulling' ? 0 : 2 };
}

function headFields(model: PullModel, pull: PullProgress, { now }: RenderOptions): string[] {
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
      const rate = sumOfRates([pull], now);
      return [
        `${totals.settled}/${countOf(totals.layers, 'layer')}`,
        formatPart(totals.bytes, totals.size),
        ...(rate === undefined ? [] : [formatRate(rate)]),
        ...platform,
      ];
    }
  }
}

/** The rate of all blobs that are under way together. */
function sumOfRates(pulls: readonly PullProgress[], now: number): number | undefined {
  const blobs = pulls.flatMap((pull) => (pull.phase === 'pulling' ? [...pull.blobs.values()] : []));
  const rates = blobs.flatMap((blob) =>
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

interface LayerRow {
  readonly model: PullModel;
  readonly pull: PullProgress;
  readonly layer: LayerProgress;
  readonly state: LayerState;
}

const DIGEST = 12;
const SIZES = 12;
const RATE = 9;
const STATE = 15;
const WIDE_STATE = 22;
const WIDEST_BAR = 40;
const NARROWEST_BAR = 8;

/**
 * ` 4bcff63911fc [####====....] 12.3/45.0 MB 8.1 MB/s downloading`; what does not fit is left out, rate
 * first.
 */
function renderLayer(row: LayerRow, options: RenderOptions): string {
  const width = options.width - 1;
  const stateWidth = width >= 100 ? WIDE_STATE : STATE;
  const fixed = 2 + DIGEST + 2 + SIZES + 2 + stateWidth;
  const withRate = width - fixed - (RATE + 2) - 4 >= NARROWEST_BAR;
  const bar = Math.min(WIDEST_BAR, width - fixed - (withRate ? RATE + 2 : 0) - 4);
  const digest = shortDigest(row.layer.digest, DIGEST).padEnd(DIGEST);
  const label = stateLabel(row, stateWidth);
  if (bar < NARROWEST_BAR) return fitEnd(`  ${digest}  ${label}`, Math.max(1, width));
  return [
    `  ${digest}`,
    `[${paintedBar(row, bar, options)}]`,
    sizesOf(row).padStart(SIZES),
    ...(withRate ? [rateText(row, options.now).padStart(RATE)] : []),
    painted(colorOf(row.state), label, options.color),
  ]
    .join('  ')
    .trimEnd();
}

function paintedBar(row: LayerRow, width: number, { unicode, color }: RenderOptions): string {
  const { layer, pull } = row;
  const whole = Math.max(1, layer.size);
  const settled = isSettled(row.state);
  const part = {
    downloaded: settled ? 1 : downloadedBytes(pull, layer) / whole,
    unpacked: settled ? 1 : layer.unpacked / whole,
  };
  const bar = renderBar(part, width, unicode ? UNICODE_BAR : ASCII_BAR);
  return `${painted('green', bar.unpacked, color)}${painted('cyan', bar.downloaded, color)}${bar.missing}`;
}

function sizesOf({ state, pull, layer }: LayerRow): string {
  return state === 'downloading' || state === 'retrying' || state === 'elsewhere'
    ? formatPart(downloadedBytes(pull, layer), layer.size)
    : formatSize(layer.size);
}

function rateText({ state, pull, layer }: LayerRow, now: number): string {
  const running =
    (state === 'downloading' || state === 'elsewhere') &&
    pull.phase !== 'failed' &&
    downloadedBytes(pull, layer) < layer.size;
  const rate = running ? rateOf(pull.blobs.get(layer.digest)?.samples ?? [], now) : undefined;
  return rate === undefined ? '' : formatRate(rate);
}

function stateLabel({ state, pull, layer }: LayerRow, width: number): string {
  if (pull.phase === 'failed' && !isSettled(state)) return 'stopped';
  switch (state) {
    case 'present':
      return 'already present';
    case 'unpacked':
      return 'committing';
    case 'downloading':
      return layer.unpack === 'unpacking' && width >= WIDE_STATE ? 'downloading, unpacking' : state;
    case 'unpacking':
      return `unpacking ${Math.floor((layer.unpacked * 100) / Math.max(1, layer.size))}%`;
    case 'elsewhere':
      return width >= WIDE_STATE ? 'another pull brings it' : state;
    case 'waiting':
    case 'retrying':
    case 'downloaded':
    case 'done':
      return state;
  }
}

type Color = 'green' | 'cyan' | 'yellow';

function colorOf(state: LayerState): Color | undefined {
  if (state === 'retrying') return 'yellow';
  return isSettled(state) ? 'green' : undefined;
}

function painted(color: Color | undefined, text: string, wanted: boolean): string {
  return color === undefined || !wanted || text === '' ? text : paint(color, text);
}

/** Milliseconds between frames. */
const FRAME = 80;

/** One bar per layer, redrawn in place. Lines of the log go above the bars while these are shown. */
export class BarsDisplay implements ProgressDisplay {
  readonly #context: CommandContext;
  readonly #lines: LiveLines;
  readonly #pending = new PendingEvents();
  readonly #timer: NodeJS.Timeout;
  readonly #begun: number = performance.now();
  readonly #release: () => void;
  #model: PullModel;
  #finished = false;

  constructor(context: CommandContext, options: ProgressDisplayOptions) {
    this.#context = context;
    this.#model = emptyPullModel(options);
    this.#lines = new LiveLines(context.stderr, { onResize: () => this.#frame() });
    this.#timer = setInterval(() => this.#frame(), FRAME).unref();
    this.#release = context.log.divert((text) => this.#lines.above(text));
  }

  show(event: ProgressEvent): void {
    this.#pending.add(event);
  }

  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    clearInterval(this.#timer);
    this.#frame();
    this.#lines.close();
    this.#release();
  }

  #frame(): void {
    for (const event of this.#pending.take()) this.#model = reducePull(this.#model, event);
    if (this.#model.pulls.length === 0) return;
    const { stderr, env } = this.#context;
    const lines = renderPulls(this.#model, {
      width: columnsOf(stderr, env),
      height: rowsOf(stderr),
      now: performance.now() - this.#begun,
      unicode: showsUnicode(env),
      color: wantsColor(stderr, env),
    });
    this.#lines.draw(lines);
  }
}
