import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Deferred, deferred } from '../../concurrency/index.js';
import {
  type Abortable,
  abortedError,
  errorFromJSON,
  LandfallError,
  throwIfAborted,
  UnpackError,
} from '../../errors.js';
import { BUNDLE_HINT } from '../../native-module.js';
import { tracksDescriptors } from '../../system/index.js';
import type { JobResults, WorkerJob, WorkerReply } from '../jobs/apply-job.js';
import {
  type ActivityWords,
  activityWords,
  forgetActivity,
  type WorkerStart,
} from '../jobs/shared-memory.js';

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
 * Layers that one thread unpacks at a time. A layer that is still downloading waits most of its time, so with
 * one layer a thread the cores would idle beside layers that could go on; each more costs little but its
 * buffers.
 */
const LAYERS_PER_WORKER = 4;
const IDLE_MS = 10_000;
const GRACE_MS = 5_000;
/**
 * The heap of one thread. What it keeps of a layer is bounded by LIMITS.notedBytes, so this is met by a
 * runaway only; the thread then dies alone, where without a limit the process would.
 */
const HEAP_MIB = 1024;

/**
 * The threads that touch layers' directories. They start on need, do not keep the process alive while idle,
 * and end after a while without work. One that dies rejects its jobs and is replaced by the next that is
 * needed.
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
  #lastId = 0;
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
      this.#lastId += 1;
      const task: Task = { number: this.#lastId, job, options: o, resolve, reject };
      const withdraw = (): void => this.#abort(task);
      o.signal?.addEventListener('abort', withdraw, { once: true });
      task.settled = () => o.signal?.removeEventListener('abort', withdraw);
      this.#waiting.push(task);
      this.#dispatch();
    }) as Promise<JobResults[K]>;
  }

  /**
   * Starts threads that are about to be needed, so that the first jobs find them there: a start takes some
   * tenths of a second.
   */
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

  /**
   * Sends what can be sent, in order. Only layers count as load: whatever else there is makes them visible,
   * and goes first.
   */
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
      number: this.#freeId(),
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
  #freeId(): number {
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

export interface RunOptions extends Abortable {
  /** Compressed bytes consumed so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

type Result = JobResults[keyof JobResults];

/** Of the heap, in MiB, for objects that are short-lived; buffers lie outside of it. */
const YOUNG_MIB = 16;

/** A job with the promise that waits for it. */
interface Task {
  readonly number: number;
  readonly job: WorkerJob;
  readonly options: RunOptions;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
  settled?: () => void;
  grace?: NodeJS.Timeout;
  /** What its caller's callback has thrown, which then is what came of it, whatever else does. */
  failure?: { readonly error: unknown };
}

export interface WorkerThreadOptions extends Omit<WorkerStart, 'tracksDescriptors'> {
  readonly url: URL;
  readonly heapMiB: number;
  readonly idleMs: number;
  readonly graceMs: number;
  /** A job has ended, so another may be sent. */
  readonly onFree: () => void;
  readonly onEnd: () => void;
}

/** One worker thread and the jobs it has. */
class WorkerThread {
  readonly #worker: Worker;
  readonly #options: WorkerThreadOptions;
  readonly #tasks = new Map<number, Task>();
  #idle: NodeJS.Timeout | undefined;
  /** Why it ends: what its jobs reject with. */
  #verdict: LandfallError | undefined;
  readonly #ended: Promise<void>;
  /** It takes jobs, or has ended. */
  readonly #ready: Deferred<undefined> = deferred();

