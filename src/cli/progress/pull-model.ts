import type { PullEvent } from '../../engine/pull/pull-report.js';
import { chainIds, type Digest, formatPlatform } from '../../spec/index.js';
import { countOf } from '../format/text.js';
import { type Samples, withSample } from './rate.js';

/** Shows what pulls tell, on standard error. */
export interface ProgressDisplay {
  show(event: ProgressEvent): void;
  /** Draws the last state and leaves the terminal as it was; nothing is shown after it. */
  finish(): void;
}

export interface ProgressDisplayOptions {
  /** Whether layers are unpacked, or only downloaded. */
  readonly unpack: boolean;
  /** How many images are pulled; more than have told something yet. Default: as many as have. */
  readonly images?: number;
  /** Only the result is wanted, so that `auto` means none. */
  readonly quiet?: boolean;
}

type BlobEvent = Extract<PullEvent, { type: 'blob' }>;
type LayerEvent = Extract<PullEvent, { type: 'layer' }>;
type ImageEvent = Extract<PullEvent, { type: 'image' }>;

/** The events that displays get: those of the pulls, and the failure of a pull. */
export type ProgressEvent = PullEvent | { readonly type: 'failed'; readonly reference: string };

/** Several pulls at once, in the order of their first events. */
export interface PullModel {
  /** Whether the pulls unpack: without it a layer is done when its blob is here. */
  readonly unpack: boolean;
  /** How many pulls there are, those included that have not told anything yet. */
  readonly images: number;
  readonly pulls: readonly PullProgress[];
}

export interface PullProgress {
  readonly reference: string;
  readonly phase: 'resolving' | 'pulling' | 'done' | 'failed';
  readonly digest: Digest | undefined;
  /** Of the chosen image; undefined before that is known. */
  readonly platform: string | undefined;
  /** Bottom first. */
  readonly layers: readonly LayerProgress[];
  readonly blobs: ReadonlyMap<Digest, BlobProgress>;
  /** Once done. */
  readonly bytesDownloaded: number;
}

export interface BlobProgress {
  readonly role: BlobEvent['role'];
  readonly size: number;
  readonly state: BlobEvent['state'];
  /** Bytes that are here. */
  readonly bytes: number;
  readonly samples: Samples;
}

export interface LayerProgress {
  readonly digest: Digest;
  readonly chainId: Digest | undefined;
  readonly size: number;
  readonly unpack: LayerEvent['state'] | 'none';
  /** Compressed bytes that went into the snapshot. */
  readonly unpacked: number;
}

/** The state of a layer, in one word. */
export type LayerState =
  | 'waiting'
  | 'elsewhere'
  | 'downloading'
  | 'retrying'
  | 'downloaded'
  | 'unpacking'
  | 'unpacked'
  | 'done'
  | 'present';

export function emptyPullModel({ unpack, images = 1 }: ProgressDisplayOptions): PullModel {
  return { unpack, images, pulls: [] };
}

/** The model after an event; the model before it is left as it was. */
export function reducePull(model: PullModel, event: ProgressEvent): PullModel {
  const at = model.pulls.findIndex((pull) => pull.reference === event.reference);
  const before = model.pulls[at] ?? newPull(event.reference);
  const after = nextPull(before, event);
  if (at < 0) {
    const pulls = [...model.pulls, after];
    return { ...model, images: Math.max(model.images, pulls.length), pulls };
  }
  return after === before ? model : { ...model, pulls: model.pulls.with(at, after) };
}

function newPull(reference: string): PullProgress {
  return {
    reference,
    phase: 'resolving',
    digest: undefined,
    platform: undefined,
    layers: [],
    blobs: new Map(),
    bytesDownloaded: 0,
  };
}

function nextPull(pull: PullProgress, event: ProgressEvent): PullProgress {
  switch (event.type) {
    case 'resolving':
      return { ...pull, phase: 'resolving' };
    case 'resolved':
      return { ...pull, phase: 'pulling', digest: event.digest };
    case 'image':
      return { ...pull, platform: formatPlatform(event.platform), layers: layersOf(event) };
    case 'blob':
      return {
        ...pull,
        blobs: new Map(pull.blobs).set(event.digest, nextBlob(pull.blobs.get(event.digest), event)),
      };
    case 'layer':
      return { ...pull, layers: pull.layers.map((layer) => nextLayer(layer, event)) };
    case 'omitted':
    case 'warning':
      return pull;
    case 'done':
      return { ...pull, phase: 'done', bytesDownloaded: event.bytesDownloaded };
    case 'failed':
      return { ...pull, phase: 'failed' };
  }
}

function layersOf({ layers }: ImageEvent): LayerProgress[] {
  // One digest may stand twice in an image, its chain ID never does.
  const chains = chainIds(layers.map((layer) => layer.diffId));
  return layers.map(({ digest, size }, at) => ({
    digest,
    size,
    chainId: chains[at],
    unpack: 'none',
    unpacked: 0,
  }));
}

function nextBlob(before: BlobProgress | undefined, event: BlobEvent): BlobProgress {
  const { role, size, state } = event;
  const bytes = state === 'done' || state === 'present' ? size : event.bytes;
  // Bytes that a retry fetches again say nothing about the rate.
  const kept = before?.state === state ? before.samples : [];
  return { role, size, state, bytes, samples: withSample(kept, { at: event.at, bytes }) };
}

