import { KeyedLimiter, Limiter, untilAborted } from '../concurrency/index.js';
import { type Abortable, abortedError, isWrongContent, throwIfAborted } from '../errors.js';
import { algorithmOf, chainIds, type Digest, unpackLimits } from '../spec/index.js';
import { SharedOffset } from '../system/index.js';
import { requireInflate } from './compression/inflate-choice.js';
import type { ApplyOptions, ApplyResult } from './jobs/apply-job.js';
import type {
  ExtractionOptions,
  LayerInput,
  LayerSource,
  LayerState,
  AcquireSlot,
  UnpackOptions,
} from './jobs/layer-input.js';
import type { OmittedDevice } from './jobs/apply-job.js';
import type { Decompressor } from './compression/decompress.js';
import { ImageBudget, type LayerBudget } from './jobs/shared-memory.js';
import type { CommitLayer, CommittedLayer, LayerCommitter } from './layer-snapshotter.js';
import type { LayerChanges, LayerDirectory } from './terms/layer-changes.js';
import { isContentError, refuseOtherDiffId } from './terms/layer-fault.js';
import { defaultOwnership } from './terms/ownership.js';
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
  /** Milliseconds of unpacking, without waiting for its bytes or for other layers; 0 when reused. */
  readonly workMs: number;
}

/** How many layers there are is not known before the manifest is here; few images have only one. */
const FIRST_THREADS = 2;

/**
 * Turns the layers of an image into a chain of snapshots. Layers are extracted in parallel, each as soon as
 * its first bytes are here, and committed in chain order, all that are ready at a time. Within one process a
 * chain is unpacked once, however many images want it.
 */
export class Unpacker {
  readonly #options: UnpackerOptions;
  readonly #slots: Limiter;
  /** One unpacks a chain at a time, until it is committed; whoever waited for it finds it. */
  readonly #chains = new KeyedLimiter<Digest>(1);

