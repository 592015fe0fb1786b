import { abortedError } from '../errors.js';
import type { CommitLayer, CommittedLayer, LayerSnapshotter } from './layer-snapshotter.js';

interface Ready {
  readonly layer: CommitLayer;
  readonly resolve: (committed: CommittedLayer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Commits the layers of one image in chain order while they become ready in any order: whenever nothing is being
 * committed, all that are ready and whose parents are committed or among them go together, which costs one sync.
 */
export class GroupCommit implements Disposable {
  readonly #snapshotter: LayerSnapshotter;
  readonly #signal: AbortSignal;
  readonly #ready = new Map<number, Ready>();
  readonly #committed = new Set<number>();
  /** All layers below it are committed. */
  #next = 0;
  #running = false;

  constructor(snapshotter: LayerSnapshotter, signal: AbortSignal) {
    this.#snapshotter = snapshotter;
    this.#signal = signal;
    signal.addEventListener('abort', this.#withdraw, { once: true });
  }

  /** To be disposed of when nothing is added any more: a signal that is made of others keeps what listens to it alive. */
  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#withdraw);
  }

  /** The layer with this index is a snapshot already. */
  skip(index: number): void {
    this.#committed.add(index);
    this.#proceed();
  }

  /**
   * Resolves when the layer is a snapshot. When it rejects, nothing touches the layer's directory any more; ABORTED when the
   * signal came before its turn.
   */
  add(index: number, layer: CommitLayer): Promise<CommittedLayer> {
    return new Promise((resolve, reject) => {
      if (this.#signal.aborted) {
        reject(abortedError(this.#signal));
        return;
      }
      this.#ready.set(index, { layer, resolve, reject });
      this.#proceed();
    });
  }

  #proceed(): void {
    if (this.#running) return;
    while (this.#committed.has(this.#next)) this.#next += 1;
    const batch: Ready[] = [];
    for (let i = this.#next; ; i++) {
      const ready = this.#ready.get(i);
      if (ready === undefined) break;
      this.#ready.delete(i);
      batch.push(ready);
    }
    if (batch.length > 0) void this.#commit(batch);
  }

  async #commit(batch: readonly Ready[]): Promise<void> {
    this.#running = true;
    try {
      const layers = batch.map(({ layer }) => layer);
      const committed = await this.#snapshotter.commitLayers(layers, { signal: this.#signal });
      this.#next += batch.length;
      batch.forEach(({ resolve, reject }, i) => {
        const one = committed[i];
        if (one === undefined) reject(new Error('a snapshotter answered for fewer layers than it was given'));
        else resolve(one);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#running = false;
      this.#proceed();
    }
  }

  readonly #withdraw = (): void => {
    for (const { reject } of this.#ready.values()) reject(abortedError(this.#signal));
    this.#ready.clear();
  };
}
