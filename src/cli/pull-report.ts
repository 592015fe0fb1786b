import type { PullResult } from '../engine/pull-result.js';
import { formatPlatform } from '../spec/index.js';
import { stepName } from './timeline/step-words.js';
import type { LayerStepKind, TimedLayer, TimedPull } from './timeline/timeline.js';
import type { TimelineRecorder } from './timeline/timeline-recorder.js';
import { lengthOf, longestStep, type PullStep } from './timeline/where-time-went.js';

/** What became of a pull, and how long each part of it took. */
export interface PullReport {
  readonly result: PullResult;
  readonly timed: TimedPull;
  /** Bytes of the layers' blobs that it did not have to bring. */
  readonly bytesReused: number;
  /** What it waited for the longest. */
  readonly slowest: PullStep | undefined;
}

export function pullReport(result: PullResult, recorder: TimelineRecorder): PullReport {
  const timed = recorder.pull(result.reference);
  const bytesReused = recorder.bytesReused(result.reference);
  return { result, timed, bytesReused, slowest: longestStep(timed) };
}

/** A pull as `--output json` has it. */
export function pullReportJson({ result, timed, bytesReused, slowest }: PullReport): object {
  const { reference, digest, mediaType, platform, layers, ...rest } = result;
  const timedLayers = new Map(timed.layers.map((layer) => [layer.number, layer]));
  return {
    reference,
    digest,
    mediaType,
    platform: formatPlatform(platform),
    ...rest,
    layers: layers.map((layer, at) => ({ ...layer, ...layerTimes(timedLayers.get(at + 1)) })),
    bytesReused,
    durationMs: Math.round(lengthOf(timed)),
    ...(slowest === undefined ? {} : { slowest: slowestJson(slowest) }),
  };
}

function slowestJson(step: PullStep): object {
  const { kind, layer } = step;
  return {
    step: stepName(kind),
    ...(layer === undefined ? {} : { layer: layer.number, digest: layer.digest }),
    durationMs: Math.round(lengthOf(step)),
  };
}

function layerTimes(layer: TimedLayer | undefined): object {
  const sum = (...kinds: readonly LayerStepKind[]): number =>
    Math.round(
      (layer?.steps ?? [])
        .filter(({ kind }) => kinds.includes(kind))
        .reduce((total, step) => total + lengthOf(step), 0),
    );
  return {
    waitMs: sum('wait', 'elsewhere'),
    downloadMs: sum('download'),
    unpackMs: sum('unpack'),
    commitMs: sum('commit'),
  };
}
