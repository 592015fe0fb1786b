import { KeyedLimiter, Limiter } from '../concurrency/index.js';
import { abortedError, isWrongContent, throwIfAborted } from '../errors.js';
import { chainIds, type Digest } from '../spec/index.js';
import { type Decompressor } from './compression/decompress.js';
import { requireInflate } from './compression/inflate-choice.js';
import type { OmittedDevice } from './jobs/apply-job.js';
import type { LayerInput, LayerSource, LayerState, TakeTurn, UnpackOptions } from './jobs/layer-input.js';
import type { CommitLayer, CommittedLayer, LayerCommitter } from './layer-snapshotter.js';
import { ImageBudget, type LayerBudget } from './terms/image-budget.js';
import type { LayerChanges, LayerDirectory } from './terms/layer-changes.js';
import { applyOptions, type ExtractionOptions, extractLayer } from './workers/extract-layer.js';
import type { WorkerPool } from './workers/worker-pool.js';

export interface UnpackerOptions extends ExtractionOptions {
  readonly snapshotter: LayerCommitter;
  readonly pool: WorkerPool;
}

export interface UnpackedLayer {
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** It was here already, or somebody else unpacked it at the same time. */
  readonly reused: boolean;
  /** What decompressed it; absent when reused. */
  readonly decompressor?: Decompressor;
  /** Milliseconds from its first byte to its commit; 0 when reused. */
  readonly durationMs: number;
}

/** How many layers there are is not known before the manifest is here; few images have only one. */
const FIRST_THREADS = 2;

/**
 * Turns the layers of an image into a chain of snapshots. Layers are extracted in parallel, each as soon as its first
 * bytes are here, and committed in chain order, all that are ready at a time. Within one process a chain is unpacked
 * once, however many images want it.
 */
export class Unpacker {
  readonly #options: UnpackerOptions;
  readonly #slots: Limiter;
  /** One unpacks a chain at a time, until it is committed; whoever waited for it finds it. */
  readonly #chains = new KeyedLimiter<Digest>(1);

  constructor(options: UnpackerOptions) {
    this.#options = options;
    // A directory with its lock is made when its layer can be extracted, not for all layers of an image at once.
    this.#slots = new Limiter(options.pool.slots);
  }

  /**
   * Looks whether what is to inflate is here, for who would download something first.
   *
   * @throws {LandfallError} UNSUPPORTED
   */
  requireInflate(): void {
    requireInflate(this.#options.inflate ?? 'auto');
  }

  /** Starts the threads that nearly every image needs, while its documents are on their way. */
  prepare(): void {
    this.#options.pool.prepare(FIRST_THREADS);
  }

  /**
   * Makes sure that each layer of an image, bottom first, is a committed snapshot under its chain ID (image-spec:
   * config.md, Layer ChainID). On failure or abort what is not committed is removed, what is stays.
   * Errors: those of `LayerInput.open` and of its verification; DIFF_ID_MISMATCH, UNSAFE_PATH, BAD_ARCHIVE,
   * UNSUPPORTED_ENTRY, LIMIT_EXCEEDED, NO_SPACE, FILESYSTEM; ABORTED.
   */
  async unpack(layers: readonly LayerInput[], o: UnpackOptions = {}): Promise<readonly UnpackedLayer[]> {
    throwIfAborted(o.signal);
    const failed = new AbortController();
    const signal = o.signal === undefined ? failed.signal : AbortSignal.any([o.signal, failed.signal]);
    const ids = chainIds(layers.map(({ diffId }) => diffId));
    const budget = new ImageBudget(layers.length);
    using commits = new GroupCommit(this.#options.snapshotter, signal);
    let failure: { readonly error: unknown } | undefined;
    const outcomes = await Promise.all(
      layers.map(async (layer, index) => {
        try {
          return await this.#layer(layer, {
            onEvent: o.onEvent,
            takeTurn: o.takeTurn ?? whoeverIsHere,
            signal,
            index,
            ...chainsAt(ids, index),
            commits,
            budget: budget.layer(index),
          });
        } catch (error) {
          failure ??= { error };
          failed.abort();
          return undefined;
        }
      }),
    );
    throwIfAborted(o.signal);
    if (failure !== undefined) throw failure.error;
    return outcomes.filter((outcome) => outcome !== undefined);
  }

