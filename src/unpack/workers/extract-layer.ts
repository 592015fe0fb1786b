import { untilAborted } from '../../concurrency/index.js';
import { type Abortable, throwIfAborted } from '../../errors.js';
import { algorithmOf, unpackLimits, type UnpackLimits } from '../../spec/index.js';
import { Frontier } from '../../system/index.js';
import type { InflateChoice } from '../compression/inflate-choice.js';
import type { ApplyOptions, ApplyResult } from '../jobs/apply-job.js';
import { isContentError, refuseOtherDiffId } from '../jobs/layer-error.js';
import type { LayerInput, LayerSource } from '../jobs/layer-input.js';
import type { LayerBudget } from '../terms/image-budget.js';
import type { LayerDirectory } from '../terms/layer-changes.js';
import { defaultOwnership, type Ownership } from '../terms/ownership.js';
import type { WorkerPool } from './worker-pool.js';

/** What whoever unpacks may choose; the defaults are what this process can do. */
export interface ExtractionOptions {
  /** What becomes of owners. Default: those of the image where this process can give files away, else the caller. */
  readonly ownership?: Ownership;
  /** Whether device nodes are made, where they can be. Default true. */
  readonly devices?: boolean;
  /** Those that are not given are LIMITS of src/spec. */
  readonly limits?: Partial<UnpackLimits>;
  /** What inflates gzip layers. Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
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
  readonly budget?: LayerBudget;
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Fills a directory with a layer while its blob arrives, and returns only when the blob's digest and the layer's diffId
 * were both found right. When it rejects, nothing touches the directory any more.
 *
 * A blob that turns out wrong is what is reported, even where the damage broke the archive first.
 * Errors: those of the source; DIFF_ID_MISMATCH; those of the worker; ABORTED.
 */
export async function extractLayer(e: Extraction): Promise<ApplyResult> {
  const { descriptor } = e.layer;
  const arrival = watchArrival(e.source, e.signal);
  try {
    const result = await e.pool.run(
      {
        kind: 'apply',
        digest: descriptor.digest,
        diffIdAlgorithm: algorithmOf(e.layer.diffId) === 'sha512' ? 'sha512' : 'sha256',
        mediaType: descriptor.mediaType,
        blobPath: e.source.path,
        ...(e.source.committedPath === undefined ? {} : { committedPath: e.source.committedPath }),
        blobSize: descriptor.size,
        ...(e.source.shared === undefined ? {} : { frontier: e.source.shared }),
        directory: e.directory.path,
        options: e.options,
        ...(e.budget === undefined ? {} : { budget: e.budget }),
      },
      { signal: arrival.signal, onProgress: e.onProgress },
    );
    await arrival.verified(e.signal);
    refuseOtherDiffId(e.layer, result.diffId);
    return result;
  } catch (error) {
    throwIfAborted(e.signal);
    if (arrival.failure !== undefined) throw arrival.failure.reason;
    // What is wrong with the content may be the fault of the bytes, which is known when all of them are here.
    if (isGivenUp(e.source) || isContentError(error)) await arrival.verified(e.signal);
    throw error;
  }
}

/** Whether no more of a blob comes: threads learn that before it is said what is wrong with it. */
function isGivenUp({ shared }: LayerSource): boolean {
  return shared !== undefined && new Frontier(shared).state === 'failed';
}

interface Arrival {
  /** Aborted by the caller, or when the blob turned out wrong: the rest of it is of no use. */
  readonly signal: AbortSignal;
  failure: { readonly reason: unknown } | undefined;
  verified(signal: AbortSignal | undefined): Promise<void>;
}

function watchArrival(source: LayerSource, signal: AbortSignal | undefined): Arrival {
  const wrong = new AbortController();
  const arrival: Arrival = {
    signal: signal === undefined ? wrong.signal : AbortSignal.any([signal, wrong.signal]),
    failure: undefined,
    verified: (o) => untilAborted(source.verified, o),
  };
  source.verified.catch((reason: unknown) => {
    arrival.failure = { reason };
    wrong.abort();
  });
  return arrival;
}
