/** The entry of a worker thread: takes jobs from its pool, several at a time, and answers each. */
import { parentPort } from 'node:worker_threads';
import { runJobs } from './run-job.js';

if (parentPort !== null) runJobs(parentPort);