  /** Waits for whoever unpacks this chain already; where that fails, or nobody does, does it itself. */
  async #layer(layer: LayerInput, context: LayerContext): Promise<UnpackedLayer> {
    return await this.#chains.run(context.chainId, () => this.#findOrUnpack(layer, context), context);
  }

  async #findOrUnpack(layer: LayerInput, context: LayerContext): Promise<UnpackedLayer> {
    const { chainId, signal } = context;
    if ((await this.#options.snapshotter.findChain(chainId)) !== undefined)
      return this.#present(layer, context);
    const { extracted, begun } = await this.#extractFrom(await layer.open({ signal }), layer, context);
    const { decompressor } = extracted;
    tell(layer, context, 'unpacked', layer.descriptor.size, decompressor);
    await this.#commit(layer, extracted, context);
    const durationMs = performance.now() - begun;
    return { chainId, diffId: layer.diffId, reused: false, decompressor, durationMs };
  }

  /** From the bytes as they arrive; should they turn out wrong, once more from those that take their place. */
  async #extractFrom(
    source: LayerSource,
    layer: LayerInput,
    context: LayerContext,
  ): Promise<{ extracted: ExtractedLayer; begun: number }> {
    // A rejection is looked at where it is waited for, which may be never.
    source.verified.catch(() => undefined);
    let begun = 0;
    try {
      const turn = { bytes: layer.descriptor.size, signal: context.signal };
      const extracted = await context.takeTurn(turn, () =>
        this.#slots.run(() => {
          begun = performance.now();
          return this.#extract(layer, source, context);
        }, turn),
      );
      return { extracted, begun };
    } catch (error) {
      const other = isWrongContent(error) ? await source.replacement?.() : undefined;
      if (other === undefined) throw error;
      return await this.#extractFrom(other, layer, context);
    }
  }

  async #extract(layer: LayerInput, source: LayerSource, context: LayerContext): Promise<ExtractedLayer> {
    const { signal } = context;
    throwIfAborted(signal);
    const directory = await this.#options.snapshotter.beginLayer();
    try {
      tell(layer, context, 'unpacking', 0);
      const result = await extractLayer({
        layer,
        source,
        directory,
        pool: this.#options.pool,
        options: applyOptions(this.#options),
        budget: context.budget,
        signal,
        onProgress: (bytes) => tell(layer, context, 'unpacking', bytes),
      });
      warn(layer, context, result.warnings);
      tellOmitted(layer, context, result.omitted);
      return { directory, changes: result.changes, decompressor: result.decompressor };
    } catch (error) {
      await this.#abandon(directory);
      throw error;
    }
  }

  async #commit(layer: LayerInput, extracted: ExtractedLayer, context: LayerContext): Promise<void> {
    const { index, chainId, parentChainId, commits } = context;
    const { directory, changes } = extracted;
    try {
      const { warnings } = await commits.add(index, {
        directory,
        changes,
        chainId,
        diffId: layer.diffId,
        ...(parentChainId === undefined ? {} : { parentChainId }),
      });
      warn(layer, context, warnings);
    } catch (error) {
      await this.#abandon(directory);
      throw error;
    }
    tell(layer, context, 'committed', layer.descriptor.size);
  }

  /** What cannot be removed now is found by the next collection, and is no reason to hide why it had to go. */
  async #abandon(directory: LayerDirectory): Promise<void> {
    await this.#options.snapshotter.abandonLayer(directory).catch(() => undefined);
  }

  #present(layer: LayerInput, context: LayerContext): UnpackedLayer {
    context.commits.skip(context.index);
    tell(layer, context, 'present');
    return { chainId: context.chainId, diffId: layer.diffId, reused: true, durationMs: 0 };
  }
}

const whoeverIsHere: TakeTurn = (_layer, unpack) => unpack();

interface ExtractedLayer {
  readonly directory: LayerDirectory;
  readonly changes: LayerChanges;
  readonly decompressor: Decompressor;
}

/** A layer's place in the image that is being unpacked. */
interface LayerContext {
  readonly onEvent: UnpackOptions['onEvent'];
  readonly takeTurn: TakeTurn;
  /** Aborted by the caller, or when another layer of the image failed. */
  readonly signal: AbortSignal;
  readonly index: number;
  readonly chainId: Digest;
  readonly parentChainId?: Digest;
  readonly commits: GroupCommit;
  readonly budget: LayerBudget;
}

function chainsAt(ids: readonly Digest[], index: number): Pick<LayerContext, 'chainId' | 'parentChainId'> {
  const chainId = ids[index];
  if (chainId === undefined) throw new RangeError(`${ids.length} chain IDs have none at ${index}`);
  const parentChainId = ids[index - 1];
  return { chainId, ...(parentChainId === undefined ? {} : { parentChainId }) };
}

function tell(
  layer: LayerInput,
  context: LayerContext,
  state: LayerState,
  bytes?: number,
  decompressor?: Decompressor,
): void {
  context.onEvent?.({
    type: 'layer',
    digest: layer.descriptor.digest,
    diffId: layer.diffId,
    chainId: context.chainId,
    state,
    ...(bytes === undefined ? {} : { bytes }),
    ...(decompressor === undefined ? {} : { decompressor }),
    at: performance.now(),
  });
}

function warn(layer: LayerInput, context: LayerContext, messages: readonly string[]): void {
  for (const message of messages)
    context.onEvent?.({ type: 'warning', digest: layer.descriptor.digest, message });
}

function tellOmitted(layer: LayerInput, context: LayerContext, devices: readonly OmittedDevice[]): void {
  if (devices.length > 0) context.onEvent?.({ type: 'omitted', digest: layer.descriptor.digest, devices });
}

interface Ready {
  readonly layer: CommitLayer;
  readonly resolve: (committed: CommittedLayer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Commits the layers of one image in chain order while they become ready in any order: whenever nothing is being
 * committed, all that are ready and whose parents are committed or among them go together, which costs one sync.
 */
class GroupCommit implements Disposable {
  readonly #snapshotter: LayerCommitter;
  readonly #signal: AbortSignal;
  readonly #ready = new Map<number, Ready>();
  readonly #committed = new Set<number>();
  /** All layers below it are committed. */
  #next = 0;
  #running = false;

  constructor(snapshotter: LayerCommitter, signal: AbortSignal) {
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
