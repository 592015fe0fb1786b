import type { PullEvent } from '../../engine/pull-event.js';
import type { Digest } from '../../spec/index.js';
import { type BlobState, blobSteps, retriesOf } from './layer-steps.js';
import { StateChanges } from './state-changes.js';
import type { TimedBlob } from './timeline.js';

type BlobEvent = Extract<PullEvent, { type: 'blob' }>;

/** Bytes that came, and since when. */
export interface Arrived {
  readonly bytes: number;
  readonly since: number;
}

/** What was told of one blob. */
export class RecordedBlob {
  readonly role: BlobEvent['role'];
  readonly digest: Digest;
  readonly size: number;
  readonly changes: StateChanges<BlobState> = new StateChanges<BlobState>();
  #downloaded = 0;
  /** How much of it was here when this pull began to download it. */
  #resumed = 0;
  #seen: { readonly at: number; readonly bytes: number } | undefined;

  constructor({ role, digest, size }: BlobEvent) {
    this.role = role;
    this.digest = digest;
    this.size = size;
  }

  /** When it was here, if it is. */
  get hereAt(): number | undefined {
    return this.changes.last('done', 'present')?.at;
  }

  /** Bytes of it that this pull found here: all of them, or what an earlier download had left. */
  get found(): number {
    if (this.changes.first('downloading', 'elsewhere') === undefined)
      return this.changes.last('present') === undefined ? 0 : this.size;
    return this.#resumed;
  }

  add({ state, bytes }: BlobEvent, at: number): Arrived | undefined {
    const isFirst = this.changes.first('downloading') === undefined;
    this.changes.add(state, at, bytes);
    if (state !== 'downloading' && state !== 'done' && state !== 'retrying') return undefined;
    if (state === 'downloading' && isFirst) this.#resumed = bytes;
    const before = this.#seen;
    this.#seen = { at, bytes };
    if (before === undefined) return undefined;
    const came = Math.max(0, bytes - before.bytes);
    this.#downloaded += came;
    return { bytes: came, since: before.at };
  }

  timed(end: number): TimedBlob {
    const presentAt = this.changes.last('present')?.at;
    return {
      role: this.role,
      digest: this.digest,
      size: this.size,
      bytes: this.#downloaded,
      steps: blobSteps(this.changes, end),
      retries: retriesOf(this.changes, end),
      ...(presentAt === undefined ? {} : { presentAt }),
    };
  }
}
