import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { Limiter } from '../../concurrency/index.js';
import { LandfallError, systemCode, throwIfAborted } from '../../errors.js';
import { AT_FDCWD, fstatat, type Stat, toBytePath } from '../../system/index.js';
import { filesystemError } from '../terms/layer-fault.js';
import { applyOptions, extractLayer, LayerEvents } from '../unpacker.js';
import { ImageBudget } from '../jobs/shared-memory.js';
import type { ExtractionOptions, LayerInput, UnpackOptions } from '../jobs/layer-input.js';
import type { LayerChanges } from '../terms/layer-changes.js';
import { removeDirectory } from '../snapshotters/remove-directory.js';
import { restoreDirectory } from '../disk/file-attributes.js';
import { lowestChanges } from '../merge/merge-layer.js';
import { lendAccess } from '../disk/tree-walk.js';
import type { WorkerPool } from '../workers/worker-pool.js';

export interface UnpackTreeOptions extends UnpackOptions, ExtractionOptions {
  readonly pool: WorkerPool;
}

/** Of a merged tree: everything is listed, nothing deletes. */
const WHOLE: LayerChanges = { implied: [], whiteouts: [], opaques: [], pendingLinks: [] };

/**
 * Writes the merged root file system of an image's layers, bottom first, into a directory, without mounts.
 * The directory must be absent or empty, and takes its own attributes from the image. Layers are extracted in
 * parallel into a staging directory inside it and merged there in order; what is merged is moved out at the
 * end. On failure or abort the directory is left as it was found. Errors: INVALID_CONFIG (it is not empty, or
 * no directory), those of the layers' sources, and those of unpacking.
 */
export async function unpackTree(
  layers: readonly LayerInput[],
  directory: string,
  o: UnpackTreeOptions,
): Promise<void> {
  throwIfAborted(o.signal);
  const place = await claimDirectory(directory);
  try {
    const staging = join(place.path, `.landfall-${randomUUID()}`);
    await mkdir(staging, { mode: 0o700 });
    await new StagedTree(staging, layers, o).fill();
    await o.pool.run(
      { kind: 'merge', directory: join(staging, 'root'), target: place.path, changes: WHOLE },
      o,
    );
    await removeStaging(place.path, staging);
  } catch (error) {
    await place.undo();
    throw filesystemError(error, `unpacking into ${directory}`, { path: directory });
  }
}

/** Removing a name from the directory changes its time, which is the image's by now. */
async function removeStaging(path: string, staging: string): Promise<void> {
  const place = { dirfd: AT_FDCWD, name: toBytePath(path) };
  const stat = fstatat(place.dirfd, place.name);
  lendAccess(place.dirfd, place.name, stat);
  await removeDirectory(staging);
  restoreDirectory(place, stat);
}

/** The staging directory: a directory for each layer, and `root`, into which they are merged. */
class StagedTree {
  readonly #staging: string;
  readonly #layers: readonly LayerInput[];
  readonly #options: UnpackTreeOptions;
  readonly #budget: ImageBudget;
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #events: LayerEvents;
  #failure: { readonly error: unknown } | undefined;

  constructor(staging: string, layers: readonly LayerInput[], o: UnpackTreeOptions) {
    this.#staging = staging;
    this.#layers = layers;
    this.#budget = new ImageBudget(layers.length);
    this.#options = o;
    this.#signal =
      o.signal === undefined ? this.#failed.signal : AbortSignal.any([o.signal, this.#failed.signal]);
    this.#events = new LayerEvents(layers, o.onEvent);
  }

  /** When it rejects, nothing touches the staging directory any more. */
  async fill(): Promise<void> {
    await this.#makeDirectory(this.#root);
    const slots = new Limiter(this.#options.pool.slots);
    const extractions = this.#layers.map((layer, i) =>
      this.#watch(slots.run(() => this.#extract(layer, i), { signal: this.#signal })),
    );
    const merges: Promise<unknown>[] = [];
    for (const [i, layer] of this.#layers.entries()) {
      merges.push(
        this.#watch(
          Promise.all([extractions[i], merges.at(-1)]).then(([changes = WHOLE]) =>
            this.#merge(layer, i, i === 0 ? lowestChanges(changes) : changes),
          ),
        ),
      );
    }
    // All of them: the last rejects as soon as an extraction does, while an earlier one may still be at work.
    await Promise.allSettled([...extractions, ...merges]);
    throwIfAborted(this.#options.signal);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The first failure is the one that counts, and stops all others. */
  #watch<T>(work: Promise<T>): Promise<T> {
    work.catch((error: unknown) => {
      this.#failure ??= { error };
      this.#failed.abort();
    });
    return work;
  }

