import type { BlobRole } from '../../engine/pull/pull-report.js';
import { type Digest, shortDigest } from '../../spec/index.js';

/*
 * Several pulls and their moments, for pictures and summaries. All moments are in milliseconds since the
 * first of the pulls began, by one clock; sizes and rates are in bytes.
 */

export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * A step of a layer. `wait`: nothing happens, since something else has to happen first. `elsewhere`: another
 * pull or process is bringing its blob. A layer may be downloaded and unpacked at once; the other steps
 * exclude each other.
 */
export type LayerStepKind = 'wait' | 'elsewhere' | 'download' | 'unpack' | 'commit';

/**
 * The reason why a layer waits: for a free connection, a free thread (or the end of an unpacking of the same
 * layer by another pull), or that the layers below it are unpacked, since layers are committed in order.
 */
export type WaitedFor = 'download' | 'unpack' | 'parents';

export interface LayerStep extends Span {
  readonly kind: LayerStepKind;
  /** Of `wait` only. */
  readonly waitedFor?: WaitedFor | undefined;
  /** It was not over when the pull ended. */
  readonly open?: boolean;
}

/** A blob that is no layer to be unpacked: an index, a manifest, a config, or what other platforms need. */
export interface TimedBlob {
  readonly role: BlobRole;
  readonly digest: Digest;
  readonly size: number;
  /** The bytes of it that this pull brought. */
  readonly bytes: number;
  readonly steps: readonly LayerStep[];
  /** Pauses and new requests after a download broke. */
  readonly retries: readonly Span[];
  /** When it was seen to be here already. */
  readonly presentAt?: number | undefined;
}

export interface TimedLayer extends TimedBlob {
  /** Counted from the bottom, from 1. */
  readonly number: number;
  /** When the layer was seen to be unpacked already. */
  readonly reusedAt?: number | undefined;
  /** When it could be committed as far as it and the layers below are concerned. */
  readonly readyAt?: number | undefined;
  /** When nothing was left to do for it. */
  readonly settledAt?: number | undefined;
}

export interface TimedNote {
  readonly at: number;
  readonly text: string;
}

export type PullOutcome = 'done' | 'failed' | 'interrupted' | 'running';

/** One image. */
export interface TimedPull extends Span {
  /** Canonical, or as it was typed where it is no reference. */
  readonly reference: string;
  readonly outcome: PullOutcome;
  /** Why it failed. */
  readonly error?: string | undefined;
  readonly digest?: Digest | undefined;
  /** `linux/arm64` */
  readonly platform?: string | undefined;
  /** Until the target was known; absent when the pull ended before it asked. */
  readonly resolve?: Span | undefined;
  /** Index, manifest and config, in the order in which they were asked for. */
  readonly documents: readonly TimedBlob[];
  /** Bottom first. */
  readonly layers: readonly TimedLayer[];
  /** Of other platforms. */
  readonly others: readonly TimedBlob[];
  /** From the last layer to the end: the image becomes durable and gets its name. */
  readonly record?: Span | undefined;
  readonly warnings: readonly TimedNote[];
}

/** Bytes that came over the network in equal parts of the time, the first of which begins at 0. */
export interface Throughput {
  /** Milliseconds. */
  readonly interval: number;
  readonly bytes: readonly number[];
}

export interface Timeline {
  /** The first pull began at 0; the last one ended, or this was drawn, now. */
  readonly end: number;
  /** The moment 0 by the calendar. */
  readonly begun: Date;
  readonly pulls: readonly TimedPull[];
  readonly throughput: Throughput;
}

/**
 * A step that a pull as a whole was waiting for. `check`: its signatures, and whether it is here already;
 * `manifests`: manifests and config; `record`: the image is made durable and gets its name.
 */
type PullStepKind = 'resolve' | 'check' | 'manifests' | LayerStep['kind'] | 'record';

export interface PullStep extends Span {
  readonly kind: PullStepKind;
  /** Of a step of a layer. */
  readonly layer?: TimedLayer | undefined;
  readonly waitedFor?: WaitedFor | undefined;
}

/**
 * The steps that had to happen before a pull could end, one after the other, from its beginning to its end:
 * all that happened beside them cost no time. Followed from the end backwards: the last commit waited for
 * the layer that was unpacked last, which waited for its download, and so on. A layer that is unpacked while
 * it arrives counts as downloading until it is here.
 */
export function whereTimeWent(pull: TimedPull): readonly PullStep[] {
  const steps: PullStep[] = [];
  let until = pull.end;
  const reached = (step: PullStep): void => {
    const start = Math.min(Math.max(step.start, pull.start), until);
    const end = Math.min(step.end, until);
    if (end > start) steps.unshift({ ...step, start, end });
    until = Math.min(until, start);
  };
  if (pull.record !== undefined) reached({ kind: 'record', ...pull.record });
  for (const step of layerSteps(pull)) reached(step);
  const { resolve } = pull;
  const asked = Math.min(...pull.documents.flatMap(begunAt));
  if (asked < Infinity) reached({ kind: 'manifests', start: asked, end: until });
  if (resolve !== undefined) {
    reached({ kind: 'check', start: resolve.end, end: until });
    reached({ kind: 'resolve', ...resolve });
  }
  return steps;
}

