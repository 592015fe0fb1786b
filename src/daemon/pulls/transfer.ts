import { performance } from 'node:perf_hooks';
import { KeyedLimiter, Limiter } from '../../concurrency/index.js';
import type { PullEvent } from '../../engine/pull/pull-report.js';
import type { Digest } from '../../spec/index.js';

export type TransferState = 'queued' | 'resolving' | 'transferring' | 'done' | 'failed';
export type LayerState = 'waiting' | 'downloading' | 'unpacking' | 'done';

export interface LayerProgress {
  readonly digest: Digest;
  /** Of the blob, in bytes. */
  readonly size: number;
  /** Of those, what is here. */
  readonly presentBytes: number;
  readonly state: LayerState;
}

/** The progress of a pull. Bytes are of its blobs. */
export interface TransferProgress {
  readonly id: string;
  /** Canonical. */
  readonly reference: string;
  readonly state: TransferState;
  /** 0 while it is not known. */
  readonly totalBytes: number;
  readonly presentBytes: number;
  /** What came over the network. */
  readonly downloadedBytes: number;
  /** What was here of downloads that had broken off. */
  readonly resumedBytes: number;
  readonly bytesPerSecond: number;
  readonly layers: readonly LayerProgress[];
  readonly startedAt: Date;
  /** Why it failed. */
  readonly error?: Error | undefined;
}

/** The rate is that of about so many milliseconds. */
const RATE_MS = 3_000;

interface Blob {
  readonly size: number;
  bytes: number;
  /** Bytes that another process has fetched, or an earlier pull. */
  before: number;
  /** `before` is a part that an earlier download left. */
  resumed: boolean;
  state: LayerState;
}

/** Follows a pull by its events. */
export class Transfer {
  readonly id: string;
  readonly reference: string;
  readonly startedAt: Date = new Date();
  readonly #blobs = new Map<Digest, Blob>();
  /** Bottom first, once they are known. */
  #layers: readonly Digest[] = [];
  /** Holders of a slot of the budget: blobs that arrive, and layers that are unpacked. */
  readonly #arriving = new Set<Digest>();
  readonly #unpacking = new Set<Digest>();
  #state: TransferState = 'queued';
  #error: Error | undefined;
  /** Downloaded bytes at some moments of the last seconds, oldest first. */
  #marks: { readonly at: number; readonly bytes: number }[] = [];

  constructor(id: string, reference: string) {
    this.id = id;
    this.reference = reference;
  }

  begun(): void {
    this.#state = 'resolving';
  }

  ended(error?: Error): void {
    this.#state = error === undefined ? 'done' : 'failed';
    this.#error = error;
  }

  /** Whether the pull needs a slot of the budget and has none: other pulls have all of it. */
  get waits(): boolean {
    return this.#layers.length > 0 && this.#arriving.size === 0 && this.#unpacking.size === 0;
  }

  /** @returns whether the pull came further, rather than only telling something */
  follow(event: PullEvent): boolean {
    switch (event.type) {
      case 'resolved':
        this.#state = 'transferring';
        return true;
      case 'image':
        this.#layers = event.layers.map(({ digest }) => digest);
        for (const { digest, size } of event.layers) this.#blob(digest, size);
        return true;
      case 'blob':
        return this.#followBlob(event);
      case 'layer':
        return this.#followLayer(event);
      default:
        return false;
    }
  }