  async #extract(layer: LayerInput, index: number): Promise<LayerChanges> {
    throwIfAborted(this.#signal);
    const source = await layer.open({ signal: this.#signal });
    // A rejection is looked at where it is waited for, which may be never.
    source.verified.catch(() => undefined);
    const path = this.#layerPath(index);
    await this.#makeDirectory(path);
    this.#events.state(index, 'unpacking', 0);
    const result = await extractLayer({
      layer,
      source,
      directory: { path },
      pool: this.#options.pool,
      options: applyOptions(this.#options),
      budget: this.#budget.layer(index),
      signal: this.#signal,
      onProgress: (bytes) => this.#events.state(index, 'unpacking', bytes),
    });
    this.#events.warn(layer, result.warnings);
    this.#events.omitted(layer, result.omitted);
    this.#events.state(index, 'unpacked', layer.descriptor.size, result.decompressor);
    return result.changes;
  }

  async #merge(layer: LayerInput, index: number, changes: LayerChanges): Promise<void> {
    const directory = this.#layerPath(index);
    const job = { kind: 'merge', directory, target: this.#root, changes } as const;
    const { warnings } = await this.#options.pool.run(job, { signal: this.#signal });
    await removeDirectory(directory);
    this.#events.warn(layer, warnings);
    this.#events.state(index, 'committed', layer.descriptor.size);
  }

  get #root(): string {
    return join(this.#staging, 'root');
  }

  #layerPath(index: number): string {
    return join(this.#staging, String(index));
  }

  /** Mode 0755 whatever the umask: a layer that does not list its root leaves it so. */
  async #makeDirectory(path: string): Promise<void> {
    await mkdir(path);
    await chmod(path, 0o755);
  }
}

/** A directory that was found absent or empty, and is filled from now on. */
export interface ClaimedDirectory {
  /** Absolute, without symlinks. */
  readonly path: string;
  /** Whether it was absent. */
  readonly created: boolean;
  /** Makes the directory what it was. */
  undo(): Promise<void>;
}

/**
 * Makes sure of a directory to fill; its parents are made too.
 *
 * @throws {LandfallError} INVALID_CONFIG where it is not empty, or no directory; FILESYSTEM
 */
export async function claimDirectory(directory: string): Promise<ClaimedDirectory> {
  let created: string | undefined;
  try {
    created = await mkdir(directory, { recursive: true });
    if ((await readdir(directory)).length > 0) throw notEmpty(directory, 'is not empty');
    const path = await realpath(directory);
    const before = fstatat(AT_FDCWD, toBytePath(path));
    return {
      path,
      created: created !== undefined,
      undo: async () => {
        if (created !== undefined) await removeDirectory(created);
        else await emptyAgain(path, before);
      },
    };
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST' || code === 'ENOTDIR') throw notEmpty(directory, 'is not a directory', error);
    throw filesystemError(error, `making ${directory}`, { path: directory });
  }
}

function notEmpty(directory: string, what: string, cause?: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `${directory} ${what}`, {
    cause,
    hint: 'Name a directory that is empty or does not exist yet.',
  });
}

async function emptyAgain(path: string, before: Stat): Promise<void> {
  // The image's root may have left it without the rights to do so.
  await chmod(path, 0o700);
  // Names are bytes here: a layer's need not be UTF-8.
  for (const name of await readdir(path, { encoding: 'buffer' })) {
    await removeDirectory(Buffer.concat([Buffer.from(`${path}/`), name]));
  }
  restoreDirectory({ dirfd: AT_FDCWD, name: toBytePath(path) }, before);
}
