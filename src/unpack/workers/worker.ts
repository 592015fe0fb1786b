/** The entry of a worker thread: takes jobs from its pool, several at a time, and answers each. */
import { closeSync } from 'node:fs';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Abortable } from '../../errors.js';
import { clearThreadUmask, syncfs, tracksDescriptors } from '../../system/index.js';
import { openTree } from '../disk/tree-walk.js';
import type {
  JobResults,
  SyncJob,
  WarningsResult,
  WorkerJob,
  WorkerReply,
  WorkerRequest,
} from '../jobs/apply-job.js';
import { ThreadActivity, type WorkerStart } from '../jobs/shared-memory.js';
import { applyLayer } from '../layer/apply-layer.js';
import { compareTrees } from '../merge/compare-trees.js';
import { completeLayer } from '../merge/complete-layer.js';
import { copyTree } from '../merge/copy-tree.js';
import { mergeLayer } from '../merge/merge-layer.js';
import { filesystemError } from '../terms/layer-fault.js';

/** Progress is a message to another thread, and is for people: they do not see more. */
const PROGRESS_INTERVAL_MS = 50;

type Result = JobResults[keyof JobResults];

/**
 * Runs the jobs that arrive at a port, each as soon as it arrives: while one waits for its download, another
 * inflates or writes. Every job is answered exactly once, an aborted one too, and after its answer it touches
 * nothing any more.
 */
function runJobs(port: MessagePort, activity: ThreadActivity): void {
  const running = new Map<number, AbortController>();
  port.on('message', (request: WorkerRequest) => {
    if ('abort' in request) {
      running.get(request.abort)?.abort();
      return;
    }
    const { id } = request;
    const controller = new AbortController();
    running.set(id, controller);
    const { signal } = controller;
    void answer(port, request, { signal, activity }).finally(() => running.delete(id));
  });
}

async function answer(
  port: MessagePort,
  { id, job }: { readonly id: number; readonly job: WorkerJob },
  o: Abortable & { readonly activity: ThreadActivity },
): Promise<void> {
  const reply = (message: WorkerReply): void => port.postMessage(message);
  let reported = performance.now();
  const onProgress = (bytes: number): void => {
    const now = performance.now();
    if (now - reported < PROGRESS_INTERVAL_MS) return;
    reported = now;
    reply({ id, progress: bytes });
  };
  try {
    reply({ id, result: await o.activity.during(() => runJob(job, { ...o, onProgress })) });
  } catch (error) {
    reply({ id, error: filesystemError(error, describeJob(job)).toJSON() });
  }
}

async function runJob(
  job: WorkerJob,
  o: Abortable & { readonly activity: ThreadActivity; readonly onProgress: (bytes: number) => void },
): Promise<Result> {
  switch (job.kind) {
    case 'apply':
      return await applyLayer(job, o);
    case 'complete':
      return await completeLayer(job, o);
    case 'merge':
      return await mergeLayer(job, o);
    case 'copy':
      return await copyTree(job, o);
    case 'sync':
      return syncDirectory(job);
    case 'compare':
      return await compareTrees(job, o);
  }
}

function syncDirectory(job: SyncJob): WarningsResult {
  const fd = openTree(job.directory);
  try {
    syncfs(fd);
  } finally {
    closeSync(fd);
  }
  return { warnings: [] };
}

function describeJob(job: WorkerJob): string {
  switch (job.kind) {
    case 'apply':
      return `unpacking layer ${job.digest}`;
    case 'complete':
      return `completing ${job.directory}`;
    case 'merge':
      return `merging ${job.directory} into ${job.target}`;
    case 'copy':
      return `copying ${job.source} to ${job.target}`;
    case 'sync':
      return `writing ${job.directory} to the disk`;
    case 'compare':
      return `comparing ${job.actual}`;
  }
}

if (parentPort !== null) {
  const { activity, number, ...start } = workerData as WorkerStart;
  tracksDescriptors(start.tracksDescriptors);
  clearThreadUmask();
  runJobs(parentPort, new ThreadActivity(activity, number));
  parentPort.postMessage({ ready: true } satisfies WorkerReply);
}
