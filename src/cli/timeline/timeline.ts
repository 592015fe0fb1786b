import type { BlobRole } from '../../engine/pull/pull-report.js';
import type { Digest } from '../../spec/index.js';

/*
 * What several pulls did and when, for pictures and summaries. All moments are in milliseconds since the first of the pulls began,
 * by one clock; sizes and rates are in bytes.
 */

export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * What happens to a layer. `wait`: nothing, since something else has to happen first. `elsewhere`: another pull or process is
 * bringing its blob. A layer may be downloaded and unpacked at once; the other steps exclude each other.
 */
export type LayerStepKind = 'wait' | 'elsewhere' | 'download' | 'unpack' | 'commit';

/**
 * What a layer waits for: a free connection, a free thread (or the end of an unpacking of the same layer by another pull), or that
 * the layers below it are unpacked, since layers are committed in order.
 */
export type WaitedFor = 'download' | 'unpack' | 'parents';

export interface LayerStep extends Span {
  readonly kind: LayerStepKind;
  /** Of `wait` only. */
  readonly waitedFor?: WaitedFor;
  /** It was not over when the pull ended. */
  readonly open?: true;
}

/** A blob that is no layer to be unpacked: an index, a manifest, a config, or what other platforms need. */
export interface TimedBlob {
  readonly role: BlobRole;
  readonly digest: Digest;
  readonly size: number;
  /** How much of it this pull brought. */
  readonly bytes: number;
  readonly steps: readonly LayerStep[];
  /** Pauses and new requests after a download broke. */
  readonly retries: readonly Span[];
  /** When it was seen to be here already. */
  readonly presentAt?: number;
}

export interface TimedLayer extends TimedBlob {
  /** Counted from the bottom, from 1. */
  readonly number: number;
  /** When the layer was seen to be unpacked already. */
  readonly reusedAt?: number;
  /** When it could be committed as far as it and the layers below are concerned. */
  readonly readyAt?: number;
  /** When nothing was left to do for it. */
  readonly settledAt?: number;
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
  readonly error?: string;
  readonly digest?: Digest;
  /** `linux/arm64` */
  readonly platform?: string;
  /** Until the target was known; absent when the pull ended before it asked. */
  readonly resolve?: Span;
  /** Index, manifest and config, in the order in which they were asked for. */
  readonly documents: readonly TimedBlob[];
  /** Bottom first. */
  readonly layers: readonly TimedLayer[];
  /** Of other platforms. */
  readonly others: readonly TimedBlob[];
  /** From the last layer to the end: the image becomes durable and gets its name. */
  readonly record?: Span;
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
