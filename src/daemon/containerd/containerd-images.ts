import { type Deferred, deferred, pause as sleep, untilAborted } from '../../concurrency/index.js';
import type { Store } from '../../engine/store.js';
import {
  type Abortable,
  abortedError,
  isLandfallError,
  LandfallError,
  throwIfAborted,
} from '../../errors.js';
import type { NodeImages } from '../cri/node-images.js';
import { ContainerdConnection } from './connection.js';
import {
  criImageId,
  deleteRecords,
  type ImageRecords,
  isCurrent,
  isOwn,
  listRecords,
  remindCri,
} from './image-records.js';
import type { OwnOffers } from './labels.js';
import { Registrar } from './registrar.js';
import { criName, type Wanted, WantedImages, type WantedTarget } from './wanted.js';

export interface ContainerdImagesOptions {
  readonly store: Store;
  readonly images: NodeImages;
  /** Path of containerd's socket. */
  readonly socket: string;
  /** Learns of each layer that is offered, so that the snapshotter knows its own offers. */
  readonly offers: OwnOffers;
  /** How containerd's configuration calls landfall's snapshotter; default `landfall`. */
  readonly snapshotter?: string | undefined;
  /** containerd's; default `k8s.io`, which is its CRI's. */
  readonly namespace?: string | undefined;
  /** How long {@link ContainerdImages.settled} waits, in milliseconds; default 30 seconds. */
  readonly patienceMs?: number | undefined;
  /**
   * Called for each problem once, until all is well again; that containerd is away, after a while. It is
   * tried again all the same.
   */
  readonly onProblem: (error: Error) => void;
  /** Called with the names that containerd has now. */
  readonly onRegistered?: ((names: readonly string[]) => void) | undefined;
  /** Called with the names that were taken away. */
  readonly onForgotten?: ((names: readonly string[]) => void) | undefined;
}

const PATIENCE_MS = 30_000;
/** The pause before containerd's CRI is asked again for a change: at first, and at most; in milliseconds. */
const FIRST_LOOK_MS = 20;
const LONGEST_LOOK_MS = 500;

/** The pause between two looks at the store and containerd, in milliseconds. */
const LOOK_MS = 1_000;
/** How often all of containerd is compared, should it have lost something silently, in milliseconds. */
const LOOK_THROUGH_MS = 10 * 60_000;
/** How long after a failure the next try is; each further one waits twice as long. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;
/** How long containerd may be away before that is a problem, in milliseconds: a restart takes a moment. */
const AWAY_MS = 5_000;

interface Asked {
  readonly name: string;
  readonly answer: Deferred<Reconciled>;
}

/**
 * A time in which containerd was there without interruption, so that what was found in it need not be looked
 * for again.
 */
interface Session {
  /** Targets, with their versions, of which all is there. */
  readonly whole: Set<string>;
  /** Whether its CRI has been reminded of what it should know. */
  reminded: boolean;
  /** The fingerprint of what it knows all of. */
  applied: string | undefined;
  /** How often a name was taken away by others. */
  losses: number;
}

/** What came of it. */
interface Reconciled {
  readonly wanted: Wanted;
  /** The targets that could not be registered, with the reason. */
  readonly failed: ReadonlyMap<WantedTarget, LandfallError>;
  /** Whether nothing was left to the next time. */
  readonly isComplete: boolean;
}

/**
 * Keeps the images of a store in a containerd: an image that is unpacked here has its names, manifests and
 * layers there, so that containers can be made of it; an image that is removed here is removed there. It
 * follows the store, whichever process changes it, and catches up with a containerd that was away.
 */
export class ContainerdImages implements AsyncDisposable {
  readonly #options: ContainerdImagesOptions;
  readonly #namespace: string;
  readonly #connection: ContainerdConnection;
  readonly #wanted: WantedImages;
  readonly #registrar: Registrar;
  readonly #stop = new AbortController();
  readonly #reported = new Set<string>();
  readonly #running: Promise<void>;
  #asked: Asked[] = [];
  #session: Session | undefined;
  #read: { readonly state: string; readonly wanted: Wanted } | undefined;
  #lookThroughAt = 0;
  #awaySince: number | undefined;
  #wake: () => void = () => undefined;

  private constructor(options: ContainerdImagesOptions) {
    const { store, images, offers, socket, snapshotter = 'landfall', namespace = 'k8s.io' } = options;
    this.#options = options;
    this.#namespace = namespace;
    const connection = new ContainerdConnection(socket, namespace);
    this.#connection = connection;
    this.#wanted = new WantedImages({ store, images, snapshotter });
    this.#registrar = new Registrar({ connection, content: store.content, snapshotter, offers });
    this.#running = this.#follow();
  }

  /** Returns at once: containerd need not be there. */
  static start(options: ContainerdImagesOptions): ContainerdImages {
    return new ContainerdImages(options);
  }

