import { shortDigest } from '../../spec/index.js';
import { countOf, formatPart, formatRate, formatSize, printable } from '../format/text.js';
import type { Log } from '../output/log.js';
import type { ProgressDisplay } from './pull-model.js';
import {
  emptyPullModel,
  layerState,
  type LayerState,
  type ProgressEvent,
  type PullModel,
  type PullProgress,
  pullTotals,
  reducePull,
} from './pull-model.js';

/** Milliseconds of silence after which a pull that still downloads says how far it is. */
const HEARTBEAT = 10_000;

/** Plain lines, for logs and pipes. */
export class PlainDisplay implements ProgressDisplay {
  readonly #log: Pick<Log, 'write'>;
  readonly #timer: NodeJS.Timeout;
  readonly #bytes = new Map<string, number>();
  #model: PullModel;

  constructor(log: Pick<Log, 'write'>, options: { readonly unpack: boolean }) {
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
    for (const pull of this.#model.pulls) {
      const { bytes } = pullTotals(this.#model, pull);
      const before = this.#bytes.get(pull.reference) ?? 0;
      this.#bytes.set(pull.reference, bytes);
      if (pull.phase !== 'pulling' || pull.layers.length === 0) continue;
      this.#log.write(`${heartbeatLine(this.#model, pull, ((bytes - before) * 1000) / HEARTBEAT)}\n`);
    }
  }
}

/**
 * The lines of an event where there is no terminal: one line for each change that a reader of a log
 * would look for, none for bytes. `before` and `after` are the models around the event.
 */
export function plainLines(before: PullModel, after: PullModel, event: ProgressEvent): string[] {
  const pull = pullOf(after, event.reference);
  if (pull === undefined) return [];
  return infoOf(before, after, pull, event).map((fact) => `${printable(event.reference)}: ${fact}`);
}

/** A sign of life for a long download: how far it is, and how fast it went since the last such line. */
export function heartbeatLine(model: PullModel, pull: PullProgress, bytesPerSecond: number): string {
  const { settled, layers, bytes, size } = pullTotals(model, pull);
  const rate = formatRate(Math.max(0, bytesPerSecond));
  return `${printable(pull.reference)}: ${formatPart(bytes, size)}, ${settled} of ${countOf(layers, 'layer')} done, ${rate}`;
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
