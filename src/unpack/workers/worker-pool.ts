import { availableParallelism } from 'node:os';
import { abortedError, LandfallError, throwIfAborted } from '../../errors.js';
import type { JobResults, WorkerJob } from '../jobs/apply-job.js';
import { type ActivityWords, activityWords } from '../jobs/thread-activity.js';
import { closedError, rejectTask, WorkerThread, type RunOptions, type Task } from './worker-thread.js';
import { WORKER_URL } from './worker-url.js';

export interface WorkerPoolOptions {
  /** Threads at most; default: one for each core. */
  size?: number;
  /** How long a thread without work is kept, in milliseconds. Default 10 s. */
  idleMs?: number;
  /** How long an aborted job may take to stop before its thread is ended, in milliseconds. Default 5 s. */
  graceMs?: number;
  /** The JavaScript heap of one thread at most, in MiB; one that needs more dies. Default 1024. */
  heapMiB?: number;
  /** The thread's entry, for tests. */
  url?: URL;
}

type Kind = WorkerJob['kind'];
type JobOf<K extends Kind> = Extract<WorkerJob, { kind: K }>;

/**
 * Layers that one thread unpacks at a time. A layer that is still downloading waits most of its time, so with one layer a
 * thread the cores would idle beside layers that could go on; each more costs little but its buffers.
 */
const LAYERS_PER_WORKER = 4;
const IDLE_MS = 10_000;
const GRACE_MS = 5_000;
/**
 * The heap of one thread. What it keeps of a layer is bounded by LIMITS.notedBytes, so this is met by a runaway only; the thread
 * then dies alone, where without a limit the process would.
 */
const HEAP_MIB = 1024;

/**
 * The threads that touch layers' directories. They start on need, do not keep the process alive while idle, and end
 * after a while without work. One that dies rejects its jobs and is replaced by the next that is needed.
 */
export class WorkerPool {
  readonly size: number;
  readonly #idleMs: number;
  readonly #graceMs: number;
  readonly #heapMiB: number;
  readonly #url: URL;
  readonly #threads = new Set<WorkerThread>();
  readonly #activity: ActivityWords;
  readonly #waiting: Task[] = [];
  #lastNumber = 0;
  #closed = false;

  constructor(o: WorkerPoolOptions = {}) {
    this.size = o.size ?? availableParallelism();
    this.#idleMs = o.idleMs ?? IDLE_MS;
    this.#graceMs = o.graceMs ?? GRACE_MS;
    this.#heapMiB = o.heapMiB ?? HEAP_MIB;
    this.#url = o.url ?? WORKER_URL;
    if (!Number.isInteger(this.size) || this.size < 1) {
      throw new LandfallError('INVALID_CONFIG', `a pool of ${this.size} workers cannot work`, {
        hint: 'Give a whole number from 1 on.',
      });
    }
    this.#activity = activityWords(Math.max(this.size, availableParallelism()));
  }

  /** How many layers it unpacks at the same time; more wait for their turn. */
  get slots(): number {
    return this.size * LAYERS_PER_WORKER;
  }

  /**
   * Runs one job. When it rejects, the job's directories are no longer touched, an aborted one's included.
   * Errors: those of the job; ABORTED; FILESYSTEM, retryable, where the thread died.
   */
  run<K extends Kind>(job: JobOf<K>, o: RunOptions = {}): Promise<JobResults[K]> {
    return new Promise<JobResults[Kind]>((resolve, reject) => {
      throwIfAborted(o.signal);
      if (this.#closed) throw new LandfallError('ABORTED', 'the worker pool is closed');
      this.#lastNumber += 1;
      const task: Task = { number: this.#lastNumber, job, options: o, resolve, reject };
      const withdraw = (): void => this.#abort(task);
      o.signal?.addEventListener('abort', withdraw, { once: true });
      task.settled = () => o.signal?.removeEventListener('abort', withdraw);
      this.#waiting.push(task);
      this.#dispatch();
    }) as Promise<JobResults[K]>;
  }

  /** Starts threads that are about to be needed, so that the first jobs find them there: a start takes some tenths of a second. */
  prepare(threads: number): void {
    if (this.#closed) return;
    while (this.#threads.size < Math.min(threads, this.size)) this.#start().rest();
  }

  /** Ends all threads. Jobs that still run reject with ABORTED, after their thread has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const task of this.#waiting.splice(0)) rejectTask(task, closedError());
    await Promise.all([...this.#threads].map((thread) => thread.end(closedError())));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Sends what can be sent, in order. Only layers count as load: whatever else there is makes them visible, and goes first. */
  #dispatch(): void {
    for (let i = 0; i < this.#waiting.length;) {
      const task = this.#waiting[i];
      if (task === undefined) return;
      const thread = this.#threadFor(task);
      if (thread === undefined) {
        i += 1;
        continue;
      }
      this.#waiting.splice(i, 1);
      thread.send(task);
    }
  }

  #threadFor(task: Task): WorkerThread | undefined {
    const [least] = [...this.#threads].filter((t) => t.usable).sort((a, b) => a.load - b.load);
    if (least !== undefined && (least.load === 0 || this.#threads.size >= this.size)) {
      return task.job.kind !== 'apply' || least.layers < LAYERS_PER_WORKER ? least : undefined;
    }
    // A thread that is being ended still counts until it has ended.
    return this.#threads.size < this.size ? this.#start() : undefined;
  }

  #start(): WorkerThread {
    const thread = new WorkerThread({
      url: this.#url,
      activity: this.#activity,
      number: this.#freeNumber(),
      heapMiB: this.#heapMiB,
      idleMs: this.#idleMs,
      graceMs: this.#graceMs,
      onFree: () => this.#dispatch(),
      onEnd: () => {
        this.#threads.delete(thread);
        if (!this.#closed) this.#dispatch();
      },
    });
    this.#threads.add(thread);
    return thread;
  }

  /** The least that no thread has. */
  #freeNumber(): number {
    const taken = new Set([...this.#threads].map(({ number }) => number));
    let number = 0;
    while (taken.has(number)) number += 1;
    return number;
  }

  #abort(task: Task): void {
    const at = this.#waiting.indexOf(task);
    if (at < 0) {
      for (const thread of this.#threads) thread.abort(task);
      return;
    }
    this.#waiting.splice(at, 1);
    rejectTask(task, abortedError(task.options.signal));
  }
}
