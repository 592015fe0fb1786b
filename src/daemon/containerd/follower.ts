import { abortedError, isLandfallError, throwIfAborted } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import { type Deferred, deferred } from '../../concurrency/index.js';
import type { ContainerdConnection } from './connection.js';
import { reconcile, type Reconciled, type ReconcileOptions, type Session } from './reconcile.js';
import type { Registrar } from './registrar.js';
import type { Wanted, WantedImages } from './wanted.js';

export interface FollowerOptions extends Pick<ReconcileOptions, 'onRegistered' | 'onForgotten'> {
  readonly database: Pick<MetadataDatabase, 'state'>;
  readonly wanted: WantedImages;
  readonly connection: ContainerdConnection;
  readonly registrar: Registrar;
  readonly namespace: string;
  /** Told of each problem once, until all is well again; that containerd is away, after a while. */
  readonly onProblem: (error: Error) => void;
}

/** How often it is looked whether the store has changed, or containerd, in milliseconds. */
const LOOK_MS = 1_000;
/** How often all of containerd is looked through, should it have lost something without a word, in milliseconds. */
const LOOK_THROUGH_MS = 10 * 60_000;
/** How long after a failure the next try is; each further one waits twice as long. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;
/** How long containerd may be away before that is a problem, in milliseconds: so it, or landfall, is when it is started again. */
const AWAY_MS = 5_000;

interface Asked {
  readonly name: string;
  readonly answer: Deferred<Reconciled>;
}

/** Keeps a containerd up to date with a store: whenever the store changes, and whenever containerd was away. */
export class Follower implements AsyncDisposable {
  readonly #options: FollowerOptions;
  readonly #stop = new AbortController();
  readonly #told = new Set<string>();
  readonly #running: Promise<void>;
  #asked: Asked[] = [];
  #session: Session | undefined;
  #read: { readonly state: string; readonly wanted: Wanted } | undefined;
  #lookThroughAt = 0;
  #awaySince: number | undefined;
  #wake: () => void = () => undefined;

  /** Begins at once, whether containerd is there or not. */
  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#running = this.#follow();
  }

  /** What comes of the next time that store and containerd are compared, which is now; a name of the store goes first. */
  async ask(name: string): Promise<Reconciled> {
    throwIfAborted(this.#stop.signal);
    const answer = deferred<Reconciled>();
    this.#asked.push({ name, answer });
    this.#wake();
    return await answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
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
      for (const error of reconciled.failed.values()) this.#tell(error);
      if (reconciled.failed.size > 0) return false;
      if (reconciled.isComplete) this.#told.clear();
      this.#awaySince = undefined;
      return true;
    } catch (error) {
      for (const { answer } of asked) answer.reject(error);
      this.#tell(error);
      return false;
    }
  }

  async #reconcile(awaited: ReadonlySet<string>): Promise<Reconciled> {
    const { connection, registrar, onRegistered, onForgotten } = this.#options;
    const wanted = await this.#readStore();
    const session = this.#currentSession();
    return await reconcile(wanted, {
      connection,
      registrar,
      session,
      awaited,
      isHurried: () => this.#asked.length > 0 || this.#stop.signal.aborted,
      onRegistered,
      onForgotten,
      signal: this.#stop.signal,
    });
  }

  /** What it has now, read again only where something was written since. */
  async #readStore(): Promise<Wanted> {
    const { database, wanted } = this.#options;
    // Asked before, so that what changes meanwhile is a change.
    const state = await database.state();
    if (this.#read?.state !== state) this.#read = { state, wanted: await wanted.read() };
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

  /** It ends when the connection breaks, and a name that somebody takes away is to be given again. */
  async #listen(session: Session): Promise<void> {
    const { connection, namespace } = this.#options;
    const { signal } = this.#stop;
    try {
      for await (const event of connection.events(['topic=="/images/delete"'], { signal })) {
        if (event.namespace !== namespace) continue;
        session.losses += 1;
        session.applied = undefined;
      }
    } catch {
      // Whoever calls next is told why.
    }
    if (this.#session === session) this.#session = undefined;
  }

  async #isDue(): Promise<boolean> {
    if (this.#asked.length > 0 || this.#stop.signal.aborted) return true;
    if (this.#session?.applied === undefined || performance.now() >= this.#lookThroughAt) return true;
    const state = await this.#options.database.state().catch(() => undefined);
    return state !== this.#read?.state;
  }

  /** Whether it came to its end, and nobody asked meanwhile. */
  async #pause(ms: number): Promise<boolean> {
    if (this.#asked.length > 0 || this.#stop.signal.aborted) return false;
    const { promise, resolve } = deferred<boolean>();
    this.#wake = () => resolve(false);
    const timer = setTimeout(() => resolve(true), ms);
    timer.unref();
    const isOver = await promise;
    clearTimeout(timer);
    return isOver;
  }

  #tell(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    const problem = error instanceof Error ? error : new Error(String(error));
    const isAway = isLandfallError(problem) && problem.retryable;
    if (isAway) {
      this.#awaySince ??= performance.now();
      if (performance.now() - this.#awaySince < AWAY_MS) return;
    }
    // Its words for being away differ from time to time.
    const key = isAway ? problem.code : problem.message;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#options.onProblem(problem);
  }
}
