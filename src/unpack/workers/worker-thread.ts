import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { abortedError, errorFromJSON, LandfallError, UnpackError, type Abortable } from '../../errors.js';
import { type Deferred, deferred } from '../../concurrency/index.js';
import type { JobResults, WorkerJob, WorkerReply } from '../jobs/apply-job.js';
import { type ActivityWords, forgetActivity } from '../jobs/thread-activity.js';

export interface RunOptions extends Abortable {
  /** Compressed bytes consumed so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

type Result = JobResults[keyof JobResults];

/** Of the heap, in MiB, for objects that are short-lived; buffers lie outside of it. */
const YOUNG_MIB = 16;

/** A job with the promise that waits for it. */
export interface Task {
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

/** What a thread is told when it starts. */
export interface WorkerStart {
  readonly activity: ActivityWords;
  /** Which of the words is this thread's. */
  readonly number: number;
}

export interface WorkerThreadOptions extends WorkerStart {
  readonly url: URL;
  readonly heapMiB: number;
  readonly idleMs: number;
  readonly graceMs: number;
  /** A job has ended, so another may be sent. */
  readonly onFree: () => void;
  readonly onEnd: () => void;
}

/** One worker thread and the jobs it has. */
export class WorkerThread {
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
      workerData: { activity, number } satisfies WorkerStart,
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

  /** Asks the job to stop; where it does not answer, whatever blocks it blocks the whole thread, so the thread goes. */
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
      this.#tell(task, reply.progress);
      return;
    }
    this.#tasks.delete(reply.id);
    if ('result' in reply) resolveTask(task, reply.result);
    else rejectTask(task, errorFromJSON(reply.error));
    if (this.#tasks.size === 0) this.rest();
    this.#options.onFree();
  }

  /** A callback that throws ends its own job, and no thread's. */
  #tell(task: Task, progress: number): void {
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
export function rejectTask(task: Task, error: LandfallError): void {
  settle(task);
  const { signal } = task.options;
  if (task.failure !== undefined) task.reject(task.failure.error);
  else task.reject(signal?.aborted === true ? abortedError(signal) : error);
}

export function closedError(): LandfallError {
  return new LandfallError('ABORTED', 'the worker pool was closed');
}

function diedError(cause: Error): LandfallError {
  const outOfMemory = 'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
  const reason = outOfMemory ? 'it ran out of memory' : cause.message;
  return new UnpackError('FILESYSTEM', `the thread that unpacked died: ${reason}`, {
    cause,
    retryable: !outOfMemory,
  });
}
