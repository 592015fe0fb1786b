import type { PullEvent } from '../../engine/pull-event.js';
import { chainIds, type Digest, formatPlatform } from '../../spec/index.js';
import { type UnpackState, unpackSteps } from './layer-steps.js';
import { type Arrived, RecordedBlob } from './recorded-blob.js';
import { StateChanges } from './state-changes.js';
import type { PullOutcome, TimedLayer, TimedNote, TimedPull } from './timeline.js';

/** More warnings than anybody reads are only counted elsewhere. */
const MOST_WARNINGS = 200;

interface RecordedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly chainId: Digest | undefined;
}

/** What was told of one pull. All moments are of the common clock. */
export class RecordedPull {
  readonly reference: string;
  readonly #start: number;
  readonly #blobs = new Map<Digest, RecordedBlob>();
  readonly #unpacks = new Map<Digest, StateChanges<UnpackState>>();
  readonly #warnings: TimedNote[] = [];
  #layers: readonly RecordedLayer[] = [];
  #digest: Digest | undefined;
  #platform: string | undefined;
  #resolvingAt: number | undefined;
  #resolvedAt: number | undefined;
  #endedAt: number | undefined;
  #outcome: PullOutcome = 'running';
  #error: string | undefined;

  constructor(reference: string, start: number) {
    this.reference = reference;
    this.#start = start;
  }

  /** @returns what came over the network, where the event tells of it */
  add(event: PullEvent, at: number): Arrived | undefined {
    switch (event.type) {
      case 'resolving':
        this.#resolvingAt ??= at;
        return undefined;
      case 'resolved':
        this.#resolvedAt ??= at;
        this.#digest = event.digest;
        return undefined;
      case 'image':
        this.#addImage(event);
        return undefined;
      case 'blob':
        return this.#blobOf(event).add(event, at);
      case 'layer':
        this.#unpackOf(event.chainId).add(event.state, at, event.bytes);
        return undefined;
      case 'warning':
        if (this.#warnings.length < MOST_WARNINGS) this.#warnings.push({ at, text: event.message });
        return undefined;
      case 'omitted':
        return undefined;
      case 'done':
        this.end('done', at);
        return undefined;
    }
  }

  end(outcome: PullOutcome, at: number, error?: string): void {
    this.#endedAt = at;
    this.#outcome = outcome;
    this.#error = error;
  }

  /** Bytes of the layers' blobs that it did not have to bring. */
  get bytesReused(): number {
    const layers = new Map(this.#layers.map((layer) => [layer.digest, layer]));
    return [...layers.values()].reduce((sum, { digest, size, chainId }) => {
      const blob = this.#blobs.get(digest);
      const isUnpacked = chainId !== undefined && this.#unpacks.get(chainId)?.last('present') !== undefined;
      return sum + (blob?.found ?? (isUnpacked ? size : 0));
    }, 0);
  }

  timed(now: number): TimedPull {
    const end = this.#endedAt ?? now;
    const layers = this.#timedLayers(end);
    const own = new Set(layers.map(({ digest }) => digest));
    const blobs = [...this.#blobs.values()].filter(({ digest }) => !own.has(digest));
    const isDocument = ({ role }: RecordedBlob): boolean => role !== 'layer' && role !== 'other';
    const resolveStart = this.#resolvingAt;
    const settled = layers.map(({ settledAt }) => settledAt);
    const last = Math.max(...settled.map((at) => at ?? -Infinity));
    return {
      reference: this.reference,
      start: this.#start,
      end,
      outcome: this.#outcome,
      ...(this.#error === undefined ? {} : { error: this.#error }),
      ...(this.#digest === undefined ? {} : { digest: this.#digest }),
      ...(this.#platform === undefined ? {} : { platform: this.#platform }),
      ...(resolveStart === undefined
        ? {}
        : { resolve: { start: resolveStart, end: this.#resolvedAt ?? end } }),
      documents: blobs.filter(isDocument).map((blob) => blob.timed(end)),
      layers,
      others: blobs.filter((blob) => !isDocument(blob)).map((blob) => blob.timed(end)),
      // Where a layer is not settled, the pull did not come to this.
      ...(layers.length > 0 && settled.every((at) => at !== undefined) && end > last
        ? { record: { start: last, end } }
        : {}),
      warnings: this.#warnings,
    };
  }

  #addImage({ platform, layers }: Extract<PullEvent, { type: 'image' }>): void {
    this.#platform = formatPlatform(platform);
    const chains = chainIds(layers.map(({ diffId }) => diffId));
    this.#layers = layers.map(({ digest, size }, at) => ({ digest, size, chainId: chains[at] }));
  }

  #timedLayers(end: number): readonly TimedLayer[] {
    const unpacks = this.#unpacks.size > 0;
    // When all layers so far were unpacked.
    let parentsAt = 0;
    return this.#layers.map(({ digest, size, chainId }, index) => {
      const blob = this.#blobs.get(digest);
      const changes = (chainId === undefined ? undefined : this.#unpacks.get(chainId)) ?? new StateChanges();
      const hereAt = blob?.hereAt;
      const { presentAt, ...timed } = blob?.timed(end) ?? {
        ...{ role: 'layer' as const, digest, size, bytes: 0, steps: [], retries: [] },
      };
      const reusedAt = changes.last('present')?.at;
      const unpackedAt = changes.last('unpacked')?.at ?? reusedAt;
      const steps = unpacks ? unpackSteps({ changes, hereAt, parentsAt, end }) : [];
      parentsAt = Math.max(parentsAt, unpackedAt ?? Infinity);
      const settledAt = unpacks ? changes.last('committed', 'present')?.at : hereAt;
      return {
        ...timed,
        number: index + 1,
        steps: [...timed.steps, ...steps],
        ...(presentAt === undefined ? {} : { presentAt }),
        ...(reusedAt === undefined ? {} : { reusedAt }),
        ...(parentsAt === Infinity ? {} : { readyAt: parentsAt }),
        ...(settledAt === undefined ? {} : { settledAt }),
      };
    });
  }

  #blobOf(event: Extract<PullEvent, { type: 'blob' }>): RecordedBlob {
    const known = this.#blobs.get(event.digest);
    if (known !== undefined) return known;
    const blob = new RecordedBlob(event);
    this.#blobs.set(event.digest, blob);
    return blob;
  }

  #unpackOf(chainId: Digest): StateChanges<UnpackState> {
    const known = this.#unpacks.get(chainId);
    if (known !== undefined) return known;
    const changes = new StateChanges<UnpackState>();
    this.#unpacks.set(chainId, changes);
    return changes;
  }
}
