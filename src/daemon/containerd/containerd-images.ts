import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from '../../engine/index.js';
import { type Abortable, isLandfallError, LandfallError, throwIfAborted } from '../../errors.js';
import type { NodeImages } from '../node-images.js';
import { ContainerdConnection } from './connection.js';
import { criImageId } from './cri-images.js';
import { Follower } from './follower.js';
import { isOwn, listRecords } from './image-records.js';
import type { ReconcileOptions } from './reconcile.js';
import type { OwnOffers } from './own-offers.js';
import { Registrar } from './registrar.js';
import { criName, type Wanted, WantedImages } from './wanted.js';

export interface ContainerdImagesOptions extends Pick<ReconcileOptions, 'onRegistered' | 'onForgotten'> {
  readonly store: Store;
  readonly images: NodeImages;
  /** Path of containerd's socket. */
  readonly socket: string;
  /** Told of each layer that is offered, for the snapshotter that is asked for it. */
  readonly offers: OwnOffers;
  /** How containerd's configuration calls landfall's snapshotter; default `landfall`. */
  readonly snapshotter?: string | undefined;
  /** containerd's; default `k8s.io`, which is its CRI's. */
  readonly namespace?: string | undefined;
  /** How long {@link ContainerdImages.settled} waits, in milliseconds; default 30 seconds. */
  readonly patienceMs?: number | undefined;
  /** Told of what containerd could not be told, once until all is well again; it is tried again all the same. */
  readonly onProblem: (error: Error) => void;
}

const PATIENCE_MS = 30_000;
/** How soon it is looked again whether containerd's CRI knows of a change: at first, and at most; in milliseconds. */
const FIRST_LOOK_MS = 20;
const LONGEST_LOOK_MS = 500;

/**
 * The images of a store in a containerd: what is pulled and unpacked here has its names, its manifests and its layers there, so
 * that containers are made of it; and what goes here goes there. It follows the store whoever changes it, and catches up with a
 * containerd that was away.
 */
export class ContainerdImages implements AsyncDisposable {
  readonly #connection: ContainerdConnection;
  readonly #follower: Follower;
  readonly #patienceMs: number;
  #isStopping = false;

  private constructor(connection: ContainerdConnection, follower: Follower, patienceMs: number) {
    this.#connection = connection;
    this.#follower = follower;
    this.#patienceMs = patienceMs;
  }

  /** Returns at once: containerd need not be there. */
  static start(options: ContainerdImagesOptions): ContainerdImages {
    const { store, images, offers, snapshotter = 'landfall', namespace = 'k8s.io' } = options;
    const { onProblem, onRegistered, onForgotten, patienceMs = PATIENCE_MS } = options;
    const connection = new ContainerdConnection(options.socket, namespace);
    const follower = new Follower({
      database: store.database,
      wanted: new WantedImages({ store, images, snapshotter }),
      connection,
      registrar: new Registrar({ connection, content: store.content, snapshotter, offers }),
      namespace,
      onProblem,
      onRegistered,
      onForgotten,
    });
    return new ContainerdImages(connection, follower, patienceMs);
  }

  /**
   * Waits until containerd's CRI knows an image as the store has it now; or knows it no more, where the store has no such name,
   * or has not unpacked what it stands for.
   *
   * @param name canonical
   * @throws LandfallError UNAVAILABLE (containerd is away, or does not take it), ABORTED; SpecError INVALID_REFERENCE
   */
  async settled(name: string, { signal }: Abortable = {}): Promise<void> {
    const called = criName(name);
    const ends = performance.now() + this.#patienceMs;
    let reason: unknown;
    let pause = FIRST_LOOK_MS;
    while (performance.now() < ends && !this.#isStopping) {
      throwIfAborted(signal);
      try {
        const isSettled = await within(
          ends - performance.now(),
          this.#isSettled(name, called, signal),
          signal,
        );
        if (isSettled === true) return;
        // One that had no time to end says nothing; what was wrong before may be wrong still.
        if (isSettled === false) reason = undefined;
      } catch (error) {
        reason = error;
      }
      await within(pause, new Promise<never>(() => undefined), signal).catch(() => undefined);
      pause = Math.min(LONGEST_LOOK_MS, pause * 2);
    }
    throwIfAborted(signal);
    throw unsettled(name, this.#isStopping ? new Error('the daemon is stopping') : reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    await this.#follower[Symbol.asyncDispose]();
    this.#connection[Symbol.dispose]();
  }

  async #isSettled(name: string, called: string, signal: AbortSignal | undefined): Promise<boolean> {
    const { wanted, failed } = await this.#follower.ask(name);
    const record = wanted.byName.get(name);
    if (record === undefined) return await this.#isForgotten(called, wanted, signal);
    const failure = failed.get(record.target);
    if (failure !== undefined) throw failure;
    return (await criImageId(this.#connection, record.name, { signal })) === record.target.imageId;
  }

  async #isForgotten(called: string, wanted: Wanted, signal: AbortSignal | undefined): Promise<boolean> {
    // Another name of the store stands for the same, or somebody else gave it.
    if (wanted.records.has(called)) return true;
    if ((await criImageId(this.#connection, called, { signal })) === undefined) return true;
    const record = (await listRecords(this.#connection, { signal })).get(called);
    return record !== undefined && !isOwn(record);
  }
}

/** What a promise gives, or undefined at the end of the time. */
async function within<T>(
  ms: number,
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  const ended = new AbortController();
  const signals = signal === undefined ? [ended.signal] : [ended.signal, signal];
  try {
    return await Promise.race([promise, sleep(ms, undefined, { signal: AbortSignal.any(signals) })]);
  } finally {
    ended.abort();
  }
}

function unsettled(name: string, reason: unknown): LandfallError {
  const said = reason instanceof Error ? `: ${reason.message}` : '';
  return new LandfallError('UNAVAILABLE', `containerd does not have ${name} as it is here${said}`, {
    cause: reason,
    retryable: true,
    hint: isLandfallError(reason) ? reason.hint : "Check that containerd's CRI is enabled; see its log.",
  });
}
