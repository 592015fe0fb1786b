import { formatPart, formatRate, formatSize, shortDigest } from '../../spec/index.js';
import { countOf, printable } from '../format/text.js';
import type { Log } from '../output/log.js';
import type { ProgressDisplay, ProgressDisplayOptions } from './pull-model.js';
import {
  allTotals,
  emptyPullModel,
  imagesDone,
  layerState,
  type LayerState,
  type ProgressEvent,
  type PullModel,
  type PullProgress,
  pullTotals,
  reducePull,
} from './pull-model.js';

/** Milliseconds of silence after which pulls that still run say how far they are. */
const HEARTBEAT = 10_000;

/** Plain lines, for logs and pipes. */
export class PlainDisplay implements ProgressDisplay {
  readonly #log: Pick<Log, 'write'>;
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;
  #model: PullModel;

  constructor(log: Pick<Log, 'write'>, options: ProgressDisplayOptions) {
    this.#log = log;
    this.#model = emptyPullModel(options);
    this.#timer = setInterval(() => this.#beat(), HEARTBEAT).unref();
  }

  show(event: ProgressEvent): void {
    const before = this.#model;
    this.#model = reducePull(before, event);
    const lines = plainLines(before, this.#model, event);
    if (lines.length === 0) return;
    this.#timer.refresh();
    for (const line of lines) this.#log.write(`${line}\n`);
  }

  finish(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const { bytes } = allTotals(this.#model);
    const line = heartbeatLine(this.#model, ((bytes - this.#bytes) * 1000) / HEARTBEAT);
    this.#bytes = bytes;
    if (line !== undefined) this.#log.write(`${line}\n`);
  }
}

/**
 * The lines of an event where there is no terminal: one line for each change that a reader of a log
 * would look for, none for bytes. `before` and `after` are the models around the event.
 */
export function plainLines(before: PullModel, after: PullModel, event: ProgressEvent): string[] {
  const pull = pullOf(after, event.reference);
  if (pull === undefined) return [];
  const isOver = event.type === 'done' || event.type === 'failed';
  const over = after.pulls.filter(({ phase }) => phase === 'done' || phase === 'failed').length;
  const count = isOver && after.images > 1 ? `[${over}/${after.images}] ` : '';
  return infoOf(before, after, pull, event).map((fact) => `${count}${printable(event.reference)}: ${fact}`);
}

/**
 * A sign of life for a long download, in one line for all images: how far it is, and how fast it went since
 * the last such line. Nothing before an image is known, and when all are done.
 */
export function heartbeatLine(model: PullModel, bytesPerSecond: number): string | undefined {
  const running = model.pulls.filter(({ phase }) => phase === 'pulling' || phase === 'resolving');
  const { settled, layers, bytes, size } = allTotals(model);
  const [only] = model.pulls;
  if (running.length === 0 || layers === 0 || only === undefined) return undefined;
  const about = model.images === 1 ? `${printable(only.reference)}:` : `${imagesDone(model)},`;
  const rate = formatRate(Math.max(0, bytesPerSecond));
  return `${about} ${formatPart(bytes, size)}, ${settled} of ${countOf(layers, 'layer')} done, ${rate}`;
}

function pullOf(model: PullModel, reference: string): PullProgress | undefined {
  return model.pulls.find((pull) => pull.reference === reference);
}

function infoOf(before: PullModel, after: PullModel, pull: PullProgress, event: ProgressEvent): string[] {
  switch (event.type) {
    case 'resolving':
      return ['resolving'];
    case 'resolved':
      return [`resolved ${event.digest}`];
    case 'image': {
      const size = event.layers.reduce((sum, layer) => sum + layer.size, 0);
      return [`${pull.platform ?? ''}, ${countOf(event.layers.length, 'layer')}, ${formatSize(size)}`];
    }
    case 'blob':
    case 'layer':
      return layerInfo(before, after, pull, event);
    case 'done': {
      const { layers, present } = pullTotals(after, pull);
      if (event.bytesDownloaded === 0 && present === layers) return ['up to date'];
      const counts = `${layers - present} new, ${present} already present`;
      return [
        `done: ${countOf(layers, 'layer')} (${counts}), ${formatSize(event.bytesDownloaded)} downloaded`,
      ];
    }
    case 'failed':
      return ['failed'];
    case 'omitted':
    case 'warning':
      // Warnings go to the log, whatever the progress is shown by.
      return [];
  }
}

function layerInfo(
  before: PullModel,
  after: PullModel,
  pull: PullProgress,
  event: Extract<ProgressEvent, { type: 'blob' | 'layer' }>,
): string[] {
  const earlier = pullOf(before, event.reference);
  return pull.layers.flatMap((layer, at) => {
    if (layer.digest !== event.digest) return [];
    const state = layerState(after, pull, layer);
    const old = earlier?.layers[at];
    if (earlier !== undefined && old !== undefined && layerState(before, earlier, old) === state) return [];
    const reported = describeState(state, pull.blobs.get(layer.digest)?.bytes ?? 0, layer.size);
    return reported === undefined ? [] : [`layer ${shortDigest(layer.digest)}: ${reported}`];
  });
}

/**
 * Present layers are counted at the end: an image that is up to date is worth one line, not one per layer.
 */
function describeState(state: LayerState, bytes: number, size: number): string | undefined {
  switch (state) {
    case 'downloading':
      return bytes > 0
        ? `downloading, ${formatPart(bytes, size)} are here`
        : `downloading ${formatSize(size)}`;
    case 'elsewhere':
      return 'another pull is bringing it';
    case 'retrying':
      return `retrying at ${formatPart(bytes, size)}`;
    case 'done':
      return 'done';
    case 'waiting':
    case 'downloaded':
    case 'unpacking':
    case 'unpacked':
    case 'present':
      return undefined;
  }
}