  progress(): TransferProgress {
    const blobs = [...this.#blobs.values()];
    const downloadedBytes = blobs.reduce((sum, { bytes, before }) => sum + Math.max(0, bytes - before), 0);
    return {
      id: this.id,
      reference: this.reference,
      state: this.#state,
      totalBytes: this.#layers.length === 0 ? 0 : blobs.reduce((sum, { size }) => sum + size, 0),
      presentBytes: blobs.reduce((sum, { bytes }) => sum + bytes, 0),
      downloadedBytes,
      resumedBytes: blobs.reduce((sum, { before, resumed }) => sum + (resumed ? before : 0), 0),
      bytesPerSecond: this.#rate(downloadedBytes),
      layers: this.#layers.map((digest) => this.#layerProgress(digest)),
      startedAt: this.startedAt,
      error: this.#error,
    };
  }

  #followBlob({ digest, size, bytes, state }: Extract<PullEvent, { type: 'blob' }>): boolean {
    const blob = this.#blob(digest, size);
    if (state === 'present' || state === 'elsewhere') blob.before = bytes;
    // The bytes of the first event are those of an earlier, broken download.
    if (state === 'downloading' && blob.state === 'waiting') {
      blob.before = bytes;
      blob.resumed = bytes > 0;
    }
    const further = bytes > blob.bytes;
    blob.bytes = bytes;
    const has = isArriving(state);
    const begun = has ? !this.#arriving.has(digest) : blob.state === 'waiting' && state !== 'waiting';
    if (has) this.#arriving.add(digest);
    else this.#arriving.delete(digest);
    if (begun && blob.state === 'waiting') blob.state = 'downloading';
    return further || begun;
  }

  #followLayer({ digest, state }: Extract<PullEvent, { type: 'layer' }>): boolean {
    const blob = this.#blobs.get(digest);
    if (state === 'unpacking') this.#unpacking.add(digest);
    else this.#unpacking.delete(digest);
    // Every event of an unpacker is progress.
    if (blob !== undefined) blob.state = state === 'committed' || state === 'present' ? 'done' : 'unpacking';
    return true;
  }

  #blob(digest: Digest, size: number): Blob {
    const known = this.#blobs.get(digest);
    if (known !== undefined) return known;
    const blob: Blob = { size, bytes: 0, before: 0, resumed: false, state: 'waiting' };
    this.#blobs.set(digest, blob);
    return blob;
  }

  #layerProgress(digest: Digest): LayerProgress {
    const { size = 0, bytes = 0, state = 'waiting' } = this.#blobs.get(digest) ?? {};
    return { digest, size, presentBytes: bytes, state };
  }

  /** Each call notes the bytes so far. */
  #rate(bytes: number): number {
    if (this.#state !== 'transferring') return 0;
    const now = performance.now();
    this.#marks.push({ at: now, bytes });
    while (this.#marks.length > 2 && now - (this.#marks[1]?.at ?? now) > RATE_MS) this.#marks.shift();
    const [first] = this.#marks;
    const ms = first === undefined ? 0 : now - first.at;
    return first === undefined || ms < 1 ? 0 : Math.round(((bytes - first.bytes) / ms) * 1000);
  }
}

/** Whether a blob in this state has a slot of the budget. */
function isArriving(state: Extract<PullEvent, { type: 'blob' }>['state']): boolean {
  switch (state) {
    case 'elsewhere':
    case 'downloading':
    case 'retrying':
      return true;
    case 'waiting':
    case 'done':
    case 'present':
      return false;
  }
}

export interface PullSlotsOptions {
  /** Images that are pulled at once; what is more waits. Default: no bound but the budget's. */
  readonly maxParallel?: number | undefined;
  /** The same for those of one registry. */
  readonly maxParallelPerRegistry?: number | undefined;
}

/** Limits how many pulls go on at once, in all and of one registry. */
export class PullSlots {
  readonly #all: Limiter;
  readonly #perRegistry: KeyedLimiter<string>;

  constructor(options: PullSlotsOptions) {
    this.#all = new Limiter(options.maxParallel ?? Number.POSITIVE_INFINITY);
    this.#perRegistry = new KeyedLimiter(options.maxParallelPerRegistry ?? Number.POSITIVE_INFINITY);
  }

  /** How many pulls wait for a slot. */
  get waiting(): number {
    return this.#all.waiting + this.#perRegistry.waiting;
  }

  /**
   * Acts when there is room for one more pull, and for one more from its registry.
   *
   * @throws LandfallError ABORTED while it waits; what the action throws
   */
  async take<T>(registry: string, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    return await this.#perRegistry.run(registry, () => this.#all.run(action, { signal }), { signal });
  }
}