  /**
   * Waits until containerd's CRI knows an image as the store has it now; or knows it no more, where the store
   * has no such name, or has not unpacked what it stands for.
   *
   * @param name canonical
   * @throws LandfallError UNAVAILABLE (containerd is away, or does not take it), ABORTED; SpecError
   *   INVALID_REFERENCE
   */
  async settled(name: string, { signal }: Abortable = {}): Promise<void> {
    const called = criName(name);
    const ends = performance.now() + (this.#options.patienceMs ?? PATIENCE_MS);
    let reason: unknown;
    let pause = FIRST_LOOK_MS;
    while (performance.now() < ends && !this.#stop.signal.aborted) {
      throwIfAborted(signal);
      try {
        const look = this.#isSettled(name, called, signal);
        const isSettled = await within(ends - performance.now(), look, signal);
        if (isSettled === true) return;
        // One that had no time to end says nothing; what was wrong before may be wrong still.
        if (isSettled === false) reason = undefined;
      } catch (error) {
        reason = error;
      }
      await sleep(pause, { signal }).catch(() => undefined);
      pause = Math.min(LONGEST_LOOK_MS, pause * 2);
    }
    throwIfAborted(signal);
    throw unsettled(name, this.#stop.signal.aborted ? new Error('the daemon is stopping') : reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
    this.#connection[Symbol.dispose]();
  }

  async #isSettled(name: string, called: string, signal: AbortSignal | undefined): Promise<boolean> {
    const { wanted, failed } = await this.#compared(name);
    const record = wanted.byName.get(name);
    if (record === undefined) return await this.#isForgotten(called, wanted, signal);
    const failure = failed.get(record.target);
    if (failure !== undefined) throw failure;
    return (await criImageId(this.#connection, record.name, { signal })) === record.target.imageId;
  }

  async #isForgotten(called: string, wanted: Wanted, signal: AbortSignal | undefined): Promise<boolean> {
    // Another name of the store stands for the same, or the record is not landfall's.
    if (wanted.records.has(called)) return true;
    if ((await criImageId(this.#connection, called, { signal })) === undefined) return true;
    const record = (await listRecords(this.#connection, { signal })).get(called);
    return record !== undefined && !isOwn(record);
  }

  /** Compares store and containerd now, and gives the result; the name goes first. */
  async #compared(name: string): Promise<Reconciled> {
    throwIfAborted(this.#stop.signal);
    const answer = deferred<Reconciled>();
    this.#asked.push({ name, answer });
    this.#wake();
    return await answer.promise;
  }

  async #follow(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!this.#stop.signal.aborted) {
      if (await this.#compare()) {
        pause = FIRST_PAUSE_MS;
        while (!(await this.#isDue())) await this.#pause(LOOK_MS);
      } else if (await this.#pause(pause)) {
        pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
      }
    }
    for (const { answer } of this.#asked) answer.reject(abortedError(this.#stop.signal));
  }

  /** Whether nothing went wrong. */
  async #compare(): Promise<boolean> {
    const asked = this.#asked;
    this.#asked = [];
    try {
      const reconciled = await this.#reconcile(new Set(asked.map(({ name }) => name)));
      for (const { answer } of asked) answer.resolve(reconciled);
      for (const error of reconciled.failed.values()) this.#emit(error);
      if (reconciled.failed.size > 0) return false;
      if (reconciled.isComplete) this.#reported.clear();
      this.#awaySince = undefined;
      return true;
    } catch (error) {
      for (const { answer } of asked) answer.reject(error);
      this.#emit(error);
      return false;
    }
  }

  /**
   * Makes what containerd has the same as what the store has: registers what is missing, and takes away the
   * names that landfall gave and has no more. What others have there stays.
   *
   * @param awaited names of the store that calls wait for; they go first
   * @throws LandfallError those of a call, where containerd is away; what is wrong with one image is returned
   */
  async #reconcile(awaited: ReadonlySet<string>): Promise<Reconciled> {
    const { signal } = this.#stop;
    const wanted = await this.#readStore();
    const session = this.#currentSession();
    const failed = new Map<WantedTarget, LandfallError>();
    if (session.applied === wanted.fingerprint) return { wanted, failed, isComplete: true };
    session.applied = undefined;
    const { losses } = session;
    const known = await listRecords(this.#connection, { signal });
    const isComplete = await this.#registerAll(session, wanted, known, { awaited, failed });
    await this.#forgetOthers(wanted, known);
    if (!isComplete || failed.size > 0) return { wanted, failed, isComplete };
    if (!session.reminded) {
      await remindCri(this.#connection, wanted.records.values(), { signal });
      session.reminded = true;
    }
    // What was lost meanwhile may have been looked at before.
    if (session.losses === losses) session.applied = wanted.fingerprint;
    return { wanted, failed, isComplete };
  }

  /**
   * Whether it came to the end: where a call waits for another name by now, the rest is left to the next
   * time.
   */
  async #registerAll(
    session: Session,
    wanted: Wanted,
    known: ImageRecords,
    o: { readonly awaited: ReadonlySet<string>; readonly failed: Map<WantedTarget, LandfallError> },
  ): Promise<boolean> {
    const first = new Set([...o.awaited].map((name) => wanted.byName.get(name)?.target));
    const targets = [...wanted.versions.keys()].toSorted(
      (a, b) => Number(first.has(b)) - Number(first.has(a)),
    );
    for (const target of targets) {
      const isHurried = this.#asked.length > 0 || this.#stop.signal.aborted;
      if (!first.has(target) && isHurried) return false;
      try {
        await this.#registerOne(session, wanted, target, known);
      } catch (error) {
        if (!isLandfallError(error) || isAway(error)) throw error;
        o.failed.set(target, error);
      }
    }
    return true;
  }

  async #registerOne(
    session: Session,
    { records: all, versions }: Wanted,
    target: WantedTarget,
    known: ImageRecords,
  ): Promise<void> {
    const registrar = this.#registrar;
    const { signal } = this.#stop;
    const records = [...all.values()].filter((record) => record.target === target);
    const outdated = records.filter((record) => !isCurrent(known.get(record.name), record));
    const version = `${target.target.digest} ${versions.get(target) ?? ''}`;
    if (outdated.length === 0) {
      if (session.whole.has(version)) return;
      if (await registrar.isWhole(target, { signal })) {
        session.whole.add(version);
        return;
      }
    }
    await registrar.register(target, outdated, known, { signal });
    session.whole.add(version);
    this.#options.onRegistered?.((outdated.length > 0 ? outdated : records).map(({ name }) => name));
  }

  async #forgetOthers({ records }: Wanted, known: ImageRecords): Promise<void> {
    const gone = [...known.values()].filter((record) => isOwn(record) && !records.has(record.name));
    if (gone.length === 0) return;
    const names = gone.map(({ name }) => name);
    await deleteRecords(this.#connection, names, { signal: this.#stop.signal });
    this.#options.onForgotten?.(names);
  }

  /** What it has now, read again only where something was written since. */
  async #readStore(): Promise<Wanted> {
    const { database } = this.#options.store;
    // Asked before, so that what changes meanwhile is a change.
    const state = await database.state();
    if (this.#read?.state !== state) this.#read = { state, wanted: await this.#wanted.read() };
    return this.#read.wanted;
  }

  /** A new one where the connection broke; and now and then as if it had. */
  #currentSession(): Session {
    if (this.#session === undefined) {
      this.#session = { whole: new Set(), reminded: false, applied: undefined, losses: 0 };
      void this.#listen(this.#session);
    } else if (performance.now() >= this.#lookThroughAt) {
      this.#session.whole.clear();
      this.#session.reminded = false;
      this.#session.applied = undefined;
    } else {
      return this.#session;
    }
    this.#lookThroughAt = performance.now() + LOOK_THROUGH_MS;
    return this.#session;
  }

  /** The session ends when the connection breaks; a name that others take away has to be given again. */
  async #listen(session: Session): Promise<void> {
    const { signal } = this.#stop;
    try {
      for await (const event of this.#connection.events(['topic=="/images/delete"'], { signal })) {
        if (event.namespace !== this.#namespace) continue;
        session.losses += 1;
        session.applied = undefined;
      }
    } catch {
      // The next call fails with the reason.
    }
    if (this.#session === session) this.#session = undefined;
  }

  async #isDue(): Promise<boolean> {
    if (this.#asked.length > 0 || this.#stop.signal.aborted) return true;
    if (this.#session?.applied === undefined || performance.now() >= this.#lookThroughAt) return true;
    const state = await this.#options.store.database.state().catch(() => undefined);
    return state !== this.#read?.state;
  }

  /** Whether the pause came to its end, and no call came meanwhile. */
  async #pause(ms: number): Promise<boolean> {
    if (this.#asked.length > 0 || this.#stop.signal.aborted) return false;
    const { promise, resolve } = deferred<boolean>();
    this.#wake = () => resolve(false);
    const timer = setTimeout(() => resolve(true), ms).unref();
    const isOver = await promise;
    clearTimeout(timer);
    return isOver;
  }

  #emit(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    const problem = error instanceof Error ? error : new Error(String(error));
    const isAway = isLandfallError(problem) && problem.retryable;
    if (isAway) {
      this.#awaySince ??= performance.now();
      if (performance.now() - this.#awaySince < AWAY_MS) return;
    }
    // Its words for being away differ from time to time.
    const key = isAway ? problem.code : problem.message;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.#options.onProblem(problem);
  }
}

/** What a promise gives, or undefined at the end of the time. */
async function within<T>(
  ms: number,
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  const ended = AbortSignal.timeout(Math.max(0, Math.ceil(ms)));
  try {
    return await untilAborted(promise, signal === undefined ? ended : AbortSignal.any([ended, signal]));
  } catch (error) {
    if (!ended.aborted || signal?.aborted === true) throw error;
    return undefined;
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

function isAway({ code }: LandfallError): boolean {
  return code === 'UNAVAILABLE' || code === 'ABORTED';
}
