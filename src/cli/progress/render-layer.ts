import { styleText } from 'node:util';
import { shortDigest } from '../../spec/index.js';
import { fitEnd } from '../format/fit.js';
import { formatPart, formatRate, formatSize } from '../format/size.js';
import { ASCII_BAR, renderBar, UNICODE_BAR } from './bar.js';
import {
  downloadedBytes,
  isSettled,
  type LayerProgress,
  type LayerState,
  type PullModel,
  type PullProgress,
} from './pull-model.js';
import { rateOf } from './rate.js';

export interface LayerRow {
  readonly model: PullModel;
  readonly pull: PullProgress;
  readonly layer: LayerProgress;
  readonly state: LayerState;
}

export interface RenderLayerOptions {
  readonly width: number;
  readonly now: number;
  readonly unicode: boolean;
  readonly color: boolean;
}

const DIGEST = 12;
const SIZES = 12;
const RATE = 9;
const STATE = 15;
const WIDE_STATE = 22;
const WIDEST_BAR = 40;
const NARROWEST_BAR = 8;

/** `  4bcff63911fc  [####====....]  12.3/45.0 MB  8.1 MB/s  downloading`; what does not fit is left out, rate first. */
export function renderLayer(row: LayerRow, options: RenderLayerOptions): string {
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
    paint(colorOf(row.state), label, options.color),
  ]
    .join('  ')
    .trimEnd();
}

function paintedBar(row: LayerRow, width: number, { unicode, color }: RenderLayerOptions): string {
  const { layer, pull } = row;
  const whole = Math.max(1, layer.size);
  const settled = isSettled(row.state);
  const part = {
    downloaded: settled ? 1 : downloadedBytes(pull, layer) / whole,
    unpacked: settled ? 1 : layer.unpacked / whole,
  };
  const bar = renderBar(part, width, unicode ? UNICODE_BAR : ASCII_BAR);
  return `${paint('green', bar.unpacked, color)}${paint('cyan', bar.downloaded, color)}${bar.missing}`;
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

type Color = 'green' | 'cyan' | 'yellow' | undefined;

function colorOf(state: LayerState): Color {
  if (state === 'retrying') return 'yellow';
  return isSettled(state) ? 'green' : undefined;
}

function paint(color: Color, text: string, wanted: boolean): string {
  // Whether to paint was decided before, from the stream and NO_COLOR.
  return color === undefined || !wanted || text === ''
    ? text
    : styleText(color, text, { validateStream: false });
}
