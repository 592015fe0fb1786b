import type { PullResult } from '../../engine/pull/pull-report.js';
import { formatPlatform } from '../../spec/index.js';
import { countOf, formatDuration, formatRate, formatSize } from '../format/size.js';
import { printable } from '../format/table.js';
import type { TimelineRecorder } from '../timeline/timeline-recorder.js';
import type { LayerStepKind, TimedLayer, TimedPull } from '../timeline/timeline.js';
import {
  decisivePull,
  layerWithDigest,
  lengthOf,
  longestStep,
  type PullStep,
  stepName,
  stepWords,
} from '../timeline/where-time-went.js';

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

/** What a pull did, in a few lines: what is here now, how much of it is new, what it took and what took longest. */
export function renderPullSummary(report: PullReport): string {
  const { result } = report;
  const isUpToDate = result.bytesDownloaded === 0 && newLayers(result).length === 0;
  const lines = [
    `digest    ${result.digest}`,
    `platform  ${printable(formatPlatform(result.platform))}`,
    ...signers(result).map((signer) => `signed    by ${printable(signer)}`),
    ...(isUpToDate ? [upToDateLine(report)] : workLines(report)),
    ...freedLines(result),
  ];
  return `${printable(result.reference)}\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/** What several pulls did together, in two lines at most; nothing where there was only one. */
export function renderPullTotal(reports: readonly PullReport[], asked: number): string {
  if (asked < 2 || reports.length === 0) return '';
  const results = reports.map(({ result }) => result);
  const bytes = sumOf(results.map(({ bytesDownloaded }) => bytesDownloaded));
  const layers = sumOf(results.map((result) => result.layers.length));
  const fresh = sumOf(results.map((result) => newLayers(result).length));
  const reused = sumOf(reports.map(({ bytesReused }) => bytesReused));
  const start = Math.min(...reports.map(({ timed }) => timed.start));
  const ms = Math.max(...reports.map(({ timed }) => timed.end)) - start;
  const decisive = decisivePull(reports.map(({ timed }) => timed));
  const last = reports.find(({ timed }) => timed === decisive);
  const images = reports.length < asked ? `${reports.length} of ${asked} images` : `${asked} images`;
  const moved =
    bytes === 0 ? 'nothing was downloaded' : `${formatSize(bytes)} downloaded${rate(bytes, ms, ' at ')}`;
  const kept = `${layers - fresh} reused${sizeOf(reused)}`;
  return [
    `${images} in ${formatDuration(ms)}: ${moved}; ${countOf(fresh, 'layer')} new, ${kept}\n`,
    ...(bytes === 0 || last === undefined ? [] : [slowestOf(last)]),
  ].join('');
}

function slowestOf({ result, slowest }: PullReport): string {
  if (slowest === undefined) return '';
  const took = formatDuration(lengthOf(slowest));
  return `  longest   ${took} ${stepWords(slowest, layerWithDigest)} of ${printable(result.reference)}\n`;
}

function upToDateLine({ result, timed, bytesReused }: PullReport): string {
  const here = `${countOf(result.layers.length, 'layer')} already present`;
  const size = bytesReused === 0 ? '' : `, ${formatSize(bytesReused)}`;
  return `up to date: nothing was downloaded (${here}${size}, ${formatDuration(lengthOf(timed))})`;
}

function workLines({ result, timed, bytesReused, slowest }: PullReport): readonly string[] {
  const { bytesDownloaded, fetchMs, unpackMs, chainId } = result;
  const fresh = newLayers(result);
  const kept = `${result.layers.length - fresh.length} reused${sizeOf(bytesReused)}`;
  const unpacked = sumOf(fresh.map(({ size }) => size));
  const part = slowest === undefined ? '' : `, of which ${formatDuration(lengthOf(slowest))} `;
  return [
    `layers    ${fresh.length} new, ${kept}`,
    bytesDownloaded === 0
      ? 'download  nothing was downloaded'
      : `download  ${formatSize(bytesDownloaded)} in ${formatDuration(fetchMs)}${rate(bytesDownloaded, fetchMs, ', ')}`,
    ...(chainId === undefined || fresh.length === 0
      ? []
      : [
          `unpack    ${formatSize(unpacked)} in ${formatDuration(unpackMs)}${rate(unpacked, unpackMs, ', ')}`,
        ]),
    `time      ${formatDuration(lengthOf(timed))}${part}${slowest === undefined ? '' : stepWords(slowest, layerWithDigest)}`,
  ];
}

function freedLines({ bytesDiscarded, layers }: PullResult): readonly string[] {
  if (bytesDiscarded === 0) return [];
  const discarded = layers.filter((layer) => layer.discarded).length;
  return [
    `freed     ${formatSize(bytesDiscarded)} of disk: ${countOf(discarded, 'layer')} kept unpacked only`,
  ];
}

function newLayers({ layers }: PullResult): PullResult['layers'] {
  return layers.filter(({ reused }) => !reused);
}

function signers({ signatures = [] }: PullResult): readonly string[] {
  return [...new Set(signatures.map(({ signedBy }) => signedBy))];
}

function sizeOf(bytes: number): string {
  return bytes === 0 ? '' : ` (${formatSize(bytes)})`;
}

/** A rate over a few milliseconds says nothing. */
function rate(bytes: number, milliseconds: number, before: string): string {
  return milliseconds < 100 ? '' : `${before}${formatRate((bytes * 1000) / milliseconds)}`;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
