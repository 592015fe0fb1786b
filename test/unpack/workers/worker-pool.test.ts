import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { SharedOffset } from '../../../src/system/index.js';
import type { ApplyJob, SyncJob } from '../../../src/unpack/jobs/apply-job.js';
import { CALLERS, WorkerPool } from '../../../src/unpack/index.js';
import { digestOf, unpackLimits } from '../../../src/spec/index.js';
import { removeTree } from '../../support/unpack-fixture.js';

/** A thread that does what the job's `directory` says, so that a test can have it misbehave. */
const ACTOR = `
import { parentPort, threadId } from 'node:worker_threads';
const held = new Map();
parentPort.on('message', (request) => {
  if ('abort' in request) {
    const how = held.get(request.abort);
    if (how === 'answers') parentPort.postMessage({ id: request.abort, error:
      { name: 'UnpackError', code: 'ABORTED', message: 'stopped', retryable: false } });
    return;
  }
  const { id, job } = request;
  const act = job.directory;
  if (act === 'thread') parentPort.postMessage({ id, result: { warnings: [String(threadId)] } });
  if (act === 'progress') {
    for (const progress of [1, 2]) parentPort.postMessage({ id, progress });
    parentPort.postMessage({ id, result: { warnings: [] } });
  }
  if (act === 'progress then hold') {
    held.set(id, 'answers');
    parentPort.postMessage({ id, progress: 1 });
  }
  if (act === 'fail') parentPort.postMessage({ id, error:
    { name: 'UnpackError', code: 'BAD_ARCHIVE', message: 'broken', retryable: false, hint: 'h', details: { entry: 'e' } } });
  if (act === 'exit') process.exit(3);
  if (act === 'throw') throw new Error('unexpected');
  if (act === 'eat') { const all = []; for (;;) all.push(new Array(1000).fill({})); }
  if (act === 'answers' || act === 'hangs') held.set(id, act);
});
parentPort.postMessage({ ready: true });
`;
const ACTOR_URL = new URL(`data:text/javascript,${encodeURIComponent(ACTOR)}`);

function act(directory: string): SyncJob {
  return { kind: 'sync', directory };
}

function apply(directory: string): ApplyJob {
  return {
    kind: 'apply',
    digest: digestOf(Buffer.from('')),
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    blobPath: '/dev/null',
    blobSize: 1,
    directory,
    options: { ownership: CALLERS, devices: false, limits: unpackLimits(), inflate: 'auto' },
  };
}

test('a result comes back, with the progress before it', async () => {
  await using pool = new WorkerPool({ size: 1, url: ACTOR_URL });
  const progress: number[] = [];
  expect(await pool.run(act('progress'), { onProgress: (bytes) => progress.push(bytes) })).toEqual({
    warnings: [],
  });
  expect(progress).toEqual([1, 2]);
});

test.each(['progress', 'progress then hold'])(
  'what a callback of the progress throws ends its own job, and no other: %s',
  async (directory) => {
    await using pool = new WorkerPool({ size: 1, url: ACTOR_URL, graceMs: 60_000 });
    const thrown = new Error('the caller fails');
    let reported = 0;
    const onProgress = (): void => {
      reported += 1;
      throw thrown;
    };
    const hanging = new AbortController();
    const beside = pool.run(apply('answers'), { signal: hanging.signal });
    await expect(pool.run(act(directory), { onProgress })).rejects.toBe(thrown);
    expect(reported).toBe(1);
    expect(await pool.run(act('progress'))).toEqual({ warnings: [] });
    hanging.abort();
    await expect(beside).rejects.toMatchObject({ code: 'ABORTED' });
  },
);

test('an error comes back with its class, code, hint and details', async () => {
  await using pool = new WorkerPool({ size: 1, url: ACTOR_URL });
  await expect(pool.run(act('fail'))).rejects.toMatchObject({
    name: 'UnpackError',
    code: 'BAD_ARCHIVE',
    hint: 'h',
    details: { entry: 'e' },
  });
});

test('threads start on need, up to the size, and are used again', async () => {
  await using pool = new WorkerPool({ size: 2, url: ACTOR_URL });
  const first = await pool.run(act('thread'));
  expect(await pool.run(act('thread'))).toEqual(first);
  const hanging = new AbortController();
  const held = [1, 2].map(() => pool.run(apply('answers'), { signal: hanging.signal }));
  const seen = new Set<string>();
  for (let i = 0; i < 10; i++)
    for (const thread of (await pool.run(act('thread'))).warnings) seen.add(thread);
  expect(seen.size).toBeLessThanOrEqual(2);
  hanging.abort();
  for (const one of held) await expect(one).rejects.toMatchObject({ code: 'ABORTED' });
});

test('threads that were prepared are those that the first jobs get, and no more than the size', async () => {
  let count = 0;
  const counting = (): void => void (count += 1);
  // Node tells of a thread a little after its start.
  const started = (): Promise<number> => nextTurn().then(() => count);
  process.on('worker', counting);
  try {
    await using pool = new WorkerPool({ size: 2, url: ACTOR_URL });
    pool.prepare(1);
    expect(await started()).toBe(1);
    pool.prepare(5);
    expect(await started()).toBe(2);
    await Promise.all([pool.run(act('thread')), pool.run(act('thread'))]);
    expect(await started()).toBe(2);
    await pool.close();
    pool.prepare(2);
    expect(await started()).toBe(2);
  } finally {
    process.off('worker', counting);
  }
});