function nextLayer(layer: LayerProgress, event: LayerEvent): LayerProgress {
  if (layer.chainId !== event.chainId) return layer;
  const unpacked = event.state === 'unpacking' ? Math.min(event.bytes, layer.size) : layer.size;
  return { ...layer, unpack: event.state, unpacked };
}

export function layerState(model: PullModel, pull: PullProgress, layer: LayerProgress): LayerState {
  if (layer.unpack === 'committed') return 'done';
  if (layer.unpack === 'present') return 'present';
  const download = pull.blobs.get(layer.digest)?.state;
  switch (download) {
    case 'downloading':
    case 'retrying':
      return download;
    case 'present':
    case 'done':
      if (!model.unpack) return download;
      if (layer.unpack !== 'none') return layer.unpack;
      return download === 'done' ? 'downloaded' : 'waiting';
    case 'waiting':
    case 'elsewhere':
    case undefined:
      // Another pull may be bringing the blob while this one already unpacks it.
      return layer.unpack === 'none' ? (download ?? 'waiting') : layer.unpack;
  }
}

/** Whether nothing more is to be done for a layer. */
export function isSettled(state: LayerState): boolean {
  return state === 'done' || state === 'present';
}

/** The bytes of a layer's blob that are here. */
export function downloadedBytes(pull: PullProgress, layer: LayerProgress): number {
  if (layer.unpack === 'committed' || layer.unpack === 'present') return layer.size;
  return Math.min(pull.blobs.get(layer.digest)?.bytes ?? 0, layer.size);
}

export interface PullTotals {
  readonly layers: number;
  readonly settled: number;
  readonly present: number;
  /** Bytes of the layers' blobs that are here, and that there are. */
  readonly bytes: number;
  readonly size: number;
}

/** Counts over one pull: the chosen image's layers, and with all platforms the other layers too. */
export function pullTotals(model: PullModel, pull: PullProgress): PullTotals {
  return totalsOf(layersOfPull(model, pull));
}

/** Counts over several pulls: what several of them need is brought once, and counts once. */
export function allTotals(model: PullModel): PullTotals {
  const layers = new Map<Digest, CountedLayer>();
  for (const layer of model.pulls.flatMap((pull) => layersOfPull(model, pull))) {
    const known = layers.get(layer.digest);
    const bytes = Math.max(layer.bytes, known?.bytes ?? 0);
    layers.set(layer.digest, { ...layer, bytes, settled: layer.settled && known?.settled !== false });
  }
  return totalsOf([...layers.values()]);
}

/** `2 of 20 images`, `2 of 20 images, 1 failed` */
export function imagesDone({ images, pulls }: PullModel): string {
  const failed = pulls.filter(({ phase }) => phase === 'failed').length;
  const done = pulls.filter(({ phase }) => phase === 'done').length;
  return `${done} of ${countOf(images, 'image')}${failed === 0 ? '' : `, ${failed} failed`}`;
}

interface CountedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly bytes: number;
  readonly settled: boolean;
  readonly present: boolean;
}

function layersOfPull(model: PullModel, pull: PullProgress): CountedLayer[] {
  const own = new Set(pull.layers.map((layer) => layer.digest));
  const others = [...pull.blobs].filter(([digest, blob]) => blob.role === 'layer' && !own.has(digest));
  return [
    ...pull.layers.map((layer) => {
      const state = layerState(model, pull, layer);
      const { digest, size } = layer;
      const bytes = downloadedBytes(pull, layer);
      return { digest, size, bytes, settled: isSettled(state), present: state === 'present' };
    }),
    ...others.map(([digest, { size, bytes, state }]) => {
      const present = state === 'present';
      return { digest, size, bytes, settled: present || state === 'done', present };
    }),
  ];
}

function totalsOf(layers: readonly CountedLayer[]): PullTotals {
  return {
    layers: layers.length,
    settled: layers.filter(({ settled }) => settled).length,
    present: layers.filter(({ present }) => present).length,
    bytes: layers.reduce((sum, { bytes }) => sum + bytes, 0),
    size: layers.reduce((sum, { size }) => sum + size, 0),
  };
}

/**
 * Events between two frames. Of those that only say how far a blob or a layer is, the newest counts, so that
 * a fast network costs no more to display than a slow one.
 */
export class PendingEvents {
  readonly #events = new Map<string, ProgressEvent>();
  #others = 0;

  add(event: ProgressEvent): void {
    const key = keyOf(event) ?? `other ${(this.#others += 1)}`;
    // Taken out first, so that the order is that of the newest of each kind.
    this.#events.delete(key);
    this.#events.set(key, event);
  }

  /** The events since the last call, oldest first. */
  take(): ProgressEvent[] {
    const events = [...this.#events.values()];
    this.#events.clear();
    this.#others = 0;
    return events;
  }
}

function keyOf(event: ProgressEvent): string | undefined {
  if (event.type === 'blob') return `blob ${event.reference} ${event.digest} ${event.state}`;
  if (event.type === 'layer') return `layer ${event.reference} ${event.chainId} ${event.state}`;
  return undefined;
}
