/** The entry of a worker thread: takes jobs from its pool, several at a time, and answers each. */
import { parentPort, workerData } from 'node:worker_threads';
import { clearThreadUmask } from '../../system/index.js';
import type { WorkerReply } from '../jobs/apply-job.js';
import { runJobs } from './run-job.js';
import { ThreadActivity } from '../jobs/thread-activity.js';
import type { WorkerStart } from './worker-thread.js';

if (parentPort !== null) {
  clearThreadUmask();
  const { activity, number } = workerData as WorkerStart;
  runJobs(parentPort, new ThreadActivity(activity, number));
  parentPort.postMessage({ ready: true } satisfies WorkerReply);
}