test.each([
  ['not before it has started: a native module may be at its beginning', 200, 10_000, ['ready', 'exit']],
  ['where it never comes to its start', 60_000, 50, ['exit']],
])('a thread ends %s', async (_, startMs, graceMs, expected) => {
  const slow = `import { parentPort } from 'node:worker_threads';
    setTimeout(() => parentPort.postMessage({ ready: true }), ${startMs});`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(slow)}`);
  const order: string[] = [];
  const watch = (worker: Worker): void => {
    worker.once('message', () => order.push('ready'));
    worker.once('exit', () => order.push('exit'));
  };
  process.on('worker', watch);
  try {
    const pool = new WorkerPool({ size: 1, url, graceMs });
    pool.prepare(1);
    await nextTurn();
    await pool.close();
    expect(order).toEqual(expected);
  } finally {
    process.off('worker', watch);
  }
});

test('layers beyond the slots wait for one, anything else does not', async () => {
  await using pool = new WorkerPool({ size: 1, url: ACTOR_URL });
  const controllers = Array.from({ length: pool.slots }, () => new AbortController());
  const held = controllers.map(({ signal }) => pool.run(apply('answers'), { signal }));
  let failed = false;
  const waiting = pool.run(apply('fail')).catch(() => (failed = true));
  await pool.run(act('thread'));
  expect(failed).toBe(false);
  controllers[0]?.abort();
  await expect(held[0]).rejects.toMatchObject({ code: 'ABORTED' });
  await waiting;
  expect(failed).toBe(true);
  for (const controller of controllers) controller.abort();
  await Promise.allSettled(held);
});

test('a job that waits for its turn is withdrawn at once when aborted', async () => {
  await using pool = new WorkerPool({ size: 1, url: ACTOR_URL });
  const controller = new AbortController();
  const held = Array.from({ length: pool.slots }, () =>
    pool.run(apply('hangs')).catch((error: unknown) => error),
  );
  const waiting = pool.run(apply('hangs'), { signal: controller.signal });
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
  await pool.close();
  expect(await Promise.all(held)).toEqual(
    held.map(() => expect.objectContaining({ code: 'ABORTED' }) as unknown),
  );
});

test('a thread that does not answer to an abort is ended, and the job is aborted', async () => {
  await using pool = new WorkerPool({ size: 1, url: ACTOR_URL, graceMs: 50 });
  const before = await pool.run(act('thread'));
  const controller = new AbortController();
  const job = pool.run(act('hangs'), { signal: controller.signal });
  const beside = pool.run(act('hangs'));
  controller.abort();
  await expect(job).rejects.toMatchObject({ code: 'ABORTED' });
  await expect(beside).rejects.toMatchObject({ name: 'UnpackError', code: 'FILESYSTEM', retryable: true });
  expect(await pool.run(act('thread'))).not.toEqual(before);
});

test.each(['exit', 'throw', 'eat'])('a thread that dies (%s) fails its jobs and is replaced', async (how) => {
  await using pool = new WorkerPool({ size: 1, heapMiB: 16, url: ACTOR_URL });
  const beside = pool.run(act('hangs')).catch((error: unknown) => error);
  await expect(pool.run(act(how))).rejects.toMatchObject({ name: 'UnpackError', code: 'FILESYSTEM' });
  expect(await beside).toMatchObject({ code: 'FILESYSTEM' });
  expect((await pool.run(act('thread'))).warnings).toHaveLength(1);
});

test('a thread without work ends, and another takes its place', async () => {
  await using pool = new WorkerPool({ size: 1, url: ACTOR_URL, idleMs: 1 });
  const first = await pool.run(act('thread'));
  await expect
    .poll(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return await pool.run(act('thread'));
    })
    .not.toEqual(first);
});

test('nothing runs after close, nor when aborted before', async () => {
  const pool = new WorkerPool({ size: 1, url: ACTOR_URL });
  await expect(pool.run(act('thread'), { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'ABORTED',
  });
  const running = pool.run(act('hangs')).catch((error: unknown) => error);
  await pool.close();
  expect(await running).toMatchObject({ code: 'ABORTED' });
  await expect(pool.run(act('thread'))).rejects.toMatchObject({ code: 'ABORTED' });
});

test.each([0, -1, 1.5, Number.NaN])('a size of %s is refused', (size) => {
  expect(() => new WorkerPool({ size })).toThrow(
    expect.objectContaining({ code: 'INVALID_CONFIG' }) as Error,
  );
});

test('the real thread: a layer that waits for its download stops when aborted', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-pool-'));
  try {
    await using pool = new WorkerPool({ size: 1 });
    const controller = new AbortController();
    const job = { ...apply(directory), sharedOffset: new SharedOffset().buffer };
    const running = pool.run(job, { signal: controller.signal });
    // One that comes later and is answered shows that the thread has begun the first.
    await pool.run(act(directory));
    controller.abort();
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await pool.run(act(directory))).toEqual({ warnings: [] });
  } finally {
    await removeTree(directory);
  }
});

test('the real thread: what the kernel refuses is FILESYSTEM', async () => {
  await using pool = new WorkerPool({ size: 1 });
  const job = pool.run({ kind: 'copy', source: '/nowhere/at/all', target: '/nowhere/else' });
  await expect(job).rejects.toMatchObject({ name: 'UnpackError', code: 'FILESYSTEM' });
});