  constructor(options: UnpackerOptions) {
    this.#options = options;
    // A directory with its lock is made when its layer can be extracted, not for all layers of an image at
    // once.
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

  /** Starts the threads that nearly every image needs, while its manifests are on their way. */
  prepare(): void {
    this.#options.pool.prepare(FIRST_THREADS);
  }

  /**
   * Makes sure that each layer of an image, bottom first, is a committed snapshot under its chain ID
   * (image-spec: config.md, Layer ChainID). On failure or abort what is not committed is removed, what is
   * stays. Errors: those of `LayerInput.open` and of its verification; DIFF_ID_MISMATCH, UNSAFE_PATH,
   * BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED, NO_SPACE, FILESYSTEM; ABORTED.
   */
  async unpack(layers: readonly LayerInput[], o: UnpackOptions = {}): Promise<readonly UnpackedLayer[]> {
    throwIfAborted(o.signal);
    const failed = new AbortController();
    const signal = o.signal === undefined ? failed.signal : AbortSignal.any([o.signal, failed.signal]);
    const events = new LayerEvents(layers, o.onEvent);
    const budget = new ImageBudget(layers.length);
    using commits = new GroupCommit(this.#options.snapshotter, signal);
    let failure: { readonly error: unknown } | undefined;
    const outcomes = await Promise.all(
      layers.map(async (layer, index) => {
        try {
          const chainId = events.chainIds[index];
          if (chainId === undefined) throw new RangeError(`there is no chain ID at ${index}`);
          const parentChainId = events.chainIds[index - 1];
          const acquireSlot = o.acquireSlot ?? whoeverIsHere;
          const share = budget.layer(index);
          const context = {
            events,
            acquireSlot,
            signal,
            index,
            chainId,
            parentChainId,
            commits,
            budget: share,
          };
          return await this.#chains.run(chainId, () => this.#findOrUnpack(layer, context), context);
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

  /** Runs when nothing else unpacks this chain: what waited for it finds it here. */
  async #findOrUnpack(layer: LayerInput, context: LayerContext): Promise<UnpackedLayer> {
    const { chainId, signal, events, index } = context;
    if ((await this.#options.snapshotter.findChain(chainId)) !== undefined)
      return this.#present(layer, context);
    const extracted = await this.#extractFrom(await layer.open({ signal }), layer, context);
    const { decompressor, workMs } = extracted;
    events.state(index, 'unpacked', layer.descriptor.size, decompressor);
    await this.#commit(layer, extracted, context);
    return { chainId, diffId: layer.diffId, reused: false, decompressor, workMs };
  }

  /**
   * From the bytes as they arrive; should they turn out wrong, once more from those that take their place.
   */
  async #extractFrom(source: LayerSource, layer: LayerInput, context: LayerContext): Promise<ExtractedLayer> {
    // A rejection is looked at where it is waited for, which may be never.
    source.verified.catch(() => undefined);
    try {
      const turn = { bytes: layer.descriptor.size, signal: context.signal };
      return await context.acquireSlot(turn, () =>
        this.#slots.run(() => this.#extract(layer, source, context), turn),
      );
    } catch (error) {
      const other = isWrongContent(error) ? await source.replacement?.() : undefined;
      if (other === undefined) throw error;
      return await this.#extractFrom(other, layer, context);
    }
  }

  async #extract(layer: LayerInput, source: LayerSource, context: LayerContext): Promise<ExtractedLayer> {
    const { signal, events, index } = context;
    throwIfAborted(signal);
    const directory = await this.#options.snapshotter.beginLayer();
    try {
      events.state(index, 'unpacking', 0);
      const result = await extractLayer({
        layer,
        source,
        directory,
        pool: this.#options.pool,
        options: applyOptions(this.#options),
        budget: context.budget,
        signal,
        onProgress: (bytes) => events.state(index, 'unpacking', bytes),
      });
      events.warn(layer, result.warnings);
      events.omitted(layer, result.omitted);
      const { changes, decompressor, workMs } = result;
      return { directory, changes, decompressor, workMs };
    } catch (error) {
      await this.#abandon(directory);
      throw error;
    }
  }

  async #commit(layer: LayerInput, extracted: ExtractedLayer, context: LayerContext): Promise<void> {
    const { index, chainId, parentChainId, commits, events } = context;
    const { directory, changes } = extracted;
    const { diffId } = layer;
    try {
      const { warnings } = await commits.add(index, { directory, changes, chainId, diffId, parentChainId });
      events.warn(layer, warnings);
    } catch (error) {
      await this.#abandon(directory);
      throw error;
    }
    events.state(index, 'committed', layer.descriptor.size);
  }

  /**
   * What cannot be removed now is found by the next collection, and is no reason to hide why it had to go.
   */
  async #abandon(directory: LayerDirectory): Promise<void> {
    await this.#options.snapshotter.abandonLayer(directory).catch(() => undefined);
  }

  #present(layer: LayerInput, context: LayerContext): UnpackedLayer {
    const { chainId, commits, events, index } = context;
    commits.skip(index);
    events.state(index, 'present');
    return { chainId, diffId: layer.diffId, reused: true, workMs: 0 };
  }
}

const whoeverIsHere: AcquireSlot = (_layer, unpack) => unpack();

interface ExtractedLayer {
  readonly directory: LayerDirectory;
  readonly changes: LayerChanges;
  readonly decompressor: Decompressor;
  readonly workMs: number;
}

/** A layer's place in the image that is being unpacked. */
interface LayerContext {
  readonly events: LayerEvents;
  readonly acquireSlot: AcquireSlot;
  /** Aborted by the caller, or when another layer of the image failed. */
  readonly signal: AbortSignal;
  readonly index: number;
  readonly chainId: Digest;
  readonly parentChainId: Digest | undefined;
  readonly commits: GroupCommit;
  readonly budget: LayerBudget;
}

interface Ready {
  readonly layer: CommitLayer;
  readonly resolve: (committed: CommittedLayer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Commits the layers of one image in chain order while they become ready in any order: whenever nothing is
 * being committed, all that are ready and whose parents are committed or among them go together, which costs
 * one sync.
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

  /**
   * To be disposed of when nothing is added any more: a signal that is made of others keeps what listens to
   * it alive.
   */
  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#withdraw);
  }

  /** The layer with this index is a snapshot already. */
  skip(index: number): void {
    this.#committed.add(index);
    this.#proceed();
  }

  /**
   * Resolves when the layer is a snapshot. When it rejects, nothing touches the layer's directory any more;
   * ABORTED when the signal came before its turn.
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

export function applyOptions(o: ExtractionOptions): ApplyOptions {
  return {
    ownership: o.ownership ?? defaultOwnership(),
    devices: o.devices ?? true,
    limits: unpackLimits(o.limits),
    inflate: o.inflate ?? 'auto',
  };
}

export interface Extraction extends Abortable {
  readonly layer: LayerInput;
  readonly source: LayerSource;
  readonly directory: Pick<LayerDirectory, 'path'>;
  readonly pool: Pick<WorkerPool, 'run'>;
  readonly options: ApplyOptions;
  /** The layer's share of its image's bytes; absent where it stands for itself. */
  readonly budget?: LayerBudget | undefined;
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Fills a directory with a layer while its blob arrives, and returns only when the blob's digest and the
 * layer's diffId were both found right. When it rejects, nothing touches the directory any more.
 *
 * A blob that turns out wrong is what is reported, even where the damage broke the archive first. Errors:
 * those of the source; DIFF_ID_MISMATCH; those of the worker; ABORTED.
 */
export async function extractLayer(e: Extraction): Promise<ApplyResult> {
  const { layer, source, signal } = e;
  const { descriptor, diffId } = layer;
  let failure: { readonly reason: unknown } | undefined;
  // The rest of a blob that turned out wrong is of no use.
  const wrong = new AbortController();
  source.verified.catch((reason: unknown) => {
    failure = { reason };
    wrong.abort();
  });
  try {
    const result = await e.pool.run(
      {
        kind: 'apply',
        digest: descriptor.digest,
        diffIdAlgorithm: algorithmOf(diffId) === 'sha512' ? 'sha512' : 'sha256',
        mediaType: descriptor.mediaType,
        blobPath: source.path,
        committedPath: source.committedPath,
        blobSize: descriptor.size,
        sharedOffset: source.shared,
        directory: e.directory.path,
        options: e.options,
        budget: e.budget,
      },
      {
        signal: signal === undefined ? wrong.signal : AbortSignal.any([signal, wrong.signal]),
        onProgress: e.onProgress,
      },
    );
    await untilAborted(source.verified, signal);
    refuseOtherDiffId(layer, result.diffId);
    return result;
  } catch (error) {
    throwIfAborted(signal);
    if (failure !== undefined) throw failure.reason;
    // What is wrong with the content may be the fault of the bytes, which is known when all of them are here.
    if (isGivenUp(source) || isContentError(error)) await untilAborted(source.verified, signal);
    throw error;
  }
}

/** Whether no more of a blob comes: threads learn that before the error of the source is here. */
function isGivenUp({ shared }: LayerSource): boolean {
  return shared !== undefined && new SharedOffset(shared).state === 'failed';
}

type ReportedLayer = Pick<LayerInput, 'descriptor' | 'diffId'>;

/** Emits what happens to the layers of one image. */
export class LayerEvents {
  readonly chainIds: readonly Digest[];
  readonly #layers: readonly ReportedLayer[];
  readonly #onEvent: UnpackOptions['onEvent'];

  constructor(layers: readonly ReportedLayer[], onEvent: UnpackOptions['onEvent']) {
    this.#layers = layers;
    this.chainIds = chainIds(layers.map(({ diffId }) => diffId));
    this.#onEvent = onEvent;
  }

  /** @param bytes - of the blob that were read so far */
  state(index: number, state: LayerState, bytes?: number, decompressor?: Decompressor): void {
    const layer = this.#layers[index];
    const chainId = this.chainIds[index];
    if (layer === undefined || chainId === undefined) return;
    const { descriptor, diffId } = layer;
    this.#onEvent?.({
      type: 'layer',
      digest: descriptor.digest,
      diffId,
      chainId,
      state,
      ...(bytes === undefined ? {} : { bytes }),
      ...(decompressor === undefined ? {} : { decompressor }),
      at: performance.now(),
    });
  }

  warn({ descriptor }: ReportedLayer, messages: readonly string[]): void {
    for (const message of messages) this.#onEvent?.({ type: 'warning', digest: descriptor.digest, message });
  }

  omitted({ descriptor }: ReportedLayer, devices: readonly OmittedDevice[]): void {
    if (devices.length > 0) this.#onEvent?.({ type: 'omitted', digest: descriptor.digest, devices });
  }
}
