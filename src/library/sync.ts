import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Store } from '../engine/store.js';
import { LandfallError, systemCode, throwIfAborted } from '../errors.js';
import { type RegistryClientOptions, systemOptions } from '../registry/index.js';
import type { Digest } from '../spec/index.js';
import { tellingCaller } from '../concurrency/index.js';
import type { MirrorFile } from '../transfer/sync/mirror-file.js';
import type { RepositoryPrune } from '../transfer/sync/plan-prunes.js';
import type { SyncEvent, SyncResult } from '../transfer/sync/sync-result.js';
import type { SyncOptions as TransferSyncOptions } from '../transfer/sync/sync.js';
import { transferStream } from './copy.js';
import type { EventStream } from './event-stream.js';

/** Tags of a repository that would go, since the mirror file asks for them no more. */
export interface PlannedPrune {
  /** `docker://mirror.lan/team/app` */
  readonly repository: string;
  /** In the order in which they would go. */
  readonly tags: readonly {
    /** The tag that would go. */
    readonly tag: string;
    /** The digest of its manifest. */
    readonly digest: Digest;
  }[];
}

/** The images to mirror, and how. */
export interface SyncOptions extends Omit<
  TransferSyncOptions,
  'file' | 'transports' | 'prune' | 'shard' | 'since'
> {
  /**
   * Path of a mirror file, landfall's or skopeo's (docs/mirroring.md). Paths in it are relative to its
   * directory.
   */
  readonly file: string;
  /** The store, where the file names it. Closed by its owner. Default: none. */
  readonly store?: Store;
  /**
   * How registries are asked where the file does not say otherwise. The file may want other credentials for
   * each, so that clients are opened for this call alone, with what {@link openRegistry} takes by default.
   */
  readonly registryOptions?: RegistryClientOptions;
  /**
   * Asked before tags are deleted at a destination that the file asks for no more; nothing is deleted unless
   * it answers true. Not asked in a dry run. Default: nothing is deleted.
   */
  readonly prune?: (planned: readonly PlannedPrune[]) => Promise<boolean>;
}

/** {@link SyncOptions} for {@link syncEvents}, whose loop has the events. */
export type SyncEventsOptions = Omit<SyncOptions, 'onEvent'>;

/** The last event of {@link syncEvents}. */
export interface SyncFinished {
  readonly type: 'done';
  /** The result of {@link sync}. */
  readonly result: SyncResult;
}

/** The events of {@link syncEvents}: {@link SyncEvent}s, and at last the result. */
export type SyncProgress = SyncEvent | SyncFinished;

/**
 * Makes destinations have the images that a mirror file asks for, with their signatures where it says so.
 * Content that they have is not moved again, so the next run goes on from one that broke off.
 *
 * The outcome of each image, failures included, is in the result and stops nothing else; look at `images` and
 * `failures`.
 *
 * @returns what became of each image; sizes are in bytes
 * @throws
 * - `MirrorFileError` of `landfall/transfer`: INVALID_CONFIG, with all that is wrong in the file
 * - {@link LandfallError} INVALID_CONFIG (what the file asks for cannot be; nothing was begun), ABORTED
 */
export async function sync(options: SyncOptions): Promise<SyncResult> {
  return await tellingCaller(options, (telling) => syncTelling({ ...options, ...telling }));
}

async function syncTelling(options: SyncOptions): Promise<SyncResult> {
  const { file, store, registryOptions, prune, ...rest } = options;
  // Loaded only here: nothing but a sync reads such files.
  const { readMirrorFile } = await import('../transfer/sync/read-mirror-file.js');
  const { OpenTransports } = await import('../transfer/sync/open-transports.js');
  const { sync: run } = await import('../transfer/sync/sync.js');
  throwIfAborted(rest.signal);
  const mirror = readMirrorFile(await readText(file), readOptions(file));
  const opened = storeFor(mirror, store);
  const base = systemOptions(registryOptions);
  await using transports = new OpenTransports({
    base,
    env: base.env ?? {},
    root: opened?.root ?? '',
    openStore: () =>
      opened === undefined ? Promise.reject(new Error('no store')) : Promise.resolve(borrowed(opened)),
    dryRun: rest.dryRun ?? false,
    signal: rest.signal,
  });
  const pruning =
    prune === undefined ? {} : { prune: (all: readonly RepositoryPrune[]) => prune(all.map(planned)) };
  const result = await run({ ...rest, ...pruning, file: mirror, transports });
  // By itself it would only count what is left as failed.
  throwIfAborted(rest.signal);
  return result;
}

/**
 * {@link sync}, told as it goes on; the last event is `done` and has the result. See {@link EventStream} for
 * what leaving the loop does.
 *
 * @returns the events; it begins when the loop does, and throws what {@link sync} throws
 */
export function syncEvents(options: SyncEventsOptions): EventStream<SyncProgress> {
  return transferStream<SyncEvent, SyncResult>(options, (telling) => sync({ ...options, ...telling }));
}

function planned({ repository, tags }: RepositoryPrune): PlannedPrune {
  return {
    repository: repository.location,
    tags: tags.map(({ tag, descriptor: { digest } }) => ({ tag, digest })),
  };
}

function readOptions(file: string): { name: string; directory: string; now: number } {
  return { name: file, directory: dirname(resolve(file)), now: Date.now() };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new LandfallError(
      'INVALID_CONFIG',
      `${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`,
      {
        cause,
        hint: 'Name a mirror file that is there and can be read.',
        details: { path: file },
      },
    );
  }
}

/** The store, where the file names it. @throws {LandfallError} INVALID_CONFIG where none was given */
function storeFor({ name, sources, destinations }: MirrorFile, store: Store | undefined): Store | undefined {
  if (
    store !== undefined ||
    ![...sources, ...destinations].some(({ transport }) => transport.kind === 'store')
  )
    return store;
  throw new LandfallError('INVALID_CONFIG', `${name} names the store, and none was given`, {
    hint: 'Give an open store.',
  });
}

/** The caller's store, which the places are not to close. */
function borrowed(store: Store): Store {
  const stay = (): Promise<void> => Promise.resolve();
  return { ...store, close: stay, [Symbol.asyncDispose]: stay };
}