/** The longest of what a pull waited for; undefined where it did nothing. */
export function longestStep(pull: TimedPull): PullStep | undefined {
  return whereTimeWent(pull).reduce<PullStep | undefined>(
    (longest, step) => (longest === undefined || lengthOf(step) > lengthOf(longest) ? step : longest),
    undefined,
  );
}

/**
 * Of several pulls the one that says most about how long all of them took: the last, unless that mostly
 * waited for another one of them, about which there is more to say.
 */
export function decisivePull(pulls: readonly TimedPull[]): TimedPull | undefined {
  const latest = [...pulls].sort((a, b) => b.end - a.end);
  const waited = (pull: TimedPull): boolean => {
    const kind = longestStep(pull)?.kind;
    return kind === 'elsewhere' || kind === 'wait';
  };
  return latest.find((pull) => !waited(pull)) ?? latest[0];
}

export function lengthOf({ start, end }: Span): number {
  return end - start;
}

/** Of the layer that was last, newest first. */
function layerSteps(pull: TimedPull): readonly PullStep[] {
  const last = lastLayer(pull);
  if (last === undefined) return [];
  const committed = last.steps.find(({ kind }) => kind === 'commit');
  // Layers are committed in order, so those below may have kept it waiting.
  const blocking = committed === undefined ? last : blockingLayer(pull, last);
  const ordered = [...blocking.steps]
    .filter(({ kind, waitedFor }) => kind !== 'commit' && waitedFor !== 'parents')
    .sort((a, b) => b.start - a.start);
  const hereAt = Math.max(
    0,
    ...ordered.filter(({ kind }) => kind === 'download' || kind === 'elsewhere').map(({ end }) => end),
  );
  return [
    ...(committed === undefined ? [] : [{ ...committed, layer: last }]),
    ...ordered.map((step) => {
      const start = step.kind === 'unpack' ? Math.min(step.end, Math.max(step.start, hereAt)) : step.start;
      return { ...step, start, layer: blocking };
    }),
  ].sort((a, b) => b.end - a.end);
}

/**
 * The one that was settled last; where the pull broke off, the one that something was done for the longest.
 */
function lastLayer({ layers }: TimedPull): TimedLayer | undefined {
  const open = layers.filter(({ settledAt }) => settledAt === undefined);
  if (open.length > 0) return longest(open, (layer) => openFor(layer));
  return longest(layers, ({ settledAt }) => settledAt ?? 0);
}

function openFor({ steps }: TimedLayer): number {
  const working = steps.filter(({ open, kind }) => open === true && kind !== 'wait');
  return Math.max(-1, ...working.map(lengthOf));
}

function blockingLayer({ layers }: TimedPull, last: TimedLayer): TimedLayer {
  const below = layers.filter(({ number }) => number <= last.number);
  return longest(below, unpackedAt) ?? last;
}

function unpackedAt({ steps, reusedAt }: TimedLayer): number {
  return Math.max(reusedAt ?? 0, ...steps.filter(({ kind }) => kind === 'unpack').map(({ end }) => end));
}

/** Of several the uppermost. */
function longest(
  layers: readonly TimedLayer[],
  measure: (layer: TimedLayer) => number,
): TimedLayer | undefined {
  return layers.reduce<TimedLayer | undefined>(
    (best, layer) => (best === undefined || measure(layer) >= measure(best) ? layer : best),
    undefined,
  );
}

function begunAt({ steps, presentAt }: Pick<TimedLayer, 'steps' | 'presentAt'>): number[] {
  const first = steps[0]?.start ?? presentAt;
  return first === undefined ? [] : [first];
}

/** The words for each step in a sentence, given the name of the layer. */
const STEPS: Readonly<Record<PullStepKind, (layer: string, waitedFor: WaitedFor | undefined) => string>> = {
  resolve: () => 'asking what the name stands for',
  check: () => 'checking the store and the policy',
  manifests: () => 'fetching manifests and config',
  wait: (layer, waitedFor = 'download') => WAITS[waitedFor] + layer,
  elsewhere: (layer) => `waiting for another pull to bring ${layer}`,
  download: (layer) => `downloading ${layer}`,
  unpack: (layer) => `unpacking ${layer}`,
  commit: (layer) => `committing ${layer}`,
  record: () => 'recording the image',
};
const WAITS: Readonly<Record<WaitedFor, string>> = {
  unpack: 'waiting to unpack ',
  parents: 'waiting for the layers below ',
  download: 'waiting to download ',
};

/** A step of a pull, as it stands in a sentence: `downloading layer 3`. */
export function stepWords(
  { kind, layer, waitedFor }: PullStep,
  layerName: (layer: TimedLayer) => string = layerWords,
): string {
  return STEPS[kind](layer === undefined ? 'the layers' : layerName(layer), waitedFor);
}

function layerWords({ number }: TimedLayer): string {
  return `layer ${number}`;
}

/** The same with the digest, for where there is no picture to look it up in: `layer 3 (4bcff63911fc)`. */
export function layerWithDigest({ number, digest }: TimedLayer): string {
  return `layer ${number} (${shortDigest(digest)})`;
}

/** As programs read it: of a layer one of its four steps. */
export function stepName(
  kind: PullStepKind,
): 'resolve' | 'check' | 'manifests' | 'wait' | 'download' | 'unpack' | 'commit' | 'record' {
  return kind === 'elsewhere' ? 'wait' : kind;
}
