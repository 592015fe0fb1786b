import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir, readlink, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Limiter } from '../../concurrency/index.js';
import { LandfallError, systemCode, throwIfAborted } from '../../errors.js';
import {
  AT_FDCWD,
  fchmod,
  fchown,
  fstat,
  fstatat,
  futimens,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  procFdPath,
  type Stat,
  toBytePath,
} from '../../system/index.js';
import { filesystemError } from '../terms/layer-fault.js';
import { applyOptions, extractLayer, LayerEvents } from '../unpacker.js';
import { ImageBudget } from '../jobs/shared-memory.js';
import type { ExtractionOptions, LayerInput, UnpackOptions } from '../jobs/layer-input.js';
import type { LayerChanges } from '../terms/layer-changes.js';
import { removeDirectory } from '../snapshotters/remove-directory.js';
import { restoreDirectory } from '../disk/file-attributes.js';
import { lowestChanges } from '../merge/merge-layer.js';
import { lendAccess, readNames } from '../disk/tree-walk.js';
import type { WorkerPool } from '../workers/worker-pool.js';

export interface UnpackTreeOptions extends UnpackOptions, ExtractionOptions {
  readonly pool: WorkerPool;
  /**
   * Whether the directory is closed to other users (mode 0700) where it is made here, whatever mode the
   * image's root has. Default false.
   */
  readonly closed?: boolean | undefined;
}

export interface UnpackedTree {
  /** For people. */
  readonly warnings: readonly string[];
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
): Promise<UnpackedTree> {
  throwIfAborted(o.signal);
  using place = await claimDirectory(directory);
  try {
    const staging = join(place.held, `.landfall-${randomUUID()}`);
    await mkdir(staging, { mode: 0o700 });
    await new StagedTree(staging, layers, o).fill();
    await o.pool.run(
      { kind: 'merge', directory: join(staging, 'root'), target: place.held, changes: WHOLE },
      o,
    );
    await removeStaging(place.held, staging);
    if (o.closed !== true) return { warnings: [] };
    if (!place.created) return { warnings: await openToOthers(place) };
    await chmod(place.held, 0o700);
    return { warnings: [] };
  } catch (error) {
    await place.undo();
    throw filesystemError(error, `unpacking into ${place.path}`, { path: place.path });
  }
}

/** Says so where other users may enter a directory that was there. */
async function openToOthers({ path, held }: Pick<ClaimedDirectory, 'path' | 'held'>): Promise<string[]> {
  const { mode } = await stat(held);
  if ((mode & 0o011) === 0) return [];
  const shown = (mode & 0o7777).toString(8).padStart(4, '0');
  return [
    `${path} was there and is open to other users (mode ${shown}), who may run the image's setuid programs: ` +
      'chmod 0700 keeps them out',
  ];
}

/** Removing a name from the directory changes its time, which is the image's by now. */
async function removeStaging(path: string, staging: string): Promise<void> {
  const place = { dirfd: AT_FDCWD, name: toBytePath(`${path}/.`) };
  const filled = fstatat(place.dirfd, place.name);
  lendAccess(place.dirfd, place.name, filled);
  await removeDirectory(staging);
  restoreDirectory(place, filled);
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

/**
 * A directory that was found absent or empty, and is filled from now on. Until it is given to its new owner
 * it is this process's alone: another user may own the directory above it, or have owned this one.
 */
export interface ClaimedDirectory extends Disposable {
  /** Absolute, without symlinks: for people. */
  readonly path: string;
  /** The same by its descriptor: what is renamed or linked on the way meanwhile does not lead elsewhere. */
  readonly held: string;
  /** Whether it was absent. */
  readonly created: boolean;
  /** Makes the directory what it was. */
  undo(): Promise<void>;
  /** Gives it back to its owner, with the mode that it had and what it holds now; what people should know. */
  release(): Promise<readonly string[]>;
}

/**
 * Makes sure of a directory to fill; its parents are made too. A directory that is there is taken over until
 * it is filled: owner, mode 0700.
 *
 * @throws {LandfallError} INVALID_CONFIG where it is not empty, or no directory; FILESYSTEM
 */
export async function claimDirectory(directory: string): Promise<ClaimedDirectory> {
  try {
    const first = await mkdir(directory, { recursive: true });
    const created = first !== undefined;
    // A directory that was made here is not a link.
    const fd = openSync(directory, O_RDONLY | O_DIRECTORY | (created ? O_NOFOLLOW : 0));
    try {
      const before = fstat(fd);
      if (readNames(fd).length > 0) throw notEmpty(directory, 'is not empty');
      takeOver(fd, before);
      if (readNames(fd).length > 0) {
        giveBack(fd, before);
        throw notEmpty(directory, 'is being written to');
      }
      const undo = async (): Promise<void> => {
        await emptyAgain(fd);
        if (first === undefined) {
          giveBack(fd, before);
          futimens(fd, before.atime, before.mtime);
        } else await removeUpTo(resolve(first), resolve(directory));
      };
      const [path, held] = [await readlink(procFdPath(fd)), procFdPath(fd)];
      const release = async (): Promise<readonly string[]> => {
        giveBack(fd, before);
        return await openToOthers({ path, held });
      };
      return { path, held, created, undo, release, [Symbol.dispose]: () => closeSync(fd) };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST' || code === 'ENOTDIR') throw notEmpty(directory, 'is not a directory', error);
    throw filesystemError(error, `making ${directory}`, { path: directory });
  }
}

function takeOver(fd: number, { uid, gid }: Stat): void {
  const own = process.geteuid?.() ?? uid;
  if (uid !== own) fchown(fd, own, gid);
  fchmod(fd, 0o700);
}

/** The mode after the owner, whose change clears bits of it. */
function giveBack(fd: number, before: Stat): void {
  if (fstat(fd).uid !== before.uid) fchown(fd, before.uid, before.gid);
  fchmod(fd, before.mode & 0o7777);
}

function notEmpty(directory: string, what: string, cause?: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `${directory} ${what}`, {
    cause,
    hint: 'Name a directory that is empty or does not exist yet.',
  });
}

async function emptyAgain(fd: number): Promise<void> {
  // The image's root may have given it to another user, or left it without the rights to do so.
  takeOver(fd, fstat(fd));
  // Names are bytes here: a layer's need not be UTF-8.
  for (const name of readNames(fd)) await removeDirectory(Buffer.from(procFdPath(fd, name), 'latin1'));
}

/** Directories that are empty, from the innermost to the first that was made. */
async function removeUpTo(first: string, directory: string): Promise<void> {
  for (let path = directory; path.length >= first.length; path = dirname(path)) await rmdir(path);
}