  constructor(options: WorkerThreadOptions) {
    this.#options = options;
    const { activity, number } = options;
    this.#worker = new Worker(options.url, {
      name: 'landfall-unpack',
      workerData: { activity, number, tracksDescriptors: tracksDescriptors() } satisfies WorkerStart,
      resourceLimits: { maxOldGenerationSizeMb: options.heapMiB, maxYoungGenerationSizeMb: YOUNG_MIB },
      // It knows only descriptors that Node opened, and would warn about each of ours when it is closed.
      trackUnmanagedFds: false,
    });
    this.#worker.on('message', (reply: WorkerReply) => {
      if ('ready' in reply) this.#ready.resolve(undefined);
      else this.#receive(reply);
    });
    this.#worker.on('error', (error) => (this.#verdict ??= diedError(error)));
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#ready.resolve(undefined);
        forgetActivity(activity, number);
        this.#finish(this.#verdict ?? diedError(new Error(`exit code ${code}`)));
        resolve();
      });
    });
  }

  get number(): number {
    return this.#options.number;
  }

  get usable(): boolean {
    return this.#verdict === undefined;
  }

  get load(): number {
    return this.#tasks.size;
  }

  get layers(): number {
    let count = 0;
    for (const { job } of this.#tasks.values()) if (job.kind === 'apply') count += 1;
    return count;
  }

  send(task: Task): void {
    clearTimeout(this.#idle);
    if (this.#tasks.size === 0) this.#worker.ref();
    this.#tasks.set(task.number, task);
    this.#worker.postMessage({ id: task.number, job: task.job });
  }

  /**
   * Asks the job to stop; where it does not answer, whatever blocks it blocks the whole thread, so the thread
   * goes.
   */
  abort(task: Task): void {
    if (this.#tasks.get(task.number) !== task) return;
    this.#worker.postMessage({ abort: task.number });
    task.grace = setTimeout(() => {
      void this.end(diedError(new Error('an aborted job did not stop')));
    }, this.#options.graceMs);
  }

  async end(verdict: LandfallError): Promise<void> {
    this.#verdict ??= verdict;
    // Somebody waits for it now, whether it has work or not.
    this.#worker.ref();
    await this.#started();
    await this.#worker.terminate();
    await this.#ended;
  }

  /** A thread that is ended while a native module begins in it takes the whole process along. */
  async #started(): Promise<void> {
    const timer = new AbortController();
    const patience = sleep(this.#options.graceMs, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([this.#ready.promise, patience]);
    timer.abort();
  }

  #receive(reply: Exclude<WorkerReply, { ready: true }>): void {
    const task = this.#tasks.get(reply.id);
    if (task === undefined) return;
    if ('progress' in reply) {
      this.#emit(task, reply.progress);
      return;
    }
    this.#tasks.delete(reply.id);
    if ('result' in reply) resolveTask(task, reply.result);
    else rejectTask(task, errorFromJSON(reply.error));
    if (this.#tasks.size === 0) this.rest();
    this.#options.onFree();
  }

  /** A callback that throws ends its own job, and no thread's. */
  #emit(task: Task, progress: number): void {
    if (task.options.signal?.aborted === true || task.failure !== undefined) return;
    try {
      task.options.onProgress?.(progress);
    } catch (error) {
      task.failure = { error };
      this.abort(task);
    }
  }

  /** Nothing is to be done at the moment: does not keep the process alive, and ends where that lasts. */
  rest(): void {
    this.#worker.unref();
    this.#idle = setTimeout(() => {
      if (this.#tasks.size === 0) void this.end(closedError());
    }, this.#options.idleMs);
    this.#idle.unref();
  }

  #finish(error: LandfallError): void {
    this.#verdict ??= error;
    clearTimeout(this.#idle);
    for (const task of this.#tasks.values()) rejectTask(task, error);
    this.#tasks.clear();
    this.#options.onEnd();
  }
}

function settle(task: Task): void {
  clearTimeout(task.grace);
  task.settled?.();
}

function resolveTask(task: Task, result: Result): void {
  settle(task);
  if (task.failure === undefined) task.resolve(result);
  else task.reject(task.failure.error);
}

/** Whatever an aborted job came to, to its caller it was aborted. */
function rejectTask(task: Task, error: LandfallError): void {
  settle(task);
  const { signal } = task.options;
  if (task.failure !== undefined) task.reject(task.failure.error);
  else task.reject(signal?.aborted === true ? abortedError(signal) : error);
}

function closedError(): LandfallError {
  return new LandfallError('ABORTED', 'the worker pool was closed');
}

function diedError(cause: Error): LandfallError {
  if ('code' in cause && (cause.code === 'MODULE_NOT_FOUND' || cause.code === 'ERR_MODULE_NOT_FOUND')) {
    const message = `the file of the threads that unpack is missing: ${fileURLToPath(WORKER_URL)}`;
    return new LandfallError('UNSUPPORTED', message, { cause, hint: BUNDLE_HINT });
  }
  const outOfMemory = 'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
  const reason = outOfMemory ? 'it ran out of memory' : cause.message;
  return new UnpackError('FILESYSTEM', `the thread that unpacked died: ${reason}`, {
    cause,
    retryable: !outOfMemory,
  });
}

/**
 * Where a worker thread finds its entry. Worker threads cannot load TypeScript, so when this module itself
 * runs from its source, as under the tests, the built entry of the same repository is taken.
 */
const WORKER_URL: URL = import.meta.url.endsWith('.ts')
  ? new URL('../../../dist/src/unpack/workers/worker.js', import.meta.url)
  : new URL('./worker.js', import.meta.url);
